"""Stages are chosen on validation accuracy, before the jump where they say so."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ungrok.core.errors import RecipeError
from ungrok.train.stages import STAGES, check_stage, level_crossing, stage_name, stage_step, step_of
from ungrok.train.transition import Crossing, TransitionRule, find_transition

STEPS = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
RULE = TransitionRule()
LATE = [0.1, 0.1, 0.1, 0.2, 0.24, 0.27, 0.25, 0.21, 0.95, 0.96, 0.97]


def metrics(validation, memorized=5):
    train = [1.0 if step >= memorized else 0.5 for step in STEPS]
    test = np.linspace(1, 0, len(STEPS))
    return pd.DataFrame(
        {"step": STEPS, "train_accuracy": train, "validation_accuracy": validation, "test_accuracy": test}
    )


def stages(rows, **flags):
    transition = find_transition(rows, RULE, **flags)
    return {stage: stage_step(stage, rows, transition) for stage in STAGES}


def test_stages_of_a_grokked_run():
    found = stages(metrics(LATE))
    assert found == {"pre_grok": (20, ""), "memorized": (5, ""), "grokked": (200, ""), "final": (1000, "")}


def test_the_earliest_of_equals():
    validation = [0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2, 0.2, 0.95, 0.96, 0.97]
    assert stages(metrics(validation))["pre_grok"] == (5, "")


def test_no_test_column_is_needed():
    rows = metrics(LATE)
    assert stages(rows.drop(columns="test_accuracy")) == stages(rows)


def test_a_step_without_a_validation_value_is_not_the_best():
    rows = metrics([0.1, 0.1, None, 0.2, 0.24, 0.27, 0.25, 0.21, 0.95, 0.96, 0.97])
    assert stages(rows)["pre_grok"] == (20, "")


@pytest.mark.parametrize(
    ("rows", "flags", "missing"),
    [
        (metrics([0.1] * 11, memorized=2000), {}, {"pre_grok", "memorized", "grokked"}),
        (metrics([0.1] * 11), {}, {"pre_grok", "grokked"}),
        (metrics([0.1] * 4 + [0.95] * 7), {}, set()),
        (metrics([0.1] * 3 + [0.95] * 8), {}, {"pre_grok", "grokked"}),
        (metrics(LATE), {"diverged": True}, {"pre_grok", "grokked", "final"}),
    ],
    ids=["not_memorized", "memorized_only", "grokked", "no_delay", "diverged"],
)
def test_a_missing_stage_gives_its_reason(request, rows, flags, missing):
    found = stages(rows, **flags)
    assert {stage for stage, (step, _) in found.items() if step is None} == missing
    status = request.node.callspec.id
    assert {reason for step, reason in found.values() if step is None} <= {status, "training diverged"}
    assert all(reason == "" for step, reason in found.values() if step is not None)


def test_a_collapsed_run_still_has_its_stages():
    found = stages(metrics([0.1, 0.1, 0.1, 0.15, 0.2, 0.95, 0.95, 0.95, 0.1, 0.1, 0.1]))
    assert found["pre_grok"] == (10, "")
    assert found["grokked"] == (20, "")


accuracies = st.lists(st.integers(0, 20).map(lambda k: k / 20), min_size=len(STEPS), max_size=len(STEPS))


@given(accuracies, st.sampled_from(STEPS))
def test_pre_grok_is_never_after_the_onset_and_the_best_until_then(validation, memorized):
    rows = metrics(validation, memorized)
    transition = find_transition(rows, RULE)
    step, _ = stage_step("pre_grok", rows, transition)
    if step is not None:
        assert step <= transition.onset < transition.grokked.step
        until = [value for at, value in zip(STEPS, validation, strict=True) if at <= transition.onset]
        assert validation[STEPS.index(step)] == max(until)


@pytest.mark.parametrize(("stage", "found"), [("step-0", 0), ("step-7", 7), ("step-1000", 1000), ("step-1001", None)])
def test_a_step_by_number(stage, found):
    rows = metrics(LATE)
    step, reason = stage_step(stage, rows, find_transition(rows, RULE))
    assert step == found
    assert reason == ("" if found is not None else "the trajectory ends at step 1000")


@pytest.mark.parametrize(("stage", "name"), [(5, "step-5"), ("step-12", "step-12"), *((s, s) for s in STAGES)])
def test_names(stage, name):
    assert stage_name(stage) == name


@pytest.mark.parametrize(
    ("name", "step"), [("step-0", 0), ("step-120", 120), ("final", None), ("step-", None), ("step-12 or so", None)]
)
def test_only_steps_by_number_have_a_number(name, step):
    assert step_of(name) == step


@pytest.mark.parametrize("stage", ["pregrok", -3, "step-", "step-1.5", "step--1"])
def test_unknown_names(stage):
    with pytest.raises(RecipeError, match=r"stage: .* is not known; allowed: .*pre_grok.*step-N"):
        check_stage(stage_name(stage))


def test_controls_are_stages_too():
    check_stage("as-accurate", ["as-accurate"])
    with pytest.raises(RecipeError, match=r"arms\.x\.stages: 'as-accurat' .*did you mean 'as-accurate'"):
        check_stage("as-accurat", ["as-accurate"], "arms.x.stages")


def exponential(of):
    """Return the metrics of a training whose signal is 1 − exp(−t/100), or exp(−t/100) for a loss, evaluated every ten steps."""
    steps = np.arange(0, 1001, 10)
    values = np.exp(-steps / 100)
    return pd.DataFrame({"step": steps, of: 1 - values if of.endswith("accuracy") else values})


@pytest.mark.parametrize(
    ("of", "at", "step"),
    # 1 − exp(−t/100) = 0.79 at t = 100·ln(1/0.21) = 156.1; the next evaluated step is 160.
    [("train_accuracy", 0.79, 160), ("validation_accuracy", 0.61, 100), ("train_loss", 0.21, 160), ("validation_loss", 1.0, 0)],
)  # fmt: skip
def test_the_first_evaluated_step_at_a_level(of, at, step):
    assert level_crossing(exponential(of), of, at) == (Crossing(step, max(0, step - 10)), "")


def test_a_level_is_reached_at_equality():
    rows = pd.DataFrame({"step": [0, 5, 9], "train_accuracy": [0.25, 0.5, 0.75], "train_loss": [4.0, 2.0, 1.0]})
    assert level_crossing(rows, "train_accuracy", 0.5)[0] == Crossing(5, 0)
    assert level_crossing(rows, "train_loss", 1.0)[0] == Crossing(9, 5)


def test_a_level_that_is_not_reached_says_how_near_it_came():
    rows = pd.DataFrame({"step": [0, 5, 9], "train_accuracy": [0.25, 0.5, 0.25], "train_loss": [4.0, 2.0, 3.0]})
    assert level_crossing(rows, "train_accuracy", 0.6) == (None, "train_accuracy did not reach 0.6 (highest: 0.5)")
    assert level_crossing(rows, "train_loss", 1.5) == (None, "train_loss did not reach 1.5 (lowest: 2)")
    assert level_crossing(rows, "train_accuracy", 0.5, 2) == (
        None,
        "train_accuracy did not reach 0.5 in 2 evaluations in a row (highest: 0.5)",
    )
    rows["train_loss"] = np.nan
    assert level_crossing(rows, "train_loss", 1.5) == (None, "train_loss was never finite")


@given(accuracies, st.sampled_from([0.25, 0.5, 0.75]), st.integers(1, 4))
def test_a_sustained_level_is_the_first_of_so_many_in_a_row(values, at, times):
    rows = pd.DataFrame({"step": STEPS, "train_accuracy": values})
    crossing, _ = level_crossing(rows, "train_accuracy", at, times)
    starts = [n for n in range(len(STEPS) - times + 1) if all(value >= at for value in values[n : n + times])]
    assert (crossing is None) == (not starts)
    if crossing:
        assert crossing == Crossing(STEPS[starts[0]], STEPS[max(0, starts[0] - 1)] if starts[0] else 0)
