"""What limits the conclusions, in whole sentences."""

from __future__ import annotations

from collections.abc import Callable

from ungrok.report.format import missing, plural
from ungrok.report.view import View
from ungrok.study.claims import COARSE
from ungrok.study.track import Track


def warnings(view: View) -> list[str]:
    """Return what limits the conclusions, in whole sentences."""
    return [*view.plan.warnings, *_coarse(view), *_absent(view), *_diverged(view), *_unmoved(view)]


def _coarse(view: View) -> list[str]:
    coarse = [verdict.method for verdict in view.verdicts if verdict.noted("coarse")]
    if not coarse:
        return []
    methods = ", ".join(dict.fromkeys(map(view.names.method, coarse)))
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
            made = view.results.controls
            reasons = made.loc[(made["arm"] == arm) & (made["stage"] == stage) & made["step"].isna(), "reason"]
            statuses = ", ".join(dict.fromkeys(map(str, reasons if len(reasons) else absent["status"]))).replace(
                "_", " "
            )
            sentences.append(
                f"The stage “{view.label(arm, stage)}” is missing in {len(absent)} of {plural(len(rows), 'seed')} ({statuses}); these seeds are in no comparison with it."
            )
    return sentences


def _diverged(view: View) -> list[str]:
    sentences = []
    for arm, statuses in view.results.transitions.groupby("arm")["status"]:
        if count := int((statuses == "diverged").sum()):
            sentences.append(f"Training diverged in {count} of {plural(len(statuses), 'seed')} (arm {arm}).")
    paths = _paths(view, lambda track: any(row["diverged"] for row in track.places))
    return [*sentences, f"Unlearning paths that ended in non-finite numbers: {paths}."] if paths else sentences


def _unmoved(view: View) -> list[str]:
    """Name the methods that leave models as they were: no accuracy on any set differs between two places of a path."""
    paths = _paths(view, _stays)
    return [f"Unlearning paths along which UA, RA and TA never change: {paths}."] if paths else []


def _stays(track: Track) -> bool:
    """Return whether a path has several places that all have the same accuracies."""
    seen = {tuple(None if missing(row[name]) else row[name] for name in ("UA", "RA", "TA")) for row in track.places}
    return len(track.places) > 1 and len(seen) == 1


def _paths(view: View, which: Callable[[Track], bool]) -> str:
    """Return how many paths of each method and stage are of a kind, in words."""
    flags: dict[tuple[str, str], list[bool]] = {}
    for place, tracks in view.paths.items():
        if place.stage in view.stages:
            own = [which(track) for track in tracks.values()]
            flags.setdefault((place.method, view.label(place.arm, place.stage)), []).extend(own)
    texts = [
        f"{view.names.method(method)} {stage} {sum(own)} of {len(own)}"
        for (method, stage), own in flags.items()
        if any(own)
    ]
    return "; ".join(sorted(texts))
