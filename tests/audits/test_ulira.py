"""U-LiRA: the slow obvious version, closed forms, and a null of one half at any number of models."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.metrics import roc_auc_score

import ungrok
from ungrok.audits.ulira import single_aucs, ulira
from ungrok.core.errors import RecipeError


def slow(unlearned, never, density):
    """Return scores of both sides, one fit for each model and example."""
    scores = np.empty_like(unlearned), np.empty_like(never)
    for k in range(max(len(unlearned), len(never))):
        i, j = k % len(unlearned), k % len(never)
        for example in range(unlearned.shape[1]):
            fits = []
            for side, left_out in ((unlearned, i), (never, j)):
                others = np.delete(side[:, example], left_out)
                if density == "gaussian":
                    fits.append(stats.norm(others.mean(), others.std(ddof=1)).pdf)
                else:
                    fits.append(stats.gaussian_kde(others))
            for own, side, row in ((scores[0], unlearned, i), (scores[1], never, j)):
                if row == k:
                    p, q = (float(np.squeeze(fit(side[row, example]))) for fit in fits)
                    own[row, example] = p / (p + q)
    return scores


@pytest.mark.parametrize("density", ["gaussian", "kernel"])
@pytest.mark.parametrize("sizes", [(6, 6), (7, 5), (4, 9)])
def test_scores_are_those_of_the_obvious_version(density, sizes):
    rng = np.random.default_rng(0)
    unlearned, never = rng.normal(1, 1.5, (sizes[0], 3)), rng.normal(size=(sizes[1], 3))
    outcome = ulira(unlearned, never, density=density, draws=2)
    for side, expected in zip(outcome.scores, slow(unlearned, never, density), strict=True):
        assert_allclose(side, expected, atol=1e-9)


@pytest.mark.parametrize("density", ["gaussian", "kernel"])
def test_two_unit_normals_one_deviation_apart(density):
    rng = np.random.default_rng(1)
    models, examples = (300, 40) if density == "gaussian" else (120, 20)
    outcome = ungrok.audits.ulira(
        rng.normal(1, 1, (models, examples)), rng.normal(size=(models, examples)), density=density, draws=2
    )
    accuracy, auc = stats.norm.cdf(0.5), stats.norm.cdf(0.5**0.5)
    spread = (models * examples) ** -0.5
    assert outcome.accuracy == pytest.approx(accuracy, abs=4 * spread * 0.5**0.5 * 0.47 + 0.003)
    assert outcome.auc == pytest.approx(auc, abs=4 * spread * 0.42 + 0.004)
    low, high = outcome.interval
    assert low < auc < high
    assert outcome.values.shape == (examples,)
    assert outcome.values.mean() == pytest.approx(outcome.auc, abs=0.02)


@pytest.mark.parametrize("models", [8, 32])
def test_models_that_never_saw_the_examples_give_one_half(models):
    rng = np.random.default_rng(models)
    aucs = [ulira(*rng.normal(size=(2, models, 50)), draws=2) for _ in range(24)]
    values = np.array([outcome.auc for outcome in aucs])
    assert abs(values.mean() - 0.5) < 4 * stats.sem(values)
    assert stats.sem(values) < 0.006
    assert sum(low <= 0.5 <= high for low, high in (outcome.interval for outcome in aucs)) >= 20


def test_the_null_is_that_of_models_that_change_sides():
    rng = np.random.default_rng(3)
    outcome = ulira(rng.normal(3, 1, (12, 20)), rng.normal(size=(10, 20)), draws=60)
    assert outcome.null.models == (12, 10)
    assert abs(outcome.null.mean - 0.5) < 4 * stats.sem(outcome.null.draws)
    assert outcome.auc > 0.95 > 0.5 + outcome.null.upper
    assert outcome.excess_interval.low > outcome.null.upper


def test_rates_at_few_false_positives_are_pooled():
    rng = np.random.default_rng(4)
    outcome = ulira(rng.normal(2, 1, (20, 60)), rng.normal(size=(20, 60)), draws=2)
    members, others = outcome.scores
    order = np.sort(others, axis=None)[::-1]
    assert outcome.tpr_at_0_01 == (members > order[12]).mean()
    assert outcome.tpr_at_0_001 == (members > order[1]).mean()
    assert np.isnan(ulira(members[:, :4], others[:, :4], draws=2).tpr_at_0_01)


def test_no_variance_is_defined():
    same = np.ones((6, 3))
    for density in ("gaussian", "kernel"):
        equal, apart = ulira(same, same, density=density, draws=2), ulira(same, same + 1, density=density, draws=2)
        assert (equal.scores[0] == 0.5).all()
        assert (equal.auc, equal.accuracy) == (0.5, 0.5)
        assert (apart.auc, apart.accuracy) == (1.0, 1.0)
        assert apart.interval.low == pytest.approx(0.025 ** (1 / 6))


def test_areas_of_single_examples():
    members, others = np.random.default_rng(5).integers(0, 5, (2, 9, 4)).astype(float)
    labels = np.repeat([1, 0], 9)
    expected = [roc_auc_score(labels, np.r_[members[:, e], others[:, e]]) for e in range(4)]
    assert_allclose(single_aucs(members, others), expected)


def test_more_models_than_these_are_needed_where_little_was_there_to_forget():
    rng = np.random.default_rng(6)
    never = rng.normal(size=(40, 30))
    far, near = (
        ulira(rng.normal(shift, 1, (40, 30)), never, original=rng.normal(shift, 1, (40, 30)), draws=40)
        for shift in (3, 0.7)
    )
    assert far.needed.models < near.needed.models
    assert far.needed.value > 0.45
    assert [*far.needed.null] == [4, 7, 12, 20]


def test_what_is_refused():
    with pytest.raises(RecipeError, match="density: 'normal' is none of"):
        ulira(np.zeros((4, 1)), np.zeros((4, 1)), density="normal")
    with pytest.raises(RecipeError, match="original: 2 models"):
        ulira(np.zeros((4, 1)), np.zeros((4, 1)), original=np.zeros((2, 1)))
