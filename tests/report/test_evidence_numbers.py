"""Accuracies after unlearning, and measures with words of their own, as files of evidence hold them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ungrok.report import evidence_numbers
from ungrok.report.evidence_numbers import FALLS, SAME, ends, measures, over_seeds
from ungrok.report.paper_words import PARTS
from ungrok.study.inference import Differences, family

SEEDS = range(8)
ALONG = {"unlearn": "gradient_ascent", "forget": "class", "points": 2, "seeds": 2}


def found(rows, measure, on="forget|retain", **where):
    (row,) = [
        row
        for row in rows
        if (row.measure, row.on) == (measure, on) and all(getattr(row, k) == v for k, v in where.items())
    ]
    return row


def is_late(stage):
    return float(stage == "grokked")


@pytest.fixture
def falling(study, measures, with_measures):
    """Return a function that makes a study whose cosine falls by 0.3 + seed/100, and its null by a given amount."""

    def make(null_falls=0.0, falls=1.0, **changes):
        view = study(analyze=[{"kind": "gradient_alignment"}], **changes)
        rows = measures(
            view, "gradient_cosine", lambda seed, arm, stage: 0.9 - falls * is_late(stage) * (0.3 + seed / 100),
            null=lambda seed, arm, stage: (0.8 - null_falls * is_late(stage), 1.0 - null_falls * is_late(stage)),
        )  # fmt: skip
        return with_measures(view, rows)

    return make


def test_a_fall_beyond_its_null_is_supported(falling):
    (row,) = measures(falling(), 0.05)
    d = np.array([0.3 + seed / 100 for seed in SEEDS])
    alone, _ = family([Differences(d), Differences(d)], 8, 0.05)
    assert (row.comparison, row.forget, row.method, row.null) == ("pre_grok → grokked", "class", "", "permuted")
    assert [row.left, row.right, row.effect] == pytest.approx([0.9, 0.565, 0.335])
    assert [row.null_left, row.null_right] == pytest.approx([0.9, 0.9])
    assert [row.ci_low, row.ci_high] == pytest.approx([alone.low, alone.high])
    assert (row.n_seeds, row.verdict, row.note) == (8, "supported", "")


def test_a_fall_of_the_null_as_well_says_nothing(falling):
    (row,) = measures(falling(null_falls=0.4), 0.05)
    assert (row.verdict, row.note) == ("inconclusive", "its null changes as much")
    assert row.ci_low > 0


def test_a_rise_beyond_its_null_is_refuted(falling):
    assert [row.verdict for row in measures(falling(falls=-1.0), 0.05)] == ["refuted"]


def test_no_word_is_given_to_few_seeds_nor_after_another_look(falling):
    (few,) = measures(falling(seeds=[0, 1, 2]), 0.05)
    assert (few.verdict, few.note, few.ci_low) == ("exploratory", "fewer than 6 seeds", None)
    assert [row.verdict for row in measures(falling(), 0.05, exploratory=True)] == ["exploratory"]


def test_local_complexity_is_read_on_all_data_before_unlearning_and_after_gradient_ascent(
    study, measures, with_measures
):
    view = study(analyze=[{"kind": "local_complexity"}], unlearn=[{"kind": "gradient_ascent"}, {"kind": "fisher"}])
    rows = [
        row | {"method": method}
        for on in ("retain", "test", "forget")
        for method in ("", "gradient_ascent", "fisher")
        for row in measures(view, "local_complexity", lambda seed, arm, stage: 9.0 - is_late(stage), on=on)
    ]
    made = measures_of(with_measures(view, rows))
    assert sorted((row.method, row.on) for row in made) == sorted(
        (method, on) for method in ("", "gradient_ascent") for on in ("retain", "test", "forget")
    )
    assert {(row.verdict, row.effect, row.null, row.null_left) for row in made} == {("supported", 1.0, "", None)}


measures_of = lambda view: measures(view, 0.05)  # noqa: E731


def test_groups_that_differ_refute_the_paper_and_others_are_open(study):
    """Base losses differ by 2 in every seed; question lengths by 1 in half of the seeds and −1 in the others."""
    forget = [{"kind": "classes", "name": name, "classes": 2} for name in ("early", "late")]
    sides = [{"stage": "final", "forget": name} for name in ("late", "early")]
    view = study(forget=forget, stages=["final"], claims={"compare": [sides], "targets": [0.1]})
    groups = [
        {"seed": seed, "arm": "base", "forget": name, "base_loss": 2.0 * late, "question_length": late * (-1) ** seed, "answer_length": 9.0,
         "final_loss": 0.1}
        for seed in SEEDS for late, name in enumerate(("early", "late"))
    ]  # fmt: skip
    made = measures(replace(view, results=replace(view.results, groups=pd.DataFrame(groups))), 0.05)
    assert [row.measure for row in made] == list(SAME)
    words = {row.measure: row.verdict for row in made}
    assert words == {
        "question_length": "inconclusive",
        "answer_length": "inconclusive",
        "base_loss": "refuted",
        "final_loss": "inconclusive",
    }
    assert found(made, "base_loss", "forget").forget == "late → early"


def test_what_ends_hold(study):
    """Paths start from UA, RA, TA = 1, 1, 0.9 and have 0, 0.9, 0.8 at the matched dose where they hit; oracles have 0.2, 1, 0.8."""
    made = ends(study(lambda cell: 40.0 if cell.stage == "grokked" else None, along=ALONG))
    cells = {(end.stage, end.method): end.values for end in made}
    assert cells["grokked", "original"]["TA"].mean == pytest.approx(0.9)
    assert cells["pre_grok", "retrain"]["UA"].mean == pytest.approx(0.2)
    assert (cells["grokked", "gradient_ascent"]["UA"].mean, cells["pre_grok", "gradient_ascent"]["UA"].mean) == (
        0.0,
        1.0,
    )
    assert (cells["grokked", "gradient_ascent"]["RA"].sd, cells["grokked", "gradient_ascent"]["RA"].of) == (0.0, 8)
    stages = list(dict.fromkeys(end.stage for end in made))
    steps = [int(stage[5:]) for stage in stages[2:]]
    assert (stages[:2], len(steps), steps) == (["pre_grok", "grokked"], 2, sorted(steps))
    assert {end.values["UA"].of for end in made if end.stage == stages[2]} == {2}


def test_a_diverged_model_has_no_accuracy_and_is_counted():
    assert over_seeds([0.2, None, 0.4]).to_dict() == {
        "mean": pytest.approx(0.3),
        "sd": pytest.approx(0.02**0.5),
        "n": 2,
        "of": 3,
    }
    assert over_seeds([None]).to_dict() == {"mean": None, "sd": None, "n": 0, "of": 1}


def test_every_measure_of_the_papers_parts_is_filed():
    assert {name for part in PARTS.values() for name in part.measures} == {*FALLS, *SAME}


def test_measures_are_read_over_swapped_pairs_of_seeds(swapped_study, measures, with_measures):
    base, planted = swapped_study
    rows = [
        measures(
            base, "gradient_cosine", lambda seed, *_, late=late: late * 0.1 + late * planted(seed) + seed / 1000, forget=forget,
            null=lambda *_: (0.8, 1.0),
        )
        for forget, late in (("late-6", 1), ("early-6", 0))
    ]  # fmt: skip
    (row,) = evidence_numbers.measures(with_measures(base, *rows), 0.05)
    assert (row.n_seeds, row.verdict) == (6, "supported")
    assert [row.effect, row.ci_low, row.ci_high] == pytest.approx([0.1] * 3)


def test_every_comparison_of_the_family_has_its_measures(study, measures, with_measures):
    flat = [{"arm": "sam", "stage": "grokked"}, "grokked"]
    claims = {"compare": [["pre_grok", "grokked"], ["pre_grok", "memorized"], flat], "targets": [0.1]}
    view = study(
        analyze=[{"kind": "gradient_alignment"}], arms={"sam": {"trajectory": {"sam": {"rho": 0.05}}}},
        stages=["pre_grok", "memorized", "grokked"], claims=claims | {"headline": {"also": [flat]}},
    )  # fmt: skip
    rows = measures(
        view, "gradient_cosine", lambda seed, arm, stage: 0.2 * (arm == "sam") + 0.1 * (stage == "pre_grok"),
        null=lambda *_: (0.8, 1.0),
    )  # fmt: skip
    made = {
        row.comparison: (row.effect, row.verdict) for row in evidence_numbers.measures(with_measures(view, rows), 0.05)
    }
    assert made == {
        "pre_grok → grokked": (pytest.approx(0.1), "supported"), "sam/grokked → grokked": (pytest.approx(0.2), "supported"),
    }  # fmt: skip
