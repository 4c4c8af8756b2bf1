"""Label noise is exact and always wrong; data move and are scored as a whole."""

import pytest
import torch

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Classification
from ungrok.data import base
from ungrok.data.arithmetic import Modular
from ungrok.data.base import Data, Problem, Split
from ungrok.data.digits import Digits
from ungrok.data.forget import ForgetSplit
from ungrok.data.pixels import Scale
from ungrok.methods import UNLEARNERS


def numbered(n):
    return Split(torch.arange(n), torch.arange(n) % 3)


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


@pytest.mark.parametrize(
    ("least", "size", "batches"), [(3, 100, [3, 3, 3]), (3, 2, [2, 2, 2, 2, 1]), (5, 100, [5, 4]), (9, 100, [9])]
)
def test_passes_without_gradients_take_what_a_cache_holds_in_equal_parts(monkeypatch, least, size, batches):
    """Four examples of two numbers are 32 bytes."""
    monkeypatch.setattr(base, "CACHED", 32)
    monkeypatch.setattr(base, "LEAST", least)
    model, objective, seen = torch.nn.Linear(2, 3), Classification(), []
    split = Split(torch.randn(9, 2, generator=torch.Generator().manual_seed(0)), torch.arange(9) % 3)
    model.register_forward_hook(lambda *call: seen.append(len(call[2])))
    scores = split.score(model, objective, size)
    assert seen == batches
    torch.testing.assert_close(scores.logits, model(split.inputs))
    seen.clear()
    split.score(model, objective, 100, on_losses=lambda losses: losses.sum().backward())
    assert seen == [9]


@pytest.mark.parametrize(("room", "kept"), [(12 * 4 * 4, True), (12 * 4 * 4 - 1, False)])
def test_pixels_are_prepared_once_where_there_is_room(monkeypatch, room, kept):
    monkeypatch.setattr(base, "PREPARED", room)
    pixels = torch.arange(48, dtype=torch.uint8).reshape(4, 3, 2, 2)
    split = Split(pixels, torch.arange(4), Scale((0.1, 0.2, 0.3), (0.5, 0.5, 0.25)))
    for channels_last in (False, True):
        ready = split.prepared(channels_last=channels_last)
        assert (ready.inputs.dtype, ready.scale is None) == ((torch.float32, True) if kept else (torch.uint8, False))
        assert ready.inputs.is_contiguous(memory_format=torch.channels_last) == (kept and channels_last)
        for mine, whole in zip(ready.batch(slice(1, 3)), split.batch(slice(1, 3)), strict=True):
            assert torch.equal(mine, whole)


def test_an_empty_split_has_empty_scores():
    scores = numbered(0).score(torch.nn.Linear(2, 3), Classification(), 4)
    assert (len(scores), scores.accuracy, scores.diverged) == (0, None, False)


def test_a_problem_has_a_pool_only_where_it_says_so():
    with pytest.raises(NotApplicable, match="problem 'digits' has no further training examples"):
        Problem.pool(Digits())
