"""Audits of many models against slow, obvious versions and public code on the same arrays: the time that each takes, and that they give equal values.

python benchmarks/audits.py [ROUNDS]
SOURCES=FOLDER python benchmarks/audits.py [ROUNDS]

The NeurIPS score is set against every pair of thresholds tried one by one, KLoM against a loop over examples and bins, RMIA against all pairs of
example and population. Of the public code those files count that stand in the folder:

metric.py    of google-deepmind/unlearning_evaluation, which asks for CUDA and fails an assertion of its own; both are taken out as it is read. Its
             double thresholds lie on a grid near the ends of the narrower range, so that its values are no larger than ours.
easydub.py   easydub/eval.py of easydub/EasyDUB-code (MIT), and
bench.py     unlearning_bench/eval.py of RoyRin/data-unlearning-bench (MIT): KLoM, each without a progress bar.
attacks.py   of privacytrustlab/ml_privacy_meter (MIT): RMIA.

Times are of one process on one thread, in turn, without nulls and intervals.
"""

from __future__ import annotations

import ast
import os
import statistics
import sys
import time
from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

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


def functions(path: Path, *wanted: str) -> dict[str, Any]:
    """Return functions of a file of public code, and run nothing else of it; without CUDA, progress bars and an assertion that fails."""
    text = path.read_text(encoding="utf-8").replace(".cuda()", "").replace("assert thr_eps,", "assert len(thr_eps),")
    tree = ast.parse(text)
    if wanted:
        tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in wanted]
    names: dict[str, Any] = {"np": np, "torch": torch, "stats": stats, "Any": Any, "print": lambda *_: None}
    names["tqdm"] = lambda iterable, **_: iterable
    exec(compile(tree, str(path), "exec"), names)
    return names


def source_epsilons(path: Path) -> Callable[[Floats, Floats], Floats]:
    """Return the public code's own function."""
    names = functions(path)

    def run(unlearned: Floats, oracle: Floats) -> Floats:
        above = np.median(oracle, axis=0) > np.median(unlearned, axis=0)
        sides = np.where(above, oracle, unlearned), np.where(above, unlearned, oracle)
        return np.asarray(names["_get_epsilons"](*sides, DELTA))

    return run


def source_shares(path: Path, joined: Floats, out: Floats) -> Work:
    """Return the work of ml_privacy_meter, whose columns are models: the target, the one paired with it, which it leaves out, and the out models."""
    score = functions(path, "get_rmia_out_signals", "run_rmia")["run_rmia"]

    def run() -> Floats:
        scores = []
        for target in joined:
            columns = np.concatenate([target[None], target[None], out]).T
            examples, population = columns[:EXAMPLES], columns[EXAMPLES:]
            scores.append(score(0, examples, population, np.zeros(examples.shape, dtype=bool), len(out), 0.3))
        return np.stack(scores)

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
    each = 1000 * statistics.median(seconds) / EXAMPLES
    print(
        f"{name}: slow / ours {spread}, ours {each:.3g} ms an example, ours - slow {apart.min():.2g} to {apart.max():.2g}",
        flush=True,
    )


def neurips(unlearned: Floats, oracle: Floats, sources: Path, rounds: int) -> None:
    """Compare the NeurIPS score; the slow versions do a few examples."""
    few = 4

    def one_by_one() -> Floats:
        return np.array([slow_epsilon(unlearned[:, e], oracle[:, e]) for e in range(few)])

    compare("NeurIPS score, all thresholds", one_by_one, lambda: epsilons(unlearned, oracle), rounds, few / EXAMPLES)
    if not (sources / "metric.py").is_file():
        return
    public, whole = source_epsilons(sources / "metric.py"), (unlearned, oracle)
    near = tuple(0.25 * side[:FEW_MODELS] for side in whole)
    for name, (left, right) in (("public code", whole), ("the same, 16 models, signals a quarter", near)):
        compare(
            f"NeurIPS score, {name}",
            lambda left=left, right=right: public(left[:, :few], right[:, :few]),
            lambda left=left, right=right: epsilons(left, right),
            rounds,
            few / EXAMPLES,
        )


def divergences(unlearned: Floats, oracle: Floats, sources: Path, rounds: int) -> None:
    """Compare KLoM; each public form with ours of the same kind."""

    def ours() -> Floats:
        return _histogram(unlearned, oracle, "histogram")

    compare("KLoM, loop", lambda: slow_divergences(unlearned, oracle), ours, rounds)
    sides = torch.from_numpy(unlearned), torch.from_numpy(oracle)
    if (path := sources / "easydub.py").is_file():
        easydub = functions(path, "binned_kl_divergence", "klom_from_margins")["klom_from_margins"]
        compare("KLoM, EasyDUB", lambda: easydub(*sides[::-1]), ours, rounds)
    if (path := sources / "bench.py").is_file():
        bench = functions(path, "to_np_cpu", "compute_binned_KL_div", "kl_from_margins")["kl_from_margins"]
        compare(
            "KLoM, data-unlearning-bench",
            lambda: bench(*sides),
            lambda: _histogram(unlearned, oracle, "histogram_renormalized"),
            rounds,
        )


def main(rounds: int) -> None:
    """Compare all three."""
    draw, sources = np.random.default_rng(0), Path(os.environ.get("SOURCES", ""))
    unlearned, oracle = draw.normal(0.5, 1.2, (MODELS, EXAMPLES)), draw.normal(size=(MODELS, EXAMPLES))
    neurips(unlearned, oracle, sources, rounds)
    divergences(unlearned, oracle, sources, rounds)
    joined, out = draw.random((2, MODELS, EXAMPLES + POPULATION))
    mean = np.broadcast_to(out.mean(axis=0), joined.shape)

    def shares() -> Floats:
        return _scores(joined, mean, EXAMPLES, 0.3, 1.0)

    compare("RMIA, all pairs", lambda: slow_shares(joined, out), shares, rounds)
    if (path := sources / "attacks.py").is_file():
        compare("RMIA, ml_privacy_meter", source_shares(path, joined, out), shares, rounds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
