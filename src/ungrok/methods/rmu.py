"""RMU: send the hidden states of what is to be forgotten in a random direction."""

from __future__ import annotations

import re
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.core.causal_lm import run
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Batch
from ungrok.core.scores import evaluating
from ungrok.methods.answers import AnswerMethod, kept, language
from ungrok.methods.base import UNLEARNERS
from ungrok.methods.material import Material

BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")
"""Where a parameter's name says which block of the transformer it belongs to."""


def direction(dimensions: int, draw: torch.Generator) -> Tensor:
    """Return a vector of norm 1, uniform in [0, 1) per dimension before it is normalized, shape (dimensions,)."""
    u: Tensor = torch.rand(dimensions, generator=draw)
    return u.div(u.norm())


def squared_distance(states: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean over dimensions of the squared difference, shape (rows,), of two states of shape (rows, dimensions)."""
    return (states - wanted).square().mean(dim=1)


@UNLEARNERS.register
class RMU(AnswerMethod):
    """Push hidden states of forget answers to a fixed random vector and hold those of retain answers; for language models.

    Formula: minimize ``γ·mean (h_f − c·u)² + α·mean (h_r − h_r⁰)²`` over dimensions and over the places from which answer tokens
    are predicted; h is the output of one block, before any final normalization, u uniform in [0, 1) per dimension, normalized, fixed for the path.
    Paper: Li et al. 2024, WMDP (arXiv 2403.03218).
    Public source: centerforaisafety/wmdp; locuslab/open-unlearning, ``RMU``.
    Deviations: token means over the whole batch where the sources average sequence by sequence; WMDP trains the down projections
    of three blocks, here all parameters of ``blocks`` blocks up to ``layer`` train, and nothing else.
    Defaults: c 2, γ 1, α 1 (WMDP: c 6.5 to 300, α 1200), the middle block, 3 blocks, 5 epochs. WMDP and open-unlearning count
    blocks from 0: their layer 7 is ``layer: 8`` here.
    Cost: as gradient_difference; the original runs once over every retain batch that is met.
    """

    kind: Literal["rmu"] = "rmu"
    retain_loss: Literal["states", "nll", "kl"] = Field(  # type: ignore[assignment]  # a choice more
        "states", description="the retain term: states is that of the formula; nll and kl as for other methods"
    )
    layer: int | None = Field(None, ge=1, description="block whose output is steered, from 1; the middle one when null")
    blocks: int = Field(3, ge=1, description="blocks up to that one whose parameters train")
    coefficient: float = Field(2.0, gt=0, description="c, length of the vector that forget states are sent to")

    def check(self, material: Material) -> None:
        """Raise RecipeError unless the model has as many blocks as ``layer`` says."""
        super().check(material)
        depth = count_blocks(material.model)
        if self.layer is not None and self.layer > depth:
            raise RecipeError(f"rmu: layer {self.layer} is not in the model; allowed: 1 to {depth}")

    def trainable(self, model: nn.Module) -> list[nn.Parameter]:
        """Return the parameters of the blocks that end with ``layer``; all of those below stay."""
        last = self._layer(model)
        chosen = range(max(1, last - self.blocks + 1), last + 1)
        return [p for name, p in model.named_parameters() if p.requires_grad and block_of(name) in chosen]

    def _layer(self, model: nn.Module) -> int:
        return self.layer or (count_blocks(model) + 1) // 2

    def _states(self, model: nn.Module, batch: Batch, material: Material) -> Tensor:
        """Return the block's outputs at the places from which answer tokens are predicted, float32, shape (rows, dimensions)."""
        # The last of a model's own hidden states is no block's output: it has passed the final normalization.
        outputs: list[Tensor] = []
        block = block_at(model, self._layer(model))
        handle = block.register_forward_hook(
            lambda *call: outputs.append(call[2][0] if isinstance(call[2], tuple) else call[2])
        )
        try:
            with language(material).passes():
                run(model, batch)
        finally:
            handle.remove()
        return language(material).rows(outputs[-1], batch)

    def forget_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the mean squared distance from the random vector at each place."""
        states = self._states(material.model, batch, material)
        # The generator starts anew each time, so that the direction is one for the path.
        u = direction(states.shape[1], material.generator("direction")).to(states.device)
        return squared_distance(states, self.coefficient * u)

    def retain_values(self, material: Material, batch: Batch) -> Tensor:
        """Return the mean squared distance from the original's states at each place, or another retain term."""
        if self.retain_loss != "states":
            return super().retain_values(material, batch)

        def original() -> Tensor:
            with torch.no_grad(), evaluating(material.original):
                return self._states(material.original, batch, material)

        wanted = kept(material, "states", batch, original, language(material).counts(batch).tolist())
        return squared_distance(self._states(material.model, batch, material), wanted)


def block_of(name: str) -> int | None:
    """Return the number of the block, from 1, that a parameter belongs to; None for embeddings and the like."""
    match = BLOCK.search(name)
    return None if match is None else int(match.group(1)) + 1


def block_at(model: nn.Module, layer: int) -> nn.Module:
    """Return a block of a transformer, counted from 1, by the names of its parameters."""
    names = (name for name, _ in model.named_parameters() if block_of(name) == layer)
    match = BLOCK.search(next(names))
    assert match is not None
    return model.get_submodule(match.string[: match.end() - 1])


def count_blocks(model: nn.Module) -> int:
    """Return the number of blocks of a transformer.

    Raises:
        RecipeError: If no parameter's name says which block it belongs to.

    """
    numbers = [number for number in map(block_of, dict(model.named_parameters())) if number is not None]
    if not numbers:
        raise RecipeError("rmu: no block was found in the model; its parameters should be named like layers.0.…")
    return max(numbers)
