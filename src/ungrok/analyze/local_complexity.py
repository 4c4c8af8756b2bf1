"""Local complexity: how many units change sign within a small neighborhood of a point."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ungrok.analyze.base import ANALYSES, MODEL, ROLES, Analysis, Null, Reading, Subject, chunks, select
from ungrok.core.activations import Watch
from ungrok.core.errors import NotApplicable, RecipeError, unknown
from ungrok.core.forms import inputs_of
from ungrok.core.objective import Batch, Objective
from ungrok.core.scores import device_of
from ungrok.core.seeds import generator


def directions(shape: tuple[int, ...], count: int, seed: int) -> Tensor:
    """Return ``count`` orthonormal random directions, the same for every checkpoint and point of one seed.

    Args:
        shape: Shape of one point, d numbers.
        count: P, at most d.
        seed: The only source of randomness.

    Returns:
        float32, ``(P, *shape)``: the Q factor of a Gaussian d×P matrix, taken in float64.

    Raises:
        RecipeError: If P > d.

    """
    size = torch.Size(shape).numel()
    if count > size:
        raise RecipeError(
            f"local_complexity.directions: {count} asked in a space of {size} dimensions; allowed: 1 to {size}"
        )
    gaussian = torch.randn(size, count, generator=generator(seed, "directions"), dtype=torch.float64)
    frame: Tensor = torch.linalg.qr(gaussian).Q.T.reshape(count, *shape).float()
    return frame


def _changed(z: Tensor, vertices: int) -> Tensor:
    """Return which units are active at some vertices and not at others, bool, shape (points, ..., units)."""
    if z.ndim == 4:
        z = z.permute(0, 2, 3, 1)  # as it lies in memory; the order of units does not matter
        z = z.reshape(len(z), -1)
    by_point = z.reshape(-1, vertices, *z.shape[1:])
    # Extremes, since comparing signs would first make a boolean tensor as large as z.
    return (by_point.amax(dim=1) > 0) & (by_point.amin(dim=1) <= 0)


@torch.no_grad()
def sign_changes(
    model: nn.Module,
    points: Any,
    frame: Tensor,
    radius: float,
    *,
    at: str | None = None,
    objective: Objective | None = None,
    chunk: int = 2,
) -> dict[str, tuple[Tensor, int]]:
    """Count, layer by layer, the units whose sign changes between the vertices ``x ± r·v_p`` of a cross-polytope.

    A unit is one number that enters an activation function: a channel at a position, a token's hidden unit. It changes
    if it is positive (active) at some vertex and not at another. Only vertices are compared, as in the source. That is
    exact in the first layer; in deeper layers a change between the vertices can be missed.

    Source: Humayun et al. 2024 (arXiv 2402.15555); AhmedImtiazPrio/grok-adversarial, whose directions are drawn anew for
    every call and whose "test" points are training points.
    Cost: 2P forward passes per point, in float32, since rounding to bfloat16 moves a unit by more than r does.

    Args:
        model: In eval mode, float32.
        points: float32, shape (n, ...): the model's inputs; of a language model a batch of question-answer pairs.
        frame: From :func:`directions`, in the space of the inputs or of the output of ``at``; for a language model in that of one
            token, (P, 1, d): all tokens move by the same vector, so that neither length nor padding counts.
        radius: r, in the units of that space.
        at: Module whose output is moved, for instance an embedding; the inputs when None.
        objective: That of a language model: a count is the mean over the places that predict an answer token.
        chunk: Points per forward pass.

    Returns:
        By layer: changes per point, int64 (float64 for a language model), shape (n,), and the number of units.

    Raises:
        NotApplicable: If no activation function was called, or the inputs are not float32 and ``at`` is None.

    """
    if objective is None:
        _check_type(points, at)
    moves = radius * torch.cat([frame, -frame]).to(device_of(model))
    counter = _Counter(model, moves, objective)
    hook = _replace(model, at, len(moves), moves) if at is not None else None
    try:
        with Watch(model, before=counter.count):
            for part in chunks(points, len(points) if objective is None else objective.size(points), chunk):
                counter.run(part, move=at is None)
    finally:
        if hook:
            hook.remove()
    if not counter.changes:
        raise NotApplicable("local_complexity: the model calls no activation function with regions")
    return {layer: (torch.cat(parts), counter.units[layer]) for layer, parts in counter.changes.items()}


class _Counter:
    """Runs a model at all vertices around some points, and counts the units whose sign changes between them."""

    def __init__(self, model: nn.Module, moves: Tensor, objective: Objective | None) -> None:
        self.model, self.moves, self.objective = model, moves, objective
        self.changes: dict[str, list[Tensor]] = {}
        self.units: dict[str, int] = {}

    def run(self, part: Any, *, move: bool) -> None:
        """Run the points of a part; ``move`` their inputs, or leave it to a hook to move what comes later."""
        self.part = part
        if self.objective is not None:
            self.objective.logits(self.model, tree_map(self._repeated, part))
        else:
            self.model(self._moved(part) if move else self._repeated(part))

    def count(self, layer: str, z: Tensor) -> None:
        """Add the units of a layer whose sign changes, from what enters its activation."""
        changed = _changed(z, len(self.moves))
        if self.objective is None:
            self.units[layer] = z[0].numel()
            each = changed.flatten(1).sum(dim=1)
        else:
            self.units[layer] = z.shape[-1]
            rows = self.objective.rows(changed, self.part).double()
            each = self.objective.by_example(rows, self.part).sum(dim=1)
        self.changes.setdefault(layer, []).append(each.cpu())

    def _repeated(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(len(self.moves), dim=0)

    def _moved(self, x: Tensor) -> Tensor:
        # Convolutions are faster on channels that lie together.
        layout = torch.channels_last if x.ndim == 4 else torch.contiguous_format
        return (x.unsqueeze(1) + self.moves).flatten(0, 1).contiguous(memory_format=layout)


def _check_type(points: Tensor, at: str | None) -> None:
    if at is None and points.dtype != torch.float32:
        raise NotApplicable(f"local_complexity: takes float32 inputs, not {points.dtype}; name an embedding with 'at'")


def _replace(model: nn.Module, at: str, vertices: int, moves: Tensor) -> Any:
    def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor:  # noqa: ARG001
        points = output.reshape(-1, vertices, *output.shape[1:])
        return (points + moves).flatten(0, 1)

    return model.get_submodule(at).register_forward_hook(hook)


@ANALYSES.register
class LocalComplexity(Analysis):
    """Units that change sign within a cross-polytope around points of retain, test and forget, per layer.

    ``local_complexity``: mean count per point; ``local_complexity_fraction``: as a share of the layer's units; null
    ``pooled``: the mean over as many points drawn from all sets together. Test is the test set.
    Source: Humayun et al. 2024 (arXiv 2402.15555); its code uses 20 directions, r = 0.005, 1,024 points.
    Cost: 2·``directions`` forward passes per point.
    """

    needs: ClassVar[tuple[str, ...]] = ("retain",)
    kind: Literal["local_complexity"] = "local_complexity"
    examples: int = Field(1000, ge=1, description="points per set")
    directions: int = Field(20, ge=1, description="P, orthonormal directions; the neighborhood has 2P vertices")
    radius: float = Field(0.005, gt=0, description="r, in the units of the model's inputs")
    at: str | None = Field(
        None, description="module whose output is moved instead of the inputs; embedding: a language model's own"
    )
    draws: int = Field(200, ge=1, description="draws of the null")
    chunk: int = Field(2, ge=1, description="points per forward pass; few fit a processor's cache, a GPU takes more")

    def check(self, subject: Subject) -> None:
        """Raise unless the inputs, or the output of ``at``, can be moved in so many directions."""
        batch = next(subject.batches("retain"))
        if subject.objective.family == "classifier":
            _check_type(inputs_of(batch, self.kind), self.at)
        elif self.at is None:
            raise NotApplicable(
                "local_complexity: tokens cannot be moved; name an embedding with 'at', or say at: embedding"
            )
        self._frame(subject, batch)

    def beside(self) -> frozenset[str]:
        """Return the same as a share of the units."""
        return frozenset({"local_complexity_fraction"})

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield two readings per set and layer, and for the sum over layers."""
        counts: dict[str, dict[str, tuple[Tensor, int]]] = {}
        frame = self._frame(subject, next(subject.batches("retain")))
        where: dict[str, Any] = {"at": _module(subject.model, self.at), "chunk": self.chunk}
        for role in (role for role in ROLES if role in subject.sets):
            batch = subject.examples(role, self.examples)
            if subject.objective.family == "language":
                where["objective"] = subject.objective
            else:
                batch = inputs_of(batch, self.kind)
            counts[role] = sign_changes(subject.model, batch, frame, self.radius, **where)
        for layer in [MODEL, *next(iter(counts.values()))]:
            yield from self._layer({role: _of_layer(c, layer) for role, c in counts.items()}, layer, subject.seed)

    def _frame(self, subject: Subject, batch: Batch) -> Tensor:
        return directions(self._shape(subject, batch), self.directions, subject.seed)

    def _shape(self, subject: Subject, batch: Batch) -> tuple[int, ...]:
        """Return the shape of a direction: of a point of the space that is moved, or of one of its tokens."""
        if self.at is None:
            return tuple(inputs_of(batch, self.kind).shape[1:])
        language, seen, after = subject.objective.family == "language", [], []
        module = subject.model.get_submodule(_module(subject.model, self.at) or "")
        hook = module.register_forward_hook(lambda *a: seen.append(a[2]))
        single = select(batch, slice(1))
        try:
            with torch.no_grad(), Watch(subject.model, before=lambda *_: after.append(bool(seen))):
                subject.objective.logits(subject.model, single)
        finally:
            hook.remove()
        first = (1, single["labels"].shape[1]) if language else (1,)
        if len(seen) != 1 or not isinstance(seen[0], Tensor) or seen[0].shape[: len(first)] != first:
            each = "token" if language else "example"
            raise RecipeError(
                f"local_complexity.at: {self.at!r} does not give, once, a tensor with an entry for each {each}; name an embedding"
            )
        if not any(after):
            raise RecipeError(
                f"local_complexity.at: no activation runs after {self.at!r}, so that nothing could change"
            )
        return (1, *seen[0].shape[2:]) if language else tuple(seen[0].shape[1:])

    def _layer(self, counts: dict[str, tuple[Tensor, int]], layer: str, seed: int) -> Iterator[Reading]:
        pooled = torch.cat([changes for changes, _ in counts.values()]).double()
        draw = generator(seed, "local complexity", layer)
        for role, (changes, units) in counts.items():
            null = torch.stack([
                pooled[torch.randperm(len(pooled), generator=draw)[: len(changes)]].mean() for _ in range(self.draws)
            ])  # fmt: skip
            value = changes.double().mean().item()
            nulls = {"pooled": Null.of(null)}
            yield Reading("local_complexity", role, value, "units", layer, len(changes), nulls)
            share = {"pooled": Null.of(null / units)}
            yield Reading("local_complexity_fraction", role, value / units, "1", layer, len(changes), share)


def _module(model: nn.Module, at: str | None) -> str | None:
    """Return the name of the module whose output is moved; ``embedding`` stands for a language model's input embedding.

    Raises:
        RecipeError: If there is none of that name.

    """
    named = {name: module for name, module in model.named_modules() if name}
    if at is None or at in named:
        return at
    if at == "embedding" and hasattr(model, "get_input_embeddings"):
        language: Any = model
        own = language.get_input_embeddings()
        return next(str(name) for name, module in named.items() if module is own)
    raise unknown("local_complexity.at", at, named)


def _of_layer(counts: dict[str, tuple[Tensor, int]], layer: str) -> tuple[Tensor, int]:
    if layer != MODEL:
        return counts[layer]
    return torch.stack([c for c, _ in counts.values()]).sum(dim=0), sum(units for _, units in counts.values())
