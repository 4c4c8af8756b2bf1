"""SGLD on losses whose posterior is known; chain diagnostics against closed forms."""

from math import log

import pytest
import torch
from torch import nn

from ungrok.analyze import Subject
from ungrok.analyze.learning_coefficient import LearningCoefficient, effective_size, regular, sgld, split_r_hat
from ungrok.core.objective import Classification


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


COPIES = 300
"""A sum of independent copies of one loss: one chain is then as good as so many."""


def coefficient(slope, size, steps, burn_in, step_size, inverse, pull=0.0):
    """Return λ of one copy, and its standard error; ``slope`` maps (copies, size) to per-copy losses and gradients."""

    def excess(w, t):
        losses, gradient = slope(w.view(COPIES, size))
        seen.append(losses)
        return losses.sum().item(), gradient.flatten()

    seen = []
    losses = sgld(excess, COPIES * size, steps, step_size, inverse, pull, draw())
    each = torch.stack(seen)[burn_in:].mean(dim=0) * inverse
    value = losses[burn_in:].mean().item() * inverse / COPIES
    assert value == pytest.approx(each.mean().item(), rel=1e-9)
    return value, each.std().item() / COPIES**0.5


def test_regular_quadratic_gives_half_the_dimension():
    """λ = d/2, whatever the spectrum; the discrete step makes it ½ Σ 1/(1 − ε·nβ·h/4), exactly."""
    h, inverse, step = torch.linspace(0.2, 1, 10).double(), 100.0, 0.004
    value, error = coefficient(lambda w: ((h * w * w).sum(1) / 2, h * w), 10, 1500, 300, step, inverse)
    exact = (0.5 / (1 - step * inverse * h / 4)).sum().item()
    assert value == pytest.approx(exact, abs=3 * error)
    assert error < 0.02
    assert exact == pytest.approx(5, rel=0.1)


def test_pull_towards_the_start_lowers_it_by_a_known_amount():
    """Posterior precision nβh + γ: λ = ½ Σ nβh/(nβh + γ), with the discrete step's factor."""
    h, inverse, pull, step = torch.tensor([1.0, 0.1, 0.01]).double(), 100.0, 10.0, 0.005
    value, error = coefficient(lambda w: ((h * w * w).sum(1) / 2, h * w), 3, 1500, 300, step, inverse, pull)
    a = inverse * h + pull
    exact = (inverse * h / (2 * a * (1 - step * a / 4))).sum().item()
    assert value == pytest.approx(exact, abs=3 * error)
    assert error < 0.02


def test_singular_minimum_gives_less_than_half_the_dimension():
    """L = w₁⁴ + w₂²/10: real log canonical threshold 1/4 + 1/2, where a count of parameters says 1."""

    def slope(w):
        a, b = w.unbind(1)
        return a**4 + b**2 / 10, torch.stack([4 * a**3, b / 5], dim=1)

    value, error = coefficient(slope, 2, 3000, 600, 0.005, 100.0)
    assert value == pytest.approx(0.25 + 0.5 / (1 - 0.005 * 20 / 4), abs=3 * error + 0.005)
    assert error < 0.02
    assert value < 0.85


def test_a_chain_that_diverges_is_not_averaged():
    losses = sgld(lambda w, t: ((w**4).sum().item(), 4 * w**3), 1, 400, 5.0, 100.0, 0.0, draw())
    assert losses.isnan().any()


def test_r_hat_and_effective_size_of_independent_draws():
    kept = torch.randn(4, 2000, generator=draw(), dtype=torch.float64)
    assert split_r_hat(kept) == pytest.approx(1, abs=0.01)
    assert effective_size(kept) == pytest.approx(8000, rel=0.15)


def test_effective_size_of_an_autoregression():
    """x ← φx + z: N·(1 − φ)/(1 + φ) independent draws."""
    phi, x = 0.9, torch.zeros(4, 20_000, dtype=torch.float64)
    noise = torch.randn(4, 20_000, generator=draw(), dtype=torch.float64)
    for t in range(1, 20_000):
        x[:, t] = phi * x[:, t - 1] + noise[:, t]
    assert effective_size(x[:, 1000:]) == pytest.approx(4 * 19_000 * 0.1 / 1.9, rel=0.2)


def test_chains_at_different_places_do_not_agree():
    kept = torch.randn(4, 500, generator=draw(), dtype=torch.float64) + torch.arange(4)[:, None]
    assert split_r_hat(kept) > 1.5
    assert effective_size(kept) < 40


