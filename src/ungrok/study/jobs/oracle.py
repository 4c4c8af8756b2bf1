"""The model trained without the forget data, at the step of a stage, scored on all data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from ungrok.core.files import save_packed
from ungrok.core.schema import Schema
from ungrok.evaluate.path import place_accuracies
from ungrok.study.bill import Bill, Prices
from ungrok.study.job import Job, Result, Spec, register
from ungrok.study.jobs.blocks import Asked, Forget, OwnLoss, without_counts
from ungrok.study.jobs.checkpoint import WEIGHTS, Checkpoint, keep_at
from ungrok.study.jobs.paths import use_loss
from ungrok.study.jobs.questions import Attacks, question
from ungrok.study.jobs.split import split_for
from ungrok.study.jobs.trained import Trained, trajectory_of
from ungrok.study.store import Work

SCORES = "scores.safetensors"


class OracleSpec(Spec):
    """What the input ``trajectory`` was trained without, and how the model is measured at the step of the input ``stage``.

    ``forget`` is left out where an input ``split`` says what was forgotten.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"forget", "objective", "probe", "scores"})

    forget: Forget | None = None
    objective: OwnLoss | None = None
    probe: Asked | None = None
    scores: Literal["class", "answer"] = "class"


class OracleAccuracies(Schema):
    """Accuracies in [0, 1] on the forget split that the oracle never saw, as in :class:`ungrok.evaluate.accuracy.Accuracies`."""

    UA: float | None = None
    RA: float | None = None
    TA: float | None = None
    bystander_accuracy: float | None = None
    validation_accuracy: float | None = None


class OracleResult(Result):
    """The oracle's accuracies; ``step`` is None where there is no oracle, for the ``reason`` given.

    ``attacks`` are there where questions were put to the model.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"attacks"})

    step: int | None
    reason: str
    accuracies: OracleAccuracies = OracleAccuracies()
    attacks: Attacks | None = None


@register
class Oracle(Job[OracleSpec, OracleResult]):
    """Bring the model trained without the forget data to the step of a stage, and score it on all data."""

    kind = "oracle"
    version = 2
    unread = frozenset({WEIGHTS})
    spec_type = OracleSpec
    result_type = OracleResult
    cost = 1.5

    def run(self, work: Work) -> OracleResult:
        """Score the oracle."""
        stage, source, spec = work.open("stage", Checkpoint).result, work.open("trajectory", Trained), self.spec
        trajectory, step = trajectory_of(source), stage.step
        if step is None or step > trajectory.steps:
            return OracleResult(step=None, reason=stage.reason or f"the oracle {trajectory.status}")
        if source.spec.given and step not in source.result.checkpoints:
            return OracleResult(step=None, reason=f"no oracle was given at step {step}")
        run = keep_at(source, trajectory, step, work.folder)
        use_loss(run, spec.objective)
        data = source.spec.data()
        split = split_for(work, data, spec.forget)
        places = [data.to(run.device).score(run.model, run.scorer, run.training.evaluation_batch)]
        scores = run.objective.scores_type.stack(places)
        save_packed(work.folder / SCORES, scores)
        every = place_accuracies(scores, split.forget, split.retain, split.classes, run.objective.scores_type.kind)
        asked = None if spec.probe is None else question(run.model, source.spec, split, spec.probe, work.folder)
        accuracies = OracleAccuracies(**{name: getattr(every, name) for name in OracleAccuracies.model_fields})
        return OracleResult(step=step, reason="", accuracies=accuracies, attacks=asked)

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of a replay."""
        return Bill(prices.replay, prices.unlearning.weights)

    def earlier(self) -> Iterator[tuple[str, int, dict[str, Any], dict[str, str]]]:
        """Yield version 1, told the forget split only where it put questions, and the last version before this of language models."""
        spec, inputs = without_counts(self.spec.spec()), self.inputs
        later = [(self.kind, self.version, dict(spec), inputs)] if self.spec.scores == "answer" else []
        if self.spec.probe is None:
            spec.pop("forget", None)
            inputs = {role: key for role, key in inputs.items() if role != "split"}
        yield self.kind, 1, spec, inputs
        yield from later
