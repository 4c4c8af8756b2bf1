"""Cosines of mean gradients from the Gram matrix against gradients written out."""

import pytest
import torch
from torch import nn

from ungrok.analyze import Subject
from ungrok.analyze.alignment import GradientAlignment, _degrees, normalized, set_cosines
from ungrok.analyze.base import joined
from ungrok.analyze.gradients import cosine, gradient_gram, mean_gradient
from ungrok.analyze.modules import fit_modules
from ungrok.core.objective import Classification


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def slow_rows(model, made, objective):
    """One backward pass per example: by parameter, shape (n, size)."""
    rows = {name: [] for name, _ in model.named_parameters()}
    x, y = joined(objective, made)
    for a, b in zip(x, y, strict=True):
        loss = objective.losses(model(a[None]), (a[None], b[None])).sum()
        for name, g in zip(rows, torch.autograd.grad(loss, list(model.parameters())), strict=True):
            rows[name].append(g.flatten())
    return {name: torch.stack(values) for name, values in rows.items()}


def test_set_cosines_are_cosines_of_mean_gradients(small):
    """The same number by two ways: from inner products, and from gradients of mean losses accumulated over batches."""
    model, made, objective = small
    gram = gradient_gram(model, joined(objective, made), objective)
    x, y = joined(objective, made)
    one, two = torch.tensor([0, 3, 4, 8]), torch.tensor([1, 2, 5, 6, 7, 9, 10])
    means = [mean_gradient(model, [(x[i], y[i])], objective) for i in (one, two)]
    for layer in ("model", "0", "4"):
        expected = cosine(*means, layer=None if layer == "model" else layer)
        assert set_cosines(gram[layer], [one], [two]).item() == pytest.approx(expected, rel=1e-9)
    whole = set_cosines(gram["model"], [one, two], [two, two])
    assert whole[1] == pytest.approx(1)


def test_normalized_gradients(small):
    model, made, objective = small
    rows = torch.cat(list(slow_rows(model, made, objective).values()), dim=1)
    unit = rows / rows.norm(dim=1, keepdim=True)
    found = normalized(gradient_gram(model, joined(objective, made), objective)["model"])
    torch.testing.assert_close(found, unit @ unit.T, rtol=1e-9, atol=1e-12)


