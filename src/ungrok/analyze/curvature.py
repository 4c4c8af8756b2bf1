"""Curvature of the loss on forget, retain and all data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from pydantic import Field

from ungrok.analyze.base import ANALYSES, Analysis, Null, Reading, Subject, chunks, pool, select
from ungrok.analyze.krylov import Matmul, hutch_plus_plus, lanczos, random_start, spectral_density
from ungrok.analyze.operators import flat, gauss_newton, hessian, parameters, rescaled, size
from ungrok.core.gradients import diagonal_fisher
from ungrok.core.objective import Batch
from ungrok.core.seeds import generator

UNIT = "loss"
"""Parameters have no unit, so that second derivatives have the loss's own."""

ERROR = "_error"
"""What the name of a standard error of an estimate has behind that of the estimate."""

DECADES = range(-6, 3)
"""Powers of ten beyond which eigenvalues are counted."""

BEYOND = {f"hessian_above_1e{power}": 10.0**power for power in DECADES} | {
    f"hessian_below_-1e{power}": -(10.0**power) for power in DECADES
}
"""By the name of a reading that counts eigenvalues, the value beyond which it does."""


@ANALYSES.register
class Curvature(Analysis):
    """Eigenvalues, trace and density of the loss Hessian, Gauss-Newton and Fisher traces, on forget, retain and both.

    ``hessian_eigenvalue_1…``: the largest, by Lanczos; ``hessian_smallest``; each with the residual that bounds its error
    (``…_residual``); ``hessian_trace`` and ``ggn_trace`` by Hutch++, with standard errors (``…_error``); the two are equal in networks of
    linear layers and ReLU without normalization, whose logits are linear in the weights of each layer; ``fisher_trace``: of the predictive distribution,
    exactly; ``hessian_negative_share``: share of ``Σ|eigenvalue|`` that negative ones have, by quadrature of the spectral density;
    ``hessian_above_1e…`` and ``hessian_below_-1e…``: from the same, the share of eigenvalues beyond each power of ten;
    ``adaptive_…``: of D·H·D, D the diagonal matrix of ``|weights|``: unchanged where one layer is scaled up and the next down.
    Null ``retain_subset`` (on forget): random retain subsets of the forget set's size.
    Source: Ghorbani et al. 2019 (arXiv 1901.10159), Meyer et al. 2021 (arXiv 2010.09649), Kwon et al. 2021 (2102.11600).
    Cost: a product with H is two double passes over the data; ``steps`` of them per set and null draw, ``products`` per
    trace, ``steps``·``probes`` for the density.
    """

    kind: Literal["curvature"] = "curvature"
    examples: int = Field(1000, ge=2, description="forget and retain examples together; more are sampled down")
    eigenvalues: int = Field(3, ge=1, description="largest eigenvalues reported")
    steps: int = Field(30, ge=2, description="Lanczos steps")
    products: int = Field(30, ge=3, description="matrix-vector products per trace")
    probes: int = Field(2, ge=0, description="random starts of the spectral density")
    draws: int = Field(3, ge=0, description="draws of the null")
    adaptive: bool = Field(True, description="largest eigenvalue and trace of D·H·D, too")
    chunk: int = Field(500, ge=1, description="examples per pass")

    def beside(self) -> frozenset[str]:
        """Return the residuals, the standard errors and the counts of eigenvalues."""
        largest = (f"hessian_eigenvalue_{rank}_residual" for rank in range(1, self.eigenvalues + 1))
        errors = (f"{name}{ERROR}" for name in ("hessian_trace", "adaptive_trace", "ggn_trace"))
        return frozenset({"hessian_smallest_residual", *largest, *errors, *BEYOND})

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield the readings of forget, then of retain, then of both."""
        whole, forget, retain = pool(subject, self.examples)
        draw = generator(subject.seed, "control", "curvature")
        subsets = [
            retain[torch.randperm(len(retain), generator=draw)[: len(forget)]]
            for _ in range(self.draws if len(forget) < len(retain) else 0)
        ]
        null = [self._sharp(subject, self._parts(select(whole, index), len(index))) for index in subsets]
        for on, index in (("forget", forget), ("retain", retain), ("forget+retain", torch.cat([forget, retain]))):
            parts = self._parts(select(whole, index), len(index))
            own = self._sharp(subject, parts) | self._more(subject, parts)
            for name, value in own.items():
                drawn = [values[name] for values in null if name in values] if on == "forget" else []
                nulls = {"retain_subset": Null.of(drawn)} if drawn else {}
                unit = "1" if name in ("hessian_negative_share", *BEYOND) else UNIT
                yield Reading(name, on, value, unit, examples=len(index), nulls=nulls)

    def _parts(self, batch: Batch, count: int) -> list[Batch]:
        return list(chunks(batch, count, self.chunk))

    def _sharp(self, subject: Subject, parts: Sequence[Batch]) -> dict[str, float]:
        """Return what is cheap enough to be drawn for the null, too."""
        model, seed = subject.model, subject.seed
        matmul, p = hessian(model, parts, subject.objective), size(model)
        values = self._spectrum(matmul, p, seed)
        values |= self._trace("hessian_trace", matmul, p, seed)
        if self.adaptive:
            scaled = rescaled(matmul, flat(parameters(model)).abs())
            ritz = lanczos(scaled, random_start(p, seed, "adaptive"), self.steps)
            values["adaptive_eigenvalue"] = ritz.values[-1].item()
            values |= self._trace("adaptive_trace", scaled, p, seed)
        return values

    def _trace(self, name: str, matmul: Matmul, p: int, seed: int) -> dict[str, float]:
        trace = hutch_plus_plus(matmul, p, self.products, seed)
        return {name: trace.value, f"{name}{ERROR}": trace.error}

    def _spectrum(self, matmul: Matmul, p: int, seed: int) -> dict[str, float]:
        ritz = lanczos(matmul, random_start(p, seed, "lanczos"), self.steps)
        values: dict[str, float] = {}
        for rank in range(1, min(self.eigenvalues, len(ritz.values)) + 1):
            values[f"hessian_eigenvalue_{rank}"] = ritz.values[-rank].item()
            values[f"hessian_eigenvalue_{rank}_residual"] = ritz.residuals[-rank].item()
        values["hessian_smallest"] = ritz.values[0].item()
        values["hessian_smallest_residual"] = ritz.residuals[0].item()
        return values

    def _more(self, subject: Subject, parts: Sequence[Batch]) -> dict[str, float]:
        model, objective, seed = subject.model, subject.objective, subject.seed
        p = size(model)
        readings = self._trace("ggn_trace", gauss_newton(model, parts, objective), p, seed)
        if not objective.draws_predictions:  # where the expectation over predictions is exact
            fisher, _ = diagonal_fisher(model, iter(parts), objective)
            readings["fisher_trace"] = sum(value.double().sum().item() for value in fisher.values())
        if self.probes:
            values, weights = spectral_density(hessian(model, parts, objective), p, self.steps, self.probes, seed)
            mass = weights * values.abs()
            readings["hessian_negative_share"] = (mass[values < 0].sum() / mass.sum()).item()
            for name, level in BEYOND.items():
                readings[name] = weights[values > level if level > 0 else values < level].sum().item()
        return readings
