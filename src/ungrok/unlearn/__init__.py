"""Unlearning methods: one file each, one contract, one registry."""

from ungrok.unlearn import finetune, fisher, gradient_ascent, nabla_tau, neggrad_plus, scrub
from ungrok.unlearn.base import UNLEARNERS, Iterative, Material, OneShot, Path, Step, Unlearner

__all__ = [
    "UNLEARNERS",
    "Iterative",
    "Material",
    "OneShot",
    "Path",
    "Step",
    "Unlearner",
    "finetune",
    "fisher",
    "gradient_ascent",
    "nabla_tau",
    "neggrad_plus",
    "scrub",
]
