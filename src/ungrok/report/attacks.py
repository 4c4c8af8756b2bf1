"""What attacks after unlearning gave, as figures and tables read it: curves of each model, the settings that bring most back, and R."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from ungrok.report.format import missing
from ungrok.report.view import View
from ungrok.study.claims.durability import places_of
from ungrok.study.names import attack_name
from ungrok.study.stress import apart, gaps, standings_of
from ungrok.study.units import swaps

Floats = NDArray[np.float64]

Series = tuple[str, str, str]
"""Arm, stage and forget split."""

SERIES = ["arm", "stage", "forget"]

CURVE = [*SERIES, "subject", "method", "place", "attack", "setting"]
"""Columns that name a curve."""


@dataclass(frozen=True)
class Curve:
    """UA of one model along an attack, over seeds.

    Args:
        doses: How far along the attack, in its order, shape (places,).
        mean: Mean UA over the seeds that have one, shape (places,).
        low: Lower end of the interval of that mean, shape (places,); NaN where fewer than two seeds have a value.
        high: Upper end.

    """

    doses: Floats
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Strongest:
    """Where an attack brings most back, by the mean over seeds of the gap to the oracle; without an oracle, of UA.

    Args:
        setting: Its name in the table.
        dose: How far along.
        name: The setting for people; empty where the attack has only one.

    """

    setting: str
    dose: float
    name: str


@dataclass(frozen=True)
class Attacks:
    """The table ``stress`` of a study as the report sees it; empty where nothing was attacked."""

    view: View

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows; the method and the place of a model that no method has made are empty."""
        rows = self.view.results.stress
        words = {name: rows[name].astype(object).fillna("") for name in ("method", "place", "setting")}
        return rows.assign(**words)

    @cached_property
    def attacks(self) -> dict[str, str]:
        """The kind of each attack, by its label, in the order of the table."""
        first = self.table.drop_duplicates("attack")
        return dict(zip(first["attack"], first["kind"], strict=True))

    @cached_property
    def counting(self) -> list[str]:
        """The attacks that count in R: all but walks to other models; see :func:`ungrok.study.stress.worst_gap`."""
        beside = apart()
        return [label for label, kind in self.attacks.items() if kind not in beside]

    @cached_property
    def places(self) -> dict[str, list[str]]:
        """The attacked places on the paths of each method, that of the headline first."""
        own, there = places_of(self.view.recipe), self.table[self.table["subject"] == "unlearned"]
        return {
            str(method): sorted(dict.fromkeys(rows["place"]), key=lambda name, method=method: name != own.get(method))  # type: ignore[misc]
            for method, rows in there.groupby("method", sort=False)
        }

    @cached_property
    def series(self) -> list[Series]:
        """Every arm, stage and forget split whose models were attacked, in the order of the recipe."""
        there = set(self.table[SERIES].itertuples(index=False, name=None))
        forgets = self.view.recipe.forget_labels()
        return [one for arm, stage in self.view.series for forget in forgets if (one := (arm, stage, forget)) in there]

    @property
    def methods(self) -> list[str]:
        """The attacked methods in the order of the recipe."""
        return [method for method in self.view.recipe.unlearn_labels() if method in self.places]

    def name(self, attack: str) -> str:
        """Return the name of an attack for people."""
        return attack_name(attack, self.attacks[attack])

    def dose_name(self, attack: str) -> str:
        """Return what the path of an attack runs over, as the table names it."""
        return str(self.table.loc[self.table["attack"] == attack, "dose_name"].iloc[0])

    @cached_property
    def _curves(self) -> dict[tuple[str, ...], pd.DataFrame]:
        rows = self.table.astype({"UA": "float64"})
        means = rows.groupby([*CURVE, "dose"], sort=False)["UA"].agg(["mean", "std", "count"]).reset_index()
        return {tuple(map(str, key)): part for key, part in means.groupby(CURVE, sort=False)}

    def curve(self, series: Series, subject: str, method: str, attack: str, setting: str) -> Curve | None:
        """Return UA of one model along an attack, with an interval of its mean by Student's t, point by point; None where there is none.

        Args:
            series: Arm, stage and forget split.
            subject: One of :data:`ungrok.audits.report.SUBJECTS`.
            method: The method, which counts for ``unlearned`` alone, at its first place of :attr:`places`.
            attack: The attack.
            setting: Its setting.

        """
        made = (method, self.places[method][0]) if subject == "unlearned" else ("", "")
        rows = self._curves.get((*series, subject, *made, attack, setting))
        if rows is None or rows["mean"].isna().all():
            return None
        count, mean = (rows[name].to_numpy(dtype=np.float64) for name in ("count", "mean"))
        degrees = np.where(count > 1, count - 1, np.nan)
        quantile = stdtrit(degrees, 1 - self.view.recipe.claims.alpha / 2)
        half = quantile * rows["std"].to_numpy(dtype=np.float64) / np.sqrt(np.maximum(count, 1))
        ends = (np.clip(mean + side * half, 0, 1) for side in (-1, 1))  # accuracies lie between
        return Curve(rows["dose"].to_numpy(dtype=np.float64), mean, *ends)

    @cached_property
    def _strongest(self) -> dict[tuple[str, ...], Mapping[Any, Any]]:
        rows = gaps(self.table)
        rows = rows[rows["subject"] == "unlearned"].astype({"UA": "float64"})
        keys = [*SERIES, "method", "place", "attack"]
        known = rows["gap"].notna().groupby([rows[name] for name in keys]).transform("any")
        cells = rows.assign(back=rows["gap"].where(known, rows["UA"]))
        means = cells.groupby([*keys, "setting", "dose"], sort=False).agg(
            back=("back", "mean"), share=("share", "first"), lr=("lr", "first")
        )
        ordered = means.reset_index().sort_values("back", ascending=False, kind="stable").drop_duplicates(keys)
        return {tuple(str(row[name]) for name in keys): row for row in ordered.to_dict("records")}

    def strongest(self, series: Series, method: str, attack: str) -> Strongest | None:
        """Return where an attack brings most back from what a method left, at its first place; None where the method was not attacked."""
        row = self._strongest.get((*series, method, self.places[method][0], attack))
        return None if row is None else Strongest(row["setting"], float(row["dose"]), setting_name(row))

    @cached_property
    def standings(self) -> pd.DataFrame:
        """R of every attack and, with an empty ``attack``, of all that count; see :func:`ungrok.study.stress.standings`.

        The intervals hold together over attacks, methods, stages and forget splits at the place that comes first.
        """
        first = {method: names[0] for method, names in self.places.items()}
        recipe = self.view.recipe
        over, single = standings_of(
            self.table,
            lambda worst: worst[worst["place"] == worst["method"].map(first)],
            recipe.claims.alpha,
            paired=swaps(recipe),
        )
        return pd.concat([over.assign(attack=""), single], ignore_index=True)


def setting_name(row: Mapping[Any, Any]) -> str:
    """Return the setting of a row for people: the share of forgotten data that the attacker holds and the learning rate, else its label."""
    parts = [] if missing(row["share"]) else [f"share {100 * row['share']:.3g} %"]
    parts += [] if missing(row["lr"]) else [f"rate {row['lr']:g}"]
    return ", ".join(parts) or str(row["setting"])
