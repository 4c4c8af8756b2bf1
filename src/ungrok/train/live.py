"""The transition of a run that is still under way, read from what has been measured so far."""

from __future__ import annotations

from typing import Any

from ungrok.core.errors import RecipeError
from ungrok.train.transition import Transition, TransitionRule, find_transition

QUIET = 0.1
"""Share of the way from chance to its level below which a signal is said to be at chance, as for a transition's onset."""


class LiveTransition:
    """Rows of metrics as they come, and what they say of the transition.

    The signal is validation accuracy; test accuracy only where no row has a validation accuracy.

    Args:
        rule: The thresholds; they must be levels that are known before the run ends.
        chance: Accuracy of guessing, in (0, 1); None where it is not known.

    Raises:
        RecipeError: If the rule needs the whole run, or another signal.

    """

    def __init__(self, rule: TransitionRule, chance: float | None = None) -> None:
        if rule.relative or rule.signal != "validation":
            raise RecipeError("transition: a run under way is read by validation accuracy and an absolute level only")
        self.rule = rule
        self.chance = chance
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self.rows: list[dict[str, Any]] = []
        self.signal = "test"
        self.reached: int | None = None
        """Step at which both crossings of :meth:`transition` were first known, be there a delay between them or not; None before."""
        self._read: list[tuple[int, float, float]] = []
        self._memorized: int | None = None
        self._sustained: int | None = None

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        """Take a row, and return it together with what the last row holds, if that is of the same step.

        Args:
            row: ``step``, not before that of the last row, and metrics by name.

        """
        if self.rows and self.rows[-1]["step"] == row["step"]:
            self._take_back(row["step"])
            row = self.rows.pop() | row
        if self.signal == "test" and "validation_accuracy" in row:
            rows = self.rows
            self.clear()
            self.signal = "validation"
            for earlier in rows:
                self.add(earlier)
        self.rows.append(row)
        self._look(row)
        return row

    def _take_back(self, step: int) -> None:
        if self._read and self._read[-1][0] == step:
            self._read.pop()
        self._memorized = None if self._memorized == step else self._memorized
        self._sustained = None if self._sustained == step else self._sustained
        self.reached = None if self.reached == step else self.reached

    def _look(self, row: dict[str, Any]) -> None:
        train, signal = row.get("train_accuracy"), row.get(f"{self.signal}_accuracy")
        if train is None or signal is None:
            return
        self._read.append((row["step"], train, signal))
        if self._memorized is None and train >= self.rule.memorized:
            self._memorized = row["step"]
        if self._sustained is None and self._held() == self.rule.sustained:
            self._sustained = row["step"]
        if self.reached is None and None not in (self._memorized, self._sustained):
            self.reached = row["step"]

    def _held(self) -> int:
        """Return for how many evaluations the signal has held its level, counted no further than the rule asks."""
        last = [signal >= self.rule.grokked for _, _, signal in self._read[-self.rule.sustained :]]
        return len(last) if all(last) else last[::-1].index(False)

    def transition(self) -> Transition:
        """Return the transition on what has been measured so far."""
        import pandas as pd

        columns = ["step", "train_accuracy", "validation_accuracy"]
        return find_transition(pd.DataFrame(self._read, columns=columns), self.rule)

    def sentence(self) -> str:
        """Return what there is to say of the transition now."""
        if not self._read:
            return "nothing to read yet: no step has both train_accuracy and validation_accuracy"
        (step, train, _), transition = self._read[-1], self.transition()
        if transition.memorized is None:
            said = f"not memorized by {step}: training accuracy is {train:.2f}"
        elif transition.grokked is None:
            said = f"memorized at {transition.memorized.step}; {self._waiting()}; not yet"
        elif transition.status == "no_delay":
            said = f"memorized at {transition.memorized.step}; {self.signal} held its level from {transition.grokked.step}: no delay"
        else:
            said = f"memorized at {transition.memorized.step}, grokked at {transition.grokked.step}, {transition.delay:.1f} times as late"
            said += f"; {self.signal} fell again" if transition.status == "collapsed" else ""
        return said if self.signal == "validation" else f"{said} (by test accuracy: no validation accuracy is recorded)"

    def _waiting(self) -> str:
        """Return how far the signal is from having grokked."""
        step, _, signal = self._read[-1]
        held = self._held()
        if held:
            return f"{self.signal} at {signal:.2f}, its level, for {held} of {self.rule.sustained} evaluations"
        if self.chance is not None and signal <= self.chance + QUIET * (self.rule.grokked - self.chance):
            return f"{self.signal} still at chance at {step} ({signal:.2f})"
        return f"{self.signal} at {signal:.2f} at {step}"
