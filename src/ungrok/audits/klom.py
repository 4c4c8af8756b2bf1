"""KLoM: how far the margins of unlearned models are distributed from those of oracles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from ungrok.audits.calibrated import DRAWS, Calibrated, Floats, Statistic, Table, calibrated, sides_of
from ungrok.core.errors import RecipeError

Form = Literal["gaussian", "histogram", "histogram_all", "histogram_renormalized"]
FORMS = get_args(Form)

BINS, CLIP, LEAST_SHARE = 20, 100.0, 1e-5
FLOOR = 1e-6
"""Least standard deviation, as a share of the largest margin or of 1."""


@dataclass(frozen=True)
class KLoM(Calibrated):
    """The outcome of KLoM; ``values`` are divergences in nats, one for each example.

    Args:
        form: How a divergence was computed.

    """

    form: Form

    @property
    def p95(self) -> float:
        """The 95 % quantile over examples."""
        return self.summaries["p95"]

    @property
    def mean(self) -> float:
        """The mean over examples."""
        return self.summaries["mean"]


def klom(
    unlearned: ArrayLike,
    oracle: ArrayLike,
    *,
    form: Form = "gaussian",
    original: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> KLoM:
    """Return KL(unlearned ‖ oracle) of the margin over models, for each example (Georgiev et al., arXiv 2410.23232).

    - ``gaussian``: ``log(σo/σu) + (σu² + (μu − μo)²)/(2σo²) − ½``, variances divided by n − 1.
    - ``histogram``: the published form, as EasyDUB's code (MIT) has it: 20 bins of equal width from the least to the largest margin of both
      sides, margins clipped at ±100, an oracle's share where unlearned models are at least 1e-5. Margins on the last edge, the largest one,
      are dropped.
    - ``histogram_all``: the same, and they are counted in the last bin.
    - ``histogram_renormalized``: as data-unlearning-bench's code (MIT) has it: they are dropped, and the oracle's shares then made to
      sum to 1. NaN where all margins of unlearned models were dropped.

    Args:
        unlearned: Margins, shape (models, examples), at least 4 models.
        oracle: Margins of models trained without the forget set. The divergence is not symmetric.
        form: See above.
        original: Margins before unlearning, to say how many models are needed.
        draws: Of the null, for which the oracles are split in halves.
        seed: Of the null.

    Raises:
        RecipeError: If an argument is not allowed.

    """
    if form not in FORMS:
        raise RecipeError(f"form: {form!r} is none of {', '.join(FORMS)}")
    left, right = sides_of(unlearned=unlearned, oracle=oracle)
    before = None if original is None else sides_of(original=original, oracle=oracle)[0]

    def divergences(unlearned: Floats, oracle: Floats) -> Table:
        return (_gaussian(unlearned, oracle) if form == "gaussian" else _histogram(unlearned, oracle, form),)

    statistic = Statistic(divergences, _summaries, "p95", 0.0, dict.fromkeys(("p95", "mean"), (0, np.inf)), "halves")
    table, common = calibrated(statistic, left, right, before, draws=draws, seed=seed)
    return KLoM(values=table[0], form=form, **common)


def _summaries(table: Table) -> dict[str, float]:
    return {"p95": float(np.quantile(table[0], 0.95)), "mean": float(table[0].mean())}


def _gaussian(unlearned: Floats, oracle: Floats) -> Floats:
    floor = FLOOR * max(1.0, float(np.abs(unlearned).max()), float(np.abs(oracle).max()))
    mean, other = unlearned.mean(axis=0), oracle.mean(axis=0)
    own, base = (np.maximum(side.std(axis=0, ddof=1), floor) for side in (unlearned, oracle))
    return np.asarray(np.log(base / own) + (own**2 + (mean - other) ** 2) / (2 * base**2) - 0.5)


def _histogram(unlearned: Floats, oracle: Floats, form: Form) -> Floats:
    sides = [np.clip(side, -CLIP, CLIP) for side in (unlearned, oracle)]
    low = np.minimum(*(side.min(axis=0) for side in sides))
    high = np.maximum(*(side.max(axis=0) for side in sides))
    edges = np.linspace(low, np.where(low >= high, low + 1, high), BINS + 1)
    p, q = (_shares(side, edges, keep_top=form == "histogram_all") for side in sides)
    q = np.where(p > 0, np.maximum(q, LEAST_SHARE), q)
    if form == "histogram_renormalized":
        with np.errstate(invalid="ignore"):
            p, q = p / p.sum(axis=0), q / q.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p == 0, 0.0, p * np.log(p / q))
    return np.asarray(terms.sum(axis=0))


def _shares(side: Floats, edges: Floats, *, keep_top: bool) -> Floats:
    """Return the share of models in each bin, shape (bins, examples); a bin holds its lower edge."""
    reached = np.stack([(side >= edge).sum(axis=0) for edge in edges]).astype(np.float64)
    if keep_top:
        reached[-1] = 0
    counts = reached[:-1] - reached[1:]
    return np.asarray(counts / np.maximum(counts.sum(axis=0), 1))
