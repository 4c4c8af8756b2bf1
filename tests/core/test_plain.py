"""Text becomes plain values within limits, or one sentence that names the source and the line."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ungrok.core.errors import RecipeError
from ungrok.core.plain import (
    DEEPEST,
    LONGEST_NAME,
    LONGEST_NUMBER,
    MOST_BYTES,
    MOST_VALUES,
    check_name,
    check_plain,
    parse_yaml,
    read_yaml,
)
from ungrok.core.schema import canonical
from ungrok.recipes import shipped
from ungrok.study.loading import load, to_yaml, validate
from ungrok.study.recipe import Recipe

TEXTS = {name: path.read_text(encoding="utf-8") for name, path in shipped().items()}
WHOLE = {name: load(name).to_dict() for name in ("digits-mechanism", "modular", "tofu-tiny", "paper/table1-cnn")}


def refused(text: str) -> str:
    with pytest.raises(RecipeError) as error:
        parse_yaml(text, "my.yaml")
    return str(error.value)


def test_plain_values():
    text = "{a: 1e-3, b: 1_000, c: [yes, null, 'x'], d: 2020-01-01, e: &one {f: -2}, g: *one, h: {<<: *one, i: .5}}"
    assert parse_yaml(text, "here") == {
        "a": 0.001, "b": 1000, "c": [True, None, "x"], "d": "2020-01-01", "e": {"f": -2}, "g": {"f": -2},
        "h": {"f": -2, "i": 0.5},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["digits", "tofu"])
def test_shipped_recipes_are_read_as_the_safe_loader_reads_them(name):
    assert parse_yaml(TEXTS[name], name) == yaml.safe_load(TEXTS[name])


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_each_limit_is_the_last_that_passes():
    assert parse_yaml(nested(DEEPEST), "here") is not None
    assert (
        refused(nested(DEEPEST + 1)) == f"my.yaml, line 1: not valid YAML: values are nested more than {DEEPEST} deep"
    )
    digits = "9" * LONGEST_NUMBER
    assert parse_yaml(digits, "here") == int(digits)
    assert f"a whole number of {LONGEST_NUMBER + 1} characters" in refused(f"{digits}9")
    flat = f"[{', '.join(['1'] * (MOST_VALUES - 1))}]"
    assert len(parse_yaml(flat, "here")) == MOST_VALUES - 1
    assert f"more than {MOST_VALUES:,} values" in refused(f"{flat[:-1]}, 1]")


def test_values_that_aliases_repeat_count_each_time():
    row = f"a: &a [{', '.join(['1'] * 998)}]\n"  # a thousand values with the list and its key
    fits = row + f"b: [{', '.join(['*a'] * 18)}]"
    assert len(parse_yaml(fits, "here")["b"]) == 18
    assert refused(row + f"b: [{', '.join(['*a'] * 20)}]").startswith("my.yaml, line 2: not valid YAML: more than")


def test_a_file_is_named_and_its_size_looked_at_first(tmp_path):
    path = tmp_path / "my.yaml"
    path.write_text("a: [1")
    with pytest.raises(RecipeError, match=r"my\.yaml, line 1: not valid YAML"):
        read_yaml(path)
    path.write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(RecipeError, match=r"my\.yaml: has 1,000,001 bytes; allowed: at most 1,000,000$"):
        read_yaml(path)
    path.write_text("#" * MOST_BYTES)
    assert read_yaml(path) is None
    path.write_bytes(b"\xff")
    with pytest.raises(RecipeError, match=r"my\.yaml: cannot be read as UTF-8 text"):
        read_yaml(path)
    with pytest.raises(RecipeError, match=r"nothing\.yaml: cannot be read as UTF-8 text \(\[Errno 2\]"):
        read_yaml(tmp_path / "nothing.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": [{"b": 2**63}]}, r"^a\.0\.b: 9223372036854775808 is not allowed: whole numbers lie between"),
        ({"a": -(2**63) - 1}, "^a: -9223372036854775809 is not allowed"),
        ({"a": float("inf")}, "^a: inf is not allowed: numbers are finite"),
        ({"a": [float("nan")]}, r"^a\.0: nan is not allowed: numbers are finite"),
        ({"a": "x\0"}, r"^a: 'x\\x00' is not allowed: text has no null characters"),
        ({"a": "\ud800"}, r"^a: '\\ud800' is not allowed: text has"),
        ({"a\ud800": 1}, r"^a key: 'a\\ud800' is not allowed: text has"),
        ({"a": {1: 2}}, r"^a\.1: 1 is not allowed: keys are text"),
        ({"a": {None: 2}}, r"^a\.None: None is not allowed: keys are text"),
        ({"a": b"x"}, "^a: b'x' is not allowed: values are text, numbers"),
        ({"a": {1, 2}}, "^a: {1, 2} is not allowed: values are text, numbers"),
    ],
)
def test_what_no_recipe_can_hold(content, message):
    with pytest.raises(RecipeError, match=message):
        check_plain(content)


def test_what_a_recipe_can_hold():
    check_plain({"a": [2**63 - 1, -(2**63), 1e308, True, None, "é\n\t日本"], "b": {"c": ()}})


@pytest.mark.parametrize("name", ["x", "$x^$", "a b", "é" * (LONGEST_NAME // 2), "x" * LONGEST_NAME, "日本"])
def test_names(name):
    check_name(name, "key")


@pytest.mark.parametrize("name", ["", " ", "_x", "a\nb", "a\u2028b", "\x7f", "\ud800", "x" * 101, "é" * 51])
def test_what_is_no_name(name):
    with pytest.raises(ValueError, match=r"^key: '.* is not allowed: "):
        check_name(name, "key")


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=4), st.dates(),
    st.sampled_from([10**23, 2**63, 1e-300, "x" * 400, "$x^$", "²", "mlp", "class", "step-²", "a/b", "_"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "lr", "name", "a", "steps"]) | SCALARS, inner, max_size=3)
    ),
    max_leaves=6,
)


def recipe_or_refusal(text: str) -> Recipe | None:
    """Return the recipe of a text, or None where it is refused in one short sentence; any other error is the test's."""
    try:
        content = parse_yaml(text, "my.yaml")
        if not isinstance(content, dict):
            return None
        recipe = validate(content)
    except RecipeError as error:
        message = str(error)
    else:
        assert validate(parse_yaml(to_yaml(recipe), "again")) == recipe
        assert canonical(recipe.spec())
        return recipe
    assert message.isprintable()
    assert 0 < len(message) < 380
    return None


