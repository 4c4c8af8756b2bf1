"""Unlearning paths as jobs see them: what they are made of, and how they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import field_validator
from torch import Tensor, nn

from ungrok.core.weights import whole
from ungrok.data.batches import TensorBatches
from ungrok.data.forget import ForgetSplit
from ungrok.evaluate.cost import Metered
from ungrok.methods import Iterative, OneShot, Unlearner, UnlearningPath
from ungrok.study.job import Spec
from ungrok.study.jobs.blocks import Forget, OwnLoss
from ungrok.study.jobs.checkpoint import Checkpoint
from ungrok.study.jobs.rewound import Rewound
from ungrok.study.jobs.split import made_split
from ungrok.study.jobs.trained import (
    FinishedTraining,
    Trained,
    TrainSpec,
    build_run,
    forget_split,
    fresh_model,
    weights_at,
)  # fmt: skip
from ungrok.study.recipe import AnyUnlearner
from ungrok.study.recipe_blocks import BatchSizes
from ungrok.study.seeding import fresh_weights, path_batches
from ungrok.study.store import Tick, Work
from ungrok.train import Run
from ungrok.train.speed import UnlearningSpeed

EPOCH = 10
"""Number of updates that an epoch of unlearning is taken to have when its cost is estimated."""


class PathSpec(Spec):
    """What an unlearning path is made of, beside the model from which it starts."""

    optional: ClassVar[frozenset[str]] = frozenset({"objective", "speed"})
    unnamed: ClassVar[dict[str, tuple[str, ...]]] = {"unlearn": ()}

    unlearn: AnyUnlearner
    forget: Forget
    seed: int
    batches: BatchSizes
    speed: UnlearningSpeed = UnlearningSpeed()
    objective: OwnLoss | None = None

    @field_validator("unlearn")
    @classmethod
    def _nameless(cls, value: Unlearner) -> Unlearner:
        return value.model_copy(update={"name": None})

    def updates(self) -> int:
        """Return about how many updates the path makes; 0 for a one-shot method, and where only the training can tell."""
        method = self.unlearn
        if not isinstance(method, Iterative):
            return getattr(method, "updates", None) or 0
        return method.updates or EPOCH * (method.epochs or method.default_epochs)


@dataclass(frozen=True)
class Sources:
    """What a path may take from other jobs.

    Args:
        split: What is forgotten, where a split job decided that instead of the spec.
        start: What was kept of the model before the first update of training: the base model, from which an oracle starts.
        trajectory: The training that gave the model from which the path starts.
        step: The step of that training at which the model stands.
        stage: Key of the job that kept the model from which the path starts.

    """

    split: ForgetSplit | None = None
    start: dict[str, Tensor] | None = None
    trajectory: FinishedTraining | None = None
    step: int | None = None
    stage: str | None = None

    @classmethod
    def of(cls, work: Work, training: TrainSpec) -> Sources:
        """Return what the inputs of a job hold."""
        split, stage = made_split(work, training.data()), work.inputs.get("stage")
        if not work.has("trajectory"):
            return cls(split, stage=stage)
        trajectory, step = work.open("trajectory", Trained), work.open("stage", Checkpoint).result.step
        return cls(split, weights_at(trajectory, 0), trajectory, step, stage)

    def rewound(self, split: ForgetSplit, retain: Metered) -> Rewound | None:
        """Return what goes back along the training; None without one.

        Args:
            split: What is forgotten and retained.
            retain: The retain set, which counts the passes over it.

        """
        if self.trajectory is None or self.step is None:
            return None
        return Rewound(self.trajectory, self.step, split, retain)


@dataclass(frozen=True)
class Departure:
    """A path before its first update.

    Args:
        run: Holds the model from which the path starts, its data and the objective by which it is unlearned.
        split: What is forgotten and retained.
        path: The method's.
        sets: The forget and retain sets, which count the passes over them.

    """

    run: Run
    split: ForgetSplit
    path: UnlearningPath
    sets: dict[str, Metered]


def depart(training: TrainSpec, weights: dict[str, Tensor], spec: PathSpec, sources: Sources) -> Departure:
    """Return the path of a spec from given weights, before its first update.

    Args:
        training: Its problem and model are those of the weights.
        weights: What was kept of the model to start from.
        spec: Method, forget split, seed and batch sizes.
        sources: What other jobs provide.

    """
    run, method, seed = build_run(training), spec.unlearn, spec.seed
    use_loss(run, spec.objective)
    run.model.load_state_dict(whole(run.model, weights))
    split = sources.split or forget_split(training.data(), spec.forget)
    data, start = run.data, sources.start
    parts = {"forget": data.forget_part(split, method), "retain": data.train.of(split.retain)}
    sets = {
        role: Metered(
            TensorBatches(part, getattr(spec.batches, role), path_batches(seed, role)), len(part), run.objective
        )
        for role, part in parts.items()
    }
    held_out = TensorBatches(data.validation, spec.batches.validation, path_batches(seed, "validation"))

    def fresh() -> nn.Module:
        model = fresh_model(training, fresh_weights(seed))
        if start is not None:
            model.load_state_dict(whole(model, start))
        return model

    path = method.path(
        run.model,
        sets["forget"],
        sets["retain"],
        spec.speed.objective(run.objective, run.device),
        validation=held_out if len(data.validation) else None,
        factory=fresh,
        base=fresh() if "base" in method.needs and start is not None else None,
        rewound=sources.rewound(split, sets["retain"]),
        seed=seed,
    )
    return Departure(run, split, path, sets)


def arrived(dose: float, wanted: float) -> bool:
    """Return whether a path has come as far as a dose, up to the rounding of strengths that are scaled along it."""
    return dose >= wanted * (1 - 1e-9)


def walk_to(path: UnlearningPath, dose: float, tick: Tick) -> nn.Module:
    """Return the live model of a path at a dose, which is above 0.

    Args:
        path: Before its first update.
        dose: Where to stop.
        tick: Is told the share that is done.

    """
    model = None
    for place in path:
        model = place.model
        tick(place.dose / dose)
        if arrived(place.dose, dose):
            break
    assert model is not None
    return model


def use_loss(run: Run, own: OwnLoss | None) -> None:
    """Replace the loss of the training by the one that a spec names, if it names one."""
    if own is not None:
        run.objective = own.objective(run.data)


def matched_dose(method: Unlearner, budget: float, dose: float, strength: float) -> float:
    """Return the dose at which paths of a method are compared.

    Args:
        method: Iterative or one-shot.
        budget: The dose at which its path ends.
        dose: Share of the updates of an iterative method.
        strength: Share of the list of strengths of a one-shot method.

    """
    if isinstance(method, OneShot):
        strengths = method.doses()
        return strengths[max(0, round(strength * len(strengths)) - 1)]
    return max(1, round(dose * budget))
