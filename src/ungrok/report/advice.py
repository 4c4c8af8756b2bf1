"""When to stop training, in words and tables; see :mod:`ungrok.study.advise` for the rule."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from ungrok.core.errors import RecipeError
from ungrok.report.figures.advice import advice as drawn
from ungrok.report.figures.drawing import STYLE, glyphs_named
from ungrok.report.format import MISSING, bracketed, fixed, number, plural
from ungrok.report.page import saved
from ungrok.study.advise import MOST, Advice, Priced, Rivalry, Terms, advise, most_requests
from ungrok.study.advise_across import HeldOut, overall
from ungrok.study.deletion_costs import UNITS, Policy, Setting, Unit
from ungrok.study.names import Names
from ungrok.study.recipe_blocks import BASE, Side
from ungrok.study.store import explained

WORDS = {
    "matters": "it matters",
    "does not matter": "it does not matter",
    "cheaper": "it is cheaper, and it is open whether by more than the margin",
    "open": "it is open which is cheaper",
}

FAILURES = {
    "cost": "have no known cost",
    "fulfilled": "fulfill too few requests",
    "damage": "damage too much",
    "accuracy": "start from models that are not accurate enough",
}

COLUMNS = (
    "stop",
    "delete by",
    "training",
    "extra",
    "a request",
    "total",
    "seconds",
    "fulfilled",
    "damage",
    "lasts",
    "rests on",
)
"""Of the table: costs in the unit in which policies are compared; damage in percentage points."""


def stop(names: Names, policy: Policy) -> str:
    """Return where to stop, for instance ``after grokking`` or ``at step 200 (arm sam)``."""
    where = names.placed(Side(stage=policy.stage), "at")
    return where if policy.arm == BASE else f"{where} (arm {policy.arm})"


def by(names: Names, policy: Policy) -> str:
    """Return the name of a method."""
    return "retraining" if policy.retrains else names.method(policy.method)


def what(names: Names, policy: Policy) -> str:
    """Return what to do, for instance ``stop after grokking and delete by SCRUB``."""
    return f"stop {stop(names, policy)} and delete by {by(names, policy)}"


def table(advice: Advice) -> list[list[str]]:
    """Return the rows of the admissible policies, the cheapest first, with the cells of :data:`COLUMNS`."""
    return [_row(advice.setting.names, one, advice.terms) for one in advice.priced if not one.failures]


def _row(names: Names, one: Priced, terms: Terms) -> list[str]:
    measured, training = one.measured, one.training(terms.by)
    return [
        stop(names, one.policy),
        by(names, one.policy),
        number(training),
        number(one.extra[terms.by]),
        number((one.total(terms.by) - training) / terms.requests),
        number(one.total(terms.by), 4),
        number(one.total("seconds")),
        fixed(measured.fulfilled.mean(), 2),
        fixed(100 * measured.worst_damage, 1),
        MISSING if measured.lasts is None else fixed(measured.lasts, 2),
        one.basis,
    ]


ACROSS = (
    "setting",
    "stop",
    "delete by",
    "training",
    "extra",
    "a request",
    "total",
    "cheapest from elsewhere",
    "difference",
    "which",
)
"""Of the table over several settings; the last three are on the cheapest admissible policy from another stage."""


def across_table(every: Sequence[Advice]) -> list[list[str]]:
    """Return the choice in each setting, with the cells of :data:`ACROSS`."""
    rows = []
    for one in every:
        names, rivalry = one.setting.names, one.other_stage
        beside = [MISSING] * 3
        if rivalry:
            policy = rivalry.rival.policy
            beside = [f"{stop(names, policy)}, {by(names, policy)}", _more(rivalry), WORDS[rivalry.word]]
        setting = f"{one.setting.run}, {names.forget(one.setting.forget)}"
        rows.append([setting, *_row(names, one.chosen, one.terms)[:6], *beside])
    return rows


def sentences(advice: Advice) -> list[str]:
    """Return the recommendation, its margin, and what it rests on."""
    names, chosen, terms = advice.setting.names, advice.chosen, advice.terms
    training, unit = chosen.training(terms.by), terms.by
    lines = [
        f"For {_asked(advice.setting, terms)}: {what(names, chosen.policy)}.",
        f"In all {number(chosen.total(unit), 4)} {unit}: {number(training)} of training ({number(chosen.extra[unit])} beyond the cheapest stage that is "
        f"accurate enough), and {number((chosen.total(unit) - training) / terms.requests)} a request.",
    ]
    if advice.other_stage:
        lines.append(f"Cheapest from elsewhere: {_beside(names, advice.other_stage, unit)}.")
    else:
        lines.append(f"No other stage has models of {fixed(advice.floor)} or more on validation data.")
    if advice.other_method:
        lines.append(f"Cheapest other method from there: {_beside(names, advice.other_method, unit)}.")
    if careless := advice.less_accurate:
        lines.append(
            f"If any accuracy were good enough: {what(names, careless.policy)}, {number(careless.total(unit), 4)} {unit}, with models of "
            f"{fixed(careless.measured.accuracy)} on validation data instead of {fixed(chosen.measured.accuracy)}."
        )
    return [*lines, *_remarks(advice)]


def _asked(setting: Setting, terms: Terms) -> str:
    size = terms.size or setting.share
    nearest = (
        "" if terms.size is None else f" (each costs what {_percent(setting.share)} cost, the nearest size measured)"
    )
    return f"{plural(terms.requests, 'request')} for {_percent(size)} of the training set{nearest}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _beside(names: Names, rivalry: Rivalry, unit: Unit) -> str:
    rival, difference = rivalry.rival, rivalry.difference
    text = f"{what(names, rival.policy)}, {number(rival.total(unit), 4)} {unit}"
    if difference is None:
        return f"{text}; no seed has both"
    ends = bracketed(number(difference.low), number(difference.high))
    return f"{text} ({_more(rivalry)}, {number(difference.effect)} more {ends} over {plural(difference.n, 'seed')}): {WORDS[rivalry.word]}"


def _more(rivalry: Rivalry) -> str:
    return MISSING if math.isnan(rivalry.share) else f"{100 * rivalry.share:+.0f} %".replace("-", "−")


def _remarks(advice: Advice) -> list[str]:
    """Return what the price rests on, when the choice changes, and what was not admissible."""
    names, lines = advice.setting.names, []
    shown = [one for one in advice.priced if not one.failures]
    if any(one.basis == "single request" for one in shown):
        lines.append(
            "No request after the first was measured: each is priced like the first, and damage is that of one request."
        )
    if known := [one.measured.fulfilled.shape[1] for one in shown if one.basis == "extrapolated"]:
        lines.append(f"Requests after number {max(known)} are extrapolated; damage is that after number {max(known)}.")
    if all(one.measured.lasts is None for one in advice.priced):
        lines.append("Whether forgetting lasts was not measured.")
    most = min(MOST, most_requests(advice.setting, advice.terms))
    if len(advice.changes) > 1:
        steps = ", ".join(f"{stop(names, policy)} from {requests:,} on" for requests, policy in advice.changes)
        lines.append(f"Where to stop changes with the number of requests: {steps} (up to {most:,}).")
    else:
        lines.append(f"Where to stop is the same for 1 to {most:,} requests.")
    for unit in UNITS:
        known = [one for one in shown if math.isfinite(one.total(unit))]
        other = min(known, key=lambda one: (one.total(unit), one.policy), default=advice.chosen)
        if other is not advice.chosen:
            lines.append(f"By {unit} the choice would be: {what(names, other.policy)}.")
    failed = Counter(reason for one in advice.priced for reason in one.failures)
    if failed:
        count = sum(bool(one.failures) for one in advice.priced)
        reasons = ", ".join(f"{number} {FAILURES[reason]}" for reason, number in failed.items())
        lines.append(f"Not admissible: {count} of {len(advice.priced)} policies ({reasons}).")
    return lines


def feasible(settings: Sequence[Setting], terms: Terms) -> tuple[list[Advice], list[str]]:
    """Return advice for the settings that have so many examples and an accurate stage, and a sentence on each that was left out.

    Raises:
        RecipeError: If none is left.

    """
    every, left_out, problem = [], [], None
    for setting in settings:
        try:
            every.append(advise(setting, terms))
        except RecipeError as error:
            problem = error
            left_out.append(f"{setting.run}, {setting.forget}, is left out: {error}")
    if not every:
        assert problem is not None
        raise problem
    return every, left_out


def across(every: Sequence[Advice], tested: Sequence[HeldOut], terms: Terms) -> list[str]:
    """Return what the rule takes over several settings, and how often it was right where a setting was left out."""
    policy = overall([one.setting for one in every], terms)
    lines = []
    if policy is not None:
        names = next(one.setting.names for one in every if policy in one.setting.policies)
        lines.append(f"Over {len(every)} settings: {what(names, policy)}.")
    if tested:
        right = sum(one.right for one in tested)
        lines.append(
            f"This advice was right in {right} of {plural(len(tested), 'held-out setting')}: what settings trained otherwise advise is admissible there and "
            f"costs at most {100 * terms.margin:.3g} % more than the cheapest admissible policy."
        )
    for one in tested:
        if not one.right:
            names = one.setting.names
            harms = "" if one.admissible else " is not admissible and, with the retraining that must follow,"
            lines.append(
                f"Wrong in {one.setting.run}, {one.setting.forget}: {what(names, one.choice)}{harms} costs {one.ratio:.2f} times as much as to {what(names, one.best)}."
            )
    if not tested:
        lines.append("No setting could be held out: none shares a policy with settings that were trained otherwise.")
    return lines


def write_figure(folder: Path, every: Sequence[Advice]) -> Path:
    """Write the figure as PNG and PDF, and return the PNG.

    Raises:
        StoreError: If the folder cannot be written.

    """
    with explained(folder), mpl.rc_context(STYLE), glyphs_named():
        folder.mkdir(parents=True, exist_ok=True)
        picture = drawn(every)
        saved(picture, folder)
    return folder / f"{picture.name}.png"


def as_json(every: Sequence[Advice], tested: Sequence[HeldOut], terms: Terms) -> dict[str, Any]:
    """Return everything as plain values; what is not a finite number is null."""
    policy = overall([one.setting for one in every], terms) if len(every) > 1 else None
    return {
        "terms": vars(terms),
        "settings": [_setting(one) for one in every],
        "overall": None if policy is None else vars(policy),
        "held_out": [
            {"run": one.setting.run, "forget": one.setting.forget, "choice": vars(one.choice), "best": vars(one.best), "ratio": one.ratio, "admissible": one.admissible, "right": one.right}
            for one in tested
        ],
    }  # fmt: skip


def _setting(advice: Advice) -> dict[str, Any]:
    setting = advice.setting
    return {
        "run": setting.run,
        "forget": setting.forget,
        "share": setting.share,
        "least_accuracy": advice.floor,
        "choice": vars(advice.chosen.policy),
        "other_stage": _rival(advice.other_stage),
        "other_method": _rival(advice.other_method),
        "changes": [{"requests": requests} | vars(policy) for requests, policy in advice.changes],
        "policies": [_policy(one) for one in advice.priced],
    }


def _rival(rivalry: Rivalry | None) -> dict[str, Any] | None:
    if rivalry is None:
        return None
    ends = ("effect", "low", "high", "p_value", "n")
    difference = {name: _finite(getattr(rivalry.difference, name, None)) for name in ends}
    return vars(rivalry.rival.policy) | {
        "difference": difference,
        "share": _finite(rivalry.share),
        "word": rivalry.word,
    }


def _policy(one: Priced) -> dict[str, Any]:
    measured = one.measured
    costs = {
        unit: {
            "training": _finite(one.training(unit)),
            "extra": _finite(one.extra[unit]),
            "measured_requests": [_finite(cost) for cost in measured.requests[unit].mean(axis=0)],
            "total": _finite(one.total(unit)),
        }
        for unit in UNITS
    }
    return vars(one.policy) | costs | {
        "seeds": list(measured.seeds),
        "fulfilled": float(measured.fulfilled.mean()),
        "damage": {name: _finite(loss) for name, loss in measured.damage.items()},
        "accuracy": _finite(measured.accuracy),
        "lasts": measured.lasts,
        "rests_on": one.basis,
        "failures": list(one.failures),
    }  # fmt: skip


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
