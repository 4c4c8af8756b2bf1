"""Trains a model to the end, and keeps its checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ungrok.core.weights import whole
from ungrok.study.bill import Bill, Prices
from ungrok.study.job import register
from ungrok.study.jobs.split import made_split
from ungrok.study.jobs.trained import Trained, TrainResult, build_run, weights_at
from ungrok.study.store import Work
from ungrok.train.given import record_given

MOMENTS = {"sgd": 1}
"""Numbers that an optimizer keeps of each weight, and a checkpoint with it; 2 for those that are not listed."""


@register
class Train(Trained):
    """Train a model to the end and keep its checkpoints; it starts from the end of the ``base`` training, if there is one."""

    kind = "train"
    version = 1
    cost = 60.0
    advice = "trajectory.batch_size, trajectory.evaluation_batch or the size of the model"

    @property
    def steps(self) -> int:
        """How many steps it makes."""
        return self.spec.trajectory.steps

    def run(self, work: Work) -> TrainResult:
        """Train the model."""
        split = made_split(work, self.spec.data())
        run = build_run(self.spec, split)
        if self.spec.given:
            return TrainResult(**record_given(run, self.spec.given, work.folder))
        if work.has("base"):
            base = work.open("base", Trained)
            run.model.load_state_dict(whole(run.model, weights_at(base, base.result.steps)))
        record = run.record(work.folder, tick=lambda step: work.tick(step / self.steps), resumable=True)
        return TrainResult(**record, forget=None if split is None else split.gone.tolist())

    def earlier(self) -> Iterator[tuple[str, int, dict[str, Any], dict[str, str]]]:
        """Yield the training that was measured on all classes, those that it never sees included."""
        if self.spec.measured is not None:
            spec = {key: value for key, value in self.spec.spec().items() if key != "measured"}
            yield self.kind, self.version, spec, self.inputs

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of all updates, evaluations and checkpoints, which take a little less once they are packed."""
        price, training = prices.of(self.spec), self.spec.trajectory
        measuring = price.evaluation if price.measuring is None else price.measuring
        seconds = training.steps * price.update + len(training.evaluated()) * measuring
        restarts = len(training.restarts())  # an optimizer holds nothing yet at the first of them, step 0
        copies = restarts + 1 + MOMENTS.get(training.optimizer.kind, 2) * (restarts - 1)
        return Bill(seconds, copies * price.weights, restarts + 1)
