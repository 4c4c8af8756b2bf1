"""Does a grokked model forget more privately? U-LiRA's AUC at two stages of the same shadow models, whose stages are swapped in pairs of models.

A second family of rows beside the headline, since its units are pairs of shadow models and not seeds; each family spends half of alpha.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ungrok.audits.calibrated import LEAST
from ungrok.audits.planted import CANNOT_TELL, MAY_SPEAK
from ungrok.audits.shadows import Shadows
from ungrok.audits.ulira import pooled_auc
from ungrok.study.inference import FEWEST
from ungrok.study.looks import Look
from ungrok.study.names import Names
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_audit import audited_rules, privacy_pairs
from ungrok.train.stages import stage_name

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

QUESTION = "Does a grokked model forget more privately?"
ENOUGH = 0.9
"""Share of the shadows of a row that must have come down to the UA of models that never saw the set, at both stages, for a word."""

CLEARLY = 2.0
"""Standard errors by which an example must lie on the other side than the rest to be reflected by itself."""

FLIPS = 1000
"""Sign vectors that are tried, the observed one among them."""

Word = Literal["supported", "refuted", "inconclusive", "exploratory", "cannot tell at this N"]


@dataclass(frozen=True)
class Group:
    """The margins of the same shadow models at both stages.

    Args:
        numbers: Which shadows they are, int64, shape (models,).
        earlier: Shape (models, examples).
        later: The same.

    """

    numbers: Indices
    earlier: Floats
    later: Floats

    def swapped(self, signs: Floats) -> tuple[Floats, Floats]:
        """Return both stages after the pairs of shadows with a negative sign changed sides; ``signs`` has one for each pair that was trained."""
        swap = (signs[self.numbers // 2] < 0)[:, None]
        return np.where(swap, self.later, self.earlier), np.where(swap, self.earlier, self.later)


class Paired:
    """What U-LiRA sees of one method and forget set at two stages.

    Margins are standardized by those of the models that never saw the set at the same stage, example by example, and reflected where unlearned
    models lie below these: all of a stage by the mean of all, and single examples that lie clearly on the other side. U-LiRA with Gaussian
    densities sees neither. But under the flips a stage at which all margins are larger, or one where models forgot too much beside one where
    they forgot too little, is then no difference in privacy.

    Args:
        unlearned: Shadows that held the set and unlearned it.
        never: Shadows that never saw it.

    """

    def __init__(self, unlearned: Group, never: Group) -> None:
        earlier = _standardized(unlearned.earlier, never.earlier)
        later = _standardized(unlearned.later, never.later)
        self._unlearned = Group(unlearned.numbers, earlier[0], later[0])
        self._never = Group(never.numbers, earlier[1], later[1])
        self.aucs = tuple(pooled_auc(*sides) for sides in (earlier, later))
        """At the earlier and at the later stage."""
        self.effect = abs(self.aucs[0] - 0.5) - abs(self.aucs[1] - 0.5)
        """How much nearer to 0.5 the later AUC is."""

    def difference(self, signs: Floats) -> float:
        """Return how much nearer to 0.5 the later AUC is, after a flip."""
        return _nearer(self._unlearned.swapped(signs), self._never.swapped(signs))

    def jackknife(self) -> tuple[float, int]:
        """Return the standard error of the effect when each pair of shadows is left out in turn, and its degrees of freedom."""
        sides = self._unlearned, self._never
        pairs = np.unique(np.concatenate([side.numbers for side in sides]) // 2)
        without = [
            _nearer(*([own[side.numbers // 2 != pair] for own in (side.earlier, side.later)] for side in sides))
            for pair in pairs
        ]
        return float(np.sqrt((len(pairs) - 1) * np.var(without))), len(pairs) - 1


def _nearer(unlearned: Sequence[Floats], never: Sequence[Floats]) -> float:
    """Return how much nearer to 0.5 the AUC of a second stage is than that of a first."""
    earlier, later = (abs(pooled_auc(*sides) - 0.5) for sides in zip(unlearned, never, strict=True))
    return earlier - later


def _standardized(unlearned: Floats, never: Floats) -> tuple[Floats, Floats]:
    center, spread = never.mean(axis=0), never.std(axis=0, ddof=1)
    spread = np.where(spread > 0, spread, 1.0)
    left, right = ((side - center) / spread for side in (unlearned, never))
    whole = -1.0 if left.mean() < 0 else 1.0
    below = -whole * left.mean(axis=0) > CLEARLY * np.sqrt(left.var(axis=0, ddof=1) / len(left) + 1 / len(right))
    sign = np.where(below, -whole, whole)
    return sign * left, sign * right


@dataclass(frozen=True)
class Tested:
    """The outcome for one row.

    Args:
        effect: How much nearer to 0.5 the later AUC is.
        low: Lower end of the simultaneous interval.
        high: Its upper end.
        p_value: Adjusted for all rows.

    """

    effect: float
    low: float
    high: float
    p_value: float


def flipped(rows: Sequence[Paired], trained: int, alpha: float, flips: int = FLIPS) -> list[Tested]:
    """Test all rows at once by joint flips of pairs of shadow models; pooled AUCs are computed anew in every flip.

    Shadows 2k and 2k + 1 are one unit, since they share out one pool. The statistic of a row is its difference over the root mean square of its
    differences under all flips, and it is compared with the largest of all rows under each flip (single step).

    Flips err too often where stages differ in how their examples lie although their AUCs are equal, and a jackknife over pairs where there are few
    of them. So a row must pass both: its p-value is the larger one, that of the jackknife from Student's distribution, times the number of
    rows; its interval, which leaves out 0 exactly where the p-value is at most alpha, is the wider one.

    Args:
        rows: The rows.
        trained: Number of shadow models.
        alpha: Chance that any row is named where each pair's stages may be swapped.
        flips: Sign vectors tried, the observed one among them.

    """
    from scipy.stats import t

    signs = 1.0 - 2.0 * np.random.default_rng(0).integers(0, 2, (flips, -(-trained // 2)))
    signs[0] = 1.0
    differences = np.array([[row.difference(sign) for sign in signs] for row in rows]).reshape(len(rows), flips)
    scale = np.sqrt((differences**2).mean(axis=1, keepdims=True))
    statistics = np.divide(np.abs(differences), scale, out=np.zeros_like(differences), where=scale > 0)
    largest = statistics.max(axis=0, initial=0.0)
    rank = math.floor(alpha * flips * (1 + 1e-12))
    reach = np.sort(largest)[::-1][rank]
    tested = []
    for row, spread, statistic in zip(rows, scale[:, 0], statistics[:, 0], strict=True):
        error, freedom = row.jackknife()
        half = max(reach * spread, t.isf(alpha / (2 * len(rows)), freedom) * error)
        alone = 2 * t.sf(abs(row.effect) / error, freedom) if error > 0 else float(row.effect == 0)
        p_value = max((largest >= statistic - 1e-9).mean(), min(1.0, len(rows) * alone))
        tested.append(Tested(row.effect, row.effect - half, row.effect + half, float(p_value)))
    return tested


def family(recipe: Recipe) -> dict[str, Any]:
    """Return the family of rows that are judged together, as plain JSON types: what is fixed at the first look."""
    assert recipe.audit is not None
    return {
        "compare": [[stage_name(side.stage) for side in pair] for pair in privacy_pairs(recipe)],
        "forget": [rule.label for rule in audited_rules(recipe)],
        "unlearn": recipe.audit.unlearn or recipe.unlearn_labels(),
        "place": recipe.audit.place,
    }


def privacy(
    recipe: Recipe, every: Sequence[Shadows], planted: Sequence[Mapping[str, Any]], look: Look
) -> dict[str, Any]:
    """Return what is said of privacy, as plain JSON types.

    Args:
        recipe: Of a study that compares two audited stages.
        every: The logits of its shadow models, by stage.
        planted: What each measure says of planted truths, as in ``audit.json``; a row gets a word only where U-LiRA may speak at both stages.
        look: What this look at the shadow models may spend. Where another family was fixed first, all words are exploratory.

    Returns:
        ``question``, ``alpha``; ``looked``: the numbers of shadow models at which the family was judged before; ``rows``: per comparison, forget
        set and method ``earlier`` and ``later`` AUC, ``effect`` (how much nearer to 0.5 the later one is), ``interval``, ``p_value``, ``shadows``,
        ``down`` (the share of models that came down to the UA of models that never saw the set, at both stages) and ``word``; ``answer``:
        ``verdict`` and ``text``.

    """
    stages = {stage.stage: stage for stage in every}
    speaks = {
        (row["stage"], row["forget"]) for row in planted if row["measure"] == "ulira" and row["words"] == MAY_SPEAK
    }
    rows: list[dict[str, Any]] = []
    there: list[tuple[dict[str, Any], Paired]] = []
    for earlier, later in privacy_pairs(recipe):
        for row, paired in _rows(stages[stage_name(earlier.stage)], stages[stage_name(later.stage)]):
            silent = any((row[stage], row["forget"]) not in speaks for stage in ("earlier_stage", "later_stage"))
            rows.append(row | ({"word": CANNOT_TELL} if silent else {}))
            if paired is not None:
                there.append((rows[-1], paired))
    trained = max((stage.trained for stage in every), default=0)
    for (row, paired), outcome in zip(
        there, flipped([paired for _, paired in there], trained, look.alpha), strict=True
    ):
        named = min(row["down"]) >= ENOUGH and (outcome.low > 0 or outcome.high < 0)
        word: Word = "inconclusive" if not named else "supported" if outcome.effect > 0 else "refuted"
        if not look.first_headline_same:
            word = "exploratory"
        row |= {
            "earlier": paired.aucs[0],
            "later": paired.aucs[1],
            "effect": outcome.effect,
            "interval": [outcome.low, outcome.high],
            "p_value": outcome.p_value,
            "word": row.get("word", word),
        }
    said = {"question": QUESTION, "alpha": look.alpha, "looked": [len(numbers) for numbers in look.seeds_before]}
    return said | {"rows": rows, "answer": _answer(recipe, rows, stages)}


def _rows(earlier: Shadows, later: Shadows) -> Iterator[tuple[dict[str, Any], Paired | None]]:
    """Yield each forget set and method of two stages, with what U-LiRA sees of the shadows that are there at both; None where they are too few."""
    for forget, methods in earlier.unlearned.items():
        for method in methods:
            unlearned = _common(
                *((stage.unlearned[forget][method].numbers, stage.after(forget, method)) for stage in (earlier, later))
            )
            never = _common(
                *((stage.numbers[~stage.holding(forget)], stage.never(forget)) for stage in (earlier, later))
            )
            fewest, total = min(len(unlearned.numbers), len(never.numbers)), len(unlearned.numbers) + len(never.numbers)
            row: dict[str, Any] = {"earlier_stage": earlier.stage, "later_stage": later.stage, "forget": forget}
            row |= {
                "method": method,
                "shadows": total,
                "down": [_down(stage, forget, method) for stage in (earlier, later)],
            }
            enough = fewest >= LEAST and total >= FEWEST
            yield row if enough else row | {"word": CANNOT_TELL}, Paired(unlearned, never) if enough else None


def _down(stage: Shadows, forget: str, method: str) -> float:
    """Return the share of models that came down to the UA of models that never saw the set; 0 where none is known."""
    down = stage.down(forget, method)
    return 0.0 if down is None or not len(down) else float(down.mean())


def _common(first: tuple[Indices, Floats], second: tuple[Indices, Floats]) -> Group:
    """Return the margins of the shadows that are in both of two stages, each given by numbers and margins."""
    numbers, one, other = np.intersect1d(first[0], second[0], return_indices=True)
    return Group(numbers, first[1][one], second[1][other])


def _answer(recipe: Recipe, rows: Sequence[Mapping[str, Any]], stages: Mapping[str, Shadows]) -> dict[str, str]:
    """Return the word over all rows, and a sentence on the first comparison."""
    names = Names(recipe)
    left, right = privacy_pairs(recipe)[0]
    own = [
        row
        for row in rows
        if (row["earlier_stage"], row["later_stage"]) == (stage_name(left.stage), stage_name(right.stage))
    ]
    words = [row["word"] for row in own]
    counts = {word: words.count(word) for word in ("supported", "refuted", "inconclusive", "exploratory", CANNOT_TELL)}
    if counts["supported"] and counts["refuted"]:
        verdict = "mixed"
    else:
        verdict = next((word for word in counts if counts[word]), CANNOT_TELL)
    first, second = (stages[stage_name(side.stage)] for side in (left, right))
    earlier, later, reached = names.placed(left), names.placed(right), np.intersect1d(first.numbers, second.numbers)
    others = {
        "refuted": "easier in",
        "inconclusive": "open in",
        "exploratory": "without a word, since other settings were judged before, in",
        CANNOT_TELL: "not to be judged at this number of models in",
    }
    text = (
        f"{later[0].upper()}{later[1:]} unlearned models are harder to tell from models that never saw the data than {earlier} in "
        f"{counts['supported'] or 'none'} of {len(own)} settings (a method and a forget set)"
    )
    text += "".join(f", {said} {counts[word]}" for word, said in others.items() if counts[word])
    told = [row for row in own if row["word"] != CANNOT_TELL]
    if told:
        before, after = (median(row[side] for row in told) for side in ("earlier", "later"))
        text += f"; U-LiRA's AUC is {before:.2f} and {after:.2f} in the median"
    return {"verdict": verdict, "text": f"{text}; {len(reached)} of {first.trained} shadow models reached both stages."}
