"""Rank, collapse and modularity of features; norms of weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.analyze.base import ANALYSES, MODEL, ROLES, Analysis, Null, Reading, Subject, pool
from ungrok.analyze.gradients import layer_of
from ungrok.analyze.layers import OfLayers
from ungrok.analyze.similarity import center, isometric, participation_ratio
from ungrok.core.activations import features
from ungrok.core.seeds import generator


def effective_rank(x: Tensor) -> float:
    """Return exp of the entropy of the normalized singular values of the centered rows (Roy & Vetterli 2007).

    Between 1 and min(n − 1, d). nan for constant rows.

    Args:
        x: float, shape (n, d).

    """
    values = torch.linalg.svdvals(isometric(center(x)))
    share = values / values.sum()
    share = share[share > 0]
    return torch.exp(-(share * share.log()).sum()).item() if values.sum() > 0 else float("nan")


def neural_collapse(x: Tensor, targets: Tensor, predictions: Tensor, weight: Tensor | None) -> dict[str, float]:
    """Return the four quantities that vanish under neural collapse (Papyan et al. 2020, arXiv 2008.08186).

    ``nc1 = tr(Σ_W·Σ_B⁺)/C``: scatter within classes against scatter of the class means; ``nc2_norms``: standard deviation over
    mean of the norms of the centered class means; ``nc2_angles``: mean distance of their cosines from −1/(C − 1);
    ``nc3``: Frobenius distance of the last layer's weights and the class means, both of norm 1; ``nc4``: share of examples
    whose nearest class mean is not the predicted class.

    Args:
        x: float, shape (n, d): input of the last layer.
        targets: int64, shape (n,).
        predictions: int64, shape (n,).
        weight: The last layer's, shape (classes, d); ``nc3`` is left out without it.

    Returns:
        By name; empty where fewer than 2 classes are present.

    """
    x = x.double()
    classes = targets.unique()
    if len(classes) < 2:
        return {}
    means = torch.stack([x[targets == c].mean(dim=0) for c in classes])
    spread = torch.cat([x[targets == c] - mean for c, mean in zip(classes, means, strict=True)])
    centered = means - means.mean(dim=0)
    # tr(Σ_W·Σ_B⁺) through the thin SVD of the class means: no d×d matrix.
    _, s, v = torch.linalg.svd(centered, full_matrices=False)
    kept = s > 1e-10 * s.max()
    within = (spread @ v[kept].T).square().sum(dim=0) / len(x)
    norms = centered.norm(dim=1)
    directions = centered / norms.unsqueeze(1)
    pairs = ~torch.eye(len(classes), dtype=torch.bool, device=x.device)
    cosines = (directions @ directions.T)[pairs]
    nearest = classes[torch.cdist(x, means).argmin(dim=1)]
    collapse = {
        "nc1": (within / (s[kept].square() / len(classes))).sum().item() / len(classes),
        "nc2_norms": (norms.std(correction=0) / norms.mean()).item(),
        "nc2_angles": (cosines + 1 / (len(classes) - 1)).abs().mean().item(),
        "nc4": (nearest != predictions).double().mean().item(),
    }
    if weight is not None:
        rows = weight.detach().double()[classes]
        collapse["nc3"] = (rows / rows.norm() - centered / centered.norm()).norm().item()
    return collapse


def modularity(x: Tensor, targets: Tensor) -> float:
    """Return Newman's modularity of the classes in the graph of cosine similarities of the centered rows.

    ``Q = Σ_ij (A_ij/2m − k_i·k_j/(2m)²)·[c_i = c_j]``, ``A = max(cos, 0)`` without the diagonal, k its row sums, 2m their sum
    (Newman 2006, doi 10.1073/pnas.0601602103). 0 where classes are no communities; C equal cliques give 1 − 1/C.

    Args:
        x: float, shape (n, d).
        targets: int64, shape (n,).

    """
    unit = torch.nn.functional.normalize(center(x.double()), dim=1)
    graph = (unit @ unit.T).clamp(min=0)
    graph.fill_diagonal_(0)
    degree = graph.sum(dim=0)
    total = degree.sum()
    if not total > 0:
        return float("nan")
    same = targets.unsqueeze(0) == targets.unsqueeze(1)
    return ((graph / total - degree.unsqueeze(0) * degree.unsqueeze(1) / total**2) * same).sum().item()


def _last_linear(model: nn.Module, width: int) -> Tensor | None:
    linear = [m for m in model.modules() if isinstance(m, nn.Linear) and m.in_features == width]
    return linear[-1].weight if linear else None


def _columns_shuffled(x: Tensor, draw: torch.Generator) -> Tensor:
    order = torch.rand(x.shape, generator=draw).argsort(dim=0).to(x.device)
    return x.gather(0, order)


@ANALYSES.register
class Representation(OfLayers):
    """Effective rank, participation ratio, neural-collapse ratios and class modularity of features.

    ``effective_rank`` and ``participation_ratio`` per layer and set; nulls ``shuffled`` (each unit's values permuted over
    the examples, which keeps its distribution and removes correlations) and, on forget, ``retain_subset`` of the same size. ``nc…`` and
    ``modularity`` on the penultimate layer of forget and retain together, null ``permuted``: class labels shuffled.
    Source: see :func:`effective_rank`, :func:`neural_collapse`, :func:`modularity`.
    Cost: one forward pass; per layer, set and draw one singular value decomposition, n·d·min(n, d) multiplications.
    """

    kind: Literal["representation"] = "representation"
    examples: int = Field(1000, ge=4, description="examples per set; forget and retain together for nc and modularity")
    draws: int = Field(5, ge=0, description="draws per null")

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield the ranks of every layer and set, then what concerns classes."""
        sets = {
            role: features(subject.model, batch, subject.objective, layers=self.layers)
            for role, batch in ((r, subject.examples(r, self.examples)) for r in ROLES if r in subject.sets)
        }
        for role, layers in sets.items():
            for layer, rows in layers.items():
                subset = sets["retain"][layer] if role == "forget" else None
                yield from self._ranks(rows, subset, role, layer, subject.seed)
        yield from self._classes(subject)

    def _ranks(self, rows: Tensor, retain: Tensor | None, role: str, layer: str, seed: int) -> Iterator[Reading]:
        if len(rows) < 2:
            return
        draw = generator(seed, "control", "rank", role, layer)
        null_rows = {"shuffled": [_columns_shuffled(rows, draw) for _ in range(self.draws)]}
        if retain is not None and len(retain) > len(rows):
            null_rows["retain_subset"] = [
                retain[torch.randperm(len(retain), generator=draw)[: len(rows)].to(rows.device)]
                for _ in range(self.draws)
            ]
        for measure, of in (("effective_rank", effective_rank), ("participation_ratio", participation_ratio)):
            nulls = {name: Null.of([of(x) for x in made]) for name, made in null_rows.items()}
            yield Reading(measure, role, of(rows), "dimensions", layer, len(rows), nulls)

    def _classes(self, subject: Subject) -> Iterator[Reading]:
        batch, _, _ = pool(subject, self.examples)
        by_layer = features(subject.model, batch, subject.objective, layers=False)
        targets = subject.objective.classes(batch)
        if "penultimate" not in by_layer or targets is None:
            return
        x, draw = by_layer["penultimate"], generator(subject.seed, "control", "classes")
        orders = [torch.randperm(len(x), generator=draw).to(x.device) for _ in range(self.draws)]
        if subject.objective.family == "classifier":  # what is predicted are the classes
            predicted, weight = (
                subject.objective.predictions(by_layer["logits"]),
                _last_linear(subject.model, x.shape[1]),
            )
            null = [neural_collapse(x, targets[o], predicted, weight) for o in orders]
            for name, value in neural_collapse(x, targets, predicted, weight).items():
                nulls = {"permuted": Null.of([values[name] for values in null if name in values])}
                yield Reading(name, "forget+retain", value, "1", "penultimate", len(x), nulls)
        shuffled = {"permuted": Null.of([modularity(x, targets[o]) for o in orders])}
        yield Reading("modularity", "forget+retain", modularity(x, targets), "1", "penultimate", len(x), shuffled)