@given(st.text(alphabet="ab:[]{},&*!?|>-#'\"%@`\n\t <=~0e.x_\\²\x00\ud800", max_size=60))
@example("!!int abc")
@example("? [a]\n: 1")
@example("a: &a [*a]")
@example("a: {<<: 1}")
@example("!!timestamp x")
@settings(max_examples=400)
def test_any_text_is_refused_or_read(text):
    assert recipe_or_refusal(text) is None  # so few letters name no recipe


@given(st.sampled_from(sorted(TEXTS)), st.data())
@settings(max_examples=60)
def test_shipped_recipes_changed_letter_by_letter(name, data):
    text = TEXTS[name]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        until = data.draw(st.integers(at, min(len(text), at + 20)))
        put = data.draw(
            st.text(alphabet=st.characters(), max_size=5) | st.sampled_from(["'", "[", "*a", "!!int", "1e400"])
        )
        text = text[:at] + put + text[until:]
    recipe_or_refusal(text)


@given(st.sampled_from(sorted(WHOLE)), VALUES, st.data())
@settings(max_examples=120)
def test_shipped_recipes_with_another_value_somewhere(name, value, data):
    content = copy.deepcopy(WHOLE[name])
    here: Any = content
    while True:
        place = data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
        below = here[place]
        if not isinstance(below, dict | list) or not below or data.draw(st.booleans()):
            break
        here = below
    here[place] = value
    try:
        text = yaml.safe_dump(content)
    except yaml.YAMLError:
        return
    recipe_or_refusal(text)
