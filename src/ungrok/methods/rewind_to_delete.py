"""Rewind-to-delete: back to an earlier model of the training, and on again without the forget set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator

from ungrok.core.entrance import check_own, entering
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.seeds import PrivateRandomState
from ungrok.methods.base import UNLEARNERS, Family, Unlearner
from ungrok.methods.material import Material, Role
from ungrok.methods.path import Step


@UNLEARNERS.register
class RewindToDelete(Unlearner):
    """Go back along the training to the model of k updates ago, and make these k updates again on the retain set alone.

    Formula: ``θ_{T−k}`` of the training that gave ``θ_T``; from there k updates of that training's own loop on retain, its optimizer going on
    from the state that it had. All updates back is retraining, bit for bit.
    Paper: Mu & Klabjan 2025 (arXiv 2409.09778), R2D.
    Public source: anonymous-1234567/r2d (MIT), its script for checkpoints.
    Deviations: the paper trains by plain gradient descent; here it is whatever loop the training had. The noise that it adds at the end,
    by which it certifies (ε, δ)-unlearning, is left out, so that nothing is certified.
    Defaults: share 0.5, ours. ``updates`` beyond those of the training count as all of them.
    Cost: k updates on retain data, and what it takes to get the earlier model; none over the forget data.

    The path begins at the earlier model, so that it is judged at its end. Its places are after 1, 2, …, k updates.
    """

    needs: ClassVar[tuple[str, ...]] = ("rewound",)
    reads: ClassVar[tuple[Role, ...]] = ()
    family: ClassVar[Family] = "retain"
    self_stopping: ClassVar[bool] = True
    kind: Literal["rewind_to_delete"] = "rewind_to_delete"
    share: float | None = Field(
        None, gt=0, le=1, description="share of the training's updates to go back; give this or updates"
    )
    updates: int | None = Field(None, ge=1, description="updates to go back")
    default_share: ClassVar[float] = 0.5

    @model_validator(mode="after")
    def _one_length(self) -> Any:
        if self.share is not None and self.updates is not None:
            raise ValueError(f"share {self.share} and updates {self.updates}: give either share or updates")
        return self

    def budget(self, material: Material) -> int:
        """Return how many updates to go back.

        Raises:
            RecipeError: If a share is asked for and ``rewound`` does not say of how many updates.
            NotApplicable: If the training has made no update.

        """
        made: int | None = getattr(material.rewound, "updates", None)
        if made is None:
            if self.updates is None:
                raise RecipeError(
                    f"{self.kind}: rewound has no attribute updates, of which to go back a share; give updates= to the method instead"
                )
            return self.updates
        if made == 0:
            raise NotApplicable(f"{self.kind}: the model has made no update that could be taken back")
        if self.updates is not None:
            return min(self.updates, made)
        return max(1, round((self.share or self.default_share) * made))

    def steps(self, material: Material) -> Iterator[Step]:
        """Yield after every update of the training's loop; each place is copied into the live model."""
        assert material.rewound is not None
        back, random = self.budget(material), PrivateRandomState(material.seed)
        with random, entering("rewound", "it cannot go back"):
            places = iter(material.rewound(back))
        for made in range(back + 1):
            with random, torch.enable_grad(), entering("rewound", "it cannot go on"):
                place = next(places, None)
            if place is None:
                raise RecipeError(
                    f"rewound: ended after {made} models; allowed: {back + 1}, that of {back} updates ago and one per update"
                )
            earlier = check_own("rewound", place, material.original, "a model of its own, as it was earlier")
            material.renew(material.model, earlier)
            if made:
                yield Step(made, made, material.model)
