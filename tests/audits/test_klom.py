"""KLoM: closed forms, the published histogram form written out slowly, and the bias that the null shows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from ungrok.audits.klom import klom
from ungrok.core.errors import RecipeError


def slow_histogram(unlearned, oracle, *, keep_top, renormalize):
    """Return the divergence of one example from its margins, bin by bin."""
    p_values, q_values = np.clip(unlearned, -100, 100), np.clip(oracle, -100, 100)
    low, high = min(p_values.min(), q_values.min()), max(p_values.max(), q_values.max())
    edges = np.linspace(low, high if high > low else low + 1, 21)
    shares = []
    for values in (p_values, q_values):
        places = np.digitize(values, edges)
        if keep_top:
            places = np.minimum(places, 20)
        counts = np.array([(places == bin_).sum() for bin_ in range(1, 21)])
        shares.append(counts / max(counts.sum(), 1))
    p, q = shares
    q = np.where(p > 0, np.maximum(q, 1e-5), q)
    if renormalize:
        return stats.entropy(p, q)
    return sum(p[bin_] * np.log(p[bin_] / q[bin_]) for bin_ in range(20) if p[bin_] > 0)


@pytest.mark.parametrize(
    ("form", "keep_top", "renormalize"),
    [("histogram", False, False), ("histogram_all", True, False), ("histogram_renormalized", False, True)],
)
def test_histograms_are_those_of_the_slow_version(form, keep_top, renormalize):
    rng = np.random.default_rng(0)
    unlearned, oracle = rng.normal(0, 40, (30, 25)), rng.normal(10, 40, (35, 25))
    oracle[:, 0], unlearned[0, 1] = unlearned[:1, 0], oracle[:, 1].max()
    values = klom(unlearned, oracle, form=form, draws=2).values
    expected = [
        slow_histogram(unlearned[:, e], oracle[:, e], keep_top=keep_top, renormalize=renormalize) for e in range(25)
    ]
    assert_allclose(values, expected, atol=1e-12)


def test_the_gaussian_form_is_exact():
    unlearned, oracle = np.array([[0.0], [1.0], [2.0], [5.0]]), np.array([[1.0], [3.0], [4.0], [4.0]])
    m, s, n, t = unlearned.mean(), unlearned.std(ddof=1), oracle.mean(), oracle.std(ddof=1)
    expected = np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5
    assert klom(unlearned, oracle, draws=2).values == pytest.approx(expected, abs=1e-12)
    assert klom(oracle, oracle, draws=2).values == pytest.approx(0, abs=1e-12)


def test_one_deviation_apart_is_one_half():
    rng = np.random.default_rng(1)
    unlearned, oracle = rng.normal(1, 1, (1000, 200)), rng.normal(size=(1000, 200))
    values = klom(unlearned, oracle, draws=2).values
    assert values.mean() == pytest.approx(0.5, abs=4 * stats.sem(values) + 0.003)


@pytest.mark.parametrize(("models", "bias"), [(10, 5.57), (50, 0.88), (100, 0.34), (200, 0.15), (1000, 0.023)])
def test_the_published_form_has_its_known_bias_between_equal_models(models, bias):
    values = klom(
        *np.random.default_rng(models).normal(size=(2, models, 100 if models > 100 else 500)), form="histogram", draws=2
    ).values
    # The known values are rounded, and were sampled as well.
    assert values.mean() == pytest.approx(bias, abs=4 * stats.sem(values) * 2**0.5 + 0.005)


def test_the_published_form_one_deviation_apart():
    rng = np.random.default_rng(2)
    values = klom(rng.normal(1, 1, (100, 500)), rng.normal(size=(100, 500)), form="histogram", draws=2).values
    assert values.mean() == pytest.approx(1.14, abs=4 * stats.sem(values) * 2**0.5 + 0.005)


@pytest.mark.parametrize("models", [10, 100])
def test_the_gaussian_form_has_the_bias_of_an_f_distribution(models):
    n = models
    values = klom(*np.random.default_rng(models).normal(size=(2, n, 3000)), draws=2).values
    expected = (1 + 2 / n) * (n - 1) / (n - 3) / 2 - 0.5
    assert expected == pytest.approx({10: 0.271, 100: 0.0205}[n], abs=5e-4)
    assert values.mean() == pytest.approx(expected, abs=4 * stats.sem(values))


def test_constants_show_what_public_codes_do_with_the_largest_value():
    low, high = np.full((6, 1), -1.0), np.full((6, 1), 1.0)
    nats = np.log(1e5)
    for form, forward, backward in [
        ("histogram", nats, 0.0),
        ("histogram_all", nats, nats),
        ("histogram_renormalized", 0.0, np.nan),
    ]:
        assert_allclose(klom(low, high, form=form, draws=2).values, forward, atol=1e-12)
        assert_allclose(klom(high, low, form=form, draws=2).values, backward, atol=1e-12)
        assert klom(low, low, form=form, draws=2).values == 0
    assert klom(low, low, draws=2).values == 0
    assert np.isfinite(klom(low, high, draws=2).values).all()


def test_the_summary_is_a_quantile_and_the_null_half_as_many_oracles():
    rng = np.random.default_rng(3)
    unlearned, oracle = rng.normal(2, 1, (24, 80)), rng.normal(size=(24, 80))
    outcome = klom(unlearned, oracle, draws=30, original=unlearned)
    assert outcome.p95 == outcome.value == np.quantile(outcome.values, 0.95)
    assert outcome.mean == outcome.values.mean()
    assert outcome.null.models == (12, 12)
    assert 0 < outcome.null.mean < outcome.interval.low < outcome.p95 < outcome.interval.high
    assert outcome.needed.models > 4


def test_what_is_refused():
    with pytest.raises(RecipeError, match="form: 'bins' is none of gaussian, histogram"):
        klom(np.zeros((4, 1)), np.zeros((4, 1)), form="bins")
