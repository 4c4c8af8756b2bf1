"""The paper's numbers as printed, the recipes beside them, and what of a study stands for the paper's places."""

from __future__ import annotations

import pytest

from ungrok.core.errors import RecipeError
from ungrok.recipes import shipped
from ungrok.report.paper import beside, missing, paper, parts, splits_of, stands, table_of
from ungrok.study.loading import load

TABLES = [*(f"table{n}" for n in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12)), "figure1", "figure2"]

SUMS = {
    "table1-resnet": (74, 5449.97), "table1-cnn": (48, 1595.6), "table2": (72, 3653.5), "table3-cnn": (2, 1.511), "table3-resnet": (2, 1.425),
    "table4-cnn": (12, 348.84), "table4-resnet": (12, 254.14), "table5": (2, 0.588), "table9": (6, 105.01), "table8-svhn": (78, 3502.6),
    "table8-imagenet100": (60, 3291.3), "table10": (12, 459.5), "table11": (6, 200.0), "figure1": (0, 0), "figure2": (4, 48), "table12": (5, 443.51),
}  # fmt: skip
"""Per part, how many numbers the paper prints and their sum."""


def numbers(content):
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        return [number for part in content for number in numbers(part)]
    return [content] if isinstance(content, int | float) else []


@pytest.mark.parametrize("part", paper())
def test_every_printed_number_stands_there(part):
    held = [number for key, rows in paper()[part].items() if key in KINDS for number in numbers(rows)]
    assert (len(held), round(sum(held), 3)) == SUMS[part]


KINDS = ("rows", "measures", "spread", "updates", "difficulty")


def test_every_table_and_figure_has_a_part():
    assert sorted({table_of(part) for part in paper()}) == sorted(TABLES)


@pytest.mark.parametrize("table", TABLES)
def test_recipes_that_stand_beside_a_table_exist(table):
    named = beside(table)
    assert set(named) <= set(shipped())
    assert [name for name, same in named.items() if same and name.startswith("paper/")] != []


def test_recipes_on_the_papers_data_come_first():
    assert list(beside("table8").items())[:2] == [("paper/table8-svhn", True), ("paper/table8-imagenet100", True)]
    assert (beside("table1")["cifar10-small"], beside("table1")["digits"], beside("table12")["tofu-tiny"]) == (
        True,
        False,
        False,
    )


def test_a_table_means_the_part_that_the_recipe_stands_beside():
    assert parts("paper:table1", load("paper/table1-cnn")) == ["table1-cnn"]
    assert parts("paper:table1", load("cifar10-small")) == ["table1-resnet", "table1-cnn"]
    assert parts("paper:table1", load("cifar10-small", ["name=cifar10-cnn"])) == ["table1-cnn"]
    assert parts("paper:table1-resnet", load("paper/table1-cnn")) == ["table1-resnet"]
    assert parts("paper:table8", load("svhn-small")) == ["table8-svhn"]
    assert parts("paper:table8", load("digits")) == ["table8-svhn", "table8-imagenet100"]
    assert parts("paper:table3", load("paper/table3")) == ["table3-cnn", "table3-resnet"]


@pytest.mark.parametrize(("name", "near"), [("paper:tabel1-cnn", "paper:table1-cnn"), ("table11", "paper:table11")])
def test_an_unknown_part_names_the_nearest(name, near):
    with pytest.raises(RecipeError, match=f"--with: '{name}'.*did you mean '{near}'"):
        parts(name, load("digits"))


@pytest.mark.parametrize("part", paper())
def test_a_recipe_reproduces_every_part(part):
    """Every split, method and place of a part stands in the recipe that it names, or is said to be elsewhere there."""
    content = paper()[part]
    recipe = load(content["recipe"])
    header = shipped()[content["recipe"]].read_text()
    rows = [row for kind in ("rows", "spread", "updates", "below") for row in content.get(kind, ())]
    forgotten = {row[0] for row in rows} | {side.get("forget") for side in content["places"].values()}
    assert forgotten - {None} <= set(recipe.forget_labels())
    assert {row[1] for row in rows} <= {*recipe.unlearn_labels(), "original", "retrain"}
    assert {row[0] for row in content.get("measures", ())} <= set(recipe.forget_labels())
    assert {row[1] for row in content.get("measures", ())} <= {*recipe.unlearn_labels(), ""}
    for place, side in content["places"].items():
        assert side.get("arm", "base") in {"base", *recipe.arms}
        assert side["stage"] in recipe.stages_of(side.get("arm", "base")) or f"--place {place}=" in header


@pytest.mark.parametrize("part", paper())
def test_the_data_file_is_whole(part):
    content = paper()[part]
    for _, _, values in content.get("rows", ()):
        assert set(values) <= set(content["places"])
        assert all(
            len(row) == len(content["metrics"]) and all(x is None or 0 <= x <= 100 for x in row)
            for row in values.values()
        )
    for pair in content["pairs"]:
        assert set(pair) <= set(content["places"])


@pytest.mark.parametrize("part", paper())
def test_what_stands_for_places_fits_the_recipes_that_are_there(part):
    content = paper()[part]
    said = content["beside"] | content.get("other_data", {})
    known = {*content["places"], *splits_of(part)}
    assert {text.partition("=")[0] for texts in said.values() for text in texts} <= known
    for name, texts in said.items():
        recipe = load(name)
        here = [*recipe.forget_labels(), *recipe.all_stages()]
        assert [text for text in texts if text.partition("=")[2] not in here] == []


def test_what_a_study_lacks_is_said(study):
    view = study(forget=[{"kind": "classes", "classes": 2, "fraction": 0.15}], unlearn=[{"kind": "gradient_ascent"}])
    assert missing(view, "paper:table8-svhn") == [
        "spline: the study has no spline/final; --place spline=... says which it is, of pre_grok, grokked",
        "the study has no forget split classes-2-0.3; --place classes-2-0.3=... says which it is, of classes-2-0.15",
    ]


def test_the_first_comparison_stands_for_stages_that_a_study_lacks(study):
    view = study(stages=["memorized", "final"], claims={"compare": [["memorized", "final"]], "targets": [0.1]})
    (one,) = stands(view, "paper:figure2").values()
    assert {place: side.label for place, side in one.sides.items()} == {"pre": "memorized", "grok": "final"}


def test_what_the_data_file_says_stands_unless_the_user_says_otherwise(study):
    view = study(name="digits", forget=[{"kind": "class"}, {"kind": "class", "name": "other"}])
    assert stands(view, "paper:figure2")["figure2"].splits["classes-2-0.15"] == "class"
    said = stands(view, "paper:figure2", ["classes-2-0.15=other", "pre=grokked"])["figure2"]
    assert (said.splits["classes-2-0.15"], said.sides["pre"].label) == ("other", "grokked")
    with pytest.raises(RecipeError, match=r"--place classes-2-0.5: 'clas'.*did you mean 'class'"):
        stands(view, "paper:figure2", ["classes-2-0.5=clas"])
    assert stands(study(name="digits", forget=[{"kind": "random", "fraction": 0.1}]), "paper:figure2")
