"""Reading a study back from its folder."""

from __future__ import annotations

import pytest

from ungrok.core.errors import RecipeError
from ungrok.core.files import read_json
from ungrok.report.view import View
from ungrok.study import outputs
from ungrok.study.claims import judge
from ungrok.study.folder import StudyFolder


@pytest.fixture
def folder(study, tmp_path):
    """Return a study and the folder that it was written to."""
    view = study(unlearn=[{"kind": "gradient_ascent"}, {"kind": "fisher"}])
    made = {"doses": {method: {"budget": own.end, "matched": own.matched} for method, own in view.doses.items()}}
    outputs.write_tables(tmp_path, view.plan, view.results, view.verdicts, made)
    return view, tmp_path


def test_verdicts_follow_from_the_rows(folder):
    view, where = folder
    opened = View.of(StudyFolder.open(where))
    assert opened.verdicts == view.verdicts
    assert [verdict.to_dict() for verdict in opened.verdicts] == read_json(where / "report" / "verdicts.json")
    assert (opened.doses, opened.recipe) == (view.doses, view.recipe)
    assert set(opened.paths) == set(view.paths)


@pytest.mark.parametrize(("alpha", "same"), [(0.005, True), (0.05, False)])
def test_a_study_is_read_as_it_was_judged(study, tmp_path, alpha, same):
    view = study()
    doses = {method: {"budget": own.end, "matched": own.matched} for method, own in view.doses.items()}
    look = {"alpha": alpha, "number": 2, "seeds_before": [[0, 1, 2, 3, 4, 5]], "first_headline_same": same}
    verdicts = judge(view.results.rows, view.recipe, view.doses, alpha, exploratory=not same)
    outputs.write_tables(tmp_path, view.plan, view.results, verdicts, {"doses": doses, "look": look})
    assert StudyFolder.open(tmp_path).verdicts == verdicts != view.verdicts


@pytest.mark.parametrize("name", ["results.parquet", "provenance.json", "recipe.yaml"])
def test_a_folder_that_holds_no_study(folder, name):
    _, where = folder
    (where / name).unlink()
    with pytest.raises(RecipeError, match=f"holds no study \\(no {name}"):
        View.of(StudyFolder.open(where))
