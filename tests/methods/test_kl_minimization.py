"""KL minimization by hand."""

import math

import pytest
import torch

from ungrok.methods.answers import divergence
from ungrok.methods.kl_minimization import KLMinimization


def test_divergence_by_hand(lm):
    """Probabilities (1/8, 1/2, 1/4, 1/8) of the teacher, (1/8, 1/4, 1/2, 1/8) of the student."""
    teacher, student = (torch.tensor([rows[0]]).log() for rows in (lm.original, lm.live))
    assert divergence(teacher, student).item() == pytest.approx(math.log(2) / 2 - math.log(2) / 4)
    assert divergence(teacher + 3, teacher).item() == pytest.approx(0, abs=1e-6)


def test_the_original_is_the_teacher(lm):
    """The second token's divergence is that from uniform: −log 4 − (log(1/4)·2 + log(1/16) + log(7/16))/4."""
    first, second = KLMinimization().retain_values(lm.material(), lm.batch(1, 3)).tolist()
    assert first == pytest.approx(math.log(2) / 4)
    assert second == pytest.approx(-math.log(4) - math.log(1 / 4 * 1 / 4 * 1 / 16 * 7 / 16) / 4)


def test_forgetting_is_ascent(lm):
    assert KLMinimization().forget_values(lm.material(), lm.batch(1)).tolist() == pytest.approx([-math.log(4)])
