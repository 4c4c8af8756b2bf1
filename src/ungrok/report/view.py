"""What tables and figures read: the paths of a study by place, and when each reached its target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ungrok.report.format import MISSING, bracketed, number
from ungrok.study.claims import Doses, Lasts, Verdict, lasting_of, told_of
from ungrok.study.folder import StudyFolder
from ungrok.study.names import Names
from ungrok.study.place import Comparison, Place, comparisons
from ungrok.study.plan import Plan
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE
from ungrok.study.results import Results
from ungrok.study.statistics import Times
from ungrok.study.track import Track

Tracks = dict[int, Track]
"""The paths of one place, by seed."""


@dataclass(frozen=True)
class Reach:
    """When the paths of one place, one per seed, reached a target.

    Args:
        times: Dose at which the target was reached, by seed.
        censored: Number of paths that ended above the target.
        nothing: Number of paths that started at or below it.
        undefined: Number of paths without an oracle that would define it.
        end: Dose at which paths end.

    """

    times: dict[int, float]
    censored: int
    nothing: int
    undefined: int
    end: float

    @property
    def at_risk(self) -> int:
        """Number of paths that had something to forget."""
        return len(self.times) + self.censored

    @property
    def n(self) -> int:
        """Number of paths."""
        return self.at_risk + self.nothing + self.undefined

    def median(self) -> str:
        """Return the median over the paths at risk; ``> x`` where all that is known is that it lies above."""
        ordered = [*sorted(self.times.values()), *[math.inf] * self.censored]
        if not ordered:
            return MISSING
        lower, upper = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
        if math.isinf(upper):
            return f"> {number(self.end if math.isinf(lower) else lower)}"
        return number((lower + upper) / 2)

    def range(self) -> str:
        """Return the least and the largest dose over the paths at risk; empty where they say no more than the median."""
        if self.at_risk < 2 or not self.times:
            return ""
        most = f"> {number(self.end)}" if self.censored else number(max(self.times.values()))
        return bracketed(number(min(self.times.values())), most)

    def survival(self) -> Times | None:
        """Return the times with their censoring, or None where no path is at risk."""
        if not self.at_risk:
            return None
        times = np.array([*self.times.values(), *[self.end] * self.censored], dtype=float)
        return Times(times, np.arange(self.at_risk) < len(self.times))


@dataclass(frozen=True)
class View:
    """One study as the report sees it.

    Args:
        plan: The study's plan.
        results: Its tables.
        verdicts: Its verdicts.
        doses: Per method label, where paths end and where doses are matched.
        audit: What its ``audit.json`` holds; empty without an audit.

    """

    plan: Plan
    results: Results
    verdicts: list[Verdict]
    doses: dict[str, Doses]
    audit: Mapping[str, Any] = field(default_factory=dict)
    _reached: dict[tuple[Place, float | str], Reach] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, study: StudyFolder) -> View:
        """Return a study as the report sees it."""
        return cls(study.plan, study.results, study.verdicts, study.doses)

    @property
    def recipe(self) -> Recipe:
        """The study's recipe."""
        return self.plan.recipe

    @property
    def arms(self) -> list[str]:
        """All arms, the base first."""
        return [BASE, *self.recipe.arms]

    @property
    def stages(self) -> list[str]:
        """The stages of all arms; steps that only ``along`` uses are not among them."""
        return self.recipe.all_stages()

    @property
    def series(self) -> list[tuple[str, str]]:
        """Every arm and stage."""
        return [(arm, stage) for arm in self.arms for stage in self.recipe.stages_of(arm)]

    @property
    def methods(self) -> list[str]:
        """The labels of methods that have at least one path."""
        return [label for label in self.recipe.unlearn_labels() if label in self.doses]

    @property
    def signal(self) -> str:
        """The accuracy in which the transition shows."""
        return f"{'robust' if self.recipe.transition.signal == 'adversarial' else 'validation'} accuracy"

    @property
    def primary(self) -> float | str:
        """The first target that is a number, or the first at all."""
        return self.recipe.claims.primary

    @cached_property
    def paths(self) -> dict[Place, Tracks]:
        """Every unlearning path, by place and seed."""
        paths: dict[Place, Tracks] = {}
        for (place, seed), track in self.results.paths.items():
            paths.setdefault(place, {})[seed] = track
        return paths

    @cached_property
    def lasts(self) -> list[Lasts]:
        """What became of the forgetting of every method on both sides of the headline; empty where nothing was tried."""
        tried = self.results.lasting
        return [] if tried.empty else lasting_of(told_of(self.results.paths, lasting=tried), self.recipe)

    def tracks(self, place: Place) -> Tracks:
        """Return the paths of one place by seed, in the recipe's order of seeds."""
        paths = self.paths.get(place, {})
        return {seed: paths[seed] for seed in self.recipe.seeds if seed in paths}

    def one_shot(self, method: str) -> bool:
        """Return whether the method's dose is a strength."""
        return any(
            track.one_shot for place, paths in self.paths.items() if place.method == method for track in paths.values()
        )

    def reach(self, place: Place, target: float | str | None = None) -> Reach:
        """Return when the paths of one place reached a target; the primary one by default."""
        target = self.primary if target is None else target
        if (place, target) not in self._reached:
            self._reached[place, target] = self._reach(place, target)
        return self._reached[place, target]

    def _reach(self, place: Place, target: float | str) -> Reach:
        paths = self.tracks(place)
        states = {seed: track.status(target) for seed, track in paths.items()}
        hits = {seed: paths[seed].at(target) for seed, state in states.items() if state == "reached"}
        times = {seed: float(row["dose"]) for seed, row in hits.items() if row}
        censored, nothing, undefined = (
            list(states.values()).count(state) for state in ("censored", "nothing", "undefined")
        )
        end = self.doses[place.method].end if place.method in self.doses else math.nan
        return Reach(times, censored, nothing, undefined, end)

    @cached_property
    def comparisons(self) -> list[Comparison]:
        """Every comparison, on every forget split that it is made on."""
        return comparisons(self.recipe)

    @cached_property
    def names(self) -> Names:
        """Names for people of what the recipe holds."""
        return Names(self.recipe)

    def label(self, arm: str, stage: str) -> str:
        """Return the name of an arm's stage as tables show it."""
        return self.names.series(arm, stage)
