"""The straight line between two models, and the barrier on it."""

import pytest
import torch
from torch import nn

from ungrok.audits import Scorer, Setting, attacked
from ungrok.audits.interpolate import Interpolate, barrier
from ungrok.core.errors import RecipeError
from ungrok.core.modules import duplicate

from .conftest import material, network


def test_barrier_by_hand():
    assert barrier([0, 0.5, 1], [1.0, 4.0, 3.0]) == 2.0
    assert barrier([0, 0.25, 1], [1.0, 1.0, 5.0]) == 0
    assert barrier([0, 0.5, 1], [0.1, 0.1, 0.1]) == 0
    assert barrier([0, 0.5, 1], [1.0, None, 3.0]) is None


def rows_of(test, model, given):
    return attacked(test, model, given, Scorer(given))


@pytest.mark.parametrize("to", ["original", "oracle"])
def test_identical_ends_have_no_barrier(to):
    model = network()
    rows = rows_of(Interpolate(to=to), model, material(**{to: model}))
    assert len(rows) == 21
    assert {row["barrier_forget"] for row in rows} == {0.0}
    assert {row["barrier_retain"] for row in rows} == {0.0}
    assert len({row["retain_loss"] for row in rows}) == 1


def test_a_convex_loss_has_none():
    """Cross-entropy is convex in the weights of a linear model."""
    torch.manual_seed(0)
    ends = [nn.Linear(6, 3) for _ in range(2)]
    rows = rows_of(Interpolate(), ends[0], material(original=ends[1]))
    losses = [row["forget_loss"] for row in rows]
    assert rows[0]["barrier_forget"] <= 0
    inside = [loss - (1 - t / 20) * losses[0] - t / 20 * losses[-1] for t, loss in enumerate(losses)][1:-1]
    assert max(inside) < 0  # strictly, so that the sign of the formula shows


def test_exchanged_units_have_one():
    """Two models that compute the same function by units in another order: in between they compute another."""
    model, other = network(), network()
    with torch.no_grad():
        for layer in (model[0], other[0]):
            layer.weight.mul_(3)
        other[0].weight.copy_(model[0].weight.flip(0))
        other[0].bias.copy_(model[0].bias.flip(0))
        other[2].weight.copy_(model[2].weight.flip(1))
        other[2].bias.copy_(model[2].bias)
    rows = rows_of(Interpolate(), model, material(original=other))
    assert rows[0]["retain_loss"] == pytest.approx(rows[-1]["retain_loss"])
    expected = {
        role: max(row[f"{role}_loss"] for row in rows) - rows[0][f"{role}_loss"] for role in ("forget", "retain")
    }
    assert max(expected.values()) > 0.02
    for role, value in expected.items():
        assert rows[3][f"barrier_{role}"] == pytest.approx(value, abs=1e-5)


def test_the_ends_are_the_models_bit_for_bit_and_the_middle_their_mean():
    model, other = network(), network(5)
    path = Interpolate(parts=2).path(model, material(original=other), Setting())
    first, middle, last = [(step.dose, duplicate(step.model)) for step in path]
    assert [first[0], middle[0], last[0]] == [0, 0.5, 1]
    for name, value in model.state_dict().items():
        assert torch.equal(first[1].state_dict()[name], value)
        assert torch.equal(last[1].state_dict()[name], other.state_dict()[name])
        torch.testing.assert_close(middle[1].state_dict()[name], (value + other.state_dict()[name]) / 2)


def test_floating_point_buffers_are_interpolated_and_counts_are_not():
    ends = [nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3)) for _ in range(2)]
    for number, end in enumerate(ends):
        end(torch.randn(8, 6) + 4 * number)
    ends[1](torch.randn(8, 6))
    path = Interpolate(parts=4).path(ends[0], material(original=ends[1]), Setting())
    _, quarter, *_, last = [duplicate(step.model)[1] for step in path]
    mean = 0.75 * ends[0][1].running_mean + 0.25 * ends[1][1].running_mean
    torch.testing.assert_close(quarter.running_mean, mean)
    assert torch.equal(last.running_var, ends[1][1].running_var)
    assert int(last.num_batches_tracked) == 1


def test_weights_of_few_bits_are_interpolated_in_more():
    model, other = network().bfloat16(), network(5).bfloat16()
    *_, near, _ = [
        duplicate(step.model) for step in Interpolate(parts=3).path(model, material(original=other), Setting())
    ]
    exact = torch.lerp(model[0].weight.double(), other[0].weight.double(), 2 / 3).bfloat16()
    assert torch.equal(near[0].weight, exact)


def test_another_shape_is_refused():
    other = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 3))
    with pytest.raises(RecipeError, match=r"original: has other parameters than the model: 0.bias is .*\(9,\)"):
        Interpolate().path(network(), material(original=other), Setting())
