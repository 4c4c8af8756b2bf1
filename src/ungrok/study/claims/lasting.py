"""Does forgetting last? How many methods get there on each side, after how many updates, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ungrok.methods import OneShot
from ungrok.study.claims.base import fall, mean, number
from ungrok.study.claims.headline import asked_of, covers, resolved
from ungrok.study.claims.judge import Paths
from ungrok.study.names import Names
from ungrok.study.place import Comparison, Place, comparisons
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import Side
from ungrok.study.recipe_stress import lasting_target
from ungrok.study.track import Track
from ungrok.train.stages import stage_name


@dataclass(frozen=True)
class Lasts:
    """What became of the forgetting of one method on one side, at the rate that the recipe gives it.

    Args:
        side: Arm and stage of the models.
        forget: Label of the forget split.
        method: Label of the method.
        seeds: Paths that had something to forget.
        reached: Those that came down to the target.
        lasted: Those with a place whose forgetting stands the repair.
        updates: Median over the paths of the updates to that place; None where the median path has none.
        back: Mean UA after the repair, at the places where the target is first reached; NaN where none is.
        accuracy: The accuracy by which damage is judged: bystander accuracy, or TA where there are no bystanders.
        price: Mean of that accuracy lost beyond the oracle where forgetting lasts, before the repair; NaN where it lasts nowhere.
        price_after: The same after the repair.
        lost: Mean RA lost from the start where forgetting lasts, before the repair.
        lost_after: The same after the repair.
        one_shot: Whether the method's doses are strengths, so that ``updates`` holds a strength.

    """

    side: Side
    forget: str
    method: str
    seeds: int
    reached: int
    lasted: int
    updates: float | None
    back: float
    accuracy: str
    price: float
    price_after: float
    lost: float
    lost_after: float
    one_shot: bool = False

    @property
    def lasts(self) -> bool:
        """Whether it lasts on more than half of the paths."""
        return 2 * self.lasted > self.seeds


def lasting_of(paths: Paths, recipe: Recipe) -> list[Lasts]:
    """Return what became of the forgetting of every method on both sides of the headline, per forget split, the earlier side first.

    Args:
        paths: Of :func:`~ungrok.study.claims.judge.paths_of`, with the table ``lasting``.
        recipe: The study's recipe.

    Returns:
        Empty where the recipe does not ask, or where nothing is compared.

    """
    headline = resolved(recipe)
    if headline is None or not any(track.repaired for track in paths.values()):
        return []
    compared = [
        one for one in comparisons(recipe) if one.sides == headline.compare and covers(headline, one.left_forget)
    ]
    every = [
        _of_method(paths, recipe, side, forget, method.label, one_shot=isinstance(method, OneShot))
        for side, forget in _sides(compared)
        for method in recipe.unlearn
        if asked_of(recipe, "lasting", method.label) and not method.from_scratch
    ]
    return [one for one in every if one.seeds]


def _sides(compared: Sequence[Comparison]) -> Iterator[tuple[Side, str]]:
    for place in (0, 1):
        for one in compared:
            yield one.sides[place], one.forgets[place]


def _of_method(paths: Paths, recipe: Recipe, side: Side, forget: str, method: str, *, one_shot: bool) -> Lasts:
    place, target = Place(side.arm, stage_name(side.stage), forget, method), lasting_target(recipe.claims)
    there = [paths[place, seed] for seed in recipe.seeds if (place, seed) in paths]
    kept = [track for track in there if track.status(target) not in ("undefined", "nothing")]
    doses = [np.inf if (row := track.lasting()) is None else float(row["dose"]) for track in kept]
    # Of an even number of paths the later of the two in the middle counts, so that one that lasts nowhere is not averaged.
    middle = sorted(doses)[len(doses) // 2] if doses else np.inf
    bystanders = any(number(track.start, "bystander_accuracy") is not None for track in kept)
    accuracy = "bystander_accuracy" if bystanders else "TA"
    hits = [number(track.repaired[0], "UA_after") for track in kept if track.repaired]
    return Lasts(
        side, forget, method,
        seeds=len(kept), reached=len(hits), lasted=int(np.isfinite(doses).sum()),
        updates=float(middle) if np.isfinite(middle) else None,
        back=_mean(hits), accuracy=accuracy,
        price=_mean([_beyond(track, accuracy, "") for track in kept]),
        price_after=_mean([_beyond(track, accuracy, "_after") for track in kept]),
        lost=_mean([fall(track, track.lasting(), "RA") for track in kept]),
        lost_after=_mean([fall(track, track.lasting(), "RA", "_after") for track in kept]),
        one_shot=one_shot,
    )  # fmt: skip


def _mean(values: Sequence[float | None]) -> float:
    return mean([np.nan if value is None else value for value in values])


def _beyond(track: Track, accuracy: str, suffix: str) -> float | None:
    oracle, own = number(track.start, f"oracle_{accuracy}"), number(track.lasting(), accuracy + suffix)
    return None if oracle is None or own is None else oracle - own


def lasting_sentence(every: Sequence[Lasts], recipe: Recipe) -> str | None:
    """Return whether forgetting lasts, side by side and with its numbers; None where nothing was tried.

    Args:
        every: Of :func:`lasting_of`.
        recipe: The study's recipe.

    """
    if not every:
        return None
    sides = list(dict.fromkeys((one.side.label, one.side) for one in every))
    said = [_side(side, [one for one in every if one.side == side], recipe) for _, side in sides]
    return " ".join(said)


def _side(side: Side, every: Sequence[Lasts], recipe: Recipe) -> str:
    """Return what is said of one side: how many methods last, at what price, and what comes back where the target is first reached."""
    lasting = [one for one in every if one.lasts]
    methods = len({one.method for one in every})
    counted = f"{methods} methods" if methods == len(every) else f"{len(every)} settings"
    it_lasts = f"it lasts for {len(lasting) or 'none'} of {counted}"
    if len(every) == 1:
        it_lasts = "it lasts for the one method" if lasting else "it does not last for the one method"
    after = ""
    updates = [one.updates for one in lasting if one.updates is not None and not one.one_shot]
    if updates:
        after = f" after {float(np.median(updates)):.3g} updates (median)"
    assert recipe.lasting is not None
    repair, target = recipe.lasting.updates, lasting_target(recipe.claims)
    back = float(np.nanmedian([one.back for one in every])) if any(one.reached for one in every) else None
    returned = (
        ""
        if back is None
        else f"; where UA first comes down to {target:g}, {repair} updates on retained data alone bring it back to {back:.2f}"
    )
    text = f"{Names(recipe).placed(side)} {it_lasts}{after}{_price(lasting)}{returned}."
    return text[0].upper() + text[1:]


def _price(lasting: Sequence[Lasts]) -> str:
    """Return the median price over the methods that last; what is gained instead of lost is said as such."""
    known = [one for one in lasting if np.isfinite(one.price)]
    if not known:
        return ""
    price, lost = (100 * float(np.median([getattr(one, name) for one in known])) for name in ("price", "lost"))
    what = "bystander accuracy" if known[0].accuracy == "bystander_accuracy" else "TA"
    paid = [f"{price:.2g} percentage points of {what} beyond retraining"] if price >= 0 else []
    paid += [f"{lost:.2g}{'' if paid else ' percentage points'} of RA"] if lost >= 0 else []
    gained = [f"{what} {-price:.2g} percentage points above that of retraining"] if price < 0 else []
    gained += [f"RA {-lost:.2g} percentage points above that at the start"] if lost < 0 else []
    at_price = f"at the price of {' and '.join(paid)}" if paid else "at no price"
    return ", ".join(["", at_price, *([f"with {' and '.join(gained)}"] if gained else [])])
