"""What audits of many models share: an interval over models and over examples, a null, and how many models are enough.

A measure turns two arrays of signals, each of shape (models, examples), into a table with examples last, and the table into
summaries. All else here works on that alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ungrok.core.errors import RecipeError
from ungrok.core.seeds import derive

Floats = NDArray[np.float64]
Table = tuple[Floats, ...]
"""Arrays whose last axis is the examples."""

LEAST = 4
"""Models of a side: halves of them still have a variance."""
GROUPS = 20
"""Most groups of models, or of examples, that are left out in turn."""
DRAWS = 40
SIZES = 4
"""Most numbers of models at which the null is drawn to see how it falls."""
TENTH = 0.1

NullKind = Literal["halves", "permutation"]


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Null:
    """What a measure gives where nothing is there.

    Args:
        draws: The judged summary of every draw, shape (draws,).
        models: Models on each side of a draw.
        center: The value of no difference; for some measures the mean of the draws.

    """

    draws: Floats
    models: tuple[int, int]
    center: float

    @property
    def mean(self) -> float:
        """Mean of the draws."""
        return float(self.draws.mean())

    @property
    def interval(self) -> Interval:
        """Where 95 % of the draws lie."""
        return Interval(*(float(edge) for edge in np.quantile(self.draws, [0.025, 0.975])))

    @property
    def upper(self) -> float:
        """The 95 % quantile of the distance from :attr:`center`."""
        return float(np.quantile(np.abs(self.draws - self.center), 0.95))


@dataclass(frozen=True)
class Needed:
    """How many models a measure needs.

    Args:
        models: Smallest number on each side at which the null's 95 % quantile lies below a tenth of ``value``; None where the
            null does not fall towards it.
        extrapolated: Whether that number is beyond those drawn, on the straight line through the logarithms.
        value: Distance from no difference where nothing was unlearned.
        null: The null's 95 % quantile of that distance, by the number of models on each side.

    """

    models: int | None
    extrapolated: bool
    value: float
    null: dict[int, float]


@dataclass(frozen=True)
class Statistic:
    """A measure as this file sees it.

    Args:
        table: From signals of both sides to a table.
        summarize: From a table to summaries by name; NaN where one cannot be had.
        judged: Name of the summary that is compared with the null.
        center: Its value for no difference; None: the null's mean.
        bounds: Between which each summary lies; 0 and 1 where it is not named.
        null: ``permutation``: models change sides at random. ``halves``: the oracles are split at random, so that a side has half as many.

    """

    table: Callable[[Floats, Floats], Table]
    summarize: Callable[[Table], dict[str, float]]
    judged: str
    center: float | None
    bounds: dict[str, tuple[float, float]]
    null: NullKind

    def read(self, left: Floats, right: Floats) -> dict[str, float]:
        """Return the summaries of two sides."""
        return self.summarize(self.table(left, right))


@dataclass(frozen=True)
class Calibrated:
    """The outcome of an audit of many models.

    Args:
        values: One value for each example, shape (examples,).
        summaries: Numbers over all examples, by name.
        judged: Name of the summary that is compared with the null.
        intervals: 95 % intervals of the summaries, over models and examples at once.
        over_models: The interval of the judged summary, were the examples all there are.
        over_examples: The same, were the models all there are; None for a single example.
        null: What the measure gives where nothing is there.
        needed: How many models are enough; None unless signals of original models were given.

    """

    values: Floats
    summaries: dict[str, float]
    judged: str
    intervals: dict[str, Interval]
    over_models: Interval
    over_examples: Interval | None
    null: Null
    needed: Needed | None

    @property
    def value(self) -> float:
        """The judged summary."""
        return self.summaries[self.judged]

    @property
    def interval(self) -> Interval:
        """95 % interval of the judged summary, over models and examples at once."""
        return self.intervals[self.judged]

    @property
    def excess(self) -> float:
        """Distance of the judged summary from no difference; larger means that more is left."""
        return abs(self.value - self.null.center)

    @property
    def excess_interval(self) -> Interval:
        """95 % interval of :attr:`excess`."""
        low, high = (edge - self.null.center for edge in self.interval)
        return Interval(max(0.0, low, -high), max(abs(low), abs(high)))


def signals_of(name: str, given: ArrayLike, least: int = LEAST) -> Floats:
    """Return signals as float64 of shape (models, examples).

    Args:
        name: The argument, for messages.
        given: Shape (models, examples).
        least: Fewest models.

    Raises:
        RecipeError: If the shape is another, models are too few, there is no example, or a signal is not finite.

    """
    array = np.asarray(given, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] == 0:
        raise RecipeError(f"{name}: signals of shape (models, examples) are needed, not {array.shape}")
    if len(array) < least:
        raise RecipeError(f"{name}: {len(array)} models are too few; at least {least} are needed")
    if not np.isfinite(array).all():
        broken = int((~np.isfinite(array).all(axis=1)).sum())
        raise RecipeError(
            f"{name}: {broken} of {len(array)} models have signals that are not finite; leave diverged models out"
        )
    return array


def sides_of(**given: ArrayLike) -> tuple[Floats, ...]:
    """Return signals by :func:`signals_of`; all must be of the same examples.

    Raises:
        RecipeError: As there, or if numbers of examples differ.

    """
    arrays = [signals_of(name, array) for name, array in given.items()]
    widths = {name: array.shape[1] for name, array in zip(given, arrays, strict=True)}
    if len(set(widths.values())) > 1:
        raise RecipeError(
            "the same examples are needed on all sides, not "
            + ", ".join(f"{n} of {name}" for name, n in widths.items())
        )
    return tuple(arrays)


def calibrated(
    statistic: Statistic,
    left: Floats,
    right: Floats,
    original: Floats | None,
    *,
    draws: int,
    seed: int,
) -> tuple[Table, dict[str, Any]]:
    """Return the table of a measure, and the arguments of :class:`Calibrated` but ``values``.

    Args:
        statistic: The measure.
        left: Signals under test, shape (models, examples).
        right: Those of models that never saw the examples, or of oracles.
        original: Those of models of which nothing was unlearned, for the number of models that is needed.
        draws: Of the null.
        seed: Of its random draws.

    Raises:
        RecipeError: If ``draws`` is under 2.

    """
    if draws < 2:
        raise RecipeError(f"draws: {draws} draws of the null are too few; at least 2 are needed")
    table = statistic.table(left, right)
    summaries = statistic.summarize(table)
    over_models = _error_over_models(statistic, left, right)
    over_examples = _error_over_examples(statistic, table)
    freedom = _groups(left, right) - 1
    models = min(len(left), len(right))

    def interval(name: str, *errors: dict[str, float]) -> Interval:
        return interval_around(
            summaries[name],
            math.hypot(*(error[name] for error in errors)),
            freedom,
            models,
            statistic.bounds.get(name, (0, 1)),
        )

    errors = [over_models] if over_examples is None else [over_models, over_examples]
    judged = statistic.judged
    return table, {
        "summaries": summaries,
        "judged": judged,
        "intervals": {name: interval(name, *errors) for name in summaries},
        "over_models": interval(judged, over_models),
        "over_examples": None if over_examples is None else interval(judged, over_examples),
        "null": null_of(statistic, left, right, draws=draws, seed=seed),
        "needed": None if original is None else needed(statistic, original, right, draws=draws, seed=seed),
    }


def null_of(statistic: Statistic, left: Floats, right: Floats, *, draws: int, seed: int) -> Null:
    """Draw the null of a measure, as :attr:`Statistic.null` says."""
    pool, sizes = right, (len(right) // 2, len(right) // 2)
    if statistic.null == "permutation":
        pool, sizes = np.concatenate([left, right]), (len(left), len(right))
    return _drawn(statistic, pool, sizes, draws, seed)


def _drawn(statistic: Statistic, pool: Floats, sizes: tuple[int, int], draws: int, seed: int) -> Null:
    """Draw sides of given sizes from one pool of models."""
    numbers = np.random.default_rng(derive(seed, "null", *sizes))
    values = np.empty(draws)
    for draw in range(draws):
        order = numbers.permutation(len(pool))[: sum(sizes)]
        values[draw] = statistic.read(pool[order[: sizes[0]]], pool[order[sizes[0] :]])[statistic.judged]
    return Null(values, sizes, float(values.mean()) if statistic.center is None else statistic.center)


def needed(statistic: Statistic, original: Floats, oracle: Floats, *, draws: int, seed: int) -> Needed:
    """Return at how many models the null's 95 % quantile falls below a tenth of the value for "nothing unlearned".

    Halves of 4 and more oracles are drawn, up to all of them. Beyond, the null is taken to go on falling on the straight line through
    the logarithms, fitted by least squares.

    Args:
        statistic: The measure.
        original: Signals of models that held the examples and of which nothing was unlearned, shape (models, examples).
        oracle: Those of models that never saw them.
        draws: For each number of models.
        seed: Of the random draws.

    """
    most = len(oracle) // 2
    sizes = sizes_up_to(most)
    nulls = [_drawn(statistic, oracle, (size, size), draws, seed) for size in sizes]
    value = abs(statistic.read(original, oracle)[statistic.judged] - nulls[-1].center)
    return needed_from(value, {size: null.upper for size, null in zip(sizes, nulls, strict=True)})


def sizes_up_to(most: int) -> list[int]:
    """Return a few numbers of models, evenly spaced by their logarithms."""
    return sorted({int(size) for size in np.geomspace(min(LEAST, most), most, SIZES).round()})


def needed_from(value: float, null: dict[int, float]) -> Needed:
    """Return :class:`Needed` from the value for "nothing unlearned" and the null's 95 % quantiles by number of models, in rising order."""
    return Needed(*_crossing(np.array([*null]), np.array([*null.values()]), TENTH * value), value, null)


