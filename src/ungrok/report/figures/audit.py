"""U-LiRA's AUC of every method at every stage, with its interval, its null, and models of which nothing was unlearned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ungrok.report.figures.drawing import COLORS, GRAY, MORE_COLORS, WIDTH, Picture, legend
from ungrok.report.format import slug
from ungrok.study.names import Names

SECTION = "audit"


def audit_pictures(audit: Mapping[str, Any], names: Names) -> Iterator[Picture]:
    """Plot, per forget set, U-LiRA's AUC of each method at each stage.

    Args:
        audit: What ``audit.json`` holds; empty for none.
        names: Of the recipe.

    """
    if not audit:
        return
    told = [row for row in audit["rows"] if row["measure"] == "ulira" and not row["reason"]]
    for forget in dict.fromkeys(row["forget"] for row in told):
        yield _aucs([row for row in told if row["forget"] == forget], audit["planted"], forget, names)


def _aucs(
    rows: Sequence[Mapping[str, Any]], planted: Sequence[Mapping[str, Any]], forget: str, names: Names
) -> Picture:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    spare = iter(MORE_COLORS)
    colors = {stage: COLORS.get(stage) or next(spare) for stage in stages}
    figure = Figure(figsize=(WIDTH * 0.75, 0.9 + 0.42 * (len(methods) + 1)), layout="constrained")
    axes = figure.add_subplot()
    places = {method: -index for index, method in enumerate([None, *methods])}
    apart = 0.5 / max(len(stages), 1)
    for number, stage in enumerate(stages):
        shift, own = apart * ((len(stages) - 1) / 2 - number), [row for row in rows if row["stage"] == stage]
        for row in own:
            y = places[row["method"]] + shift
            axes.plot(
                row["null"]["interval"], [y, y], color=GRAY, alpha=0.35, linewidth=7, solid_capstyle="butt", zorder=1
            )
            axes.plot(row["interval"], [y, y], color=colors[stage], zorder=2)
            axes.plot(row["value"], y, "o", color=colors[stage], markersize=5, zorder=3)
        for told in planted:
            if (told["measure"], told["stage"], told["forget"]) == ("ulira", stage, forget):
                for truth in told["truths"]:
                    if truth["name"] == "identity":
                        axes.plot(truth["value"], places[None] + shift, "D", color=colors[stage], markersize=5)
    axes.axvline(0.5, color="black", linewidth=0.8, zorder=0)
    axes.set_yticks([*places.values()], ["nothing unlearned", *(names.method(method) for method in methods)])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-len(methods) - 0.6, 0.6)
    axes.set_xlabel("AUC of U-LiRA; 0.5: not told from models that never saw the data")
    marks = [
        Line2D([], [], color=colors[stage], marker="o", markersize=5, label=names.stage(stage)) for stage in stages
    ]
    legend(figure, [*marks, Line2D([], [], color=GRAY, alpha=0.35, linewidth=7, label="null, 95 %")])
    how = (
        "A point is the AUC with which U-LiRA tells models that unlearned the set from models that never saw it, with its 95 % interval over models and examples; "
        "the gray bar is where it lies if there is nothing to tell. Diamonds: models of which nothing was unlearned, half as many."
    )
    title = f"Can unlearned models be told from models that never saw the data? Forgetting {names.forget(forget)}"
    return Picture(slug("ulira", forget), title, how, figure, SECTION)
