"""Audits of many models against slow, obvious versions on the same arrays: the time that each takes, and that they give equal values.

python benchmarks/audits.py [ROUNDS]

The NeurIPS score is set against every pair of thresholds tried one by one, and, where SOURCE names the public code's metric.py (google-deepmind/
unlearning_evaluation, which asks for CUDA and fails an assertion of its own; both are taken out as it is read), against that, whose double
thresholds lie on a grid near the ends of the narrower range, so that its values are no larger than ours. RMIA is set against
all pairs of example and population as ml_privacy_meter counts them, KLoM against a loop over examples and bins as EasyDUB has it.
Times are of one process on one thread, in turn, without nulls and intervals.

SOURCE=metric.py python benchmarks/audits.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ungrok.audits.klom import _histogram
from ungrok.audits.neurips import DELTA, epsilons
from ungrok.audits.rmia import _scores

Floats = NDArray[np.float64]
Work = Callable[[], Floats]

MODELS, EXAMPLES, POPULATION = 64, 500, 1000
FEW_MODELS = 16
"""With so few signals within a range of 2, the public code's grid misses hardly any threshold."""


def slow_epsilon(unlearned: Floats, oracle: Floats) -> float:
    """Return ε of one example, thresholds tried one by one; signals differ, and no range is under 1 % of the other."""
    values = np.unique(np.r_[unlearned, oracle])
    cuts = np.r_[values[0] - 1, (values[1:] + values[:-1]) / 2, values[-1] + 1]
    sides = (oracle, unlearned) if np.median(oracle) > np.median(unlearned) else (unlearned, oracle)
    narrow = sides[::-1] if np.ptp(sides[0]) >= np.ptp(sides[1]) else sides
    best = 0.0
    for positive, negative, pairs in (
        (*sides, ((cut, np.inf) for cut in cuts)),
        (*narrow, combinations_with_replacement(cuts, 2)),
    ):
        for low, high in pairs:
            missed, false = (
                1 - ((low <= positive) & (positive <= high)).mean(),
                ((low <= negative) & (negative <= high)).mean(),
            )
            if missed == false == 0:
                return 50.0
            if missed > 0 and false > 0:
                both = [
                    np.log(1 - DELTA - a) - np.log(b) for a, b in ((false, missed), (missed, false)) if a < 1 - DELTA
                ]
                best = max([best, *both])
    return min(best, 50.0)


def source_epsilons(path: Path) -> Callable[[Floats, Floats], Floats]:
    """Return the public code's own function, without CUDA and without its assertion."""
    text = path.read_text(encoding="utf-8").replace(".cuda()", "").replace("assert thr_eps,", "assert len(thr_eps),")
    names: dict[str, Any] = {}
    exec(compile(text, str(path), "exec"), names)

    def run(unlearned: Floats, oracle: Floats) -> Floats:
        above = np.median(oracle, axis=0) > np.median(unlearned, axis=0)
        sides = np.where(above, oracle, unlearned), np.where(above, unlearned, oracle)
        return np.asarray(names["_get_epsilons"](*sides, DELTA))

    return run


def slow_divergences(unlearned: Floats, oracle: Floats) -> Floats:
    """Return KLoM in its published form, example by example."""
    values = []
    for column in range(unlearned.shape[1]):
        sides = [np.clip(side[:, column], -100, 100) for side in (unlearned, oracle)]
        edges = np.linspace(min(side.min() for side in sides), max(side.max() for side in sides), 21)
        places = [np.digitize(side, edges) for side in sides]
        counts = [np.array([np.sum(place == part) for part in range(1, 21)]) for place in places]
        p, q = (count / count.sum() for count in counts)
        some = p > 0
        values.append(np.sum(p[some] * np.log(p[some] / np.maximum(q[some], 1e-5))))
    return np.array(values)


def slow_shares(joined: Floats, out: Floats) -> Floats:
    """Return RMIA's scores from all pairs, model by model."""
    ratios = joined / (1.3 / 2 * out.mean(axis=0) + 0.7 / 2)
    return np.stack([np.average(row[:EXAMPLES, None] / row[EXAMPLES:] > 1.0, axis=1) for row in ratios])


def compare(name: str, slow: Work, ours: Work, rounds: int, share: float = 1.0) -> None:
    """Print the ratio of times and the range of differences of values; the slow version does only a share of the examples."""
    ratios, seconds = [], []
    for _ in range(rounds):
        start = time.process_time()
        theirs = slow()
        middle = time.process_time()
        values = ours()
        end = time.process_time()
        ratios.append((middle - start) / share / (end - middle))
        seconds.append(end - middle)
    apart = values[..., : theirs.shape[-1]] - theirs
    spread = f"{statistics.median(ratios):.3g} ({min(ratios):.3g} to {max(ratios):.3g})"
    print(
        f"{name}: slow / ours {spread}, ours {statistics.median(seconds):.3f} s, ours - slow {apart.min():.2g} to {apart.max():.2g}"
    )


def main(rounds: int) -> None:
    """Compare all three."""
    draw = np.random.default_rng(0)
    unlearned, oracle = draw.normal(0.5, 1.2, (MODELS, EXAMPLES)), draw.normal(size=(MODELS, EXAMPLES))
    few = 4

    def one_by_one() -> Floats:
        return np.array([slow_epsilon(unlearned[:, e], oracle[:, e]) for e in range(few)])

    def exact() -> Floats:
        return epsilons(unlearned, oracle)

    compare("NeurIPS score, all thresholds", one_by_one, exact, rounds, few / EXAMPLES)
    if source := os.environ.get("SOURCE"):
        public, whole = source_epsilons(Path(source)), (unlearned, oracle)
        near = tuple(0.25 * side[:FEW_MODELS] for side in whole)
        for name, (left, right) in (("public code", whole), ("the same, 16 models, signals a quarter", near)):
            compare(
                f"NeurIPS score, {name}",
                lambda left=left, right=right: public(left[:, :few], right[:, :few]),
                lambda left=left, right=right: epsilons(left, right),
                rounds,
                few / EXAMPLES,
            )
    compare(
        "KLoM",
        lambda: slow_divergences(unlearned, oracle),
        lambda: _histogram(unlearned, oracle, "histogram"),
        rounds,
    )
    joined, out = draw.random((2, MODELS, EXAMPLES + POPULATION))
    mean = np.broadcast_to(out.mean(axis=0), joined.shape)
    compare("RMIA", lambda: slow_shares(joined, out), lambda: _scores(joined, mean, EXAMPLES, 0.3, 1.0), rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
