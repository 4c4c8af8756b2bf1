"""The 1,797 8x8 digit images that ship with scikit-learn: real data without a download."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field

from ungrok.data.base import PROBLEMS, Problem, Split
from ungrok.data.parts import cut


@PROBLEMS.register
class Digits(Problem):
    """scikit-learn digits, 1,797 grey images of 8x8 pixels in 10 classes, shipped with the library.

    Inputs are float32 of shape (n, 1, 8, 8) in [0, 1]; the test split is all that training and validation leave.
    Source: UCI "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998), its test part.
    """

    kind: Literal["digits"] = "digits"
    train_size: int = Field(400, ge=10, le=1700, description="training images")
    validation_size: int = Field(400, ge=10, le=1700, description="validation images")

    def pool(self) -> tuple[Self, int]:
        """Return the problem with ``train_size`` doubled, and ``train_size``."""
        return self._with(train_size=2 * self.train_size), self.train_size

    def splits(self) -> tuple[Split, Split, Split, int]:
        """Return the three splits and 10."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        inputs = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
        whole = Split(inputs, torch.tensor(labels, dtype=torch.int64))
        sizes = {"train_size": self.train_size, "validation_size": self.validation_size, "test": None}
        train, validation, test = cut(whole, sizes, self.data_seed)
        return train, validation, test, 10
