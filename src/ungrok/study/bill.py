"""What jobs will cost, from the time of an update and of an evaluation: each kind of job adds its own up."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ungrok.study.jobs.trained import TrainSpec


@dataclass(frozen=True)
class Price:
    """What a training's parts cost.

    Args:
        update: Seconds of one update.
        evaluation: Seconds of scoring all splits once.
        weights: Bytes of the model.

    """

    update: float
    evaluation: float
    weights: int


@dataclass(frozen=True)
class Bill:
    """Rough cost of one job.

    Args:
        seconds: Of one processor.
        bytes: On disk.
        checkpoints: Training checkpoints kept.

    """

    seconds: float
    bytes: int
    checkpoints: int = 0


class Prices(Protocol):
    """Prices in one study."""

    @property
    def unlearning(self) -> Price:
        """Of the training that paths leave."""

    @property
    def replay(self) -> float:
        """Seconds of bringing a model to a step of its trajectory, on average."""

    @property
    def examples(self) -> int:
        """Number of examples that are scored at each place of a path."""

    def of(self, spec: TrainSpec) -> Price:
        """Return the price of a training."""


def timed(action: Callable[[], object], seconds: float = 0.5) -> float:
    """Return the mean seconds of an action, repeated for about ``seconds`` after one warm-up."""
    action()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        action()
        count += 1
    return (time.perf_counter() - started) / count
