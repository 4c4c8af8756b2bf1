"""How far apart forget and retain features are, by measures that need no pairing of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ungrok.analyze.base import ANALYSES, Reading, Subject, pool
from ungrok.analyze.layers import OfLayers
from ungrok.analyze.nulls import compared, null_draws
from ungrok.analyze.similarity import center, covariance_overlap, isometric, principal_angles
from ungrok.core.activations import features


def probe_auc(x: Tensor, y: Tensor, folds: int = 5, seed: int = 0) -> float:
    """Return how well a linear probe tells the rows of ``x`` from those of ``y``: the AUC of held-out predictions.

    Logistic regression (C = 1) on standardized features, stratified folds, predictions of all folds pooled. 0.5 is
    chance, 1 perfect separation.

    Args:
        x: float, shape (n_x, d).
        y: float, shape (n_y, d).
        folds: At most the size of the smaller set; nan under 2.
        seed: Seed of the folds.

    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(folds, len(x), len(y))
    if folds < 2:
        return float("nan")
    rows = torch.cat([x, y]).double().cpu().numpy()
    labels = np.repeat([1, 0], [len(x), len(y)])
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    return float(roc_auc_score(labels, cross_val_predict(probe, rows, labels, cv=split, method="decision_function")))


@ANALYSES.register
class Separation(OfLayers):
    """Covariance overlap, principal angles and linear-probe separability of forget and retain features.

    A null set is drawn from retain (``_split_half``, ``_same_classes``, ``_other_classes``), and each measure compares forget with
    the remaining retain examples; null: the null set against the same examples.
    ``covariance_overlap``: cosine of the covariance matrices; ``principal_angle``: mean angle, in degrees, between the
    spans of the leading ``components``; ``probe_auc``: penultimate layer and logits only.
    Source: Björck & Golub 1973 (angles); Alain & Bengio 2016, arXiv 1610.01644 (probes).
    Cost: one forward pass; per layer n²·d multiplications, and per draw a singular value decomposition of at most n×n
    numbers; five logistic regressions per draw of the probe.
    """

    kind: Literal["separation"] = "separation"
    examples: int = Field(500, ge=4, description="forget and retain examples together; more are sampled down")
    draws: int = Field(20, ge=1, description="draws per null")
    probe_draws: int = Field(3, ge=0, description="draws per null of the probe")
    components: int = Field(5, ge=1, description="dimensions of the subspaces whose angles are taken")

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield the readings of each layer."""
        batch, forget, retain = pool(subject, self.examples)
        draws = null_draws(forget, retain, subject.objective.classes(batch), self.draws, subject.seed)
        few = {name: made[: self.probe_draws] for name, made in draws.items() if self.probe_draws}
        for layer, raw in features(subject.model, batch, subject.objective, layers=self.layers).items():
            rows = isometric(center(raw))
            yield from compared("covariance_overlap", _over(rows, covariance_overlap), draws, layer)
            yield from compared("principal_angle", _over(rows, self._angle), draws, layer, "degree")
            if layer in ("penultimate", "logits"):
                yield from compared("probe_auc", _over(raw, probe_auc), few, layer)

    def _angle(self, x: Tensor, y: Tensor) -> float:
        return principal_angles(x, y, min(self.components, len(x) - 1, len(y) - 1, x.shape[1])).mean().item()


def _over(rows: Tensor, measure: Callable[[Tensor, Tensor], float]) -> Callable[[list[Tensor], list[Tensor]], Tensor]:
    def each(left: list[Tensor], right: list[Tensor]) -> Tensor:
        values = [measure(rows[a.to(rows.device)], rows[b.to(rows.device)]) for a, b in zip(left, right, strict=True)]
        return torch.tensor(values, dtype=torch.float64)

    return each
