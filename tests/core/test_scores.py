"""Scores: one pass in eval mode, and non-finite logits that are never an arg-max."""

from contextlib import suppress

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.core.scores import AnswerScores, ClassScores, device_of, evaluating

OBJECTIVE = Classification()


@pytest.fixture
def mixed():
    """A model whose submodules are in different modes."""
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 3))
    model.train()
    model[1].eval()
    return model


def batches(n=10, size=4, seed=0):
    draw = torch.Generator().manual_seed(seed)
    inputs, targets = torch.randn(n, 3, generator=draw), torch.randint(3, (n,), generator=draw)
    return list(zip(inputs.split(size), targets.split(size), strict=True))


def test_modes_come_back_submodule_by_submodule(mixed):
    modes = [module.training for module in mixed.modules()]
    OBJECTIVE.score(mixed, batches())
    assert [module.training for module in mixed.modules()] == modes == [True, True, False, True, True]
    with suppress(KeyError), evaluating(mixed):
        assert not any(module.training for module in mixed.modules())
        raise KeyError
    assert [module.training for module in mixed.modules()] == modes


def test_scores_are_those_of_eval_mode_whatever_the_batches(mixed):
    buffers = {name: value.clone() for name, value in mixed.named_buffers()}
    found, whole = OBJECTIVE.score(mixed, batches(size=3)), OBJECTIVE.score(mixed, batches(size=10))
    mixed.eval()
    ((inputs, targets),) = batches(size=10)
    logits = mixed(inputs)
    assert torch.allclose(found.logits, logits, atol=1e-6)
    assert torch.equal(found.predictions, logits.argmax(1))
    assert torch.equal(found.targets, targets)
    assert found.accuracy == whole.accuracy == (logits.argmax(1) == targets).double().mean().item()
    assert found.loss == pytest.approx(nn.functional.cross_entropy(logits, targets).item(), rel=1e-5)
    assert all(torch.equal(value, buffers[name]) for name, value in mixed.named_buffers())


def test_no_graph_no_gradients_and_the_callers_random_state_stays(mixed):
    before = torch.get_rng_state()
    found = OBJECTIVE.score(mixed, batches())
    assert not found.logits.requires_grad
    assert not found.losses.requires_grad
    assert all(p.grad is None for p in mixed.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()


def test_on_losses_gives_the_gradient_of_the_same_pass(mixed):
    found = OBJECTIVE.score(mixed, batches(), on_losses=lambda losses: losses.sum().backward(), keep_logits=False)
    gradients = [p.grad for p in mixed.parameters()]
    mixed.eval()
    ((inputs, targets),) = batches(size=10)
    expected = torch.autograd.grad(
        nn.functional.cross_entropy(mixed(inputs), targets, reduction="sum"), list(mixed.parameters())
    )
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(gradients, expected, strict=True))
    assert found.logits is None
    assert not found.losses.requires_grad


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_non_finite_logit_is_divergence_not_a_prediction(bad):
    logits = torch.tensor([[0.0, 1.0], [bad, 3.0], [2.0, 0.0]])
    found = OBJECTIVE.score(nn.Identity(), [(logits, torch.tensor([1, 1, 0]))])
    assert found.predictions.tolist() == [1, -1, 0]
    assert found.diverged
    assert found.accuracy is None
    assert found.loss is None
    healthy = found.of(torch.tensor([0, 2]))
    assert not healthy.diverged
    assert healthy.accuracy == 1


def test_a_loss_that_overflows_is_divergence_too():
    found = Classification("mse").score(nn.Identity(), [(torch.tensor([[1e30, 0.0]]), torch.tensor([0]))])
    assert found.predictions.tolist() == [0]
    assert found.diverged
    assert found.accuracy is None


def test_selection_by_index_and_mask():
    scores = ClassScores(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), torch.eye(3))
    for index in (torch.tensor([0, 1]), torch.tensor([True, True, False])):
        part = scores.of(index)
        assert len(part) == 2
        assert (part.accuracy, part.loss) == (0.5, 1.5)
        assert torch.equal(part.logits, torch.eye(3)[:2])
    nothing = scores.of(torch.zeros(3, dtype=torch.bool))
    assert nothing.accuracy is None
    assert nothing.loss is None
    assert not nothing.diverged


def test_nothing_to_score():
    with pytest.raises(RecipeError, match="empty"):
        OBJECTIVE.score(nn.Identity(), [])


def test_device_of_a_model_without_parameters_is_the_cpu():
    assert device_of(nn.Identity()).type == "cpu"
    assert device_of(nn.Linear(1, 1, device="meta")).type == "meta"


