"""Forget splits: disjoint, complete, sorted, and what each rule promises."""

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.data.base import Data, Split
from ungrok.data.forget import FORGET_RULES, AtRandom, ForgetRule, Mislabeled, SomeClasses, WholeClass

NONE = torch.zeros(0, dtype=torch.int64)


def data_of(targets, classes, mislabeled=NONE):
    split = Split(torch.arange(len(targets)).float(), torch.tensor(targets))
    return Data(split, split, split, classes, mislabeled)


BALANCED = data_of([c for c in range(5) for _ in range(11)], 5)

rules = st.one_of(
    st.builds(WholeClass),
    st.builds(SomeClasses, classes=st.integers(1, 4), fraction=st.floats(0.01, 1)),
    st.builds(AtRandom, fraction=st.floats(0.01, 0.99)),
    st.builds(AtRandom, size=st.integers(1, 30)),
)


@given(rules, st.lists(st.integers(0, 3), min_size=2, max_size=40), st.integers(0, 10))
def test_every_split_is_disjoint_complete_sorted_and_repeatable(rule, targets, seed):
    data = data_of(targets, 4)
    before = torch.get_rng_state()
    try:
        split = rule.split(data, seed)
    except NotApplicable:
        assume(False)
    assert torch.equal(torch.get_rng_state(), before)
    for part in (split.forget, split.retain):
        assert part.dtype == torch.int64
        assert len(part) > 0
        assert torch.equal(part, part.sort().values)
    assert torch.equal(torch.cat([split.forget, split.retain]).sort().values, torch.arange(len(targets)))
    assert split.classes == tuple(sorted({targets[i] for i in split.forget}))
    again = rule.split(data, seed)
    assert torch.equal(again.forget, split.forget)


@pytest.mark.parametrize("rule", [WholeClass(), SomeClasses(), AtRandom(fraction=0.2)], ids=lambda rule: rule.label)
def test_another_seed_chooses_others(rule):
    assert len({tuple(rule.split(BALANCED, seed).forget.tolist()) for seed in range(8)}) > 1


@pytest.mark.parametrize("label", [None, 0, 4])
def test_class_rule_takes_all_of_one_class(label):
    split = WholeClass(label_to_forget=label).split(BALANCED, 3)
    (chosen,) = split.classes
    assert label in (None, chosen)
    assert (BALANCED.train.targets[split.forget] == chosen).all()
    assert not (BALANCED.train.targets[split.retain] == chosen).any()


@given(st.integers(1, 5), st.floats(0.01, 1), st.integers(0, 5))
def test_classes_rule_takes_the_same_share_of_each_touched_class(classes, fraction, seed):
    rule = SomeClasses(classes=classes, fraction=fraction)
    each = round(fraction * 11)
    assume(each > 0 and not (classes == 5 and each == 11))
    split = rule.split(BALANCED, seed)
    counts = torch.bincount(BALANCED.train.targets[split.forget], minlength=5)
    assert sorted(counts.tolist()) == [0] * (5 - classes) + [each] * classes
    assert len(split.classes) == classes


@pytest.mark.parametrize(("rule", "count"), [(AtRandom(fraction=0.2), 11), (AtRandom(size=7), 7)])
def test_random_rule_takes_exactly_so_many_of_all_classes(rule, count):
    drawn = torch.cat([rule.split(BALANCED, seed).forget for seed in range(40)])
    assert len(drawn) == 40 * count
    assert len(drawn.unique()) == len(BALANCED.train)


def test_mislabeled_rule_is_the_corrupted_examples():
    data = replace(BALANCED, mislabeled=torch.tensor([3, 17, 40]))
    assert Mislabeled().split(data, 0).forget.tolist() == [3, 17, 40]


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (WholeClass(label_to_forget=5), RecipeError, "label_to_forget: 5 is not a class; allowed: 0 to 4"),
        (SomeClasses(classes=6), RecipeError, "classes: 6 is more than the problem has; allowed: 1 to 5"),
        (SomeClasses(classes=5, fraction=1), NotApplicable, "55 to forget and 0 to retain"),
        (AtRandom(size=55), NotApplicable, "55 to forget and 0 to retain"),
        (AtRandom(fraction=0.001), NotApplicable, "'random-0.001' of 55 .* 0 to forget"),
        (Mislabeled(), NotApplicable, "label_noise above 0"),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_impossible_splits(rule, error, message):
    with pytest.raises(error, match=message):
        rule.split(BALANCED, 0)


def test_a_class_without_training_examples_cannot_be_forgotten():
    for rule in (WholeClass(label_to_forget=4), SomeClasses(classes=5, fraction=1)):
        with pytest.raises(NotApplicable, match=r"class [234] has no training examples, so none can be forgotten"):
            rule.split(data_of([0, 1, 1], 5), 0)


def test_a_class_with_too_few_examples_for_the_fraction():
    data = data_of([0] * 20 + [1] * 3, 2)
    assert len(SomeClasses(classes=2, fraction=0.2).split(data, 0).forget) == 5
    with pytest.raises(NotApplicable, match=r"forget.fraction: 0.15 of the 3 training examples of class 1 rounds to 0"):
        SomeClasses(classes=2, fraction=0.15).split(data, 0)


@pytest.mark.parametrize("settings", [{}, {"fraction": 0.1, "size": 3}])
def test_random_rule_wants_one_of_fraction_and_size(settings):
    with pytest.raises(ValidationError, match="either fraction or size"):
        AtRandom(**settings)


