"""Membership attacks: what they cost, and whether they and their intervals are right where there is nothing to find.

python benchmarks/membership.py [REPETITIONS]

First the seconds that all six attacks on one model take. Then the trained attackers on pure noise, pairs of members and non-members
with four normal features: mean AUC (0.5 is right), of outputs pooled over the folds too, and how often the 95 % interval holds 0.5.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from ungrok.core.scores import ClassScores
from ungrok.evaluate.membership import _trained, membership


def drawn(count: int, seed: int, classes: int = 10) -> ClassScores:
    """Return scores of a model that has learned nothing."""
    draw = torch.Generator().manual_seed(seed)
    logits, targets = torch.randn(count, classes, generator=draw), torch.randint(0, classes, (count,), generator=draw)
    return ClassScores(F.cross_entropy(logits, targets, reduction="none"), logits.argmax(1), targets, logits)


def seconds() -> None:
    for members, others in ((40, 200), (500, 1000), (50_000, 10_000)):
        forget, test = drawn(members, 0), drawn(others, 1)
        times = []
        for _ in range(5):
            started = time.perf_counter()
            membership(forget, test)
            times.append(time.perf_counter() - started)
        print(f"{members:6} members, {others:6} non-members: {sorted(times)[2]:.3f} s")


def noise(pairs: int, repetitions: int) -> None:
    draw, aucs, inside, pooled = np.random.default_rng(0), [], [], []
    for seed in range(repetitions):
        sides = draw.normal(size=(pairs, 4)), draw.normal(size=(pairs, 4))
        found = _trained(*sides, seed).values()
        aucs.append([attack.auc for attack in found])
        inside.append([attack.low <= 0.5 <= attack.high for attack in found])
        x, y = np.concatenate(sides), np.repeat([1, 0], pairs)
        pipeline, folds = (
            make_pipeline(StandardScaler(), LogisticRegression()),
            StratifiedKFold(5, shuffle=True, random_state=seed),
        )
        pooled.append(roc_auc_score(y, cross_val_predict(pipeline, x, y, cv=folds, method="decision_function")))
    error = np.std(aucs, axis=0) / repetitions**0.5
    logistic, svc = (
        f"{m:.3f} ± {e:.3f}, covers {c:.2f}"
        for m, e, c in zip(np.mean(aucs, 0), error, np.mean(inside, 0), strict=True)
    )
    print(
        f"{pairs:4} pairs of noise: logistic {logistic}; svc {svc}; logistic pooled {np.mean(pooled):.3f}", flush=True
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    seconds()
    for pairs in (10, 40, 200):
        noise(pairs, int(sys.argv[1]) if len(sys.argv) > 1 else 300)
