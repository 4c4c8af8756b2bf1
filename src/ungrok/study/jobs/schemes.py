"""Trains the models of a scheme that prepares for deletion, and fulfills a request by training again what it touches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import field_validator
from torch import Tensor, nn

from ungrok.core.files import load_tensors, save_packed
from ungrok.core.scores import Scores
from ungrok.core.seeds import derive
from ungrok.core.weights import whole
from ungrok.data.base import Data
from ungrok.data.forget import ForgetSplit
from ungrok.evaluate.path import place_accuracies
from ungrok.study.bill import Bill, Prices
from ungrok.study.job import Job, Result, Spec, register
from ungrok.study.jobs.blocks import Forget
from ungrok.study.jobs.oracle import OracleAccuracies
from ungrok.study.jobs.split import split_for
from ungrok.study.jobs.trained import TrainSpec, build_run, fresh_model
from ungrok.study.recipe_schemes import AnyScheme
from ungrok.study.store import Tick, Work
from ungrok.train import Run
from ungrok.train.record import model_state
from ungrok.train.schemes import Member, Scheme


class PreparedSpec(Spec):
    """The scheme, and the training of one model on all examples from which those of its models follow."""

    unnamed: ClassVar[dict[str, tuple[str, ...]]] = {"scheme": ()}

    training: TrainSpec
    scheme: AnyScheme

    @field_validator("scheme")
    @classmethod
    def _nameless(cls, value: Scheme) -> Scheme:
        return value.model_copy(update={"name": None})

    @property
    def steps(self) -> int:
        """Updates of all models together."""
        return self.scheme.steps or self.training.trajectory.steps

    def members(self, examples: int) -> list[Member]:
        """Return what each model is trained on."""
        return self.scheme.members(examples, self.steps, self.training.training_seed)

    def of_member(self, number: int, parts: Member) -> TrainSpec:
        """Return the training of a model; that of the first has the seed of a single model."""
        seed = self.training.training_seed
        seed = derive(seed, "member", number) if number else seed
        trajectory = self.training.trajectory.model_copy(update={"steps": parts[-1].until})
        return self.training.model_copy(update={"training_seed": seed, "trajectory": trajectory})


class PreparedResult(Result):
    """What training the scheme's models cost, and how good they are together.

    ``passes`` are examples read over training examples; ``members`` holds the number of examples of each model.
    """

    status: str
    updates: int
    passes: float
    members: list[int]
    train_accuracy: float | None
    validation_accuracy: float | None
    TA: float | None


@register
class Prepared(Job[PreparedSpec, PreparedResult]):
    """Train the models of a scheme, and keep each as it stands after every part of its training."""

    kind = "prepared"
    version = 1
    spec_type = PreparedSpec
    result_type = PreparedResult
    cost = 60.0
    advice = "trajectory.batch_size, trajectory.evaluation_batch or the size of the model"

    def run(self, work: Work) -> PreparedResult:
        """Train the models."""
        spec, data = self.spec, self.spec.training.data()
        examples, started, walks = len(data.train), time.perf_counter(), list[Walked]()
        members, nothing = spec.members(examples), torch.zeros(0, dtype=torch.int64)
        for number, parts in enumerate(members):
            tick = _within(work.tick, number, len(members))
            walks.append(_Member(spec, number, parts, data, work.folder).walk(0, nothing, tick, keep=work.folder))
        work.seconds["updates"] = time.perf_counter() - started
        scores = _scores(spec, [walked.model for walked in walks if walked.model is not None], data)
        return PreparedResult(
            status="diverged" if any(part.diverged for part in scores.values()) else "completed",
            updates=sum(walked.updates for walked in walks),
            passes=sum(walked.read for walked in walks) / examples,
            members=[len(parts[-1].examples) for parts in members],
            train_accuracy=scores["train"].accuracy,
            validation_accuracy=scores["validation"].accuracy,
            TA=scores["test"].accuracy,
        )

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of all updates, and of the states from which parts are trained again."""
        price, members = prices.of(self.spec.training), getattr(self.spec.scheme, "shards", 1)
        kept = members * (1 + 3 * (getattr(self.spec.scheme, "slices", 1) - 1))
        return Bill(self.spec.steps * price.update + members * price.evaluation, kept * price.weights)


class FulfilledSpec(Spec):
    """What is to be forgotten; left out where an input ``split`` says it."""

    optional: ClassVar[frozenset[str]] = frozenset({"forget"})

    forget: Forget | None = None


class FulfilledResult(Result):
    """What a request cost, and the accuracies of the models together before and after it; those of a diverged ensemble are None.

    ``hit`` are the models that were trained again, by number; ``forget`` and ``examples`` count what was asked for and all training examples.
    """

    hit: list[int]
    members: int
    forget: int
    examples: int
    updates: int
    passes: float
    before: OracleAccuracies
    after: OracleAccuracies