@ANALYSES.register
class WeightNorm(Analysis):
    """Euclidean norm of the weights, per layer and of the whole model; what is not trained counts, too.

    ``weight_norm``; ``weight_change`` against each reference model, and its share of the reference's norm
    (``weight_change_relative``). Compared along a trajectory; no null applies to a property of one model.
    Source: Liu et al. 2023 (arXiv 2210.01117), where it drives grokking; contested since.
    Cost: one pass over the weights.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    compares: ClassVar[bool] = True
    kind: Literal["weight_norm"] = "weight_norm"

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield the readings of the whole model, then of each layer."""
        own = {name: p.detach().double() for name, p in subject.model.named_parameters()}
        for layer in [MODEL, *dict.fromkeys(map(layer_of, own))]:
            names = [name for name in own if layer in (MODEL, layer_of(name))]
            yield Reading("weight_norm", "", _norm([own[name] for name in names]), "1", layer)
            for reference, model in subject.references.items():
                other = {name: p.detach().double() for name, p in model.named_parameters()}
                if any(name not in other or other[name].shape != own[name].shape for name in names):
                    continue
                change = _norm([own[name] - other[name] for name in names])
                before = _norm([other[name] for name in names])
                yield Reading("weight_change", reference, change, "1", layer)
                share = change / before if before > 0 else None
                yield Reading("weight_change_relative", reference, share, "1", layer)


def _norm(tensors: list[Tensor]) -> float:
    return torch.stack([t.square().sum() for t in tensors]).sum().sqrt().item()