def _crossing(sizes: NDArray[np.int64], uppers: Floats, limit: float) -> tuple[int | None, bool]:
    """Return the first size from which on a falling curve stays below a limit, and whether it lies beyond those given."""
    if limit <= 0:
        return None, False
    above = np.flatnonzero(uppers >= limit)
    if len(above) == 0:
        return int(sizes[0]), False
    last = int(above[-1])
    x, y = np.log(sizes), np.log(np.maximum(uppers, np.finfo(float).tiny))
    if last + 1 < len(sizes):
        share = (y[last] - math.log(limit)) / (y[last] - y[last + 1])
        return math.ceil(math.exp(x[last] + share * (x[last + 1] - x[last]))), False
    slope = float(np.polyfit(x, y, 1)[0]) if len(sizes) > 1 else 0.0
    steps = (math.log(limit) - y[-1]) / slope if slope < 0 else math.inf
    if steps > math.log(1e6):
        return None, False
    return math.ceil(math.exp(x[-1] + steps)), True


def _error_over_models(statistic: Statistic, left: Floats, right: Floats) -> dict[str, float]:
    """Leave out groups of models of both sides in turn; a bootstrap would put the same model into a fit and under test.

    Sides of fewer than LEAST models stay whole.
    """
    groups = _groups(left, right)
    kept = [np.arange(len(side)) % groups if len(side) >= LEAST else np.full(len(side), -1) for side in (left, right)]
    return jackknife([statistic.read(left[kept[0] != group], right[kept[1] != group]) for group in range(groups)])


