"""What methods certify, beside the ends of their paths; rows of schemes are read in ``test_scheme_costs``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.results_schemes import CERTIFIED, with_promises

TINY = Path(__file__).parent / "tiny.yaml"
METHODS = "unlearn=[{kind: finetune, updates: 2}, {kind: output_perturbation, clip: 1, sigma: 2, updates: 2}]"


def test_only_what_is_certified_has_numbers():
    plan = make_plan(load(str(TINY), [METHODS]))
    ends = [("finetune", 2), ("output_perturbation", 2), ("output_perturbation", None)]
    audits = pd.DataFrame([{"arm": "base", "method": method, "updates": updates} for method, updates in ends])
    table = with_promises(audits, plan)
    assert [*table.columns[3:]] == [f"certified_{name}" for name in CERTIFIED]
    assert table.loc[1, "certified_epsilon"] == pytest.approx(4.3772, abs=1e-4)
    assert table.loc[1, ["certified_sigma", "certified_distance", "certified_delta"]].tolist() == [2, 1, 1e-5]
    assert table.loc[[0, 2], "certified_epsilon"].isna().all()


def test_a_study_without_such_methods_has_no_such_columns():
    audits = pd.DataFrame([{"arm": "base", "method": "scrub", "updates": 2}])
    assert with_promises(audits, make_plan(load(str(TINY)))) is audits
