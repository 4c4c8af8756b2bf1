"""Are forget and retain gradients less aligned than any two sets of examples of the same sizes?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.analyze.base import ANALYSES, MODEL, Analysis, Null, Reading, Subject, chunks, pool
from ungrok.analyze.gradients import gradient_gram
from ungrok.analyze.modules import FIT, fit_modules
from ungrok.analyze.nulls import NULLS, NullDraw, compared, null_draws, permuted
from ungrok.core.activations import Watch
from ungrok.core.errors import NotApplicable
from ungrok.core.objective import Batch
from ungrok.core.seeds import generator

PAIR = "forget|retain"

PERCENTS = (5, 50, 95)
"""Quantiles of the cosines of single pairs."""


def set_cosines(gram: Tensor, left: list[Tensor], right: list[Tensor]) -> Tensor:
    """Return the cosine of the mean gradients of ``left[k]`` and ``right[k]`` for every k.

    Args:
        gram: float64, shape (n, n): inner products of the per-sample gradients.
        left: int64 indices of examples.
        right: As many sets of indices.

    Returns:
        float64, shape (draws,), in [−1, 1], on the CPU; nan where a mean gradient is zero.

    """

    def means(sets: list[Tensor]) -> Tensor:
        weights = gram.new_zeros(len(sets), len(gram))
        for row, index in zip(weights, sets, strict=True):
            row[index.to(gram.device)] = 1 / len(index)
        return weights

    a, b = means(left), means(right)
    ka = a @ gram
    inner, squared_a, squared_b = (ka * b).sum(1), (ka * a).sum(1), ((b @ gram) * b).sum(1)
    return (inner / (squared_a * squared_b).clamp(min=0).sqrt()).cpu()


def normalized(gram: Tensor) -> Tensor:
    """Return the cosines of all pairs; an example whose gradient is zero has cosine 0 with every example."""
    norm = gram.diagonal().clamp(min=0).sqrt()
    scale = torch.where(norm > 0, 1 / norm, 0.0)
    return gram * scale.unsqueeze(0) * scale.unsqueeze(1)


@ANALYSES.register
class GradientAlignment(Analysis):
    """Cosine of the mean forget and mean retain gradients, beside what any two sets of these sizes give.

    ``gradient_cosine``: forget against retain, null: membership shuffled; ``gradient_angle``: the same in degrees.
    ``gradient_cosine_split_half`` (``_same_classes``, ``_other_classes``): a null set of that kind is drawn from retain, and
    forget is compared with the remaining retain examples; null: the null set against the same examples. ``normalized_…``: every
    per-sample gradient scaled to norm 1 first. ``per_sample_cosine…``: over all pairs of examples. ``modules_…``: the paper's
    p·ρ, fitted.
    Source: Tables 3 and 9 of arXiv 2512.03437, which give the cosine without a null.
    Cost: per-sample gradients of ``examples`` examples and n²·p multiplications in float64; nulls cost nothing more.
    """

    kind: Literal["gradient_alignment"] = "gradient_alignment"
    examples: int = Field(1000, ge=4, description="forget and retain examples together; more are sampled down")
    draws: int = Field(200, ge=1, description="draws per null")
    layers: bool = Field(True, description="each layer apart, too")
    chunk: int = Field(64, ge=1, description="examples per vectorized backward pass")

    def beside(self) -> frozenset[str]:
        """Return angles, quantiles, normalized gradients, and all of the fit but its quality."""
        scaled = (f"normalized_gradient_cosine_{null}" for null in NULLS)
        quantiles = (f"per_sample_cosine_q{percent:02d}" for percent in PERCENTS)
        fit = (f"modules_{name}" for name in FIT if name != "r2")
        whole = ("gradient_angle", "normalized_gradient_angle", "normalized_gradient_cosine")
        return frozenset({*whole, *scaled, *quantiles, *fit})

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield the cosines of the whole model and of each layer, then what concerns single examples."""
        batch, forget, retain = pool(subject, self.examples)
        grams = gradient_gram(subject.model, batch, subject.objective, chunk=self.chunk)
        drawn = null_draws(forget, retain, subject.objective.classes(batch), self.draws, subject.seed)
        draw = generator(subject.seed, "control", "permuted")
        shuffled = [permuted(forget, retain, draw) for _ in range(self.draws)]
        for layer in [MODEL, *(name for name in grams if name != MODEL and self.layers)]:
            for prefix, gram in (("", grams[layer]), ("normalized_", normalized(grams[layer]))):
                yield from _whole(f"{prefix}gradient", gram, forget, retain, shuffled, layer)
                of = lambda left, right, gram=gram: set_cosines(gram, left, right)  # noqa: E731
                yield from compared(f"{prefix}gradient_cosine", of, drawn, layer)
        cosines = normalized(grams[MODEL])
        yield from _pairs(cosines, len(forget), shuffled)
        yield from _modules(subject, batch, cosines, self.chunk)


