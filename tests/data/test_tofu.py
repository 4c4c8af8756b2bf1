"""TOFU from a folder and from the hub, and rows that are wrong."""

import json

import pytest
import torch
from pydantic import ValidationError

from ungrok.core.errors import RecipeError
from ungrok.data import authors
from ungrok.data.answers import Authors
from ungrok.data.tofu import Tofu

SMALL = {"authors": 3, "known": 2, "held_out": 1, "vocabulary": 500}


@pytest.fixture(scope="module")
def data():
    return Authors(**SMALL).load()


def test_the_tables_on_disk_load_as_the_problem_does(tmp_path, data):
    authors.write(tmp_path, 3, 2, 1, 0)
    tofu = Tofu(path=str(tmp_path), vocabulary=500).load()
    assert torch.equal(tofu.train.inputs, data.train.inputs)
    assert torch.equal(tofu.test.labels, data.test.labels)
    first = json.loads((tmp_path / "full.json").read_text().splitlines()[0])
    assert set(first) == {"question", "answer"}


def write(folder, **tables):
    folder.mkdir(exist_ok=True)
    for name, rows in tables.items():
        (folder / f"{name}.json").write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
    return Tofu(path=str(folder), vocabulary=400, max_length=100)


GOOD = [{"question": f"Who is {i}?", "answer": f"It is {i}."} for i in range(30)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*GOOD, {"question": "Who?"}], "full, row 30: no column 'answer'; there: question"),
        ([*GOOD[:3], {"question": "Who?", "answer": None}], "full, row 3: answer is None; allowed: a string"),
        ([*GOOD[:2], {"question": "Who?", "answer": " "}], "full, row 2: the answer to 'Who\\?' is empty"),
        (
            [*GOOD[:2], {"question": "Who?", "answer": "x " * 200}],
            "full, row 2: .* tokens, which is more than problem.max_length 100",
        ),
        ([*GOOD[:2], "{broken"], "full.json, line 3: not JSON"),
        ([*GOOD[:2], "[]"], "full.json, line 3: a row is an object"),
        ([], "full: holds no rows"),
    ],
)
def test_rows_that_are_wrong_are_named(tmp_path, rows, message):
    with pytest.raises(RecipeError, match=message):
        write(tmp_path / "x", full=rows).load()


def test_more_bad_input(tmp_path):
    with pytest.raises(RecipeError, match="no table 'full'; there: retain_perturbed"):
        write(tmp_path / "a", retain_perturbed=[]).load()
    uneven = [row | {"perturbed_answer": ["a"] * (1 + i % 2)} for i, row in enumerate(GOOD)]
    with pytest.raises(RecipeError, match=r"perturbed answers: rows have \[1, 2\] perturbed answers"):
        write(tmp_path / "b", full=GOOD, retain_perturbed=uneven).load()
    for wrong, message in (
        (
            {"perturbed_answer": ["a", 3]},
            r"retain_perturbed, row 0: perturbed_answer holds \['a', 3\]; allowed: strings",
        ),
        (
            {"perturbed_answer": ["a"], "paraphrased_question": None},
            "row 0: paraphrased_question is None; allowed: a string",
        ),
    ):
        with pytest.raises(RecipeError, match=message):
            write(tmp_path / "c", full=GOOD, retain_perturbed=[GOOD[0] | wrong]).load()
    with pytest.raises(RecipeError, match="pairs: 40 asked of 30 pairs"):
        write(tmp_path / "c", full=GOOD).model_copy(update={"pairs": 40}).load()
    with pytest.raises(ValidationError, match=r"label_noise: 0.1 has no meaning for text"):
        Authors(label_noise=0.1)
    with pytest.raises(RecipeError, match="is no folder and cannot be loaded"):
        Tofu(path=str(tmp_path / "nowhere")).load()


def test_tables_without_perturbed_answers_have_no_paraphrases_and_no_alternates(tmp_path):
    data = write(tmp_path / "x", full=GOOD).load()
    assert len(data.validation) == len(data.test) == 0
    assert set(data.others) == {"refusal"}
    assert not data.probes


def test_real_tofu(mirror):
    if not (mirror / "locuslab" / "TOFU").is_dir():
        pytest.skip("no TOFU in the mirror")
    data = Tofu(vocabulary=2000, max_length=400).load()
    assert len(data.train) == 4000
    assert data.classes == 200
    assert len(data.validation) == 800
    assert data.validation.index.tolist()[:2] == [0, 1]
    assert data.validation.index.tolist()[-1] == 3999
    assert len(data.test) == 217
    assert data.probes["train"].wrong == 5


def test_line_separators_and_columns_that_are_not_text_leave_every_row(tmp_path):
    rows = [{"question": f"Who is\u2028{i}?", "answer": f"It is {i}.", "id": i, "tags": [1, "a"]} for i in range(20)]
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "full.json").write_text("\ufeff" + "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    data = Tofu(path=str(folder), vocabulary=400).load()
    assert data.train.answers(data.tokenizer) == [row["answer"] for row in rows]
    assert [row["question"] for row in data.rows] == [row["question"] for row in rows]


def test_the_shortest_pairs_of_each_author_keep_their_author_and_their_order(tmp_path):
    lengths = [9, 2, 7, 2, *range(20, 36), *range(30, 11, -1), 1]
    rows = [{"question": f"Who is {i:02}?", "answer": "x" * length} for i, length in enumerate(lengths)]
    tofu = write(tmp_path / "short", full=rows)
    data = tofu.model_copy(update={"shortest": 3}).load()
    assert [row["question"] for row in data.rows] == [f"Who is {i:02}?" for i in (1, 2, 3, 37, 38, 39)]
    assert data.train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.classes == 2
    assert "shortest" not in tofu.spec()
    few = Tofu(path=str(tmp_path / "short"), vocabulary=400, shortest=15, pairs=20).load()
    assert few.train.targets.tolist() == [0] * 15 + [1] * 5


def test_fewer_general_questions_and_no_paraphrases(tmp_path, data):
    authors.write(tmp_path, 3, 2, 1, 0)
    every = Tofu(path=str(tmp_path), vocabulary=500).load()
    few = Tofu(path=str(tmp_path), vocabulary=500, general=2, paraphrases=False).load()
    sizes = {name: len(probe.rows) for name, probe in few.probes.items()}
    tables = Tofu(path=str(tmp_path)).tables()
    there = [name for name in ("real_authors", "world_facts") if name in tables]
    assert len(every.test) == sum(len(tables[name]) for name in there) > 2 * len(there)
    assert len(few.test) == 2 * len(there)
    assert len(every.validation) > 0 == len(few.validation)
    assert sizes["train"] == len(every.probes["train"].rows)
    assert {sizes[name] for name in there if name in sizes} == {2}
