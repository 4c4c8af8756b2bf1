"""A matched checkpoint is the nearest one, in the part that was asked for, and says how far off it is."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ungrok.train.matching import match_step, mismatch, value_at
from ungrok.train.transition import Transition, TransitionRule, find_transition

STEPS = [0, 10, 20, 50, 100, 200, 400]
METRICS = pd.DataFrame(
    {
        "step": STEPS,
        "train_accuracy": [0.1, 0.6, 1, 1, 1, 1, 1],
        "validation_accuracy": [0.1, 0.2, 0.2, 0.2, 0.95, 0.95, 0.96],
        "test_accuracy": [0.1, 0.2, 0.25, 0.3, 0.9, 0.92, 0.92],
        "train_loss": [2.0, 1.0, 0.5, 0.1, 0.2, 0.1, np.nan],
        "weight_norm": [8.0, 8.0, 7.0, 6.0, 4.0, 2.0, 1.0],
    }
)
TRANSITION = find_transition(METRICS, TransitionRule())


def match(wanted, on, tolerance=10.0, part="any", exclude=None, metrics=METRICS, transition=TRANSITION):
    return match_step(metrics, transition, wanted, on, tolerance, part, exclude)


def test_the_transition_of_the_example():
    assert (TRANSITION.status, TRANSITION.onset, TRANSITION.grokked.step) == ("grokked", 50, 100)


def test_accuracies_differ_absolutely_and_the_rest_relatively():
    np.testing.assert_allclose(mismatch(np.array([0.5, 0.7]), 0.6, "test_accuracy"), [-0.1, 0.1])
    np.testing.assert_allclose(mismatch(np.array([3.0, 8.0]), 4.0, "weight_norm"), [-0.25, 1])
    assert mismatch(0.0, 0.0, "train_loss") == 0


def test_the_nearest_step_with_the_mismatch_left():
    nearest = match(6.4, "weight_norm")
    assert (nearest.step, nearest.wanted, nearest.reached) == (50, 6.4, 6.0)
    assert nearest.mismatch == pytest.approx(6 / 6.4 - 1)
    assert match(0.91, "test_accuracy").mismatch == pytest.approx(-0.01)


def test_the_earliest_of_equals_and_not_the_checkpoint_itself():
    assert match(0.1, "train_loss").step == 50
    assert match(0.1, "train_loss", exclude=50).step == 200
    assert match(0.92, "test_accuracy", exclude=200).step == 400


def test_parts_of_a_trajectory():
    assert match(0.1, "train_loss", part="after").step == 200
    assert match(0.2, "train_loss", part="before").step == 50
    assert match(4.0, "weight_norm", part="before").step == 50


def test_any_step_has_a_number_of_updates():
    assert match(123.0, "updates").step == 123
    late = match(500.0, "updates")
    assert (late.step, late.mismatch) == (400, pytest.approx(-0.2))


def test_beyond_the_tolerance_there_is_no_step_but_a_reason():
    nearest = match(0.65, "test_accuracy", tolerance=0.05)
    assert (nearest.step, nearest.reached) == (None, 0.9)
    assert nearest.reason == "the nearest test_accuracy is off by +0.25, tolerance 0.05"


def test_nothing_to_match():
    never = Transition("memorized_only", None, None, None, None, None, None, None)
    assert (
        match(4.0, "weight_norm", part="after", transition=never).reason
        == "no step after the transition (memorized_only)"
    )
    assert match(4.0, "weight_norm", part="before", transition=never).step is None
    assert match(None, "weight_norm").reason == "the checkpoint to be matched has no weight_norm"


def test_a_mismatch_as_large_as_the_tolerance_is_within_it():
    """The smallest norm is 1, twice the norm that is wanted: a relative difference of exactly 1."""
    assert match(0.5, "weight_norm", tolerance=1.0).step == 400
    assert match(0.5, "weight_norm", tolerance=0.99).step is None


def test_the_grokked_step_itself_lies_after_the_transition():
    assert match(4.0, "weight_norm", part="after").step == 100


def test_a_value_is_read_at_evaluated_steps_only():
    trajectory = SimpleNamespace(metrics=METRICS)
    assert value_at(trajectory, 100, "weight_norm") == 4.0
    assert value_at(trajectory, 101, "weight_norm") is None
    assert value_at(trajectory, 400, "train_loss") is None
