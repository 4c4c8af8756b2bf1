"""Analyses of the features in every layer."""

from __future__ import annotations

from itertools import islice

from pydantic import Field

from ungrok.analyze.base import Analysis, Subject, select
from ungrok.core.activations import features
from ungrok.core.errors import NotApplicable


class OfLayers(Analysis):
    """An analysis that reads :func:`ungrok.core.activations.features`."""

    layers: bool = Field(True, description="every activation; otherwise penultimate layer and logits only")

    def check(self, subject: Subject) -> None:
        """Raise NotApplicable if a layer does not keep the examples apart."""
        for batch in islice((batch for role in subject.sets for batch in subject.batches(role)), 1):
            try:
                features(subject.model, select(batch, slice(2)), subject.objective, layers=self.layers)
            except NotApplicable as error:
                raise NotApplicable(f"{self.kind}: {error}; layers: false leaves such layers out") from None
