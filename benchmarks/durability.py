"""How often durability and lasting are given a word in studies made up so that the truth is known.

python benchmarks/durability.py [STUDIES]

The two sides differ as stages do: oracles of the earlier one vary more, and answer attacks with more. A class is forgotten by several methods.
What comes back is planted: nothing, everything at once, or at a pace of its own.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ungrok.study.calibrate import calibrate
from ungrok.study.claims import Doses, Verdict, headline_standings, judge_paths, paths_of
from ungrok.study.loading import load
from ungrok.study.recipe import Recipe

Draw = np.random.Generator
Row = dict[str, Any]

SIDES = ("pre_grok", "grokked")
PLACES = (0, 1, 2, 5, 10, 20, 50, 100, 200)
"""Updates after which relearning is read, as by default."""

SETTINGS = (("share 0, lr 0.01", 0.0), ("share 0, lr 0.02", 0.0), ("share 0.1, lr 0.01", 0.1))
BITS = (32, 8, 4, 3, 2)
EXAMPLES, BUDGET, METHODS = 100, 400.0, 4


@dataclass(frozen=True)
class Model:
    """How a model answers attacks.

    Args:
        start: UA before any attack.
        half: Updates of relearning in which half of what is missing comes back.
        crushed: UA that quantization to two bits brings back.

    """

    start: float
    half: float
    crushed: float


def oracle(draw: Draw, side: int, pace: float = 300.0) -> Model:
    """Draw a model that was retrained: it relearns slowly, sooner on the earlier side, where its accuracies also vary more."""
    noise = (0.03, 0.01)[side]
    half = draw.lognormal(math.log(pace * (1 + side)), 0.2)
    return Model(abs(draw.normal(0.04, noise)), half, abs(draw.normal(0.05, noise)))


Truth = Callable[[Draw, int, tuple[Model, Model]], Model]
"""Draws what unlearning makes on a side, given its two oracles."""


def same(draw: Draw, side: int, oracles: tuple[Model, Model]) -> Model:  # noqa: ARG001
    """Take the oracle for what unlearning gives."""
    return oracles[0]


def another(draw: Draw, side: int, oracles: tuple[Model, Model]) -> Model:  # noqa: ARG001
    """Take a further oracle, of another seed, for what unlearning gives."""
    return oracle(draw, side)


def hides(draw: Draw, side: int, oracles: tuple[Model, Model]) -> Model:  # noqa: ARG001
    """Hide everything: it is back after one update, on either side."""
    return Model(0.05, 0.5, 0.9)


def paced(halves: tuple[float, float]) -> Truth:
    """Return a truth by which half comes back after so many updates on either side, more or less."""

    def truth(draw: Draw, side: int, oracles: tuple[Model, Model]) -> Model:  # noqa: ARG001
        return Model(0.05, halves[side] * draw.lognormal(0.0, 0.2), draw.uniform(0.3, 0.7))

    return truth


def answers(draw: Draw, model: Model) -> Iterator[Row]:
    """Yield the rows of all attacks on a model, its accuracies counted on so many examples."""
    pace = {label: draw.lognormal(0.0, 0.1) * (0.7 if share else 1.0) for label, share in SETTINGS}
    for label, share in SETTINGS:
        for updates in PLACES:
            back = 1 - 2 ** (-updates / (model.half * pace[label]))
            ua = model.start + (1 - model.start) * back
            yield {"attack": "relearn", "kind": "relearn", "setting": label, "share": share, "dose": float(updates), "updates": updates, "UA": counted(draw, ua)}  # fmt: skip
    for bits in BITS:
        ua = model.start if bits > 4 else model.start + (model.crushed - model.start) * (4 - bits) / 2
        yield {"attack": "quantize", "kind": "quantize", "setting": "", "share": None, "dose": float(bits), "updates": 0, "UA": counted(draw, ua)}  # fmt: skip


def counted(draw: Draw, accuracy: float) -> float:
    return float(draw.binomial(EXAMPLES, min(1.0, max(0.0, accuracy)))) / EXAMPLES


def path(seed: int, side: int, method: str, hit: float, damage: float) -> Iterator[Row]:
    """Yield the rows of a path that reaches its target after ``hit`` updates, with so much bystander accuracy lost from then on."""
    for dose in (0.0, hit, BUDGET):
        done = dose >= hit
        accuracy = 0.9 - damage * done
        yield {
            "seed": seed, "arm": "base", "stage": SIDES[side], "step": 1, "forget": "class", "method": method, "dose": dose,
            "updates": int(dose), "UA": 0.05 if done else 1.0, "RA": 1 - damage * done, "TA": accuracy, "bystander_accuracy": accuracy,
            "validation_accuracy": accuracy, "reached_0.1": done, "rewound": dose == BUDGET, "diverged": False,
            "oracle_TA": 0.9, "oracle_bystander_accuracy": 0.9, "oracle_validation_accuracy": 0.9,
            "oracle_gap": 0.02 if done else 0.3, "oracle_floor": 0.01, "moved_retain": dose / BUDGET,
        }  # fmt: skip


def lasting_rows(seed: int, side: int, method: str, hit: float, lasts: float, damage: float) -> Iterator[Row]:
    """Yield the tried places of a path that lasts from ``lasts`` updates on, or nowhere within the budget."""
    where = {"seed": seed, "arm": "base", "stage": SIDES[side], "forget": "class", "method": method, "budget": BUDGET}
    for dose in sorted({hit, min(lasts, BUDGET)}):
        stays = dose >= lasts
        accuracy = 0.9 - damage * dose / BUDGET
        yield where | {
            "dose": dose, "updates": int(dose), "UA": 0.05, "UA_after": 0.08 if stays else 0.9, "lasts": stays, "first": stays, "monotone": True,
            **dict.fromkeys(("RA", "TA", "bystander_accuracy", "validation_accuracy"), accuracy),
            **dict.fromkeys(("RA_after", "TA_after", "bystander_accuracy_after", "validation_accuracy_after"), (accuracy + 0.9) / 2),
        }  # fmt: skip


Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


LAST = 80.0
"""Updates after which forgetting lasts, more or less: some paths never get there within their budget."""


def study(draw: Draw, seeds: int, truth: Truth, pace: float = 300.0) -> Tables:
    """Return results, attacks and lasting places of a made-up study.

    Args:
        draw: What draws.
        seeds: How many.
        truth: What unlearning makes.
        pace: Updates in which an oracle of the earlier side relearns half; those of the later side take twice as many.

    """
    rows: list[Row] = []
    attacks: list[Row] = []
    tried: list[Row] = []
    for seed in range(seeds):
        of_seed = draw.lognormal(0.0, 0.2)
        for side in (0, 1):
            where = {"seed": seed, "arm": "base", "stage": SIDES[side], "forget": "class"}
            oracles = oracle(draw, side, pace), oracle(draw, side, pace)
            given = {"original": Model(1.0, 1.0, 1.0), "oracle": oracles[0], "oracle_2": oracles[1]}
            by_subject = {subject: list(answers(draw, model)) for subject, model in given.items()}
            for subject, own in by_subject.items():
                attacks += [where | {"subject": subject, "method": None, "place": None} | row for row in own]
            for number in range(METHODS):
                method, hit = f"m{number}", float(round(20 * of_seed * draw.lognormal(0.0, 0.3)))
                damage = draw.uniform(0.0, 0.3)
                rows += path(seed, side, method, hit, damage)
                lasts = float(round(LAST * of_seed * draw.lognormal(0.0, 0.6) * (1 + 2 * number / METHODS)))
                tried += lasting_rows(seed, side, method, hit, max(lasts, hit), damage)
                made = truth(draw, side, oracles)
                own = by_subject["oracle"] if made is oracles[0] else list(answers(draw, made))
                attacks += [where | {"subject": "unlearned", "method": method, "place": "0.1"} | row for row in own]
    return pd.DataFrame(rows).astype({"reached_0.1": "boolean"}), pd.DataFrame(attacks), pd.DataFrame(tried)


def recipe_of(seeds: int) -> Recipe:
    """Return the recipe of such a study."""
    methods = ", ".join(f"{{kind: gradient_ascent, name: m{number}, updates: {BUDGET:g}}}" for number in range(METHODS))
    return load("digits", (
        f"seeds={list(range(seeds))}", f"unlearn=[{methods}]", "claims.targets=[0.1]", "along=null", "search=null",
        "stress={attacks: [{kind: relearn}, {kind: quantize}], places: [0.1], methods: null}", "lasting={updates: 50, methods: null}",
    ))  # fmt: skip


def judged(tables: Tables, seeds: int) -> list[Verdict]:
    """Return the verdicts on a study's headline."""
    recipe = recipe_of(seeds)
    rows, attacks, tried = tables
    doses = dict.fromkeys(recipe.unlearn_labels(), Doses(BUDGET, BUDGET / 2))
    return judge_paths([paths_of(rows, attacks, tried)], recipe, doses, headline_only=True)


