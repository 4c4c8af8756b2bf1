"""Signals of stored logits: closed forms, and extremes that float32 probabilities lose."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from ungrok.audits.signals import correctness, margins, probabilities
from ungrok.core.errors import RecipeError


def test_a_probability_of_one_half_has_margin_zero():
    logits = np.log([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
    assert_allclose(margins(logits, [0, 1]), [0, 0], atol=1e-15)
    assert_allclose(probabilities(logits, [0, 2]), [0.5, 0.3])


def test_the_margin_is_the_logit_of_the_true_class_probability():
    logits = np.random.default_rng(0).normal(size=(3, 5, 4))
    targets = np.array([0, 1, 2, 3, 0])
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    true = np.take_along_axis(p, targets[None, :, None], axis=-1)[..., 0]
    assert_allclose(margins(logits, targets), np.log(true) - np.log(1 - true), atol=1e-12)
    assert_allclose(probabilities(logits, targets), true)


def test_extremes_stay_finite_in_float16():
    logits = np.array([[60000.0, -60000.0, 0.0]], dtype=np.float16)
    assert margins(logits, [0]) == pytest.approx(np.float64(np.float16(60000)))
    assert margins(logits, [1]) == pytest.approx(-2 * np.float64(np.float16(60000)))


def test_correctness_takes_the_largest_logit():
    logits = np.array([[[1.0, 2.0], [3.0, 0.0]], [[2.0, 1.0], [3.0, 0.0]]])
    assert correctness(logits, [1, 0]).tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (np.zeros((2, 3)), [0, 1, 0], "do not fit together"),
        (np.zeros((2, 1)), [0, 0], "do not fit together"),
        (np.zeros((2, 3)), [0, 3], "classes 0 to 2 are there, not 0 to 3"),
    ],
)
def test_what_does_not_fit_is_refused(logits, targets, message):
    with pytest.raises(RecipeError, match=message):
        margins(logits, targets)


def test_a_diverged_model_has_no_answer():
    with pytest.raises(RecipeError, match="diverged"):
        correctness(np.array([[np.nan, 0.0]]), [0])
    assert np.isnan(margins(np.array([[np.nan, 0.0]]), [0]))
