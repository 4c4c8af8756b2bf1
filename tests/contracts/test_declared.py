"""What methods declare beside their settings: how long a path is by default, and whether it starts from fresh weights."""

import re
from types import SimpleNamespace

import pytest

from ungrok.methods import UNLEARNERS, Iterative

KINDS = [kind for kind in UNLEARNERS.names() if UNLEARNERS.get(kind).__module__.startswith("ungrok.")]  # no plug-ins
LENGTHS = {
    "alt_po": (5, 10),
    "amnesiac": (3, 15),
    "bad_teacher": (1, 1),
    "boundary_expand": (10, 20),
    "boundary_shrink": (10, 20),
    "catastrophic_forgetting_k": (10, 30),
    "ce_u": (5, 10),
    "ct": (3, 9),
    "delete": (20, 40),
    "exact_unlearning_k": (10, 30),
    "finetune": (10, 30),
    "gradient_ascent": (5, 10),
    "gradient_difference": (5, 10),
    "idk_dpo": (5, 10),
    "jit": (1, 2),
    "kl_minimization": (5, 10),
    "l1_sparse": (10, 30),
    "msg": (5, 15),
    "munba": (10, 30),
    "nabla_tau": (5, 15),
    "neggrad_plus": (5, 15),
    "noisy_finetune": (50, 150),
    "npo": (5, 10),
    "output_perturbation": (10, 30),
    "pdu": (10, 20),
    "preference_optimization": (5, 10),
    "random_label": (10, 50),
    "retrain": (30, 90),
    "rmu": (5, 10),
    "salun": (10, 50),
    "sat_imp": (5, 10),
    "scrub": (3, 13),  # two epochs begin with a pass over the forget batches
    "simnpo": (5, 10),
    "undial": (5, 10),
    "unsir": (2, 6),
    "weight_attenuation": (100, 300),
    "weight_distortion": (100, 300),
    "weight_dropout": (100, 300),
    "wga": (5, 10),
}
"""Epochs of a path by default, and its updates where forget has two batches and retain three."""

FRESH = ("retrain", "exact_unlearning_k", "msg")


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_is_as_long_as_documented(kind):
    cls = UNLEARNERS.get(kind)
    assert issubclass(cls, Iterative) == (kind in LENGTHS)
    if kind in LENGTHS:
        sets = SimpleNamespace(forget=["a", "b"], retain=["c", "d", "e"])
        assert (cls.default_epochs, cls().budget(sets)) == LENGTHS[kind]
        documented = re.findall(r"\b(\d+) epochs?\b", cls.__doc__.partition("Defaults:")[2])
        assert not documented or documented[0] == str(cls.default_epochs)


@pytest.mark.parametrize("kind", KINDS)
def test_what_starts_from_fresh_weights(kind):
    assert UNLEARNERS.get(kind).from_scratch == (kind in FRESH)


def test_every_length_is_that_of_a_method():
    assert set(LENGTHS) <= set(KINDS)
    assert set(FRESH) <= set(KINDS)
