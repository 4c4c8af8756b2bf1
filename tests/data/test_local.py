"""The rules of local grokking against loops over hand-made losses; matching against all assignments."""

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.data.answers import Authors
from ungrok.data.digits import Digits
from ungrok.data.history import LossHistory
from ungrok.data.local import GROUPS, Difficulty, LastAuthors, LocalGrokking, LocalRule, matched_pairs, persistent_step

STEPS = np.array([0, 10, 20, 30, 40])
NAN = float("nan")

# columns: examples; rows: losses at the steps above
OWN = np.array(
    [
        [4.0, 4.0, 4.0, 4.0, 4.0],
        [0.5, 2.0, 0.005, 3.0, 1.0],
        [0.02, 1.0, 0.005, 2.9, 0.01],
        [0.01, 0.3, 0.4, 2.8, 0.02],
        [0.01, 0.2, 0.001, 2.7, 0.03],
    ]
)
PARAPHRASE = np.array(
    [
        [5.0, 5.0, 5.0, 5.0, NAN],
        [4.0, 4.0, 0.02, 4.0, NAN],
        [4.0, 3.0, 0.01, 4.0, NAN],
        [4.0, 2.0, 0.01, 3.0, NAN],
        [0.02, 1.0, 0.01, 3.0, NAN],
    ]
)
HISTORY = LossHistory(STEPS, OWN, PARAPHRASE, per_epoch=10)


def members(rule, history=HISTORY):
    return {name: np.flatnonzero(mask).tolist() for name, mask in rule.groups(history).items()}


def test_the_papers_rule_compares_the_candidate_epoch_with_the_end():
    rule = LocalRule(rule="paper", candidate=2, low=0.015, high=0.5)
    assert rule.scores(HISTORY).tolist() == pytest.approx([0.01, 0.8, 0.004, 0.2, -0.02])
    assert members(rule) == {"grokked": [0, 2, 4], "ungrokked": [1]}


def test_a_candidate_between_records_takes_the_last_one_before():
    assert members(LocalRule(rule="paper", candidate=2.9)) == members(LocalRule(rule="paper", candidate=2))


def slow_persistent(losses, steps, epsilon, delta):
    found = []
    for column in losses.T:
        step = float("inf")
        for i in range(len(steps)):
            if all(x <= epsilon and abs(x - column[-1]) <= delta for x in column[i:]):
                step = float(steps[i])
                break
        found.append(step)
    return found


@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.2, 1.0, NAN]), min_size=5, max_size=5), min_size=1, max_size=6)
)
def test_the_persistent_step_is_that_of_a_loop(columns):
    losses = np.array(columns).T
    for epsilon, delta in ((0.1, 0.5), (1.5, 0.1)):
        assert persistent_step(losses, STEPS, epsilon, delta).tolist() == slow_persistent(losses, STEPS, epsilon, delta)


def test_the_persistent_rule_wants_every_later_record_to_hold():
    """Example 2 is learned at once, forgotten at step 30, and only then learned for good."""
    rule = LocalRule(rule="persistent", candidate=2, epsilon=0.1, delta=0.1)
    assert rule.scores(HISTORY).tolist() == [2, np.inf, 4, np.inf, 2]
    assert members(rule) == {"grokked": [0, 4], "ungrokked": [1, 2, 3]}


def test_delayed_generalization_wants_memory_first_and_the_paraphrase_long_after():
    own = np.array([[4, 4, 4, 4], [0.01, 0.01, 0.01, 4], [0.01, 0.01, 0.01, 4], [0.01] * 3 + [4.0], [0.01] * 3 + [4.0]])
    other = np.array([[4, 4, 4, 4], [4, 0.01, 4, 4], [4, 0.01, 4, 4], [4, 0.01, 4, 4], [0.01, 0.01, 4, 4.0]])
    history = LossHistory(STEPS, own, other, per_epoch=10)
    rule = LocalRule(rule="delayed_generalisation", delay=2)
    # 0: memorized at 10, generalized at 40; 1: both at once; 2: never generalized; 3: never memorized
    assert members(rule, history) == {"grokked": [0], "ungrokked": [2]}
    assert rule.scores(history)[:3].tolist() == pytest.approx([0.01 - 4, 0, 0])
    assert np.isnan(rule.scores(history)[3])


