"""Training jobs as other jobs see them: what they are made of, what they return, and how to build their runs again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ungrok.core.errors import RecipeError, UngrokError
from ungrok.core.schema import digest
from ungrok.core.seeds import derive
from ungrok.data.base import Data
from ungrok.data.forget import ForgetSplit
from ungrok.study.job import Job, Result, Spec
from ungrok.study.jobs.blocks import Forget
from ungrok.study.jobs.held import Held
from ungrok.study.manifest import Finished
from ungrok.study.problem_data import load_data, seen_data
from ungrok.study.recipe import AnyModel, AnyProblem
from ungrok.study.seeding import batch_order, initial_weights
from ungrok.train import Run, Training, Trajectory
from ungrok.train.exposure import Assignment
from ungrok.train.record import checkpoint_name, is_checkpoint, model_state, passing


class TrainSpec(Spec):
    """One training: what is learned, by what model, how, and without what."""

    optional: ClassVar[frozenset[str]] = frozenset({"part", "measured", "assignment", "given", "held"})

    problem: AnyProblem
    model: AnyModel
    trajectory: Training
    device: str
    training_seed: int
    without: Forget | None
    """The forget split that an oracle never sees; None for a trajectory, and where a split job decides."""
    part: Literal["base"] | None = None
    """``base`` for the model that trajectories start from."""
    measured: Literal["classes left"] | None = None
    """That its accuracies, and so its transition, are read on the classes that are left; where None, they are so only if a class is gone."""
    assignment: Assignment | None = None
    """Which groups ``trajectory.exposure`` has; None without one."""
    given: str | None = None
    """SHA-256 of the checkpoints, where a user's program made them; None for a training of this package."""
    held: Held | None = None
    """The part of the training examples that a shadow model is trained on; None for all of them."""

    def data(self) -> Data:
        """Return all data of the problem, on the CPU; where the training staggers examples, they know which."""
        data = load_data(self.problem)
        return seen_data(self.held.of(data) if self.held else data, self.trajectory, self.assignment)


class TrainResult(Result):
    """How a training went; its checkpoints lie beside it.

    ``rows`` holds one row per evaluated step; ``checkpoints`` are the kept steps, whether their weights are on disk or take a replay; ``forget`` is what a split job left out.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"forget"})

    status: Literal["completed", "diverged"]
    steps: int
    rows: list[dict[str, Any]]
    checkpoints: list[int]
    forget: list[int] | None = None


class Trained(Job[TrainSpec, TrainResult]):
    """A finished training."""

    spec_type = TrainSpec
    result_type = TrainResult

    @classmethod
    def spare(cls, files: Iterable[str], spec: Mapping[str, Any]) -> set[str]:
        """Return all checkpoints but the first, where a replay can always start, and the last, where another training may start.

        Nothing can make those again that a user's own program made.
        """
        if spec.get("given"):
            return set()
        return {*sorted(filter(is_checkpoint, files))[1:-1]}

    @classmethod
    def passing(cls, files: Iterable[str]) -> set[str]:
        """Return what a training under way is resumed from."""
        return passing(files)


FinishedTraining = Finished[TrainSpec, TrainResult]


def trained_on(spec: TrainSpec) -> dict[str, str]:
    """Return the metadata that a file of weights carries: a digest of the examples that its model was trained on."""
    without = None if spec.without is None else spec.without.spec()
    held = {"held": spec.held.spec()} if spec.held else {}
    return {"ungrok.trained_on": digest({"problem": spec.problem.spec(), "without": without, "part": spec.part} | held)}


def fresh_model(spec: TrainSpec, seed: int) -> nn.Module:
    """Return the model of a training, initialized from ``seed``."""
    data = spec.data()
    return spec.model.build(data.shape, data.outputs, seed)


def build_run(spec: TrainSpec, split: ForgetSplit | None = None) -> Run:
    """Return the fresh training run that a spec describes.

    Args:
        spec: Of a training.
        split: What to leave out, where a split job decided that instead of the spec.

    """
    every = data = spec.data()
    network = fresh_model(spec, initial_weights(spec.training_seed))
    if spec.without is not None:
        split = forget_split(data, spec.without)
    if split is not None:
        data = data.without(split)
    if spec.part == "base":
        data = data.base_part()
    device = torch.device(spec.device)
    seed = batch_order(spec.training_seed)
    order = None if spec.assignment is None else partial(shown_order, spec, every, split)
    run = Run(network.to(device), data.to(device), spec.trajectory, seed, order)
    if spec.measured == "classes left" or (split is not None and _empties_class(split, data)):
        run.measure_on(data.train.targets.unique())
    return run


def shown_order(spec: TrainSpec, data: Data | None = None, split: ForgetSplit | None = None) -> Tensor:
    """Return which examples every update of a training with an exposure shows; an oracle keeps the places of all that is left.

    Args:
        spec: Of a training.
        data: What its ``data()`` returned, where that is at hand.
        split: What is left out; nothing when None.

    Returns:
        int64 of shape (steps, batch size), indices into the training examples, or into those that a split leaves.

    """
    exposure, training = spec.trajectory.exposure, spec.trajectory
    assert exposure is not None
    assert training.batch_size is not None
    seed, retain = derive(batch_order(spec.training_seed), "order"), None if split is None else split.retain
    return exposure.order(data or spec.data(), training.steps, training.batch_size, seed, retain)


def _empties_class(split: ForgetSplit, left: Data) -> bool:
    """Return whether a split has left no training example of a class that a classifier is measured on."""
    return left.family == "classifier" and not set(split.classes) <= set(left.train.targets.unique().tolist())


def forget_split(data: Data, block: Forget) -> ForgetSplit:
    """Return the forget split that a spec describes.

    Raises:
        RecipeError: If its rule depends on how training went.

    """
    if block.rule.from_trajectory:
        raise RecipeError(
            f"forget split {block.rule.label!r} depends on a trajectory, which weights of your own do not have; name another with --forget"
        )
    return block.rule.split(data, block.seed, block.before)


def split_of(forget: list[int], data: Data, before: Sequence[list[int]] = ()) -> ForgetSplit:
    """Return the forget split that a split job made.

    Args:
        forget: Indices into the training data.
        data: All data of the problem.
        before: Indices that earlier requests had forgotten already.

    """
    index, earlier = torch.tensor(forget), tuple(map(torch.tensor, before))
    mask = torch.ones(len(data.train), dtype=torch.bool)
    for part in (*earlier, index):
        mask[part] = False
    touched = data.train.targets.cpu()[index].unique().tolist()
    return ForgetSplit(index, mask.nonzero().squeeze(1), tuple(touched), earlier)


def again(source: FinishedTraining) -> Run:
    """Return a fresh run of a finished training."""
    forget = source.result.forget
    return build_run(source.spec, None if forget is None else split_of(forget, source.spec.data()))


def weights_at(source: FinishedTraining, step: int) -> dict[str, Tensor]:
    """Return what a training kept of its model at its first step or its last, as :func:`ungrok.core.weights.whole` takes it.

    Raises:
        UngrokError: If it kept none there, because it diverged before.

    """
    if step not in source.result.checkpoints:
        raise UngrokError(f"the training it starts from diverged at step {source.result.steps}")
    return model_state(source.tensors(checkpoint_name(step)))


def trajectory_of(source: FinishedTraining) -> Trajectory:
    """Return the trajectory that a finished training recorded."""
    return Trajectory(source.path, source.result.to_dict())
