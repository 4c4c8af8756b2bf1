"""What jobs will cost: each kind of job computes its own cost from the time of one update and of one evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ungrok.study.jobs.trained import TrainSpec


@dataclass(frozen=True)
class Price:
    """What one update, one evaluation and one checkpoint of a training cost.

    Args:
        update: Seconds of one update.
        evaluation: Seconds of scoring all splits once.
        weights: Bytes that a file keeps of the model's weights.
        measuring: Seconds of one measurement along a trajectory, which may read fewer examples; as many as an evaluation when None.

    """

    update: float
    evaluation: float
    weights: int
    measuring: float | None = None


@dataclass(frozen=True)
class Bill:
    """Rough cost of one job.

    Args:
        seconds: Time of one processor.
        bytes: Size on disk.
        checkpoints: Number of training checkpoints that are kept.

    """

    seconds: float
    bytes: int
    checkpoints: int = 0


class Prices(Protocol):
    """The prices that hold in one study."""

    @property
    def unlearning(self) -> Price:
        """The price of the trainings whose models are unlearned."""

    @property
    def replay(self) -> float:
        """Seconds that it takes, on average, to bring a model to a step of its trajectory."""

    @property
    def examples(self) -> int:
        """Number of examples that are scored at each place of a path."""

    @property
    def logits(self) -> int:
        """Bytes that the logits of one shadow model take on all its pool and the test examples, before they are packed."""

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
