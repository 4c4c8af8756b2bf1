"""Linear CKA of two models on the same examples, and the paper's CKA of forget against retain."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import mean
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.analyze.base import ANALYSES, ROLES, Null, Reading, Subject
from ungrok.analyze.layers import OfLayers
from ungrok.analyze.similarity import (
    Rows,
    center,
    cka,
    isometric,
    linear_cka,
    participation_ratio,
    unpaired_expectation,
)
from ungrok.core.activations import features
from ungrok.core.seeds import generator


def _drawn(x: Tensor, draw: torch.Generator, count: int | None = None) -> Tensor:
    return x[torch.randperm(len(x), generator=draw)[:count].to(x.device)]


@ANALYSES.register
class CKA(OfLayers):
    """Linear CKA, per layer, of the model and each reference model on the same examples.

    ``cka`` is unbiased, ``cka_biased`` is not; null ``unpaired``: the rows of one side shuffled, which shows what the estimator
    gives for features that share nothing. A reference is another stage, the oracle, or the model before unlearning.
    Source: Kornblith et al. 2019 (arXiv 1905.00414); unbiased: Nguyen et al. 2021 (arXiv 2010.15327).
    Cost: a forward pass of each model; per layer n·d² multiplications, or n²·d where d > n; a draw of the null n·d² or n².
    """

    needs: ClassVar[tuple[str, ...]] = ("references",)
    compares: ClassVar[bool] = True
    kind: Literal["cka"] = "cka"
    examples: int = Field(1000, ge=4, description="examples per set")
    draws: int = Field(5, ge=0, description="draws of the null")

    def beside(self) -> frozenset[str]:
        """Return the biased form."""
        return frozenset({"cka_biased"})

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield two readings per set, reference and layer that both models have."""
        for role in (role for role in ROLES if role in subject.sets):
            batch = subject.examples(role, self.examples)
            if subject.objective.size(batch) < 4:
                continue
            own = features(subject.model, batch, subject.objective, layers=self.layers)
            for name, model in subject.references.items():
                other = features(model, batch, subject.objective, layers=self.layers)
                for layer in (layer for layer in own if layer in other):
                    yield from self._layer(own[layer], other[layer], f"{role}|{name}", layer, subject.seed)

    def _layer(self, x: Tensor, y: Tensor, on: str, layer: str, seed: int) -> Iterator[Reading]:
        draw, own, other = generator(seed, "cka", on, layer), Rows(x), Rows(y)
        orders = [torch.randperm(len(x), generator=draw).to(x.device) for _ in range(self.draws)]
        for measure, unbiased in (("cka", True), ("cka_biased", False)):
            null = Null.of([cka(own, other.permuted(order), unbiased=unbiased) for order in orders])
            yield Reading(measure, on, cka(own, other, unbiased=unbiased), "1", layer, len(x), {"unpaired": null})


@ANALYSES.register
class UnpairedCKA(OfLayers):
    """The paper's CKA of forget against retain features, beside the rank that explains it.

    The rows are of different examples, so they are paired at random: the mean over ``draws`` pairings of the biased CKA
    of as many forget as retain examples. Null ``same_distribution``: two disjoint random sets of retain of that size.
    ``cka_unpaired_expected``: what independent rows of these participation ratios give; ``cka_unpaired_unbiased``: near 0
    for independent rows whatever their rank. Better measures: analysis ``separation``.
    Source: Table 5 of arXiv 2512.03437. Chance level: this project, see :func:`unpaired_expectation`.
    Cost: one forward pass; per layer n²·d multiplications, and per draw as many with at most n for d.
    """

    kind: Literal["cka_unpaired"] = "cka_unpaired"
    examples: int = Field(1000, ge=4, description="examples per set")
    draws: int = Field(20, ge=1, description="random pairings, and draws of the null")

    def beside(self) -> frozenset[str]:
        """Return the unbiased form, and what explains the paper's."""
        return frozenset({"cka_unpaired_unbiased", "cka_unpaired_expected", "participation_ratio_unbiased"})

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield the readings of each layer; nothing where there are fewer than 4 pairs of rows."""
        own = {role: subject.examples(role, self.examples) for role in self.needs}
        sets = {role: features(subject.model, b, subject.objective, layers=self.layers) for role, b in own.items()}
        for layer, forget in sets["forget"].items():
            count = min(len(forget), len(sets["retain"][layer]) // 2)
            if count >= 4:
                rows = isometric(center(torch.cat([forget, sets["retain"][layer]])))
                yield from self._layer(rows[: len(forget)], rows[len(forget) :], count, layer, subject.seed)

    def _layer(self, forget: Tensor, retain: Tensor, count: int, layer: str, seed: int) -> Iterator[Reading]:
        draw = generator(seed, "cka_unpaired", layer)
        for measure, unbiased in (("cka_unpaired", False), ("cka_unpaired_unbiased", True)):
            values, null = [], []
            for _ in range(self.draws):
                rows = _drawn(retain, draw, 2 * count)
                values.append(linear_cka(_drawn(forget, draw, count), rows[:count], unbiased=unbiased))
                null.append(linear_cka(rows[count:], rows[:count], unbiased=unbiased))
            nulls = {"same_distribution": Null.of(null)}
            yield Reading(measure, "forget|retain", mean(values), "1", layer, 2 * count, nulls)
        left, right = (participation_ratio(x, unbiased=True) for x in (forget, retain))
        for role, ratio, rows in (("forget", left, forget), ("retain", right, retain)):
            yield Reading("participation_ratio_unbiased", role, ratio, "dimensions", layer, len(rows))
        expected = unpaired_expectation(left, right, count)
        yield Reading("cka_unpaired_expected", "forget|retain", expected, "1", layer, 2 * count)
