"""Exact unlearning-k: the last blocks retrained."""

from __future__ import annotations

from typing import ClassVar, Literal

from ungrok.methods.base import UNLEARNERS
from ungrok.methods.blocks import LastBlocks
from ungrok.methods.material import Material


@UNLEARNERS.register
class ExactUnlearningK(LastBlocks):
    """Give the last k blocks fresh weights and train only those on the retain set.

    Formula: as catastrophic forgetting-k, from ``factory()``'s weights in the last k blocks.
    Paper: Goel et al. 2022 (arXiv 2201.06640), EU-k.
    Public source: meghdadk/SCRUB, ``euk_unlearn`` and ``fk_fientune``.
    Deviations: those of catastrophic forgetting-k. Batch-norm statistics of the last blocks start fresh too; the source keeps them.
    For its all-convolutional network the source renews the classifier and leaves it frozen; here what is renewed is trained.
    Defaults: k 1; SGD 0.01 without momentum or weight decay, as in the source; 10 epochs, where the source takes as many as the
    original training (25 to 50).
    Cost: one pass over the retain data per epoch, none over the forget data.
    """

    needs: ClassVar[tuple[str, ...]] = ("retain", "factory")
    from_scratch: ClassVar[bool] = True
    kind: Literal["exact_unlearning_k"] = "exact_unlearning_k"

    def begin(self, material: Material) -> None:
        """Copy fresh weights and buffers into the last k blocks; frozen parameters stay."""
        fresh = material.fresh()
        for name in self.names(material.model):
            material.renew(material.model.get_submodule(name), fresh.get_submodule(name))