def drawn(cls, seed, n=5):
    draw = torch.Generator().manual_seed(seed)
    if cls is AnswerScores:
        return AnswerScores(*(torch.rand(n, generator=draw) for _ in range(3)), torch.arange(n))
    logits = torch.randn(n, 3, generator=draw)
    return ClassScores(torch.rand(n, generator=draw), logits.argmax(1), torch.arange(n) % 3, logits)


@pytest.mark.parametrize("cls", [ClassScores, AnswerScores])
def test_places_along_a_path_are_read_back_as_they_were(cls):
    places = [{name: drawn(cls, 10 * k + i) for i, name in enumerate(("train", "test"))} for k in range(3)]
    tensors = places[0]["train"].stack(places)
    for k, place in enumerate(places):
        for name, scores in place.items():
            back = cls.at(tensors, name, k)
            for column, value in vars(scores).items():
                if column == "logits" and k < 2:  # kept at the last place only
                    assert back.logits is None
                else:
                    assert torch.equal(getattr(back, column), value)
    assert {cls.kind for cls in (ClassScores, AnswerScores)} == {"class", "answer"}


@pytest.mark.parametrize("cls", [ClassScores, AnswerScores])
def test_parts_join_and_nothing_is_empty(cls):
    whole = drawn(cls, 0)
    parts = [whole.of(torch.arange(2)), whole.of(torch.arange(2, 5))]
    assert all(torch.equal(getattr(cls.joined(parts), name), value) for name, value in vars(whole).items())
    none = cls.empty()
    assert (len(none), none.diverged, none.accuracy, none.loss) == (0, False, None, None)


def test_what_answers_tell_by_hand():
    scores = AnswerScores(
        torch.tensor([0.0, 2.0]).log1p(), torch.tensor([1.0, 0.5]), torch.tensor([0.75, 0.25]), torch.tensor([4, 4])
    )
    assert scores.memorization() == {"ES": 0.5, "extraction": 0.5, "probability": pytest.approx((1 + 1 / 3) / 2)}
    assert scores.summary() == {
        "loss": pytest.approx(torch.tensor(3.0).log().item() / 2),
        "accuracy": 0.75,
        "extraction": 0.5,
    }
    broken = AnswerScores(torch.tensor([0.0, float("nan")]), scores.matches, scores.extraction, scores.tokens)
    assert broken.memorization() == {"ES": None, "extraction": None, "probability": None}
    classes = ClassScores(torch.tensor([1.0, 3.0]), torch.tensor([0, 1]), torch.tensor([0, 0]))
    assert classes.summary() == {"loss": 2, "accuracy": 0.5}
    assert classes.memorization() == {}


def public_strength(correct):
    """Return what locuslab/open-unlearning's loop gives for the answer tokens of one example, the end left out."""
    k = 0
    for k in range(len(correct)):
        if all(correct[k:]):
            break
    return 1 - k / len(correct) if correct else 0


def test_the_papers_extraction_strength_is_that_of_the_public_loop():
    """A wrong last token gives 1/n there, and 0 by the definition; without any token both are 0."""
    rows = [[True] * 3, [False, True, True], [True, True, False], [False], [True], [True, False, False, False], []]
    by_definition = [1.0, 2 / 3, 0.0, 0.0, 1.0, 0.0, 0.0]
    for row, own in zip(rows, by_definition, strict=True):
        scores = AnswerScores(torch.zeros(1), torch.zeros(1), torch.tensor([own]), torch.tensor([len(row)]))
        assert scores.paper_strength == pytest.approx(public_strength(row))
        assert scores.extraction_strength == pytest.approx(own)


def test_one_prediction_that_is_none_or_one_loss_that_is_not_finite_is_divergence():
    fine = ClassScores(torch.ones(1), torch.tensor([0]), torch.tensor([0]))
    assert (fine.diverged, fine.accuracy, fine.loss) == (False, 1, 1)
    assert ClassScores(torch.ones(1), torch.tensor([-1]), torch.tensor([0])).diverged
    assert ClassScores(torch.tensor([float("inf")]), torch.tensor([0]), torch.tensor([0])).diverged


@pytest.mark.parametrize("cls", [ClassScores, AnswerScores])
def test_no_examples_are_none_in_every_column(cls):
    columns = {name: value for name, value in vars(cls.empty()).items() if value is not None}
    assert len(columns) == (4 if cls is AnswerScores else 3)
    assert all(len(value) == 0 for value in columns.values())
