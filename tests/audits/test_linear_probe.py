"""Reading classes from frozen features."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from ungrok.audits import Scorer, Setting, attacked
from ungrok.audits.collected import Collected
from ungrok.audits.linear_probe import LinearProbe, readout
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Classification

from .conftest import OBJECTIVE, examples, material, network


def test_random_labels_are_read_at_chance():
    """Over ten draws of all labels the accuracy on held-back examples lies within three standard deviations of 1/3."""
    draw, right, count = torch.Generator().manual_seed(0), 0.0, 0
    for seed in range(10):
        sets = {
            name: Collected([(torch.randn(n, 6, generator=draw), torch.randint(3, (n,), generator=draw))], OBJECTIVE)
            for name, n in {"forget": 100, "retain": 200, "test": 9}.items()
        }
        given = material(**sets, seed=seed)
        rows = attacked(LinearProbe(), network(), given, Scorer(given))
        assert [row["dose"] for row in rows] == [0, 1]
        right, count = right + 90 * rows[1]["UA"], count + 90
    assert abs(right / count - 1 / 3) < 3 * math.sqrt(2 / 9 / count)


def test_a_class_that_the_head_hides_is_still_in_the_features(given, score):
    model = network()
    with torch.no_grad():
        model[2].bias[2] = -100.0
    rows = attacked(LinearProbe(share=0.2), model, given, score)
    assert rows[0]["UA"] == 0
    assert rows[1]["UA"] > 0.7
    none = attacked(LinearProbe(share=0.0), model, given, score)
    assert [row["UA"] for row in none] == [0, 0]  # without an example of the class none can be read


def test_features_that_hold_nothing_give_one_answer_to_all(given, score):
    model = network()
    with torch.no_grad():
        model[0].weight.zero_()
    probed = attacked(LinearProbe(share=0.2), model, given, score)[1]
    assert (probed["UA"], probed["RA"]) in {(0.0, ones / 60) for ones in range(61)} | {(1.0, 0.0)}


def test_ridge_by_hand():
    """With one penalty among all, the least squares of ±1 with a free intercept, classes weighing the same."""
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 3, generator=draw), torch.randint(3, (40,), generator=draw)
    layer = readout(x, y, 4)
    scale = x.double().square().mean().sqrt()
    features, weight = (x.double() / scale).numpy(), (40 / (3 * y.bincount().double()))[y].numpy()
    signs = 2 * np.eye(3)[y.numpy()] - 1
    mean, center = np.average(features, 0, weight), np.average(signs, 0, weight)
    root = np.sqrt(weight)[:, None]
    a, b = (features - mean) * root, (signs - center) * root
    fits = [np.linalg.solve(a.T @ a + 10.0**p * np.eye(3), a.T @ b).T for p in range(-3, 5)]
    nearest = min(np.abs(fit / scale.item() - layer.weight[:3].double().numpy()).max() for fit in fits)
    assert nearest < 1e-6
    assert layer.bias[3] < -1000
    assert not layer.weight.requires_grad


def test_two_classes_of_three():
    x = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
    layer = readout(x, torch.tensor([0, 0, 2, 2]), 3)
    assert layer(torch.tensor([[-1.5], [1.5]])).argmax(1).tolist() == [0, 2]


def test_one_class_is_not_enough():
    with pytest.raises(NotApplicable, match=r"linear_probe: .* all of one class"):
        readout(torch.randn(4, 2), torch.zeros(4, dtype=torch.int64), 3)


def test_an_attacker_with_examples_of_one_class_is_refused_before_the_model_runs():
    given = material(forget=examples(20, 1, [2]), retain=examples(60, 2, [0]))
    message = "linear_probe: share 0 of the forget set and the retained examples are all of one class; raise share"
    with pytest.raises(RecipeError, match=f"^{message}$"):
        LinearProbe(share=0).path(network(), given, Setting("", 0.0))
    assert len(list(LinearProbe(share=0.1).path(network(), given, Setting("", 0.1)))) == 2


def test_layers_are_the_activations_and_what_the_head_reads(given):
    torch.manual_seed(0)
    deep = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.LayerNorm(4), nn.Linear(4, 3))
    steps = [(step.dose, step.model) for step in LinearProbe().path(deep, given, Setting("", 0.1))]
    assert [dose for dose, _ in steps] == [0, 1, 2, 3]
    assert [model.layer for _, model in steps[1:]] == ["1", "3", "penultimate"]
    x = torch.randn(7, 6)
    layers = [deep[:2](x), deep[:4](x), deep[:5](x)]
    for (_, probe), inputs in zip(steps[1:], layers, strict=True):
        torch.testing.assert_close(probe(x), probe.readout(inputs))


def test_features_are_read_in_eval_mode_and_the_model_stays_as_it_is(given):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)).train()
    first = [step.model for step in LinearProbe().path(model, given, Setting("", 0.1))]
    again = [step.model for step in LinearProbe().path(model.eval(), given, Setting("", 0.1))]
    assert torch.equal(first[1].readout.weight, again[1].readout.weight)
    assert torch.equal(first[0][1].running_mean, model[1].running_mean)


def test_at_most_so_many_retained_examples(given):
    few, more, all_ = (
        [step.model for step in LinearProbe(examples=n).path(network(), given, Setting("", 0.1))][1].readout.weight
        for n in (30, 60, 2000)
    )
    assert not torch.equal(few, more)
    assert torch.equal(more, all_)


def test_a_model_that_has_diverged_gives_no_accuracy(given, score):
    model = network()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    rows = attacked(LinearProbe(), model, given, score)
    assert [row["diverged"] for row in rows] == [True, True]
    assert [row["UA"] for row in rows] == [None, None]


def test_weights_of_few_bits():
    low = {
        name: examples(n, seed, classes, torch.bfloat16)
        for name, n, seed, classes in (("forget", 20, 1, [2]), ("retain", 60, 2, [0, 1]), ("test", 30, 3, [0, 1, 2]))
    }
    given = material(**low)
    rows = attacked(LinearProbe(share=0.2), network().bfloat16(), given, Scorer(given))
    assert rows[1]["RA"] > 0.8
    assert isinstance(given.objective, Classification)
