"""What limits the conclusions, in whole sentences."""

from __future__ import annotations

from ungrok.report.format import plural
from ungrok.report.view import View
from ungrok.study.claims import COARSE


def warnings(view: View) -> list[str]:
    """Return what limits the conclusions, in whole sentences."""
    return [*view.plan.warnings, *_coarse(view), *_absent(view), *_diverged(view)]


def _coarse(view: View) -> list[str]:
    coarse = [verdict.method for verdict in view.verdicts if verdict.noted("coarse")]
    if not coarse:
        return []
    methods = ", ".join(dict.fromkeys(coarse))
    text = (
        f"In {plural(len(coarse), 'efficiency comparison')} the median to target is below {COARSE} updates ({methods})"
    )
    return [f"{text}: one update is then more than 5 %, and a ratio says little."]


def _absent(view: View) -> list[str]:
    sentences = []
    for arm, stage in view.series:
        rows = view.results.transitions[view.results.transitions["arm"] == arm]
        absent = rows[rows[f"stage_{stage}"].isna()]
        if len(absent):
            statuses = ", ".join(dict.fromkeys(map(str, absent["status"])))
            sentences.append(
                f"Stage {view.label(arm, stage)} is missing in {len(absent)} of {plural(len(rows), 'seed')} ({statuses}); these seeds are in no comparison with it."
            )
    return sentences


def _diverged(view: View) -> list[str]:
    sentences = []
    for arm, statuses in view.results.transitions.groupby("arm")["status"]:
        if count := int((statuses == "diverged").sum()):
            sentences.append(f"Training diverged in {count} of {plural(len(statuses), 'seed')} (arm {arm}).")
    broken: dict[tuple[str, str], list[bool]] = {}
    for place, tracks in view.paths.items():
        if place.stage in view.stages:
            flags = [bool(track.rows["diverged"].any()) for track in tracks.values()]
            broken.setdefault((place.method, view.label(place.arm, place.stage)), []).extend(flags)
    paths = [
        f"{method} from {stage} {sum(flags)} of {len(flags)}" for (method, stage), flags in broken.items() if any(flags)
    ]
    if paths:
        sentences.append(f"Unlearning paths that ended in non-finite numbers: {'; '.join(sorted(paths))}.")
    return sentences
