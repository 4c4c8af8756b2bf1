"""Data splits, device-resident batches and forget splits."""

from ungrok.data.augment import Augment
from ungrok.data.base import PROBLEMS, Data, Problem, Split
from ungrok.data.batches import TensorBatches
from ungrok.data.forget import FORGET_RULES, ForgetRule, ForgetSplit

__all__ = [
    "FORGET_RULES",
    "PROBLEMS",
    "Augment",
    "Data",
    "ForgetRule",
    "ForgetSplit",
    "Problem",
    "Split",
    "TensorBatches",
]
