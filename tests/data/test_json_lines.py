"""Rows of JSON lines: what is read, and what is refused by the line in which it stands."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ungrok.core.errors import RecipeError
from ungrok.data.json_lines import read_json_lines

ROWS = [{"question": f"Who is {i}?\u2028\u0085", "answer": f"It is {i}.", "id": i} for i in range(20)]
GOOD = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()


def read(tmp_path, content):
    file = tmp_path / "full.json"
    file.write_bytes(content)
    return read_json_lines(file)


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD + b"\n",
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        b"\n\n" + GOOD.replace(b"\n", b"\n  \n\t\n") + b"\n\n",
        "\n".join(json.dumps(row) for row in ROWS).encode(),
    ],
    ids=["line separators", "last end", "byte order mark", "CRLF", "blank lines", "escapes"],
)
def test_all_rows_are_read(tmp_path, content):
    assert read(tmp_path, content) == ROWS


@pytest.mark.parametrize("value", ["12345678901234567890123", "-0.5e-3", '"\\ud83d\\ude00"', "null", '[{"a": [true]}]'])
def test_values_keep_their_types(tmp_path, value):
    assert read(tmp_path, f'{{"a": {value}}}'.encode()) == [{"a": json.loads(value)}]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{broken", "line 3: not JSON \\(Expecting property name"),
        (b'{"a": 1} {"a": 2}', "line 3: not JSON \\(Extra data"),
        (b'{"a": 1, "b": 2, "a": 3}', "line 3: not JSON \\(the key 'a' stands there twice\\)"),
        (b'{"a": {"b": 1, "b": 1}}', "line 3: not JSON \\(the key 'b' stands there twice\\)"),
        (b'{"a": NaN}', "line 3: not JSON \\(it holds NaN\\)"),
        (b'{"a": -Infinity}', "line 3: not JSON \\(it holds -Infinity\\)"),
        (b'{"a": 1e400}', "line 3: not JSON \\(the number 1e400 is too large\\)"),
        (b'{"a": ' + b"9" * 5000 + b"}", "line 3: not JSON \\(it holds an integer of 5000 digits\\)"),
        (b'{"a": "\\ud800"}', "line 3: not JSON \\(it holds half of a surrogate pair\\)"),
        (b"[1, 2]", "line 3: a row is an object with a key a column, not '\\[1, 2\\]'"),
        (b'{"a": "\xff"}', "line 3: not UTF-8 \\(byte 8\\)"),
        (b'{"a":' * 100_000, "line 3: nested too deep"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(tmp_path, line, message):
    with pytest.raises(RecipeError, match=f"full.json, {message}"):
        read(tmp_path, b'{"a": 1}\n\n' + line + b'\n{"a": 2}')


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(RecipeError, match=r"gone.json: cannot be read \(No such file or directory\)"):
        read_json_lines(tmp_path / "gone.json")
    with pytest.raises(RecipeError, match=f"{tmp_path.name}: cannot be read \\(Is a directory\\)"):
        read_json_lines(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.dictionaries(st.text(), json_values)), st.sampled_from(["\n", "\r\n", "\n\n"]), st.booleans())
def test_whatever_json_writes_is_read(tmp_path_factory, rows, end, ascii_only):
    text = end.join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    assert read(tmp_path_factory.getbasetemp(), text.encode()) == rows


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, len(GOOD)), st.integers(0, 30), st.binary(max_size=12) | st.sampled_from([b"NaN", b"\\ud800"]))
def test_mutations_are_read_as_json_has_it_or_refused(tmp_path_factory, place, cut, added):
    content = GOOD[:place] + added + GOOD[place + cut :]
    try:
        rows, refusal = read(tmp_path_factory.getbasetemp(), content), ""
    except RecipeError as error:
        rows, refusal = None, str(error)
    if refusal:
        assert "full.json, line " in refusal
    else:
        assert rows == [json.loads(line) for line in content.split(b"\n") if line.strip()]