@pytest.mark.parametrize("rule", ["paper", "persistent", "delayed_generalisation"])
def test_quantiles_take_the_ends_and_never_overlap(rule):
    draw = np.random.default_rng(0)
    history = LossHistory(STEPS, draw.exponential(0.1, (5, 40)), draw.exponential(0.1, (5, 40)), 10)
    made = LocalRule(rule=rule, by="quantile", quantile=0.3, candidate=2, epsilon=0.5, delta=0.5)
    groups, scores = made.groups(history), made.scores(history)
    count, low, high = min(12, int((~np.isnan(scores)).sum()) // 2), *(scores[groups[name]] for name in GROUPS)
    most = np.sort(scores[~np.isnan(scores)])
    first, last = most[:count], most[len(most) - count :]
    assert sorted(low) == [x for x in first if np.isfinite(x) and x < last[0]]
    assert sorted(high) == [x for x in last if x > first[-1]]
    assert low.max(initial=-np.inf) < high.min()


def test_what_was_never_learned_is_in_no_group_of_quantiles():
    """The persistent rule scores it inf: there is no first and no last among the never learned."""
    rule = LocalRule(rule="persistent", by="quantile", quantile=0.4, candidate=2)
    groups = rule.groups(LossHistory(STEPS, np.full((5, 20), 3.0), np.full((5, 20), 3.0), 10))
    assert not any(mask.any() for mask in groups.values())
    some = np.full((5, 20), 3.0)
    some[1:, 5] = 0.01
    groups = rule.groups(LossHistory(STEPS, some, some, 10))
    assert not groups["grokked"][np.arange(20) != 5].any()


def test_ties_do_not_follow_the_order_of_rows():
    """Half of 40 examples are learned at step 10, half at 20: a group of 8 is not the first 8 of its half."""
    own = np.full((5, 40), 0.01)
    own[0], own[1, 20:] = 3.0, 3.0
    rule = LocalRule(rule="persistent", by="quantile", quantile=0.2, candidate=2)
    groups = rule.groups(LossHistory(STEPS, own, own, 10))
    for name, half in (("grokked", range(20)), ("ungrokked", range(20, 40))):
        found = np.flatnonzero(groups[name])
        assert len(found) == 8
        assert set(found) <= set(half)
        assert found.max() - found.min() > 10


@pytest.mark.parametrize(
    ("rule", "size", "message"),
    [
        (LocalRule(candidate=5), 3, "using.candidate: epoch 5 is not before the end of the training, epoch 5"),
        (
            LocalRule(by="quantile", quantile=0.2, candidate=1),
            9,
            "9 examples asked of a group of 8; change size, or using.quantile",
        ),
    ],
)
def test_what_cannot_be_is_said_before_training(rule, size, message):
    with pytest.raises(RecipeError, match=message):
        rule.check(40, 5.0, size)
    LocalRule(by="quantile", quantile=0.2, candidate=4).check(40, 5.0, 8)


def test_a_candidate_after_the_end():
    with pytest.raises(RecipeError, match="candidate: epoch 4 is not before the end of the trajectory, epoch 4"):
        LocalRule(candidate=4).groups(HISTORY)


def test_thresholds_in_the_wrong_order():
    with pytest.raises(ValidationError, match=r"low: 0.6 is above high 0.5"):
        LocalRule(low=0.6)


def test_matched_pairs_are_the_best_of_all_assignments():
    draw = np.random.default_rng(1)
    hard = Difficulty(draw.normal(size=9), draw.normal(size=9) * 100, draw.normal(size=9))
    left, right = np.zeros(9, dtype=bool), np.zeros(9, dtype=bool)
    left[[0, 2, 5, 7]] = True
    right[[1, 3, 4, 6, 8]] = True
    table = hard.table()
    cost = lambda a, b: float(((table[a] - table[b]) ** 2).sum())  # noqa: E731
    for size in (1, 2, 4):
        some = list(combinations(np.flatnonzero(left), size))
        ways = [(x, y) for x in some for y in permutations(np.flatnonzero(right), size)]
        best = min(ways, key=lambda way: sum(map(cost, *way)))
        found = matched_pairs(hard, left, right, size)
        assert [side.tolist() for side in found] == [sorted(int(i) for i in side) for side in best]


def test_matching_makes_groups_alike():
    draw = np.random.default_rng(2)
    n = 200
    hard = Difficulty(*(np.r_[draw.normal(size=n), draw.normal(0.7, 1, size=n)] for _ in range(3)))
    left = np.arange(2 * n) < n
    a, b = matched_pairs(hard, left, ~left, 40)
    for column in (hard.question_length, hard.answer_length, hard.base_loss):
        assert abs(column[a].mean() - column[b].mean()) < 0.2 < abs(column[left].mean() - column[~left].mean())


@pytest.fixture(scope="module")
def data():
    return Authors(authors=2, known=1, vocabulary=400).load()


def with_history(data, decrease):
    own = np.stack([np.full(len(data.train), 3.0), decrease, np.zeros(len(data.train))])
    return replace(data, history=LossHistory(np.array([0, 10, 20]), own, own + 1, per_epoch=10))


def test_a_split_holds_members_of_its_group_drawn_by_the_seed(data):
    seen = with_history(data, np.where(np.arange(40) < 15, 0.0, 1.0))
    rule = LocalGrokking(group="grokked", size=5, using={"candidate": 1})
    splits = [rule.split(seen, seed) for seed in (0, 0, 1)]
    assert torch.equal(splits[0].forget, splits[1].forget)
    assert not torch.equal(splits[0].forget, splits[2].forget)
    assert all(int(s.forget.max()) < 15 and len(s.forget) == 5 and len(s.retain) == 35 for s in splits)
    other = LocalGrokking(group="ungrokked", size=25, using={"candidate": 1}).split(seen, 0)
    assert other.forget.tolist() == list(range(15, 40))


def test_matched_splits_are_two_halves_of_the_same_pairs(data):
    seen = with_history(data, np.where(np.arange(40) % 2 == 0, 0.0, 1.0))
    splits = [
        LocalGrokking(group=g, size=6, matched=True, using={"candidate": 1}).split(seen, 0)
        for g in ("grokked", "ungrokked")
    ]
    assert not set(splits[0].forget.tolist()) & set(splits[1].forget.tolist())
    lengths = [np.mean([len(data.rows[i]["answer"]) for i in s.forget]) for s in splits]
    assert abs(lengths[0] - lengths[1]) < 10


def test_a_group_that_is_too_small_names_what_to_change(data):
    seen = with_history(data, np.where(np.arange(40) < 3, 0.0, 1.0))
    rule = LocalGrokking(group="grokked", size=5, using={"candidate": 1})
    message = r"'grokked-5': 5 examples asked, but of 40 the rule 'paper' \(absolute\) finds 3 grokked and 37 ungrokked; change size, or using.candidate, low, high or by: quantile"
    with pytest.raises(RecipeError, match=message):
        rule.split(seen, 0)


def test_a_repeated_question_is_left_out_of_groups_and_refused_elsewhere(data):
    rows = [dict(row) for row in data.rows]
    rows[39]["question"] = rows[38]["question"]
    twice = replace(with_history(data, np.zeros(40)), rows=rows)
    found = LocalGrokking(size=38, using={"candidate": 1}).split(twice, 0)
    assert found.forget.tolist() == list(range(38))
    with pytest.raises(
        NotApplicable, match="stands in rows 38, 39, of which some are to be forgotten and some to be kept"
    ):
        LastAuthors(fraction=1 / 40).split(twice, 0)
    assert LastAuthors(fraction=0.05).split(twice, 0).forget.tolist() == [38, 39]


def test_a_group_is_asked_of_question_answer_pairs_alone():
    with pytest.raises(NotApplicable, match="needs question-answer pairs, which this problem does not have"):
        LocalGrokking(size=2).split(Digits().load(), 0)


def test_the_last_authors_are_followed_by_those_before_them(data):
    split = LastAuthors(fraction=0.2).split(data, 0, [1, 2])
    size, n = len(split.forget), len(data.train)
    assert size == round(0.2 * n)
    assert [part.tolist() for part in split.requests] == [
        list(range(n - k * size, n - (k - 1) * size)) for k in (1, 2, 3)
    ]


def test_a_further_request_draws_from_what_is_left_of_the_group(data):
    known = with_history(data, [0.0] * 8 + [1.0] * (len(data.train) - 8))
    rule = LocalGrokking(size=3, using={"candidate": 1})
    split = rule.split(known, 2, [1])
    assert torch.equal(split.before[0], rule.split(known, 1).forget)
    assert len(split.forget) == 3
    assert set(torch.cat(split.requests).tolist()) <= set(range(8))
    with pytest.raises(
        NotApplicable,
        match=r"^requests: forget split 'grokked-3' is asked for 3 more, and earlier requests leave 2 of the group",
    ):
        rule.split(known, 3, [1, 2])


def test_matched_pairs_are_one_set(data):
    rule = LocalGrokking(size=2, matched=True, using={"candidate": 1})
    assert rule.single
    with pytest.raises(RecipeError, match="'grokked-2-matched' knows one set only"):
        rule.split(with_history(data, [0.0] * 8 + [1.0] * (len(data.train) - 8)), 1, [0])