def _whole(
    name: str, gram: Tensor, forget: Tensor, retain: Tensor, shuffled: list[NullDraw], layer: str
) -> Iterator[Reading]:
    value = set_cosines(gram, [forget], [retain])
    null = set_cosines(gram, [d.null for d in shuffled], [d.against for d in shuffled])
    cosines = {"permuted": Null.of(null)}
    yield Reading(f"{name}_cosine", PAIR, value.item(), "1", layer, len(gram), cosines)
    angles = {"permuted": Null.of(_degrees(null))}
    yield Reading(f"{name}_angle", PAIR, _degrees(value).item(), "degree", layer, len(gram), angles)


def _degrees(cosines: Tensor) -> Tensor:
    return cosines.clamp(-1, 1).arccos().rad2deg()


def _pairs(cosines: Tensor, count: int, shuffled: list[NullDraw]) -> Iterator[Reading]:
    """Yield mean and quantiles of the cosines of all pairs of two different examples."""
    different = ~torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
    forget, retain = slice(0, count), slice(count, None)
    sets = ((PAIR, forget, retain), ("forget|forget", forget, forget), ("retain|retain", retain, retain))
    for on, rows, columns in sets:
        values = cosines[rows, columns][different[rows, columns]].sort().values
        if len(values) == 0:
            continue
        null = [cosines[d.null.to(cosines.device)][:, d.against.to(cosines.device)].mean().item() for d in shuffled]
        nulls = {"permuted": Null.of(null)} if on == PAIR else {}
        yield Reading("per_sample_cosine", on, values.mean().item(), examples=len(cosines), nulls=nulls)
        for percent in PERCENTS:
            at = values[round(percent / 100 * (len(values) - 1))].item()
            yield Reading(f"per_sample_cosine_q{percent:02d}", on, at, examples=len(cosines))


def _modules(subject: Subject, batch: Batch, cosines: Tensor, chunk: int) -> Iterator[Reading]:
    active: list[list[Tensor]] = []
    objective, now = subject.objective, [batch]

    def note_signs(_: str, z: Tensor) -> None:
        # A unit of a language model counts as active if it is active for most of the answer's tokens.
        active[-1].append(objective.by_example(objective.rows(z > 0, now[0]), now[0]) > 0.5)

    try:
        with torch.no_grad(), Watch(subject.model, before=note_signs):
            for now[0] in chunks(batch, len(cosines), chunk):
                active.append([])
                objective.logits(subject.model, now[0])
    except NotApplicable:  # a layer mixes examples, as experts do, so that its units belong to no single example
        return
    if not active[0]:
        return
    fit = fit_modules(cosines, torch.cat([torch.cat(part, dim=1) for part in active]), subject.seed)
    for name, value in fit.values().items():
        nulls = {"permuted": fit.null} if name == "r2" else {}
        yield Reading(f"modules_{name}", "forget+retain", value, examples=len(cosines), nulls=nulls)
