"""Fisher forgetting: the noise by hand, and a path that is a path."""

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.gradients import diagonal_fisher
from ungrok.core.objective import Classification
from ungrok.methods.fisher import Fisher, noise_variance

OBJECTIVE = Classification()


@pytest.mark.parametrize(
    ("fisher", "expected"),
    [
        # Hidden matrix: 1/F, at most 1e3, its mean over dim 1 for the whole row.
        ([[0.5, 0.25], [0.0, 0.01]], [[3.0, 3.0], [550.0, 550.0]]),
        # Hidden bias: at most 1e3, ten times.
        ([0.5, 0.0], [20.0, 1e4]),
        # Last layer of three logits: at most 1e2, ten times.
        ([[0.5, 0.001], [1.0, 1.0], [0.0, 0.0]], [[510.0, 510.0], [10.0, 10.0], [1000.0, 1000.0]]),
        ([0.5, 1.0, 0.0], [20.0, 10.0, 1000.0]),
        # A scalar counts as one-dimensional.
        (0.5, 20.0),
    ],
)
def test_noise_variance_by_hand(fisher, expected):
    variance = noise_variance(torch.tensor(fisher, dtype=torch.float64), outputs=3)
    torch.testing.assert_close(variance, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=0)


def test_noise_variance_of_a_kernel_averages_over_input_channels():
    fisher = torch.rand(4, 2, 3, 3, dtype=torch.float64) + 0.1
    variance = noise_variance(fisher, outputs=10)
    assert variance.shape == fisher.shape
    torch.testing.assert_close(variance[:, 0], (1 / fisher).mean(1))
    assert torch.equal(variance[:, 0], variance[:, 1])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()


def batches(size=20, seed=0):
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(20, 4, generator=draw, dtype=torch.float64)
    targets = torch.randint(3, (20,), generator=draw)
    return list(zip(inputs.split(size), targets.split(size), strict=True))


def walk(model, seed=0, size=20, alpha=(1e-4, 4e-4, 1e-2), forget=None):
    path = Fisher(alpha=alpha).path(model, forget or batches(seed=1), batches(size), OBJECTIVE, seed=seed)
    return [nn.utils.parameters_to_vector(step.model.parameters()).detach().clone() for step in path]


def test_path_lies_on_a_ray_and_grows_with_the_root_of_the_strength(model):
    start = nn.utils.parameters_to_vector(model.parameters()).detach()
    first, second, third = (place - start for place in walk(model))
    torch.testing.assert_close(second, 2 * first, rtol=1e-9, atol=0)
    torch.testing.assert_close(third, 10 * first, rtol=1e-9, atol=0)


def test_a_strength_does_not_depend_on_the_others(model):
    assert torch.equal(walk(model)[1], walk(model, alpha=(4e-4,))[0])


def test_seed_decides(model):
    one, same, other = walk(model), walk(model), walk(model, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize("size", [1, 8, 64])
def test_the_path_does_not_depend_on_the_batch_size(model, size):
    torch.testing.assert_close(walk(model, size=size), walk(model), rtol=1e-9, atol=1e-12)


def test_forget_data_are_not_used(model):
    nowhere = [(torch.full((2, 4), float("nan"), dtype=torch.float64), torch.zeros(2, dtype=torch.int64))]
    assert torch.equal(walk(model, forget=nowhere)[0], walk(model)[0])


def test_the_noise_has_the_variance_it_should(model):
    """Over seeds, (θ − θ0)²/α averages to v."""
    one, count = 1e-3, 400
    start = nn.utils.parameters_to_vector(model.parameters()).detach()
    squares = torch.stack([(walk(model, seed, alpha=(one,))[0] - start).square() / one for seed in range(count)])
    fisher, outputs = diagonal_fisher(model.eval(), iter(batches()), OBJECTIVE)
    expected = torch.cat([noise_variance(value, outputs).flatten() for value in fisher.values()])
    # A χ² mean over 400 draws has relative standard deviation √(2/400) = 0.07.
    ratio = squares.mean(0) / expected
    assert (ratio - 1).abs().max() < 5 * 0.07
    assert (ratio.mean() - 1).abs() < 5 * 0.07 / len(ratio) ** 0.5


def test_importance_is_taken_in_eval_mode(model):
    dropping = nn.Sequential(nn.Dropout(0.5), *model).train()
    assert torch.equal(walk(dropping)[0], walk(model)[0])


def test_strengths_are_doses_and_cost_no_updates(model):
    path = Fisher(alpha=(1e-8, 1e-6)).path(model, batches(), batches(), OBJECTIVE)
    assert path.budget == 1e-6
    assert [(step.updates, step.dose, step.loss) for step in path] == [(0, 1e-8, None), (0, 1e-6, None)]


@pytest.mark.parametrize("alpha", [(), (-1e-8,), (0.0, 1e-8), (1e-8, 1e-8)])
def test_strengths_must_be_positive_and_distinct(alpha):
    with pytest.raises(RecipeError, match="alpha"):
        Fisher(alpha=alpha)


def test_one_strength_needs_no_list(model):
    assert Fisher(alpha=1e-7).doses() == (1e-7,)
    assert Fisher(alpha=(1e-5, 1e-7)).doses() == (1e-7, 1e-5)
