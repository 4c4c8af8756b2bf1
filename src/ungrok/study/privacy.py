"""Does a grokked model forget more privately? U-LiRA's AUC at two stages of the same shadow models, which are flipped between the stages.

A second family of rows beside the headline, since its units are shadow models and not seeds; each family spends half of alpha.
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
from ungrok.study.names import Names
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_audit import family_alpha, privacy_pairs
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

Word = Literal["supported", "refuted", "inconclusive", "cannot tell at this N"]


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
        """Return both stages after the shadows with a negative sign changed sides; ``signs`` has one for each shadow that was trained."""
        swap = (signs[self.numbers] < 0)[:, None]
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

    def difference(self, signs: Floats) -> float:
        """Return how much nearer to 0.5 the later AUC is, after a flip."""
        sides = zip(self._unlearned.swapped(signs), self._never.swapped(signs), strict=True)
        earlier, later = (abs(pooled_auc(unlearned, never) - 0.5) for unlearned, never in sides)
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
    """Test all rows at once by joint flips of whole shadow models; pooled AUCs are computed anew in every flip.

    The statistic of a row is its difference over the root mean square of its differences under all flips, and it is compared with the largest
    of all rows under each flip (single step). An interval supposes that the difference is spread around its value as it is around 0 under the
    flips; it leaves out 0 exactly where the adjusted p-value is at most alpha.

    Args:
        rows: The rows.
        trained: Number of shadow models.
        alpha: Chance that any row is named where each shadow's stages may be swapped.
        flips: Sign vectors tried, the observed one among them.

    """
    signs = 1.0 - 2.0 * np.random.default_rng(0).integers(0, 2, (flips, trained))
    signs[0] = 1.0
    differences = np.array([[row.difference(sign) for sign in signs] for row in rows]).reshape(len(rows), flips)
    scale = np.sqrt((differences**2).mean(axis=1, keepdims=True))
    statistics = np.divide(np.abs(differences), scale, out=np.zeros_like(differences), where=scale > 0)
    largest = statistics.max(axis=0, initial=0.0)
    rank = math.floor(alpha * flips * (1 + 1e-12))
    reach = np.sort(largest)[::-1][rank]
    return [
        Tested(
            own[0],
            own[0] - reach * spread[0],
            own[0] + reach * spread[0],
            float((largest >= statistic[0] - 1e-9).mean()),
        )
        for own, spread, statistic in zip(differences, scale, statistics, strict=True)
    ]


def privacy(recipe: Recipe, every: Sequence[Shadows], planted: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what is said of privacy, as plain JSON types; None where the recipe compares no two audited stages.

    Args:
        recipe: Of the study.
        every: The logits of its shadow models, by stage.
        planted: What each measure says of planted truths, as in ``audit.json``; a row gets a word only where U-LiRA may speak at both stages.

    Returns:
        ``question``, ``alpha``; ``rows``: per comparison, forget set and method ``earlier`` and ``later`` AUC, ``effect`` (how much nearer to 0.5
        the later one is), ``interval``, ``p_value``, ``shadows``, ``down`` (the share of models that came down to the UA of models that never saw
        the set, at both stages) and ``word``; ``answer``: ``verdict`` and ``text``.

    """
    pairs = privacy_pairs(recipe)
    if not pairs:
        return None
    stages = {stage.stage: stage for stage in every}
    speaks = {
        (row["stage"], row["forget"]) for row in planted if row["measure"] == "ulira" and row["words"] == MAY_SPEAK
    }
    rows: list[dict[str, Any]] = []
    there: list[tuple[dict[str, Any], Paired]] = []
    for earlier, later in pairs:
        for row, paired in _rows(stages[stage_name(earlier.stage)], stages[stage_name(later.stage)]):
            silent = any((row[stage], row["forget"]) not in speaks for stage in ("earlier_stage", "later_stage"))
            rows.append(row | ({"word": CANNOT_TELL} if silent else {}))
            if paired is not None:
                there.append((rows[-1], paired))
    trained = max((stage.trained for stage in every), default=0)
    alpha = family_alpha(recipe)
    for (row, paired), outcome in zip(there, flipped([paired for _, paired in there], trained, alpha), strict=True):
        named = min(row["down"]) >= ENOUGH and (outcome.low > 0 or outcome.high < 0)
        word: Word = "inconclusive" if not named else "supported" if outcome.effect > 0 else "refuted"
        row |= {
            "earlier": paired.aucs[0],
            "later": paired.aucs[1],
            "effect": outcome.effect,
            "interval": [outcome.low, outcome.high],
            "p_value": outcome.p_value,
            "word": row.get("word", word),
        }
    return {"question": QUESTION, "alpha": alpha, "rows": rows, "answer": _answer(recipe, rows, stages)}


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
    counts = {word: words.count(word) for word in ("supported", "refuted", "inconclusive", CANNOT_TELL)}
    if counts["supported"] and counts["refuted"]:
        verdict = "mixed"
    else:
        verdict = next((word for word in counts if counts[word]), CANNOT_TELL)
    first, second = (stages[stage_name(side.stage)] for side in (left, right))
    earlier, later, reached = names.placed(left), names.placed(right), np.intersect1d(first.numbers, second.numbers)
    others = {
        "refuted": "easier in",
        "inconclusive": "open in",
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
