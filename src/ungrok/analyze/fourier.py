"""Modular addition in the Fourier basis: is there a circuit of a few frequencies, and does it carry the loss?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ungrok.analyze.base import ANALYSES, Analysis, Null, Reading, Subject, chunks
from ungrok.core.errors import NotApplicable
from ungrok.core.forms import inputs_of
from ungrok.core.objective import Batch
from ungrok.core.seeds import generator


def gini(values: Tensor) -> float:
    """Return the Gini coefficient of non-negative numbers: 0 where all are equal, 1 − 1/n where one has everything."""
    ordered, n = values.double().sort().values, len(values)
    rank = torch.arange(1, n + 1, dtype=torch.float64, device=values.device)
    return ((2 * rank - n - 1) @ ordered / (n * ordered.sum())).item()


def frequency_norms(weight: Tensor, modulus: int) -> Tensor:
    """Return the norm of a first layer at each frequency of its one-hot inputs.

    Args:
        weight: Shape (hidden, inputs·p): columns of a, then of b; or of the codes that both share (an embedding, transposed).
        modulus: p, odd.

    Returns:
        float64, shape (inputs, (p − 1)/2): for a and b, at the frequencies 1 … (p − 1)/2.

    """
    spectrum = torch.fft.rfft(weight.double().view(len(weight), -1, modulus), dim=2).abs()
    norms: Tensor = spectrum.square().sum(dim=0).sqrt()
    return norms[:, 1:]


def sum_power(logits: Tensor) -> tuple[Tensor, float]:
    """Return how much of the logits' variation is a function of a + b, frequency by frequency.

    Args:
        logits: Shape (p, p, classes), p odd, indexed by a and b.

    Returns:
        float64, shape ((p − 1)/2,): squared Fourier coefficients of (k, k) and (−k, −k) over all but the constant one; and
        their sum. Both are shares in [0, 1].

    """
    p = len(logits)
    power = torch.fft.fft2(logits.double(), dim=(0, 1)).abs().square().sum(dim=2)
    k = torch.arange(1, (p - 1) // 2 + 1, device=logits.device)
    share = (power[k, k] + power[-k, -k]) / (power.sum() - power[0, 0])
    return share, share.sum().item()


def restrict(logits: Tensor, frequencies: Tensor, *, exclude: bool = False) -> Tensor:
    """Return the part of the logits in ``cos ω_k(a + b)``, ``sin ω_k(a + b)`` and the constant, or the logits without the waves.

    Args:
        logits: Shape (p, p, classes).
        frequencies: int64, the k.
        exclude: True: return the logits without these cosines and sines.

    """
    spectrum = torch.fft.fft2(logits.double(), dim=(0, 1))
    kept = torch.zeros(logits.shape[:2], dtype=torch.bool, device=logits.device)
    kept[frequencies, frequencies] = kept[-frequencies, -frequencies] = True
    if exclude:
        kept = ~kept
    kept[0, 0] = True
    part: Tensor = torch.fft.ifft2(spectrum * kept.unsqueeze(2), dim=(0, 1)).real
    return part


@ANALYSES.register
class Fourier(Analysis):
    """Fourier sparsity, restricted and excluded loss of a network that adds modulo p.

    ``fourier_gini``: Gini coefficient over frequencies of the norm of the first layer, or of a transformer's embedding;
    ``fourier_sum_share``: share of the logits' variation that is a function of a + b; ``fourier_key_share``: the part of it in
    the ``keys`` strongest frequencies; nulls ``random``: Gaussian weights of the same shape, and the logits of all pairs
    shuffled. ``restricted_loss``: the test loss of only those frequencies and the constant; ``excluded_loss``: the training loss
    without them; each beside ``full_loss`` on the same data.
    Source: Nanda et al. 2023 (arXiv 2301.05217). Deviation: key frequencies are those strongest in the logits, not in the
    embedding, unless ``frequencies`` names them; name them to compare the checkpoints of one trajectory.
    Cost: one forward pass over all p² pairs and a Fourier transform per draw.
    """

    needs: ClassVar[tuple[str, ...]] = ("forget", "retain", "test")
    kind: Literal["fourier"] = "fourier"
    keys: int = Field(5, ge=1, description="number of key frequencies")
    frequencies: tuple[int, ...] | None = Field(
        None, description="key frequencies; the strongest at this model when null"
    )
    draws: int = Field(20, ge=0, description="draws of the nulls")

    def check(self, subject: Subject) -> None:
        """Raise NotApplicable unless the data are one-hot pairs with their sum modulo an odd p as target."""
        _modulus(subject)

    def beside(self) -> frozenset[str]:
        """Return the loss of the whole network."""
        return frozenset({"full_loss"})

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield the readings."""
        sets = {role: subject.examples(role) for role in self.needs}
        modulus = _modulus(subject)
        logits = _grid(subject, sets["retain"], modulus)
        share, total = sum_power(logits)
        keys = torch.tensor(self.frequencies or (share.topk(min(self.keys, len(share))).indices + 1).tolist())
        draw, cells = generator(subject.seed, "control", "fourier"), logits.flatten(0, 1)
        shuffled = [
            sum_power(cells[torch.randperm(len(cells), generator=draw).to(cells.device)].view_as(logits))
            for _ in range(self.draws)
        ]
        strongest = [shares.topk(min(len(keys), len(shares))).values.sum().item() for shares, _ in shuffled]
        whole = Null.of([all_shares for _, all_shares in shuffled])
        yield Reading("fourier_sum_share", "all", total, "1", "logits", len(cells), {"random": whole})
        key_share = share[keys.to(share.device) - 1].sum().item()
        yield Reading("fourier_key_share", "all", key_share, "1", "logits", len(cells), {"random": Null.of(strongest)})
        yield from self._first_layer(subject.model, modulus, draw)
        yield from self._losses(subject, sets, logits, keys.to(logits.device), modulus)

    def _first_layer(self, model: nn.Module, modulus: int, draw: torch.Generator) -> Iterator[Reading]:
        for name, parameter in model.named_parameters():
            if parameter.ndim != 2 or not {modulus, 2 * modulus} & set(parameter.shape):
                continue
            weight = parameter.detach() if parameter.shape[1] == 2 * modulus else parameter.detach().T
            if weight.shape[1] in (modulus, 2 * modulus):
                normal = (torch.randn(weight.shape, generator=draw) for _ in range(self.draws))
                null = Null.of([gini(frequency_norms(each, modulus)[0]) for each in normal])
                by_half = frequency_norms(weight, modulus)
                for on, norms in zip("ab" if len(by_half) > 1 else ("a and b",), by_half, strict=True):
                    yield Reading(
                        "fourier_gini", on, gini(norms), "1", name.removesuffix(".weight"), None, {"random": null}
                    )
            return

    def _losses(
        self, subject: Subject, sets: dict[str, Batch], logits: Tensor, keys: Tensor, modulus: int
    ) -> Iterator[Reading]:
        grids = {"full": logits, "restricted": restrict(logits, keys), "excluded": restrict(logits, keys, exclude=True)}
        for on, roles in (("test", ("test",)), ("forget+retain", ("forget", "retain"))):
            for name, grid in grids.items():
                if {"restricted": "forget+retain", "excluded": "test"}.get(name) == on:
                    continue
                losses = [_loss_of(subject, sets[role], grid, modulus) for role in roles]
                values = torch.cat(losses)
                yield Reading(f"{name}_loss", on, values.mean().item(), "loss", "logits", len(values))