def _groups(left: Floats, right: Floats) -> int:
    return min(GROUPS, *(len(side) for side in (left, right) if len(side) >= LEAST))


def _error_over_examples(statistic: Statistic, table: Table) -> dict[str, float] | None:
    count = table[0].shape[-1]
    if count < 2:
        return None
    return jackknife([statistic.summarize(tuple(part[..., kept] for part in table)) for kept in without_groups(count)])


def without_groups(*counts: int) -> list[NDArray[np.bool_]]:
    """Return which of some things stay as each group of them is left out; with several kinds, one after another, some of each kind go."""
    groups = min(GROUPS, *counts)
    group = np.concatenate([np.arange(count) % groups for count in counts])
    return [group != left_out for left_out in range(groups)]


def jackknife(without: list[dict[str, float]]) -> dict[str, float]:
    """Return standard errors from the summaries without each group in turn (Shao & Tu 1995, eq. 2.31)."""
    groups = len(without)
    errors = {}
    for name in without[0]:
        values = np.array([summaries[name] for summaries in without])
        errors[name] = math.sqrt((groups - 1) * float(values.var()))
    return errors


def interval_around(value: float, error: float, freedom: int, models: int, bounds: tuple[float, float]) -> Interval:
    """Return Student's interval within bounds; a rate of 0 or 1 without spread gets that of Clopper & Pearson over models."""
    from scipy.special import stdtrit

    if error == 0 and bounds == (0, 1) and value in bounds:
        edge = 0.025 ** (1 / models)
        return Interval(edge, 1.0) if value == 1 else Interval(0.0, 1 - edge)
    half = float(stdtrit(freedom, 0.975)) * error
    return Interval(max(bounds[0], value - half), min(bounds[1], value + half))


def blocks(examples: int, models: int, elements: int = 2_000_000) -> list[slice]:
    """Return slices of examples so that an array of (models, slice) has at most about so many elements."""
    size = max(1, elements // max(models, 1))
    return [slice(start, start + size) for start in range(0, examples, size)]


def auc_of(positive: Floats, negative: Floats) -> float:
    """Return the share of pairs in which the positive value is the larger; ties count half."""
    ordered, asked = np.sort(negative, axis=None), np.sort(positive, axis=None)
    below = np.searchsorted(ordered, asked, "left").sum() + np.searchsorted(ordered, asked, "right").sum()
    return float(below) / (2.0 * ordered.size * asked.size)


def tpr_of(positive: Floats, negative: Floats, rate: float) -> float:
    """Return the largest true-positive rate at a false-positive rate of at most ``rate``; NaN where fewer than 1/rate values are negative."""
    spared = math.floor(rate * negative.size + 1e-9)
    if spared == 0:
        return math.nan
    place = negative.size - 1 - spared
    return float((positive > np.partition(negative, place, axis=None)[place]).mean())
