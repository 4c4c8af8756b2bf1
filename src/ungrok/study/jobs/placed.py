"""The model at a place of an unlearning path: the first at a target, the rewound one, or the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from ungrok.evaluate.targets import target_column
from ungrok.study.bill import Bill, Prices
from ungrok.study.job import register
from ungrok.study.jobs.checkpoint import Checkpoint, CheckpointResult, keep, weights_of
from ungrok.study.jobs.evaluate import Evaluate
from ungrok.study.jobs.paths import PathSpec, Sources, depart, walk_to
from ungrok.study.recipe_stress import Where, where_label
from ungrok.study.store import Work

Row = dict[str, Any]
"""One observed place of a path, by column."""


class PlacedSpec(PathSpec):
    """A path, and where on it: a target of UA (the first observed place at or below it), the rewound place, or the end.

    With ``or_end`` the end stands in for a place that the path does not have.
    """

    optional: ClassVar[frozenset[str]] = PathSpec.optional | {"or_end"}

    where: Where
    or_end: bool = False


class PlacedResult(CheckpointResult):
    """The stage from which the path starts, and ``dose`` and ``updates`` at the place; None where there is none.

    ``updates`` is also None on the path of a one-shot method.
    """

    dose: float | None = None
    updates: int | None = None


@register
class Placed(Checkpoint):
    """Walk a path to a place that its evaluated ``rows`` name, without scoring any place on the way, and keep the model there."""

    kind = "placed"
    version = 1
    spec_type = PlacedSpec
    result_type = PlacedResult
    cost = 2.0

    spec: PlacedSpec

    def run(self, work: Work) -> PlacedResult:
        """Walk the path."""
        source, spec = work.open("stage", Checkpoint), self.spec
        step, reason, training = source.result.step, source.result.reason, source.result.training
        row = None
        if step is not None:
            row = row_at(work.open("rows", Evaluate).result.rows, spec.where, or_end=spec.or_end)
            reason = reason_at(spec.where, row)
        if row is None or reason:
            return PlacedResult(step=None, reason=reason, training=training)
        departure = depart(training, weights_of(source), spec, Sources.of(work, training))
        dose = float(row["dose"])
        model = walk_to(departure.path, dose, work.tick) if dose > 0 else departure.run.model
        keep(model, work.folder, training)
        return PlacedResult(step=step, reason="", training=training, dose=dose, updates=row["updates"])

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of all updates of the path; where on it the place lies is not known before."""
        price = prices.unlearning
        return Bill(self.spec.updates() * price.update, price.weights)


def row_at(
    rows: Sequence[Row], where: float | Literal["oracle", "rewound", "end"], *, or_end: bool = False
) -> Row | None:
    """Return the row of a place on a path; None where the path has no such place.

    Args:
        rows: Of :class:`~ungrok.study.jobs.evaluate.Evaluate`, the starting point first.
        where: As in :class:`PlacedSpec`.
        or_end: As in :class:`PlacedSpec`.

    """
    last = rows[-1] if rows else None
    if where == "end":
        return last
    column = "rewound" if where == "rewound" else target_column(where)
    return next((row for row in rows if row[column]), last if or_end else None)


def reason_at(where: float | str, row: Row | None) -> str:
    """Return why there is no model at a place; empty where there is one."""
    if row is None:
        return f"the path has no place {where_label(where)}"
    return "the path has diverged there" if row["diverged"] else ""
