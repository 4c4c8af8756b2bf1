"""Transitions of synthetic curves."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from ungrok.core.errors import RecipeError
from ungrok.train.transition import TransitionRule, change_point, find_transition

RULE = TransitionRule()
STEPS = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]


def curve(train, validation, steps=STEPS):
    return pd.DataFrame({"step": steps, "train_accuracy": train, "validation_accuracy": validation})


def jump(at, low=0.1, high=1.0, steps=STEPS):
    """Return ``low`` before step ``at`` and ``high`` from it on."""
    return [high if step >= at else low for step in steps]


GROKKED = curve(jump(10), jump(200, 0.2, 0.95))


@pytest.mark.parametrize(
    ("metrics", "status"),
    [
        (curve(jump(2000, 0.98), jump(50)), "not_memorized"),
        (curve(jump(2000), jump(2000)), "not_memorized"),
        (curve(jump(10), jump(2000)), "memorized_only"),
        (curve(jump(10), jump(50, high=0.89)), "memorized_only"),
        (curve(jump(10), jump(10)), "no_delay"),
        (curve(jump(10), jump(2)), "no_delay"),
        (curve(jump(0), jump(0)), "no_delay"),
        (curve(jump(10), jump(20)), "grokked"),
        (GROKKED, "grokked"),
        (curve(jump(5), [0.1] * 4 + [0.95] * 3 + [0.2] * 4), "collapsed"),
        (curve(jump(5), [0.1] * 4 + [0.95] * 3 + [0.79] * 3 + [0.95]), "collapsed"),
        (curve(jump(5), [0.1] * 4 + [0.95] * 3 + [0.81] * 4), "grokked"),
        (curve(jump(5), [0.1] * 4 + [0.95] * 3 + [0.2, 0.2, 0.95, 0.2]), "grokked"),
    ],
)
def test_status(metrics, status):
    found = find_transition(metrics, RULE)
    assert found.status == status
    assert (found.memorized is None) == (status == "not_memorized")
    if status in ("not_memorized", "memorized_only"):
        assert found.delay is None
        assert found.onset is None
    assert find_transition(metrics, RULE, diverged=True).status == "diverged"
    json.dumps(found.to_dict(), allow_nan=False)


def test_crossings_are_intervals():
    found = find_transition(GROKKED, RULE)
    assert (found.memorized.after, found.memorized.step) == (5, 10)
    assert (found.grokked.after, found.grokked.step) == (100, 200)
    assert found.delay == 20
    assert found.level == 0.9
    assert found.onset == 100


@pytest.mark.parametrize(("sustained", "step"), [(1, 20), (2, 100), (4, 100), (5, None)])
def test_a_momentary_crossing_does_not_count(sustained, step):
    """Once at step 20, then from 100 to the end: four in a row."""
    validation = [0.1, 0.1, 0.1, 0.1, 0.1, 0.95, 0.5, 0.95, 0.95, 0.95, 0.95]
    found = find_transition(curve(jump(5), validation), TransitionRule(sustained=sustained))
    assert (found.grokked and found.grokked.step) == step


@pytest.mark.parametrize(("ratio", "status"), [(4.0, "grokked"), (4.1, "no_delay")])
def test_least_delay(ratio, status):
    rule = RULE.model_copy(update={"min_delay": ratio})
    assert find_transition(curve(jump(5), jump(20)), rule).status == status


def test_relative_threshold_is_a_share_of_the_best():
    metrics = curve(jump(5), [0.1] * 5 + [0.4, 0.5, 0.55, 0.56, 0.6, 0.6])
    assert find_transition(metrics, RULE).status == "memorized_only"
    found = find_transition(metrics, TransitionRule(relative=True))
    assert found.status == "grokked"
    assert found.level == pytest.approx(0.54)
    assert found.grokked.step == 100


def test_rows_without_a_value_are_left_out():
    rows = pd.concat(
        [GROKKED, pd.DataFrame({"step": [2000], "train_accuracy": [None], "validation_accuracy": [None]}).astype(float)]
    )
    assert find_transition(rows, RULE) == find_transition(GROKKED, RULE)
    nothing = find_transition(GROKKED[:0], RULE, diverged=True)
    assert nothing.status == "diverged"
    assert nothing.memorized is None


def test_test_accuracy_is_never_read():
    spoiled = GROKKED.assign(test_accuracy=np.linspace(1, 0, len(STEPS)), test_loss=0.0)
    assert find_transition(spoiled, RULE) == find_transition(GROKKED, RULE)


def test_robust_accuracy_as_the_signal():
    """The first attack's accuracy takes the place of validation accuracy, everywhere."""
    late = jump(500, 0.0, 0.6)
    metrics = GROKKED.assign(adversarial_pgd_linf_accuracy=late, adversarial_pgd_l2_accuracy=jump(20))
    rule = TransitionRule(signal="adversarial", grokked=0.9, relative=True)
    found = find_transition(metrics, rule)
    assert (found.memorized.step, found.grokked, found.status) == (10, None, "memorized_only")
    found = find_transition(metrics, rule.model_copy(update={"sustained": 2}))
    assert (found.grokked.step, found.onset, found.status) == (500, 200, "grokked")
    assert found.level == pytest.approx(0.54)
    as_validation = curve(jump(10), late)
    assert found == find_transition(as_validation, TransitionRule(relative=True, sustained=2))