@pytest.mark.parametrize(
    ("rule", "label"),
    [
        (WholeClass(), "class"),
        (SomeClasses(), "classes-2-0.5"),
        (AtRandom(fraction=0.1), "random-0.1"),
        (AtRandom(size=20), "random-20"),
        (AtRandom(size=20, name="few"), "few"),
    ],
)
def test_labels(rule, label):
    assert rule.label == label


def test_all_rules_are_registered():
    assert FORGET_RULES.names() == [
        "class",
        "classes",
        "entanglement",
        "exposed",
        "given",
        "last",
        "local_grokking",
        "memorization",
        "mislabeled",
        "random",
    ]


@given(rules, st.lists(st.integers(0, 3), min_size=2, max_size=40), st.integers(0, 10))
def test_a_class_is_gone_only_where_a_rule_by_class_says_so(rule, targets, seed):
    data = data_of(targets, 4)
    try:
        split = rule.split(data, seed)
    except NotApplicable:
        assume(False)
    gone = set(split.classes) - set(data.train.targets[split.retain].tolist())
    if gone and rule.kind != "random":
        assert rule.empties_classes
    assert AtRandom(size=1).empties_classes is False


@pytest.mark.parametrize(("fraction", "empties"), [(0.5, False), (0.51, True), (1.0, True)])
def test_half_of_a_class_is_never_all_of_it(fraction, empties):
    rule = SomeClasses(classes=1, fraction=fraction)
    assert rule.empties_classes is empties
    data = data_of([0, 1], 2)  # one example a class
    if empties:
        assert len(rule.split(data, 0).forget) == 1
    else:
        with pytest.raises(NotApplicable, match="rounds to 0"):
            rule.split(data, 0)


@given(rules, st.lists(st.integers(0, 3), min_size=8, max_size=40), st.integers(2, 4), st.integers(0, 10))
def test_requests_in_sequence_are_disjoint_as_large_as_alone_and_never_retained(rule, targets, count, seed):
    data = data_of(targets, 4)
    seeds = range(seed, seed + count)
    try:
        split = rule.split(data, seeds[-1], seeds[:-1])
    except (NotApplicable, RecipeError):
        assume(False)
    assert len(split.requests) == count
    every = torch.cat([*split.requests, split.retain])
    assert torch.equal(every.sort().values, torch.arange(len(targets)))
    assert torch.equal(split.gone, torch.cat(split.requests).sort().values)
    if rule.of_classes:
        touched = [set(data.train.targets[part].tolist()) for part in split.requests]
        assert sum(map(len, touched)) == len(set.union(*touched))
        assert {len(classes) for classes in touched} == {getattr(rule, "classes", 1)}
    else:
        assert len({len(part) for part in split.requests}) == 1
    assert split.classes == tuple(sorted(set(data.train.targets[split.forget].tolist())))


@pytest.mark.parametrize("rule", [WholeClass(), SomeClasses(), AtRandom(size=5)], ids=lambda rule: rule.label)
def test_earlier_requests_are_what_they_were_and_the_last_has_a_seed_of_its_own(rule):
    one, two = rule.split(BALANCED, 1), rule.split(BALANCED, 2, [1])
    assert one.before == ()
    assert torch.equal(two.before[0], one.forget)
    assert len({tuple(rule.split(BALANCED, seed, [1]).forget.tolist()) for seed in range(2, 10)}) > 1


def test_every_class_left_may_come_next():
    chosen = {rule_classes for seed in range(40) for rule_classes in WholeClass().split(BALANCED, seed, [0]).classes}
    (first,) = WholeClass().split(BALANCED, 0).classes
    assert chosen == set(range(5)) - {first}


@pytest.mark.parametrize(
    ("rule", "count", "error", "message"),
    [
        (WholeClass(label_to_forget=1), 2, RecipeError, "'class' knows one set only"),
        (Mislabeled(), 2, RecipeError, "'mislabeled' knows one set only"),
        (SomeClasses(classes=2), 3, RecipeError, "asked for 2 more, and earlier requests leave 1 to choose from"),
        (AtRandom(fraction=0.4), 3, RecipeError, "asked for 22 more, and earlier requests leave 11 to choose from"),
        (
            WholeClass(),
            5,
            NotApplicable,
            "^requests: forget split 'class' of 55 .* leaves 11 to forget and 0 to retain after 4 earlier requests",
        ),
        (WholeClass(), 6, RecipeError, "asked for 1 more, and earlier requests leave 0"),
    ],
    ids=lambda value: getattr(value, "label", None),
)
def test_a_rule_that_cannot_give_so_many_sets_says_so(rule, count, error, message):
    data = replace(BALANCED, mislabeled=torch.arange(4))
    with pytest.raises(error, match=message):
        rule.split(data, count, range(1, count))


class Evens(ForgetRule):
    """The rule of a plug-in that chooses again what it chose before."""

    kind: str = "evens"

    def choose(self, data, draw):
        return torch.arange(0, len(data.train), 2)


def test_a_rule_that_repeats_itself_is_refused():
    class Again(Evens):
        def choose_next(self, data, draw, left):
            return self.choose(data, draw)

    assert (Evens().single, Again().single) == (True, False)
    with pytest.raises(
        NotApplicable, match="requests: forget split 'evens' gives again in set 2 what is forgotten already"
    ):
        Again().split(BALANCED, 1, [0])
