"""Fewer examples between the ends of a path: what is drawn, how it is scored, and how rows are read from it.

The first and the last place of a path are scored on all examples. Between them a mean is estimated by that of all examples at the
first place, moved by as much as the mean of the drawn ones has moved since (the difference estimator: Cochran, Sampling
Techniques, 3rd ed. 1977, section 7.10). It has no bias, and all rows of a path can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ungrok.core.objective import Objective
from ungrok.core.scores import Scores
from ungrok.core.seeds import generator
from ungrok.data.base import Data, Split

DRAWN = "drawn"
"""In the tensors of a path, ``<split>.drawn``: the examples that are scored at every place, int64 of shape (n,), ascending."""
WHOLE = "whole"
"""In the tensors of a path: which places are scored on all examples, bool of shape (places,)."""


@dataclass(frozen=True)
class Drawn:
    """The examples that are scored at every place of a path.

    Args:
        index: By split: int64 of shape (n,), ascending.
        parts: By split: those examples.
        counts: By split: the number of all examples.

    """

    index: dict[str, Tensor]
    parts: dict[str, Split]
    counts: dict[str, int]

    @classmethod
    def of(cls, data: Data, forget: Tensor, retain: Tensor, numbers: Mapping[str, int | None], seed: int) -> Drawn:
        """Draw examples: all that are forgotten, and of ``retain``, ``validation`` and ``test`` as many as are asked for.

        Args:
            data: All data of the problem.
            forget: int64 indices into the training data.
            retain: int64 indices into the training data.
            numbers: How many to draw of each set; all where it is None or more than there are.
            seed: Seed of the draws; that of each set also depends on its name.

        """

        def some(name: str, index: Tensor) -> Tensor:
            order = torch.randperm(len(index), generator=generator(seed, f"scored of {name}"))
            return index[order[: numbers[name]]].sort().values

        splits: dict[str, Split] = {"train": data.train, "validation": data.validation, "test": data.test}
        index = {name: some(name, torch.arange(len(splits[name]))) for name in ("validation", "test")}
        index = {"train": torch.cat([forget.cpu(), some("retain", retain.cpu())]).sort().values, **index}
        parts = {name: split.of(index[name]) for name, split in splits.items()}
        return cls(index, parts, {name: len(split) for name, split in splits.items()})

    def prepared(self, *, channels_last: bool) -> Drawn:
        """Return the same examples for many passes; see :meth:`ungrok.data.base.Split.prepared`."""
        parts = {name: part.prepared(channels_last=channels_last) for name, part in self.parts.items()}
        return replace(self, parts=parts)

    def score(self, model: nn.Module, objective: Objective, batch_size: int) -> dict[str, Scores]:
        """Return a model's scores on the drawn examples of each split; see :meth:`ungrok.data.base.Split.score`."""
        return {name: part.score(model, objective, batch_size, keep_logits=False) for name, part in self.parts.items()}

    def spread(self, scores: Mapping[str, Scores]) -> dict[str, Scores]:
        """Return such scores in the places that the examples have among all, where the others are not known."""
        return {name: part.spread(self.index[name], self.counts[name]) for name, part in scores.items()}

    def tensors(self) -> dict[str, Tensor]:
        """Return the draw as it stands beside the scores of a path."""
        return {f"{name}.{DRAWN}": index for name, index in self.index.items()}


def restricted(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the scores of a path on the drawn examples alone, and the places of ``forget`` and ``retain`` among them.

    Args:
        tensors: Those of a path: scores, ``forget``, ``retain`` and the draw.

    """
    part: dict[str, Tensor] = {}
    for name, value in tensors.items():
        split, _, kind = name.partition(".")
        if kind in ("", DRAWN, "logits"):
            continue
        part[name] = value[..., tensors[f"{split}.{DRAWN}"]]
    index = tensors[f"train.{DRAWN}"]
    for role in ("forget", "retain"):
        part[role] = torch.isin(index, tensors[role]).nonzero().squeeze(1)
    return part


def estimated(
    now: Mapping[str, float | None], start: Mapping[str, float | None], whole: Mapping[str, float | None]
) -> dict[str, float | None]:
    """Return means over all examples, estimated from those over the drawn ones.

    What is measured on the forget data alone is left as it is, since all of them are drawn. Accuracies and strengths stay in [0, 1], losses
    at 0 or above.

    Args:
        now: By name: of the drawn examples at a place.
        start: Of the drawn examples at the first place.
        whole: Of all examples at the first place.

    """

    def estimate(name: str) -> float | None:
        there, here, before = whole[name], now[name], start[name]
        if name == "UA" or "forget" in name or here is None:
            return here
        if there is None or before is None:
            return None
        value = max(0.0, there + (here - before))
        return value if name.endswith("loss") else min(1.0, value)

    return {name: estimate(name) for name in now}