@register
class Fulfilled(Job[FulfilledSpec, FulfilledResult]):
    """Train again the models of the input ``prepared`` that have read what is to be forgotten, from before they did, and keep these."""

    kind = "fulfilled"
    version = 1
    spec_type = FulfilledSpec
    result_type = FulfilledResult
    cost = 30.0
    advice = "trajectory.batch_size, trajectory.evaluation_batch or the size of the model"

    def run(self, work: Work) -> FulfilledResult:
        """Fulfill the request."""
        source = work.open("prepared", Prepared)
        spec, started = source.spec, time.perf_counter()
        data = spec.training.data()
        split, members = split_for(work, data, self.spec.forget), spec.members(len(data.train))
        olds = [_Member(spec, number, parts, data, source.path) for number, parts in enumerate(members)]
        hit = [old.number for old in olds if torch.isin(old.parts[-1].examples, split.forget).any()]
        before = [old.trained() for old in olds]
        walks = {
            number: olds[number].again(split.forget, work.folder, _within(work.tick, place, len(hit)))
            for place, number in enumerate(hit)
        }
        work.seconds["updates"] = time.perf_counter() - started
        after = [walks[number].model if number in walks else model for number, model in enumerate(before)]
        return FulfilledResult(
            hit=hit,
            members=len(members),
            forget=len(split.forget),
            examples=len(data.train),
            updates=sum(walked.updates for walked in walks.values()),
            passes=sum(walked.read for walked in walks.values()) / len(data.train),
            before=_accuracies(spec, before, data, split),
            after=_accuracies(spec, [model for model in after if model is not None], data, split),
        )


@dataclass(frozen=True)
class _Member:
    """One model of a scheme, and where its states lie."""

    spec: PreparedSpec
    number: int
    parts: Member
    data: Data
    folder: Path

    @property
    def training(self) -> TrainSpec:
        """What it is trained by."""
        return self.spec.of_member(self.number, self.parts)

    def file(self, part: int) -> str:
        """Return the name of the file of the model after a part, counted from 0."""
        return f"member-{self.number:03d}-part-{part:03d}.safetensors"

    def trained(self) -> nn.Module:
        """Return the model at the end of its training."""
        model = fresh_model(self.training, 0)
        kept = load_tensors(self.folder / self.file(len(self.parts) - 1))
        model.load_state_dict(whole(model, model_state(kept)))
        return model.to(self.training.device)

    def again(self, gone: Tensor, folder: Path, tick: Tick) -> Walked:
        """Train it again from before it read anything that is gone, and keep it."""
        touched = [bool(torch.isin(part.examples, gone).any()) for part in self.parts]
        walked = self.walk(touched.index(True), gone, tick)
        if walked.model is not None:
            save_packed(folder / self.file(len(self.parts) - 1), walked.weights)
        return walked

    def walk(self, first: int, gone: Tensor, tick: Tick, keep: Path | None = None) -> Walked:
        """Train from the beginning of a part to the end.

        Args:
            first: The part, counted from 0.
            gone: int64 indices of examples that are left out.
            tick: Is told the share that is done.
            keep: Where the model is kept after every part; nowhere when None.

        """
        state = load_tensors(self.folder / self.file(first - 1)) if first else None
        walked = Walked()
        for part in range(first, len(self.parts)):
            start, until = self.parts[part - 1].until if part else 0, self.parts[part].until
            run = self._run(part, gone)
            if run is None:  # nothing is left of the part, so that it makes no updates
                continue
            if state is not None:
                run.restore(state)
            run.step = start
            run.advance(until)
            state, last = run.state(), part + 1 == len(self.parts)
            if keep is not None:
                save_packed(keep / self.file(part), run.weights() if last else state)
            walked = walked.after(run, start, until)
            tick((part + 1) / len(self.parts))
        return walked

    def _run(self, part: int, gone: Tensor) -> Run | None:
        """Return a fresh run on the examples of a part but for those that are gone; None where none are left."""
        own = self.parts[part].examples
        left = own[~torch.isin(own, gone)]
        everything = torch.arange(len(self.data.train))
        others = everything[~torch.isin(everything, left)]
        return build_run(self.training, ForgetSplit(others, left, ())) if len(left) else None


@dataclass(frozen=True)
class Walked:
    """A model of a scheme after some of its training.

    Args:
        model: The model; None where nothing was left to train it on.
        weights: What is kept of it.
        read: Examples read.
        updates: Updates made.

    """

    model: nn.Module | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)
    read: int = 0
    updates: int = 0

    def after(self, run: Run, start: int, until: int) -> Walked:
        """Return what there is after a run has gone from one step to another."""
        places = len(run.batches)
        read = sum(run.batches.examples(step % places) for step in range(start, until))
        return Walked(run.model, run.weights(), self.read + read, self.updates + until - start)


def _within(tick: Tick, place: int, count: int) -> Tick:
    """Return what is told the share that is done of one of several pieces of work."""
    return lambda share: tick((place + share) / count)


def _scores(spec: PreparedSpec, models: Sequence[nn.Module], data: Data) -> dict[str, Scores]:
    """Return the scores of the models together."""
    training, device = spec.training.trajectory, torch.device(spec.training.device)
    together = spec.scheme.combined(models, values=training.loss == "mse").to(device)
    scorer = training.speed.scorer(training.objective(data), device)
    return data.to(device).score(together, scorer, training.evaluation_batch)


def _accuracies(spec: PreparedSpec, models: Sequence[nn.Module], data: Data, split: ForgetSplit) -> OracleAccuracies:
    """Return the accuracies of the models together on a forget split; none where there is no model."""
    if not models:
        return OracleAccuracies()
    kind = spec.training.trajectory.objective(data).scores_type
    stacked = kind.stack([_scores(spec, models, data)])
    every = place_accuracies(stacked, split.forget, split.retain, split.classes, kind.kind)
    return OracleAccuracies(**{name: getattr(every, name) for name in OracleAccuracies.model_fields})