def test_a_signal_that_was_not_measured():
    with pytest.raises(RecipeError, match=r"transition\.signal.*trajectory\.robustness"):
        find_transition(GROKKED, TransitionRule(signal="adversarial"))


def slow_change_point(steps, values):
    x = np.log(steps)
    inner = [(x[i + 1] - x[i - 1]) / 2 for i in range(1, len(x) - 1)]
    weights = np.array([x[1] - x[0], *inner, x[-1] - x[-2]])

    def spread(part):
        w, y = weights[part], values[part]
        return (w * (y - np.average(y, weights=w)) ** 2).sum()

    errors = [spread(slice(0, i)) + spread(slice(i, None)) for i in range(1, len(x))]
    return errors, spread(slice(None))


@given(
    st.lists(st.integers(1, 10_000), min_size=3, max_size=25, unique=True).map(sorted),
    st.lists(st.integers(0, 20), min_size=25, max_size=25),
)
def test_change_point_is_the_best_split(steps, values):
    steps, values = np.array(steps, dtype=float), np.array(values[: len(steps)]) / 20
    assume(np.ptp(values) > 0)
    at, r2 = change_point(steps, values)
    errors, total = slow_change_point(steps, values)
    assert r2 == pytest.approx(1 - min(errors) / total, abs=1e-9)
    gap = int(np.searchsorted(steps, at))
    assert at == pytest.approx(math.sqrt(steps[gap - 1] * steps[gap]))
    assert errors[gap - 1] == pytest.approx(min(errors), abs=1e-9)


@pytest.mark.parametrize("at", [4, 30, 100, 900])
def test_clean_step_on_an_uneven_grid(at):
    """A hundred evaluations crowded at one end pull nothing."""
    steps = np.unique(np.concatenate([np.arange(1, 100), np.geomspace(100, 1000, 8)]))
    after = int(np.searchsorted(steps, at))
    values = np.where(steps >= at, 0.9, 0.2)
    found, r2 = change_point(steps, values)
    assert r2 == pytest.approx(1, abs=1e-12)
    assert found == pytest.approx(math.sqrt(steps[after - 1] * steps[after]))


def test_where_no_change_can_be_found():
    assert change_point(np.array([1.0, 2.0]), np.array([0.0, 1.0])) is None
    assert change_point(np.array([1.0, 2.0, 4.0]), np.full(3, 0.5)) is None


def test_change_point_leaves_out_step_zero():
    found = find_transition(GROKKED, RULE)
    assert found.change_point == pytest.approx(math.sqrt(100 * 200))
    assert found.change_point_r2 == pytest.approx(1)


@pytest.mark.parametrize(
    ("train", "validation", "onset"),
    [
        # A slow start: within a tenth of the way from 0.2 to 1.0 is up to 0.28.
        (jump(5), [0.1, 0.1, 0.1, 0.2, 0.2, 0.25, 0.28, 0.3, 0.95, 1.0, 1.0], 50),
        # Generalized before it memorized: counted from before the jump.
        (jump(100), [0.1, 0.1, 0.1, 0.1, 0.95, 0.95, 1.0, 1.0, 1.0, 1.0, 1.0], 5),
        # At once: nothing comes before.
        (jump(0), jump(0), 0),
        (jump(0), jump(1), 0),
    ],
)
def test_onset(train, validation, onset):
    assert find_transition(curve(train, validation), RULE).onset == onset


accuracies = st.lists(st.integers(0, 10).map(lambda k: k / 10), min_size=len(STEPS), max_size=len(STEPS))


@given(accuracies, accuracies, st.integers(1, 4))
def test_onset_lies_between_memorized_and_grokked(train, validation, sustained):
    rule = TransitionRule(sustained=sustained, memorized=0.8, grokked=0.7)
    found = find_transition(curve(train, validation), rule)
    if found.grokked and found.memorized:
        assert found.onset <= found.grokked.after
        assert found.onset >= min(found.memorized.step, found.grokked.after)
    if found.grokked:
        first = STEPS.index(found.grokked.step)
        assert all(value >= 0.7 for value in validation[first : first + sustained])
        assert found.grokked.after == (STEPS[first - 1] if first else 0)


