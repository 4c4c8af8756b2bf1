"""Unlearning methods: one file each, one contract, one registry, which finds them in this folder."""

from ungrok.methods.base import UNLEARNERS, Iterative, OneShot, Unlearner
from ungrok.methods.material import Material, length
from ungrok.methods.path import Step, UnlearningPath
from ungrok.methods.run import unlearn, unlearning_path

__all__ = [
    "UNLEARNERS",
    "Iterative",
    "Material",
    "OneShot",
    "Step",
    "Unlearner",
    "UnlearningPath",
    "length",
    "unlearn",
    "unlearning_path",
]
