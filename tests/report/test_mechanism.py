"""The mechanism part: what its sentences say, and what holds over several studies."""

from __future__ import annotations

import pandas as pd
import pytest

from ungrok.core.errors import RecipeError
from ungrok.core.files import read_json, write_json, write_text
from ungrok.report import write_report
from ungrok.report.figures.mechanism import pictures
from ungrok.report.mechanism import IN_WORDS, Mechanism, _said, across, few_places, sentences
from ungrok.report.tables.mechanism import tables
from ungrok.study.loading import to_yaml


def write(view, folder, name):
    """Write what a study leaves, under another name of its recipe."""
    (folder / "report").mkdir(parents=True)
    write_text(folder / "recipe.yaml", to_yaml(view.recipe).replace("name: by-hand", f"name: {name}"))
    view.results.rows.to_parquet(folder / "results.parquet")
    view.results.mechanism.to_parquet(folder / "mechanism.parquet")
    doses = {method: {"budget": own.end, "matched": own.matched} for method, own in view.doses.items()}
    write_json(folder / "provenance.json", {"doses": doses})
    write_json(folder / "report" / "verdicts.json", [])
    return folder


def test_nothing_where_nothing_is_analyzed(study):
    empty = Mechanism(study())
    assert list(tables(empty)) == []
    assert empty.sentences() == []
    assert list(pictures(empty)) == []


def test_what_could_not_be_asked_is_not_another_answer():
    def answers(*words):
        table = pd.DataFrame({"on": "forget", "answer": words, "forget": [str(i) for i in range(len(words))]})
        return _said(table)

    assert answers("no", "unknown") == "no"
    assert answers("unknown", "unknown") == "unknown"
    assert answers("associated") == "associated over these arms"
    assert answers("no", "yes", "unknown") == "depends on the forget split"


def test_too_few_places_are_said():
    answers = pd.DataFrame({"answer": ["associated", "no", "unknown"], "smallest_p": [0.5, 1 / 6, 0.5]})
    every, some = (
        list(few_places(answers.assign(smallest_p=p), 0.05)) for p in ([0.5, 1 / 6, 0.5], [0.01, 1 / 6, 0.5])
    )
    assert every == [
        "There are too few arms and stages for any measure to be more than associated with a cost: no permutation of them has a "
        "p below 0.17."
    ]
    assert "for some measures to be" in some[0]
    assert list(few_places(answers.assign(smallest_p=0.01), 0.05)) == []
    assert list(few_places(answers.iloc[:0], 0.05)) == []


def test_constant_measures_predict_nothing(measured_study):
    assert (
        "weight norm: does it predict beyond test accuracy? damage: unknown; updates: unknown."
        in Mechanism(measured_study).sentences()
    )


def test_the_page_has_a_section_and_the_numbers_lie_beside_it(measured_study, tmp_path):
    page = write_report(
        tmp_path, measured_study.plan, measured_study.results, measured_study.verdicts, {}, measured_study.doses
    ).read_text(encoding="utf-8")
    assert '<section id="mechanism">' in page
    assert "does it predict beyond test accuracy?" in page
    table = pd.read_csv(tmp_path / "report" / "mediation.csv")
    assert set(table["measure"]) == {"gradient_cosine", "weight_norm"}
    assert read_json(tmp_path / "report" / "mechanism.json") == Mechanism(measured_study).sentences() != []


def test_over_several_studies_each_is_left_out_once(measured_study, study, tmp_path, measures):
    one, two = write(measured_study, tmp_path / "one", "one"), write(measured_study, tmp_path / "two", "two")
    answers = across([one, two])
    row = answers[(answers["measure"] == "gradient_cosine") & (answers["outcome"] == "updates")].iloc[0]
    assert (row["recipes"], row["seeds"], row["points"]) == (2, 16, 2 * 8 * 3)
    assert set(row["without"]) == {"one", "two"}
    (text,) = [s for s in sentences(answers) if s.startswith("gradient cosine")]
    assert (
        f"updates: {IN_WORDS[row['answer']]} ({row['without']['one']} without one, {row['without']['two']} without two)"
        in text
    )
    with pytest.raises(RecipeError, match="is given more than once"):
        across([one, one])
    with pytest.raises(RecipeError, match="holds no measures"):
        across([one, write(study(), tmp_path / "three", "three")])