def swapped(draw: Draw, tables: Tables, seeds: int) -> Tables:
    """Return a study whose two sides change places in half of the seeds, drawn at random, in all tables alike."""
    other = dict(zip(SIDES, reversed(SIDES), strict=True))
    flipped = {seed for seed in range(seeds) if draw.random() < 0.5}

    def turned(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(stage=table["stage"].where(~table["seed"].isin(flipped), table["stage"].map(other)))

    rows, attacks, tried = map(turned, tables)
    return rows, attacks, tried


def words(verdicts: list[Verdict], reading: str | None = None) -> set[str]:
    """Return the methods whose rows of durability are given a direction, of one reading where it is named."""
    return {
        v.method for v in verdicts if v.claim.kind == "durability" and v.directional and reading in (None, v.reading)
    }


def wrong(studies: int, seeds: int, truth: Truth, *, swap: bool, everything: bool) -> float:
    """Return the share of studies that are given a direction: in durability, or in ``everything``."""
    draw, named = np.random.default_rng(0), 0
    for _ in range(studies):
        tables = study(draw, seeds, truth)
        verdicts = judged(swapped(draw, tables, seeds) if swap else tables, seeds)
        named += any(verdict.directional for verdict in verdicts) if everything else bool(words(verdicts))
    return named / studies


def leaked(seeds: int, truth: Truth, number: int = 0) -> float:
    """Return the share of all swaps of one study's sides that give a direction: at most alpha, exactly, unless a choice leaks."""
    recipe = recipe_of(seeds)
    rows, attacks, tried = study(np.random.default_rng(number), seeds, truth)
    doses = dict.fromkeys(recipe.unlearn_labels(), Doses(BUDGET, BUDGET / 2))
    outcome = calibrate([paths_of(rows, attacks, tried)], recipe, doses, draws=2 ** (seeds - 1))
    return outcome.words / outcome.draws


def found(studies: int, seeds: int, ratio: float) -> float:
    """Return how often a method is found to take more updates to be relearned on the later side, by so much, where no oracle relearns."""
    draw, right = np.random.default_rng(1), 0
    for _ in range(studies):
        verdicts = judged(study(draw, seeds, paced((4.0, 4.0 * ratio)), pace=3000.0), seeds)
        right += sum(v.word == "supported" for v in verdicts if v.reading == "relearning")
    return right / (studies * METHODS)


def standing(studies: int, seeds: int, truth: Truth) -> dict[str, float]:
    """Return the shares of methods and sides by the word for what attacks bring back."""
    draw, said = np.random.default_rng(2), []
    for _ in range(studies):
        said += list(headline_standings(study(draw, seeds, truth)[1], recipe_of(seeds))["word"])
    return {word: said.count(word) / len(said) for word in ("forgotten", "hidden", "undecided")}


def main(studies: int) -> None:
    """Print errors and power."""
    allowed = 0.05 + 2 * math.sqrt(0.05 * 0.95 / studies)
    print(f"any direction in the whole family, sides swapped within seeds, {studies} studies; allowed {allowed:.4f}")
    for name, truth in (("hides", hides), ("4 and 20 updates", paced((4.0, 20.0))), ("another oracle", another)):
        said = ", ".join(
            f"{seeds} seeds {wrong(studies, seeds, truth, swap=True, everything=True):.4f}" for seeds in (8, 10)
        )
        print(f"  {name}: {said}", flush=True)
    print(
        "any direction over all swaps of the sides of one study of 8 seeds, the largest share of 5 studies; allowed 0.05"
    )
    for name, truth in (("hides", hides), ("4 and 20 updates", paced((4.0, 20.0)))):
        print(f"  {name}: {max(leaked(8, truth, number) for number in range(5)):.4f}", flush=True)
    print("any direction of durability, sides as they are")
    for truth in (same, another, hides):
        print(f"  {truth.__name__}: {wrong(studies, 10, truth, swap=False, everything=False):.4f}", flush=True)
    print("words for what attacks bring back, 10 seeds")
    for truth in (same, another, hides):
        print(f"  {truth.__name__}: {standing(max(1, studies // 5), 10, truth)}", flush=True)
    print("more updates to be relearned found on the later side, 10 seeds: twice as many, three times")
    print(f"  {found(max(1, studies // 5), 10, 2.0):.3f}, {found(max(1, studies // 5), 10, 3.0):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