def _codes(inputs: Tensor, modulus: int) -> tuple[Tensor, Tensor]:
    return inputs[:, :modulus].argmax(dim=1), inputs[:, modulus:].argmax(dim=1)


def _modulus(subject: Subject) -> int:
    for batch in (batch for role in Fourier.needs for batch in subject.batches(role)):
        x, targets = inputs_of(batch, "fourier"), subject.objective.targets(batch)
        p = x.shape[-1] // 2
        one_hot = x.ndim == 2 and x.shape[1] % 4 == 2 and bool(((x == 0) | (x == 1)).all())
        if not (one_hot and bool((x[:, :p].sum(1) == 1).all()) and bool((x[:, p:].sum(1) == 1).all())):
            raise NotApplicable("fourier: takes the one-hot codes of a and b side by side, of an odd modulus")
        a, b = _codes(x, p)
        if not torch.equal((a + b) % p, targets):
            raise NotApplicable(f"fourier: the targets are not (a + b) mod {p}")
    return p


@torch.no_grad()
def _grid(subject: Subject, like: Batch, modulus: int) -> Tensor:
    """Return the logits of all pairs, shape (p, p, classes)."""
    eye = torch.eye(modulus, dtype=like[0].dtype, device=like[0].device)
    inputs = torch.cat([eye.repeat_interleave(modulus, dim=0), eye.repeat(modulus, 1)], dim=1)
    batch = (inputs, torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device))
    parts = [subject.objective.logits(subject.model, part) for part in chunks(batch, len(inputs), 4096)]
    return torch.cat(parts).view(modulus, modulus, -1)


def _loss_of(subject: Subject, batch: Batch, grid: Tensor, modulus: int) -> Tensor:
    a, b = _codes(batch[0], modulus)
    return subject.objective.losses(grid[a, b], batch).double()