def test_an_example_without_gradient_has_cosine_zero():
    gram = torch.tensor([[0.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    assert normalized(gram).tolist() == [[0, 0], [0, 1]]


def gaussian_subject(shift):
    """A linear model of squared error, so that per-sample gradients are 2(z − t)·x; forget inputs shifted or not."""
    x = torch.randn(400, 10, generator=draw(5)) + 1
    x[:60] += shift
    y = torch.randint(2, (400,), generator=draw(6))
    model = nn.Linear(10, 2, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.3)
    return Subject(model, Classification("mse"), {"forget": [(x[:60], y[:60])], "retain": [(x[60:], y[60:])]})


def readings(subject, **settings):
    found = {}
    for r in GradientAlignment(layers=False, **settings).measure(subject):
        found[r.measure, r.on] = r
    return found


def test_no_difference_lies_inside_its_nulls_and_a_difference_outside():
    pair = "forget|retain"
    same, shifted = readings(gaussian_subject(0.0)), readings(gaussian_subject(torch.tensor([-3.0] * 5 + [3.0] * 5)))
    for name, null in (("gradient_cosine", "permuted"), ("gradient_cosine_split_half", "split_half")):
        inside, outside = same[name, pair], shifted[name, pair]
        assert inside.nulls[null].low <= inside.value <= inside.nulls[null].high
        assert outside.value < outside.nulls[null].low
        assert inside.nulls[null].draws == 200


def test_angle_is_the_arc_of_the_cosine():
    found = readings(gaussian_subject(1.0))
    c, angle = found["gradient_cosine", "forget|retain"].value, found["gradient_angle", "forget|retain"]
    assert angle.unit == "degree"
    assert torch.tensor(angle.value).deg2rad().cos().item() == pytest.approx(c, abs=1e-6)


def test_quantiles_of_all_pairs(small):
    model, made, objective = small
    subject = Subject(model, objective, {"forget": made[:1], "retain": made[1:]})
    rows = torch.cat(list(slow_rows(model, made, objective).values()), dim=1)
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
    found = readings(subject)
    assert found["per_sample_cosine", "forget|retain"].value == pytest.approx(cosines[:6, 6:].mean().item(), rel=1e-9)
    inside = cosines[6:, 6:][~torch.eye(11, dtype=torch.bool)]
    assert found["per_sample_cosine", "retain|retain"].value == pytest.approx(inside.mean().item(), rel=1e-9)
    assert found["per_sample_cosine_q50", "retain|retain"].value == pytest.approx(
        inside.quantile(0.5, interpolation="nearest").item(), rel=1e-6
    )


def test_more_examples_than_the_limit_are_sampled_by_the_same_share():
    found = readings(gaussian_subject(0.0), examples=100)
    assert found["gradient_cosine", "forget|retain"].examples == 100
    assert found["gradient_cosine_split_half", "forget|retain"].examples == 15 + 85 - 15


def test_quantiles_of_every_pair_by_rank(small):
    model, made, objective = small
    readings_of = readings(Subject(model, objective, {"forget": made[:1], "retain": made[1:]}))
    rows = torch.cat(list(slow_rows(model, made, objective).values()), dim=1)
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
    off = ~torch.eye(17, dtype=torch.bool)
    one, two = slice(0, 6), slice(6, 17)
    for on, a, b in (("forget|retain", one, two), ("forget|forget", one, one), ("retain|retain", two, two)):
        values = sorted(cosines[a, b][off[a, b]].tolist())
        for percent in (5, 50, 95):
            reading = readings_of[f"per_sample_cosine_q{percent:02d}", on]
            assert reading.value == pytest.approx(values[round(percent / 100 * (len(values) - 1))], rel=1e-9)
        nulls = readings_of["per_sample_cosine", on].nulls
        assert set(nulls) == ({"permuted"} if on == "forget|retain" else set())


def test_modules_are_the_hidden_units_that_are_active(small):
    """A unit at exactly 0 is none; activity is collected part by part."""
    model, made, objective = small
    with torch.no_grad():
        model[0].weight[0], model[0].bias[0] = 0, 0
    subject, (x, y) = Subject(model, objective, {"forget": made[:1], "retain": made[1:]}), joined(objective, made)
    first = model[0](x)
    active = torch.cat([first > 0, model[2](first.relu()) > 0], dim=1)
    fit = fit_modules(normalized(gradient_gram(model, (x, y), objective)["model"]), active, subject.seed)
    measured = readings(subject, chunk=5)
    for name, value in fit.values().items():
        reading = measured[f"modules_{name}", "forget+retain"]
        assert reading.value == pytest.approx(value, rel=1e-6)
        assert set(reading.nulls) == ({"permuted"} if name == "r2" else set())


def test_a_cosine_rounded_beyond_one_has_an_angle():
    assert _degrees(torch.tensor([1 + 1e-12, -1 - 1e-12, 0.0], dtype=torch.float64)).tolist() == pytest.approx(
        [0, 180, 90]
    )


def test_one_example_to_forget_makes_no_pair_with_itself():
    x = torch.randn(9, 3, generator=draw(0))
    sets = {"forget": [(x[:1], torch.tensor([0]))], "retain": [(x[1:], torch.arange(8) % 2)]}
    measured = readings(Subject(nn.Linear(3, 2), Classification(), sets))
    assert ("per_sample_cosine", "forget|forget") not in measured
    assert measured["per_sample_cosine", "forget|retain"].value is not None


def test_layers_are_measured_apart_where_they_are_asked_for(small):
    model, made, objective = small
    subject = Subject(model, objective, {"forget": made[:1], "retain": made[1:]})
    for layers, names in ((True, ["model", "0", "2", "4"]), (False, ["model"])):
        measured = [
            r.layer for r in GradientAlignment(layers=layers).measure(subject) if r.measure == "gradient_cosine"
        ]
        assert measured == names
