"""UA under each attack after unlearning: the unlearned model, the oracle and the original, side by side for every stage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ungrok.core.errors import spoken
from ungrok.report.attacks import Attacks, Series
from ungrok.report.figures.drawing import (
    WIDTH,
    Picture,
    accuracy_axis,
    arm_slug,
    color,
    dose_axis,
    filled,
    legend,
    of_arm,
)
from ungrok.report.format import number, slug
from ungrok.study.claims import where_name

SECTION = "stress"
"""The section of the page that these figures stand in."""

MOST = 4
"""Panels side by side."""

HEIGHT = 1.45
"""Height of a panel in inches."""

REFERENCES: dict[str, dict[str, Any]] = {
    "original": {"color": "#888888", "linestyle": ":", "linewidth": 1.6},
    "oracle": {"color": "#000000", "linestyle": "--", "linewidth": 1.2},
}
"""How the models that no method has made are drawn: shades that no stage has."""

DOSES = {
    "bits": "bits per weight",
    "layer": "layer (0: own head)",
    "level": "noise ÷ tensor's norm",
    "t": "way to the other model",
    "share": "share of the answer given",
}
"""By what the path of an attack runs over: the words under the axis."""

ONE_BY_ONE = ("bits", "layer")
"""What is drawn at equal distances, in the order of the path."""

Panel = tuple[str, str]
"""A method and an attack: a column of panels, one for each stage."""


def stress(attacks: Attacks) -> Iterator[Picture]:
    """Plot UA along every attack: a figure per attack with a panel per method and stage; of one method alone, all attacks in one figure."""
    view = attacks.view
    for arm in view.arms:
        for forget in view.recipe.forget_labels():
            series = [one for one in attacks.series if (one[0], one[2]) == (arm, forget)]
            methods = [
                m
                for m in attacks.methods
                if any(attacks.strongest(one, m, a) for one in series for a in attacks.attacks)
            ]
            if len(methods) == 1:
                panels = [(methods[0], attack) for attack in attacks.attacks]
                yield _picture(attacks, series, panels, "every attack", "all")
            elif methods:
                for attack in attacks.attacks:
                    panels = [(method, attack) for method in methods]
                    yield _picture(attacks, series, panels, attacks.name(attack), attack)


def _picture(attacks: Attacks, series: Sequence[Series], panels: Sequence[Panel], under: str, key: str) -> Picture:
    names, (arm, _, forget) = attacks.view.names, series[0]
    blocks = math.ceil(len(panels) / MOST)
    columns = math.ceil(len(panels) / blocks)
    figure = Figure(figsize=(WIDTH, 0.6 + blocks * (0.5 + HEIGHT * len(series))), layout="constrained")
    grid = figure.subplots(blocks * len(series), columns, sharey=True, squeeze=False)
    named = any((worst := attacks.strongest(one, *panel)) and worst.name for panel in panels for one in series)
    for place, (method, attack) in enumerate(panels):
        block, column = divmod(place, columns)
        rows = grid[block * len(series) : (block + 1) * len(series), column]
        drawn = [axes for axes, one in zip(rows, series, strict=True) if _panel(attacks, axes, one, method, attack)]
        for axes, one in zip(rows, series, strict=True):
            accuracy_axis(axes, "" if column else f"UA, {names.stage(one[1])}")
            axes.tick_params(labelbottom=axes is drawn[-1])
        title = attacks.name(attack) if len({own for own, _ in panels}) == 1 else names.method(method)
        rows[0].set_title(filled(title), loc="left", pad=15 if named else 4)
        drawn[-1].set_xlabel(_under_axis(attacks, attack), labelpad=1)
    for axes in grid[-len(series) :, len(panels) - (blocks - 1) * columns :].flat:
        axes.set_axis_off()
    legend(figure, _handles(attacks, series, panels))
    stopped = spoken(dict.fromkeys(where_name(attacks.places[method][0]) for method, _ in panels))
    title = f"UA under {under}, unlearned to {stopped}, forgetting {names.forget(forget)}{of_arm(attacks.view, arm)}"
    return Picture(slug(SECTION, key, *arm_slug(arm), forget), title, _how(attacks, panels), figure, SECTION)


def _panel(attacks: Attacks, axes: Axes, series: Series, method: str, attack: str) -> bool:
    """Draw the three curves at the strongest setting, its name, and a mark where most comes back; return whether there was a model to attack."""
    worst, shade = attacks.strongest(series, method, attack), color(attacks.view, series[1])
    if worst is None:
        axes.text(0.5, 0.5, "never reached", transform=axes.transAxes, ha="center", va="center")
        axes.set_xticks([])
        return False
    curves = {one: attacks.curve(series, one, method, attack, worst.setting) for one in (*REFERENCES, "unlearned")}
    kind, mark = attacks.dose_name(attack), None
    doses: list[float] = []
    for subject, curve in curves.items():
        if curve is None:
            continue
        doses = list(curve.doses)
        style = REFERENCES.get(subject, {"color": shade, "linewidth": 1.8, "zorder": 3})
        across = np.arange(len(doses)) if kind in ONE_BY_ONE else curve.doses
        axes.plot(across, curve.mean, **style)
        axes.fill_between(across, curve.low, curve.high, color=style["color"], alpha=0.18, linewidth=0)
        mark = across[doses.index(worst.dose)], curve.mean[doses.index(worst.dose)]
    if mark and attack in attacks.counting:
        axes.plot(*mark, "o", color=shade, markersize=4, zorder=4)
    _dose_axis(axes, kind, doses)
    axes.annotate(worst.name, (1, 1), (0, 3), axes.transAxes, "offset points", ha="right", fontsize=8, color=shade)
    return True


def _dose_axis(axes: Axes, kind: str, doses: Sequence[float]) -> None:
    if kind == "updates":
        dose_axis(axes, doses, one_shot=False)
    elif kind in ONE_BY_ONE:
        axes.xaxis.set_major_locator(FixedLocator(range(len(doses))))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: number(doses[round(place)])))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlim(-0.2, len(doses) - 0.8)
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes.set_xlim(0, max(doses) * 1.02)
    axes.set_xlabel("")


def _under_axis(attacks: Attacks, attack: str) -> str:
    kind = attacks.dose_name(attack)
    return "share of weights set to 0" if attacks.attacks[attack] == "prune" else DOSES.get(kind, kind)


def _handles(attacks: Attacks, series: Sequence[Series], panels: Sequence[Panel]) -> list[Line2D]:
    view, there = attacks.view, set(attacks.table["subject"])
    stages = dict.fromkeys(stage for _, stage, _ in series)
    handles = [
        Line2D([], [], color=color(view, stage), linewidth=1.8, label=f"unlearned, {view.names.stage(stage)}")
        for stage in stages
    ]
    handles += [Line2D([], [], label=one, **REFERENCES[one]) for one in reversed(REFERENCES) if one in there]
    if any(attack in attacks.counting for _, attack in panels):
        what = "worst gap" if "oracle" in there else "highest UA"
        handles.append(Line2D([], [], color="#444444", marker="o", markersize=4, linestyle="", label=what))
    return handles


def _how(attacks: Attacks, panels: Sequence[Panel]) -> str:
    confidence = f"{1 - attacks.view.recipe.claims.alpha:.0%}"
    beside = (
        "What lies above the oracle, which never saw the forgotten data, was hidden and not forgotten."
        if "oracle" in set(attacks.table["subject"])
        else "No oracle stands beside: what comes back may be learned anew."
    )
    grid = (
        " Each panel shows the setting of the attack that brings most back, named above it (share: of the forgotten data, which the attacker holds), for all its models."
        if any((worst := attacks.strongest(one, *panel)) and worst.name for panel in panels for one in attacks.series)
        else ""
    )
    return (
        f"Mean UA over seeds with the {confidence} interval of the mean, point by point (Student's t); UA is read on forgotten examples that "
        f"the attacker does not hold. {beside}{grid}"
    )