@pytest.mark.parametrize(("h", "expected"), [(0.05, 0.65), (1.0, 8.0), (10.0, 17.4)])
def test_a_pull_hides_flat_directions_from_the_regular_value(h, expected):
    """40 equal eigenvalues, 400 examples, γ = 100: d/2 would be 20 for all of them."""
    values, weights = torch.full((1,), h, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    assert regular(values, weights, 40, 400 / log(400), 100.0) == pytest.approx(expected, rel=0.01)
    assert regular(values, weights, 40, 400 / log(400), 0.0) == 20


def test_negative_and_vanishing_eigenvalues_count_as_0():
    values, weights = torch.tensor([-5.0, 0.0, 2.0]).double(), torch.full((3,), 1 / 3, dtype=torch.float64)
    assert regular(values, weights, 3, 10.0, 0.0) == pytest.approx(0.5)
    assert regular(values, weights, 3, 10.0, 20.0) == pytest.approx(0.25)


def test_the_density_gives_the_regular_value_that_the_eigenvalues_give():
    torch.manual_seed(0)
    x, y = torch.randn(200, 60), torch.randint(5, (200,))
    subject = Subject(
        nn.Linear(60, 5), Classification("mse"), {"forget": [(x[:20], y[:20])], "retain": [(x[20:], y[20:])]}
    )
    few, all_of_them = (
        {r.measure: r.value for r in LearningCoefficient(chains=2, steps=8, burn_in=0, probes=probes).measure(subject)}
        for probes in (4, 11)
    )
    assert few["llc_regular"] == pytest.approx(all_of_them["llc_regular"], rel=0.05)
    assert few["llc"] == all_of_them["llc"]


def linear():
    """Squared error of a linear layer at its minimum: a quadratic, regular in all 6 parameters."""
    x = torch.randn(60, 3, generator=draw(1))
    y = torch.randint(2, (60,), generator=draw(2))
    model = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        target = torch.nn.functional.one_hot(y).float()
        model.weight.copy_(torch.linalg.lstsq(x, target).solution.T)
    sets = {"forget": [(x[:10], y[:10])], "retain": [(x[10:], y[10:])]}
    return Subject(model, Classification("mse"), sets), x


def test_a_model_at_a_regular_minimum():
    subject, x = linear()
    settings = LearningCoefficient(chains=8, steps=2000, burn_in=400, localization=0.1)
    found = {r.measure: r.value for r in settings.measure(subject)}
    inverse = 60 / log(60)
    h = torch.linalg.eigvalsh(x.T @ x / 60).double().repeat(2)  # 2/C = 1
    a = inverse * h + 0.1
    assert found["llc_step_size"] == pytest.approx(0.5 / a.max().item(), rel=1e-3)
    exact = (inverse * h / (2 * a * (1 - found["llc_step_size"] * a / 4))).sum().item()
    assert found["llc"] == pytest.approx(exact, abs=0.15)
    assert found["llc_regular"] == pytest.approx((inverse * h / (2 * a)).sum().item(), rel=1e-4)
    assert found["llc_r_hat"] < 1.05
    assert found["llc_effective_size"] > 500
    assert found["llc_negative"] == 0
    assert found["llc_diverged"] == 0


def test_away_from_a_minimum_losses_fall_below_the_start():
    subject, _ = linear()
    with torch.no_grad():
        subject.model.weight.add_(2)
    found = {r.measure: r.value for r in LearningCoefficient(localization=0.1).measure(subject)}
    assert found["llc_negative"] > 0.9
    assert found["llc"] < 0


def slow_r_hat(chains):
    """Gelman et al. 2013, section 11.4, on the halves of each chain; the middle draw of an odd number is left out."""
    half = len(chains[0]) // 2
    parts = [part for chain in chains for part in (chain[:half], chain[-half:])]
    means = [sum(part) / half for part in parts]
    variances = [sum((x - m) ** 2 for x in part) / (half - 1) for part, m in zip(parts, means, strict=True)]
    grand, within = sum(means) / len(means), sum(variances) / len(parts)
    between = half * sum((m - grand) ** 2 for m in means) / (len(parts) - 1)
    return (((half - 1) / half * within + between / half) / within) ** 0.5


def slow_effective_size(chains):
    """Section 11.5: autocovariances by a double loop, summed by pairs of lags up to the first negative pair."""
    m, n = len(chains), len(chains[0])
    means = [sum(chain) / n for chain in chains]
    within = sum(sum((x - mu) ** 2 for x in chain) / (n - 1) for chain, mu in zip(chains, means, strict=True)) / m
    grand = sum(means) / m
    total = (n - 1) / n * within + (sum((mu - grand) ** 2 for mu in means) / (m - 1) if m > 1 else 0)
    rho = []
    for lag in range(n):
        products = [
            sum((chain[t] - mu) * (chain[t + lag] - mu) for t in range(n - lag)) / n
            for chain, mu in zip(chains, means, strict=True)
        ]
        rho.append(1 - (within - sum(products) / m * n / (n - 1)) / total)
    time = -1.0
    for k in range(0, n // 2 * 2, 2):
        if rho[k] + rho[k + 1] < 0:
            break
        time += 2 * (rho[k] + rho[k + 1])
    return m * n / max(time, 1.0)


@pytest.mark.parametrize(("count", "steps"), [(1, 9), (2, 8), (3, 7), (2, 40), (4, 25)])
@pytest.mark.parametrize("smooth", [0.0, 0.8])
def test_diagnostics_of_short_chains_against_loops(count, steps, smooth):
    rows = torch.randn(count, steps, generator=draw(steps), dtype=torch.float64)
    for t in range(1, steps):
        rows[:, t] += smooth * rows[:, t - 1]
    assert split_r_hat(rows) == pytest.approx(slow_r_hat(rows.tolist()), rel=1e-10)
    assert effective_size(rows) == pytest.approx(slow_effective_size(rows.tolist()), rel=1e-8)


def test_chains_that_alternate_are_worth_their_length():
    """Their first pair of lags is negative already."""
    rows = torch.tensor([1.0, -1.0] * 4, dtype=torch.float64).repeat(2, 1)
    assert effective_size(rows) == 16


@pytest.mark.parametrize(("burn_in", "valid"), [(4, True), (5, False), (9, False)])
def test_four_draws_must_count(burn_in, valid):
    if valid:
        assert LearningCoefficient(steps=8, burn_in=burn_in).burn_in == burn_in
    else:
        with pytest.raises(ValueError, match=f"burn_in: {burn_in} leaves under 4 of 8 steps"):
            LearningCoefficient(steps=8, burn_in=burn_in)


def few(forget, retain, scale=1.0):
    x = scale * torch.randn(forget + retain, 3, generator=draw(1))
    y = torch.arange(forget + retain) % 2
    model = nn.Linear(3, 2, bias=False)
    nn.init.constant_(model.weight, 0.1)
    sets = {"forget": [(x[:forget], y[:forget])], "retain": [(x[forget:], y[forget:])]}
    return Subject(model, Classification("mse"), sets), x


@pytest.mark.parametrize(("forget", "retain", "measured"), [(1, 1, False), (1, 2, True), (2, 1, True)])
def test_three_examples_are_the_fewest(forget, retain, measured):
    readings = LearningCoefficient(chains=2, steps=8, burn_in=0).measure(few(forget, retain)[0])
    assert bool(readings) == measured
    assert {reading.examples for reading in readings} <= {3}


def test_the_step_follows_a_curvature_far_below_one():
    subject, x = few(20, 40, scale=0.1)
    settings = LearningCoefficient(chains=2, steps=8, burn_in=0, localization=0.01)
    (step,) = (r.value for r in settings.measure(subject) if r.measure == "llc_step_size")
    sharpest = torch.linalg.eigvalsh(x.T @ x / 60).max().item()
    assert step == pytest.approx(0.5 / (60 / log(60) * sharpest + 0.01), rel=1e-3)


def test_every_batch_is_compared_with_itself():
    """Without a step worth the name no batch's loss changes, though those of two batches differ."""
    subject, _ = few(20, 40)
    settings = LearningCoefficient(chains=2, steps=12, burn_in=0, step_size=1e-16, batch_size=20)
    values = {r.measure: r.value for r in settings.measure(subject)}
    assert abs(values["llc"]) < 1e-4
    assert values["llc_sd"] < 1e-4


def test_the_start_of_a_chain_is_not_below_itself():
    subject, _ = linear()
    values = {r.measure: r.value for r in LearningCoefficient(chains=2, burn_in=0).measure(subject)}
    assert values["llc_negative"] == 0
    assert 0 < values["llc_sd"] < values["llc"]
