"""Splits are disjoint and complete; label noise is exact and always wrong."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Classification
from ungrok.data.arithmetic import Modular
from ungrok.data.base import Data, Problem, Split, cut
from ungrok.data.digits import Digits
from ungrok.data.forget import ForgetSplit
from ungrok.methods import UNLEARNERS


def numbered(n):
    return Split(torch.arange(n), torch.arange(n) % 3)


@given(st.integers(3, 60), st.data())
def test_cut_is_disjoint_and_complete(n, data):
    first = data.draw(st.integers(1, n - 2))
    second = data.draw(st.integers(1, n - 1 - first))
    seed = data.draw(st.integers(0, 5))
    parts = cut(numbered(n), {"a": first, "b": second, "c": None}, seed)
    assert [len(part) for part in parts] == [first, second, n - first - second]
    assert torch.equal(torch.cat([part.inputs for part in parts]).sort().values, torch.arange(n))
    assert all(torch.equal(part.targets, part.inputs % 3) for part in parts)
    again = cut(numbered(n), {"a": first, "b": second, "c": None}, seed)
    assert all(torch.equal(one.inputs, two.inputs) for one, two in zip(parts, again, strict=True))


def test_cut_depends_on_the_seed_and_may_leave_examples_over():
    one, other = (cut(numbered(50), {"a": 20, "b": 10}, seed) for seed in (0, 1))
    assert not torch.equal(one[0].inputs, other[0].inputs)
    assert len(torch.cat([part.inputs for part in one]).unique()) == 30


@pytest.mark.parametrize(
    "sizes",
    [{"a": 8, "b": 3}, {"a": 11, "b": None}, {"a": 10, "b": None}, {"a": 0, "b": None}, {"a": 5, "b": 0, "c": None}],
)
def test_too_many_or_none_is_an_error(sizes):
    with pytest.raises(RecipeError, match=rf"a {sizes['a']}, b .* asked of 10 examples"):
        cut(numbered(10), sizes, 0)


@pytest.mark.parametrize("problem", [Modular(modulus=11), Digits(train_size=300, validation_size=100)])
@pytest.mark.parametrize("share", [0.1, 0.25, 0.999])
def test_label_noise_changes_exactly_its_share_to_another_class(problem, share):
    clean = problem.load()
    noisy = problem.model_copy(update={"label_noise": share}).load()
    changed = (noisy.train.targets != clean.train.targets).nonzero().squeeze(1)
    assert torch.equal(changed, noisy.mislabeled)
    assert len(changed) == round(share * len(clean.train))
    assert 0 <= noisy.train.targets.min() <= noisy.train.targets.max() < noisy.classes
    assert torch.equal(noisy.train.inputs, clean.train.inputs)
    assert torch.equal(noisy.validation.targets, clean.validation.targets)
    assert torch.equal(noisy.test.targets, clean.test.targets)
    assert len(clean.mislabeled) == 0


def test_wrong_labels_are_spread_over_all_other_classes():
    noisy, clean = (Digits(train_size=1600, validation_size=10, label_noise=share).load() for share in (0.9, 0))
    shift = (noisy.train.targets - clean.train.targets)[noisy.mislabeled] % 10
    counts = torch.bincount(shift, minlength=10)
    assert counts[0] == 0
    assert (counts[1:] - 160).abs().max() < 5 * 160**0.5


def test_data_to_moves_the_splits_and_leaves_the_indices():
    data = Data(numbered(3), numbered(4), numbered(5), 3, torch.tensor([1])).to(torch.device("meta"))
    assert {part.inputs.device.type for part in (data.train, data.validation, data.test)} == {"meta"}
    assert data.mislabeled.device.type == "cpu"


DATA = Data(numbered(9), numbered(4), numbered(5), 3, torch.zeros(0, dtype=torch.int64))
SPLIT = ForgetSplit(torch.tensor([0, 4]), torch.tensor([1, 2, 3, 5, 6, 7, 8]), (0, 1))


def test_data_know_their_objective():
    objective = DATA.objective("mse", "float64")
    assert (type(objective), objective.loss, objective.precision) == (Classification, "mse", "float64")
    with pytest.raises(
        RecipeError, match=r"trajectory.loss: 'causal_lm' does not fit this problem; allowed: cross_ent"
    ):
        DATA.objective("causal_lm")
    assert DATA.fits((2, 3), 2)
    assert not any(DATA.fits(shape, 2) for shape in ((2, 4), (3, 3), (2, 3, 1), (2,)))


def test_data_without_a_split_and_its_forget_part():
    rest = DATA.without(SPLIT)
    assert rest.train.inputs.tolist() == SPLIT.retain.tolist()
    assert rest.validation is DATA.validation
    assert len(DATA.train) == 9
    assert DATA.forget_part(SPLIT, UNLEARNERS.get("scrub")()).inputs.tolist() == [0, 4]


def test_what_data_of_classes_are_not():
    with pytest.raises(NotApplicable, match="no part for a base model"):
        DATA.base_part()
    with pytest.raises(NotApplicable, match="needs question-answer pairs"):
        DATA.pairs()
    DATA.check_method(UNLEARNERS.get("scrub")(), "digits")
    with pytest.raises(RecipeError, match="unlearn: 'npo' runs on language models only; problem 'digits' has none"):
        DATA.check_method(UNLEARNERS.get("npo")(), "digits")


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_a_split_is_scored_in_its_order(size):
    model, objective = torch.nn.Linear(2, 3), Classification()
    split = Split(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), torch.arange(5) % 3)
    seen = [len(targets) for _, targets in split.evaluation(size)]
    assert sum(seen) == 5
    assert max(seen) == min(size, 5)
    scores = split.score(model, objective, size)
    torch.testing.assert_close(scores.logits, model(split.inputs))
    assert torch.equal(scores.targets, split.targets)
    assert split.score(model, objective, size, keep_logits=False).logits is None


def test_an_empty_split_has_empty_scores():
    scores = numbered(0).score(torch.nn.Linear(2, 3), Classification(), 4)
    assert (len(scores), scores.accuracy, scores.diverged) == (0, None, False)


def test_a_problem_has_a_pool_only_where_it_says_so():
    with pytest.raises(NotApplicable, match="problem 'digits' has no further training examples"):
        Problem.pool(Digits())
