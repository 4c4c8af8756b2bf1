"""How far a model has moved: closed forms, and what must not change the figures."""

import copy
import math

import pytest
import torch
from torch import nn

from ungrok.core.causal_lm import CausalLM
from ungrok.core.objective import Classification
from ungrok.data.base import Split
from ungrok.evaluate.displacement import DISPLACEMENTS, Displacement


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


def data(forget=7, retain=9):
    """All examples, and which are of each set."""
    torch.manual_seed(1)
    count = forget + retain + 4
    order = torch.randperm(count)
    train = Split(torch.randn(count, 5), torch.randint(3, (count,)))
    return train, {"forget": order[:forget], "retain": order[forget : forget + retain]}


def changed(model, scale=1.0):
    other = copy.deepcopy(model)
    torch.manual_seed(2)
    with torch.no_grad():
        for weight in other.parameters():
            weight += 0.1 * scale * torch.randn_like(weight)
    return other


@pytest.mark.parametrize(("loss", "centered"), [("cross_entropy", True), ("mse", False), ("stablemax", False)])
def test_logits_move_by_their_root_mean_square_change(loss, centered):
    start, now, (train, sets) = network(), changed(network()), data()
    moved = Displacement(start, Classification(loss), train, sets, seed=0).of(now)
    for role, index in sets.items():
        before, after = (model(train.inputs[index]).double() for model in (start, now))
        if centered:
            before, after = (z - z.mean(dim=1, keepdim=True) for z in (before, after))
        assert moved[f"moved_{role}"] == pytest.approx(((after - before).norm() / before.norm()).item(), rel=1e-5)
    pairs = list(zip(start.parameters(), now.parameters(), strict=True))
    distance = math.sqrt(sum((a - b).square().sum().item() for a, b in pairs))
    assert moved["weight_distance"] == pytest.approx(distance, rel=1e-5)
    norm = math.sqrt(sum(a.square().sum().item() for a, _ in pairs))
    assert moved["weight_distance_relative"] == pytest.approx(distance / norm, rel=1e-5)


def test_a_model_that_stays_has_moved_nowhere():
    start = network()
    moved = Displacement(start, Classification(), *data(), seed=0).of(copy.deepcopy(start))
    assert [moved[name] for name in DISPLACEMENTS] == [0.0] * 4


def test_distances_of_functions_are_those_of_any_model_with_the_same_function():
    start, now = network(), changed(network())
    reference = Displacement(start, Classification(), *data(), seed=0).of(now)
    rescaled = [copy.deepcopy(start), copy.deepcopy(now)]
    with torch.no_grad():
        for model in rescaled:
            for weight in model[0].parameters():
                weight *= 4
            model[2].weight /= 4
    moved = Displacement(rescaled[0], Classification(), *data(), seed=0).of(rescaled[1])
    for name in ("moved_forget", "moved_retain"):
        assert moved[name] == pytest.approx(reference[name], rel=1e-6)
    assert moved["weight_distance"] > 1.5 * reference["weight_distance"]


def test_a_factor_on_the_last_layer_does_not_count_where_the_loss_is_cross_entropy():
    start, now = network(), changed(network())
    reference = Displacement(start, Classification(), *data(), seed=0).of(now)
    for model in (start, now):
        with torch.no_grad():
            for weight in model[2].parameters():
                weight *= 3
    moved = Displacement(start, Classification(), *data(), seed=0).of(now)
    assert moved["moved_retain"] == pytest.approx(reference["moved_retain"], rel=1e-5)


def test_what_all_logits_of_an_example_have_in_common_does_not_count():
    start = network()
    now = copy.deepcopy(start)
    with torch.no_grad():
        now[2].bias += 5
    moved = Displacement(start, Classification(), *data(), seed=0).of(now)
    assert moved["moved_retain"] == pytest.approx(0, abs=1e-5)
    assert Displacement(start, Classification("mse"), *data(), seed=0).of(now)["moved_retain"] > 1


def test_a_diverged_model_is_at_no_distance():
    start, now = network(), network()
    with torch.no_grad():
        now[0].weight[0, 0] = math.nan
    assert set(Displacement(start, Classification(), *data(), seed=0).of(now).values()) == {None}


def test_language_models_move_by_the_divergence_per_answer_token():
    torch.manual_seed(0)
    before, now = torch.randn(6, 11), torch.randn(6, 11)
    p, q = before.double().softmax(dim=1), now.double().softmax(dim=1)
    expected = sum((p[i, j] * (p[i, j] / q[i, j]).log()).item() for i in range(6) for j in range(11)) / 6
    assert CausalLM().moved(before, now).item() == pytest.approx(expected)
    shift = torch.randn(6, 1)
    assert CausalLM().moved(before + shift, now).item() == pytest.approx(expected, rel=1e-5)


def test_the_draw_of_examples_is_the_same_at_every_place_and_a_function_of_the_seed():
    many = data(300, 300)
    start, now = network(), changed(network())
    one, again, other = (Displacement(start, Classification(), *many, seed=seed) for seed in (0, 0, 1))
    assert one.of(now) == one.of(now) == again.of(now)
    assert one.of(now)["moved_retain"] != other.of(now)["moved_retain"]


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_logits_that_are_known_are_compared_and_no_model_is_run(loss):
    start, now, (train, sets), objective = network(), changed(network()), data(300, 150), Classification(loss)
    scored = [train.score(model, objective, 64) for model in (start, now)]
    expected = Displacement(start, objective, train, sets, seed=0).of(now)

    def refuse(*_):
        raise AssertionError("the model was run")

    for model in (start, now):
        model.register_forward_hook(refuse)
    known = Displacement(start, objective, train, sets, 0, scored[0])
    assert known.of(now, scored[1]) == pytest.approx(expected, rel=1e-5)
    assert [known.of(start, scored[0])[name] for name in DISPLACEMENTS] == [0.0] * 4
