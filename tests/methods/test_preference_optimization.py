"""Preference optimization by hand."""

import math

import pytest

from ungrok.core.causal_lm import CausalLM
from ungrok.methods.preference_optimization import PreferenceOptimization


def test_refusals_are_learned_and_counted(lm):
    """One token of the true answer, two of the refusal."""
    batch, method = lm.batch(1, refusal=lm.batch(3, 3)), PreferenceOptimization()
    material = lm.material()
    material.model.table.data = material.model.table.data[[0, 1, 0, 0]]
    assert method.forget_values(material, batch).tolist() == pytest.approx([math.log(8), math.log(8)])
    assert method.count(CausalLM(), batch) == 2