@pytest.mark.parametrize(
    ("setting", "valid", "wrong"),
    [
        ("memorized", [1e-9, 1.0], [0.0, 1.01]),
        ("grokked", [1e-9, 1.0], [0.0, 1.01]),
        ("sustained", [1], [0]),
        ("min_delay", [1.0], [0.99]),
        ("collapse", [1e-9, 0.99], [0.0, 1.0]),
    ],
)
def test_limits_of_the_thresholds(setting, valid, wrong):
    assert [getattr(TransitionRule(**{setting: value}), setting) for value in valid] == valid
    for value in wrong:
        with pytest.raises(ValidationError, match=setting):
            TransitionRule(**{setting: value})


def test_levels_that_are_met_exactly_are_reached():
    """0.99 of the training set counts as memorized, and 0.9 of the signal as grokked."""
    found = find_transition(curve(jump(10, high=0.99), jump(50, high=0.9)), RULE)
    assert (found.memorized.step, found.grokked.step) == (10, 50)


def test_a_fall_to_the_edge_of_the_band_is_no_collapse():
    """0.9 − 0.1 is as far as the signal may fall."""
    fallen = [0.1] * 4 + [0.95] * 3
    assert find_transition(curve(jump(5), fallen + [0.9 - 0.1] * 4), RULE).status == "grokked"
    assert find_transition(curve(jump(5), fallen + [0.79] * 4), RULE).status == "collapsed"


def test_a_collapse_may_begin_with_the_last_evaluation():
    fallen = curve(jump(1), [0.1] * 4 + [0.95] * 6 + [0.1])
    assert find_transition(fallen, TransitionRule(sustained=1)).status == "collapsed"
    assert find_transition(fallen, TransitionRule(sustained=2)).status == "grokked"


def test_as_many_evaluations_as_must_hold_the_level_suffice():
    found = find_transition(curve([1.0] * 3, [0.95] * 3, [10, 20, 30]), RULE)
    assert (found.grokked.step, found.grokked.after, found.memorized.after) == (10, 0, 0)
    assert find_transition(curve([1.0] * 2, [0.95] * 2, [10, 20]), RULE).grokked is None


def test_the_delay_of_what_is_memorized_at_the_first_step():
    """Step 0 counts as step 1, of which a ratio can be taken."""
    for memorized, grokked, delay in ((1, 2, 2), (0, 2, 2), (0, 1, 1), (2, 5, 2.5)):
        found = find_transition(curve(jump(memorized), jump(grokked)), RULE)
        assert found.delay == delay
        assert found.status == ("grokked" if delay > 1.2 else "no_delay")


def test_a_change_point_may_lie_after_the_first_step():
    found = find_transition(curve([1.0] * 4, [0.1, 0.1, 0.9, 0.9], [0, 1, 2, 4]), RULE)
    assert found.change_point == pytest.approx(math.sqrt(2))
    found = find_transition(curve([1.0] * 3, [0.1, 0.1, 0.9], [0, 1, 2]), RULE)
    assert found.change_point is None


@given(st.lists(st.integers(1, 10_000), min_size=3, max_size=25, unique=True).map(sorted), st.integers(1, 24))
def test_the_explained_share_is_at_most_one(steps, place):
    """Also of a clean step, where rounding could carry it beyond."""
    values = np.where(np.arange(len(steps)) >= min(place, len(steps) - 1), 0.9, 0.1)
    assert 0 <= change_point(np.array(steps, dtype=float), values)[1] <= 1


def test_the_edge_of_a_tenth_still_precedes_the_jump():
    """From 0 to 1 the edge is 0.1."""
    signal = [0.0, 0.0, 0.0, 0.0, 0.05, 0.1, 0.11, 1.0, 1.0, 1.0, 1.0]
    assert find_transition(curve(jump(1), signal), RULE).onset == 20


def test_what_generalizes_before_it_is_memorized_is_counted_from_the_last_step_before():
    """From 0.5, whose edge is 0.55; counted from 0 it would be 0.1."""
    signal = [0.0, 0.0, 0.0, 0.5] + [1.0] * 7
    assert find_transition(curve(jump(100), signal), RULE).onset == 5


def test_memorized_is_what_reaches_its_level_once():
    train = [0.1, 0.5, 0.9, 1.0, 0.98, 1.0, 0.98, 1.0, 1.0, 1.0, 1.0]
    assert find_transition(curve(train, jump(200)), RULE).memorized.step == 5
