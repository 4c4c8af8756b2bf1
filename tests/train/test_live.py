"""The transition of a run under way."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ungrok.core.errors import RecipeError
from ungrok.train.live import LiveTransition
from ungrok.train.transition import TransitionRule, find_transition


def read(curve, signal="validation", **options):
    """Feed rows of (step, training accuracy, signal)."""
    live = LiveTransition(TransitionRule(), **options)
    for step, train, value in curve:
        live.add({"step": step, "train_accuracy": train, f"{signal}_accuracy": value})
    return live


MEMORIZED = [(0, 0.03, 0.03), (500, 0.9, 0.04), (700, 1.0, 0.05), (900, 1.0, 0.04)]
JUMP = [(1000, 1.0, 0.5), (4000, 1.0, 0.95), (5000, 1.0, 0.9)]


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        ([], "nothing to read yet: no step has both train_accuracy and validation_accuracy"),
        (MEMORIZED[:2], "not memorized by 500: training accuracy is 0.90"),
        (MEMORIZED, "memorized at 700; validation still at chance at 900 (0.04); not yet"),
        ([*MEMORIZED, *JUMP[:1]], "memorized at 700; validation at 0.50 at 1000; not yet"),
        ([*MEMORIZED, *JUMP], "memorized at 700; validation at 0.90, its level, for 2 of 3 evaluations; not yet"),
        ([*MEMORIZED, *JUMP, (6000, 1, 1)], "memorized at 700, grokked at 4000, 5.7 times as late"),
        (
            [
                *MEMORIZED,
                *JUMP,
                *((step, 1, 1) for step in (6000, 7000)),
                *((step, 1, 0.1) for step in (8000, 9000, 9500)),
            ],
            "memorized at 700, grokked at 4000, 5.7 times as late; validation fell again",
        ),
        ([(step, 1, 1) for step in (5, 6, 7)], "memorized at 5; validation held its level from 5: no delay"),
    ],
)
def test_what_is_said(curve, said):
    assert read(curve, chance=0.03).sentence() == said


def test_without_knowing_chance_nothing_is_said_of_it():
    assert read(MEMORIZED).sentence() == "memorized at 700; validation at 0.04 at 900; not yet"


def test_test_accuracy_serves_where_there_is_no_validation_and_that_is_said():
    live = read(MEMORIZED, signal="test", chance=0.03)
    assert live.sentence() == (
        "memorized at 700; test still at chance at 900 (0.04); not yet (by test accuracy: no validation accuracy is recorded)"
    )
    live.add({"step": 1000, "train_accuracy": 1.0, "validation_accuracy": 0.5, "test_accuracy": 0.6})
    assert live.sentence() == "memorized at 1000; validation at 0.50 at 1000; not yet"
    assert len(live.rows) == 5


shares = st.sampled_from([0.0, 0.5, 0.95, 1.0])


@given(st.lists(st.tuples(shares, shares), min_size=1, max_size=12), st.integers(1, 3))
def test_reached_is_the_first_step_at_which_the_rule_finds_both_crossings(pairs, sustained):
    rule = TransitionRule(sustained=sustained)
    live, expected = LiveTransition(rule), None
    for step, (train, validation) in enumerate(pairs, 1):
        # A first look at the step that is corrected leaves nothing behind.
        live.add({"step": step, "train_accuracy": 1.0, "validation_accuracy": 1.0})
        live.add({"step": step, "train_accuracy": train, "validation_accuracy": validation})
        so_far = [
            {"step": n, "train_accuracy": t, "validation_accuracy": v} for n, (t, v) in enumerate(pairs[:step], 1)
        ]
        batch = find_transition(pd.DataFrame(so_far), rule)
        known = batch.status in ("no_delay", "grokked", "collapsed")
        expected = expected or (step if known else None)
        assert live.reached == expected
        assert live.transition() == batch
        assert ("not" in live.sentence()) == (not known)


def test_a_level_that_was_held_before_memorizing_is_held():
    curve = [(1, 0.5, 1), (2, 0.5, 1), (3, 0.5, 1), (4, 0.5, 0.5), (5, 1, 0.5)]
    assert [read(curve[:n]).reached for n in range(1, 6)] == [None, None, None, None, 5]
    assert read(curve).sentence() == "memorized at 5; validation held its level from 1: no delay"


@pytest.mark.parametrize("rule", [{"relative": True}, {"signal": "adversarial"}])
def test_rules_that_cannot_be_read_live_are_refused(rule):
    with pytest.raises(RecipeError, match="validation accuracy and an absolute level only"):
        LiveTransition(TransitionRule(**rule))
