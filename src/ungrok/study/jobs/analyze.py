"""Measuring one model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import field_validator
from torch import Tensor, nn

from ungrok.analyze import Analysis, Subject
from ungrok.core.modules import duplicate
from ungrok.core.schema import canonical
from ungrok.core.weights import whole
from ungrok.data.batches import TensorBatches
from ungrok.data.forget import ForgetSplit
from ungrok.study.job import Job, Result, Spec, register
from ungrok.study.jobs.blocks import Forget, OwnLoss
from ungrok.study.jobs.checkpoint import Checkpoint, weights_of
from ungrok.study.jobs.oracle import Oracle
from ungrok.study.jobs.paths import use_loss
from ungrok.study.jobs.split import made_split
from ungrok.study.jobs.trained import TrainSpec, build_run, forget_split
from ungrok.study.recipe import AnyAnalysis
from ungrok.study.store import Work
from ungrok.train import Run

NOTHING_TO_COMPARE = "no model to compare with"

_finite: dict[str, bool] = {}
"""Whether models have finite scores, by the keys of the jobs that kept them: one model is measured in several ways."""


class AnalyzeSpec(Spec):
    """What is measured on the input ``model``. An input ``split`` says what is forgotten; all other inputs are models to compare with."""

    optional: ClassVar[frozenset[str]] = frozenset({"objective"})
    unnamed: ClassVar[dict[str, tuple[str, ...]]] = {"analyze": ("after",)}

    analyze: AnyAnalysis
    forget: Forget
    seed: int
    objective: OwnLoss | None = None

    @field_validator("analyze")
    @classmethod
    def _nameless(cls, value: Analysis) -> Analysis:
        after = type(value).model_fields["after"].get_default()
        return value.model_copy(update={"name": None, "after": after})


class AnalyzeResult(Result):
    """One row per value and per null, and the ``reason`` if there are none."""

    rows: list[dict[str, Any]]
    reason: str


@register
class Analyze(Job[AnalyzeSpec, AnalyzeResult]):
    """Measure one model, alone or beside others."""

    kind = "analyze"
    version = 2
    spec_type = AnalyzeSpec
    result_type = AnalyzeResult
    cost = 2.0
    advice = "chunk or examples of the analysis"

    def run(self, work: Work) -> AnalyzeResult:
        """Measure the model."""
        source = work.open("model", Checkpoint).result
        if source.step is None:
            return AnalyzeResult(rows=[], reason=source.reason)
        weights: dict[str, dict[str, Tensor]] = {}
        for role in work.inputs:
            if role == "oracle":
                oracle = work.open(role, Oracle)
                if oracle.result.step is not None:
                    weights[role] = weights_of(oracle)
            elif role != "split":
                model = work.open(role, Checkpoint)
                if model.result.step is not None:
                    weights[role] = weights_of(model)
        return measure(source.training, weights, self.spec, made_split(work, source.training.data()), work.inputs)


def measure(
    training: TrainSpec,
    weights: dict[str, dict[str, Tensor]],
    spec: AnalyzeSpec,
    split: ForgetSplit | None = None,
    keys: Mapping[str, str] = MappingProxyType({}),
) -> AnalyzeResult:
    """Measure given weights on the data of a study.

    Args:
        training: Its problem and model are those of the weights.
        weights: State dicts: ``model``, and those that it is compared with, by name.
        spec: What is measured.
        split: What is forgotten, where a split job decided that instead of the spec.
        keys: Of the jobs that kept the weights, by name, where jobs did.

    Returns:
        ``rows``, and the ``reason`` if there are none: the model has diverged, or there is nothing to compare it with.
        Models to compare with that have diverged are left out.

    """
    run, models = build_run(training), {}
    use_loss(run, spec.objective)
    for role, state in weights.items():
        model = duplicate(run.model)
        model.load_state_dict(whole(model, state))
        if _is_finite(run, model, canonical([keys[role], spec.objective and spec.objective.spec()]) if keys else ""):
            models[role] = model
    if "model" not in models:
        return AnalyzeResult(rows=[], reason="diverged")
    split = split or forget_split(training.data(), spec.forget)
    sets = {"forget": run.data.train.of(split.forget), "retain": run.data.train.of(split.retain), "test": run.data.test}
    batches = {role: TensorBatches(part, run.training.evaluation_batch) for role, part in sets.items() if len(part)}
    subject = Subject(models.pop("model"), run.objective, batches, models, spec.seed, trusted=True)
    if "references" in spec.analyze.needs and not models:
        return AnalyzeResult(rows=[], reason=NOTHING_TO_COMPARE)
    return AnalyzeResult(rows=[row for reading in spec.analyze.measure(subject) for row in reading.rows()], reason="")


def _is_finite(run: Run, model: nn.Module, key: str) -> bool:
    """Return whether all scores of a model on the training data are finite; they are taken once in a process for each key that is not empty."""
    if key not in _finite:
        scores = run.data.train.score(model, run.objective, run.training.evaluation_batch, keep_logits=False)
        if not key:
            return not scores.diverged
        _finite[key] = not scores.diverged
    return _finite[key]
