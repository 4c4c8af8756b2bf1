"""Tables of a randomized exposure: whether its groups are what they should be, and effects adjusted for how well they are remembered."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from ungrok.report.format import MISSING, bracketed, fixed, missing, number, ratio
from ungrok.report.tables.table import Cell, Row, Table
from ungrok.report.view import View
from ungrok.study.claims import At, place_name
from ungrok.study.exposure_checks import TITLES, Adjusted, Check, adjusted, checks
from ungrok.study.names import metric_name
from ungrok.study.statistics import Estimate

WANTED = {
    "shown": "equal, within one",
    "persistent_step": "later where shown later",
    "base_loss": "alike",
    "oracle_score": "alike",
    "final_loss": "nothing; see the adjusted effects",
}
"""What is asked of each quantity."""


def exposure(view: View) -> Iterator[Table]:
    """Yield the checks of every comparison between groups, and the adjusted effects."""
    how = (
        "Forget sets of both groups: means over seeds, then the mean over units of left minus right, or of the ratio of left to right, with its "
        "own interval. A seed's two sets hold as many examples of each class or author; with swapped roles they hold the same examples. When "
        "an example was learned is the first recorded step from which its loss stays at or below "
        f"{view.recipe.claims.learned.epsilon:g} and within {view.recipe.claims.learned.delta:g} of its last value; one that was not learned "
        "counts with the last step. Alike means that the whole interval lies within the margin."
    )
    for comparison, own in groupby(checks(view.recipe, view.results), key=lambda check: check.comparison):
        title = f"Checks of the randomized exposure, {view.names.comparison(comparison)}"
        left, right = (view.names.forget(label) for label in comparison.forgets)
        yield Table(title, how, ["", left, right, "difference", "wanted", "check"], [_check(check) for check in own])
        how = "Read as the table above."
    yield from _adjusted(view)


def _check(check: Check) -> Row:
    decimals = 1 if check.what in ("shown", "persistent_step") else 4
    means = [fixed(value, decimals) for value in (check.left, check.right)]
    margin = "" if check.margin is None or check.what == "shown" else _margin(check.margin, is_ratio=check.ratio)
    return [
        TITLES[check.what],
        *means,
        _estimate(check.estimate, is_ratio=check.ratio),
        f"{WANTED[check.what]}{margin}",
        "" if check.word == "shown" else check.word,
    ]


def _margin(margin: float, *, is_ratio: bool) -> str:
    return f", within × {ratio(margin)}" if is_ratio else f", within {number(margin)}"


def _estimate(estimate: Estimate | None, *, is_ratio: bool) -> str | Cell:
    if estimate is None:
        return MISSING
    return _with_interval(estimate.effect, estimate.low, estimate.high, is_ratio=is_ratio)


def _with_interval(effect: float, low: float, high: float, *, is_ratio: bool) -> str | Cell:
    if missing(effect):
        return MISSING
    shown = ratio if is_ratio else number
    text = f"× {shown(effect)}" if is_ratio else shown(effect)
    return Cell((text, bracketed(shown(low), shown(high))))


def _adjusted(view: View) -> Iterator[Table]:
    how = (
        "Each effect by itself, and what it would be if both groups had the same loss where unlearning starts: effects of units are put on a line "
        "against the log of left loss over right loss, and read where that is 0, with Student's interval. The farther the losses are from equal, and the less "
        "they vary, the less this says. Above × 1 and above 0 agrees with the paper. No word rests on it."
    )
    for comparison, own in groupby(adjusted(view.recipe, view.results, view.doses), key=lambda one: one.comparison):
        title = f"Effects adjusted for the loss where unlearning starts, {view.names.comparison(comparison)}"
        columns = ["method", "effect on", "units", "effect", "loss, left ÷ right", "slope", "effect at equal loss"]
        yield Table(title, how, columns, [_line(view, one) for one in own], keys=2)
        how = "Read as the table above."


def _line(view: View, one: Adjusted) -> Row:
    updates = one.metric == "updates"
    what = (
        f"updates to {place_name(At.target(one.target))}"
        if one.target is not None
        else f"{metric_name(one.metric)} beyond the oracle"
    )
    effect = MISSING if missing(one.effect) else f"× {ratio(one.effect)}" if updates else number(one.effect)
    return [
        view.names.method(one.method),
        what,
        str(one.n),
        effect,
        MISSING if missing(one.loss) else f"× {ratio(one.loss)}",
        number(one.slope),
        _with_interval(one.intercept, one.low, one.high, is_ratio=updates),
    ]
