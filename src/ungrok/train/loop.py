"""The training loop: a function of its arguments alone, resumable bit-exactly from any checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.gradients import norm_of, trainable
from ungrok.core.objective import Batch, Loss, Objective, backward, part_losses
from ungrok.core.precision import Masters, wide
from ungrok.core.schema import Schema
from ungrok.core.scores import Scores, device_of
from ungrok.core.seeds import PrivateRandomState, derive
from ungrok.core.weights import kept
from ungrok.data.base import Data, Split
from ungrok.data.batches import OrderedBatches, TensorBatches
from ungrok.train.exposure import Exposure
from ungrok.train.grokfast import GRADIENT_FILTERS, Grokfast
from ungrok.train.measured import Measured, Parts
from ungrok.train.optimizers import OPTIMIZERS, AdamW, Optimizer
from ungrok.train.parallel import Ranks, synchronized
from ungrok.train.penalties import PENALTIES, Penalty
from ungrok.train.record import advance_one, load_weights, record_all
from ungrok.train.robustness import Robustness
from ungrok.train.sam import SAM, come_back, still_statistics
from ungrok.train.speed import Speed

if TYPE_CHECKING:
    AnyOptimizer = Optimizer
    AnyGrokfast = Grokfast
    AnyPenalty = Penalty
else:
    AnyOptimizer, AnyGrokfast, AnyPenalty = OPTIMIZERS.union(), GRADIENT_FILTERS.union(), PENALTIES.union()


class Training(Schema):
    """How a model is trained and how densely its path is recorded."""

    optional: ClassVar[frozenset[str]] = frozenset(
        {
            "sam",
            "grokfast",
            "penalty",
            "robustness",
            "speed",
            "evaluation_batch",
            "micro_batch",
            "evaluate",
            "evaluate_steps",
            "exposure",
            "replay",
        }
    )

    optimizer: AnyOptimizer = AdamW()
    steps: int = Field(10_000, ge=1, description="updates")
    batch_size: int | None = Field(None, ge=1, description="examples per update; the whole training set when null")
    micro_batch: int | None = Field(
        None, ge=1, description="examples per forward pass; gradients add up to the batch's"
    )
    loss: Loss | Literal["causal_lm"] = "cross_entropy"
    loss_precision: Literal["float32", "float64"] = "float32"
    sam: SAM | None = Field(None, description="sharpness-aware minimization; two backward passes per update")
    grokfast: AnyGrokfast | None = Field(None, description="filter that amplifies slow gradients")
    penalty: AnyPenalty | None = Field(None, description="term added to the training loss")
    exposure: Exposure | None = Field(
        None, description="a schedule that shows some examples from the start and others later"
    )
    robustness: Robustness | None = Field(None, description="attacks measured at every evaluated step")
    speed: Speed = Field(Speed(), description="how updates are computed")
    evaluation_batch: int = Field(2048, ge=1, description="examples per batch where nothing is updated")
    evaluate_every: float = Field(0.05, gt=0, le=1, description="relative distance of evaluated steps")
    evaluate_steps: int | None = Field(
        None, ge=1, description="updates between evaluated steps, if they are to be even"
    )
    evaluate: Measured = Field(Measured(), description="examples measured between the first step and the last")
    checkpoint_every: float = Field(0.25, gt=0, description="relative distance of kept checkpoints")
    checkpoint_from: int = Field(10, ge=1, description="first kept checkpoint after step 0")
    replay: float = Field(0.2, ge=0, le=1, description="share of all updates that reaching a step may make again")

    @model_validator(mode="after")
    def _goes_together(self) -> Training:
        speed, language = self.speed, self.loss == "causal_lm"
        if language and (self.penalty or self.robustness or speed.compile or speed.cuda_graphs):
            raise ValueError(
                "loss: 'causal_lm' does not go with penalty, robustness, speed.compile or speed.cuda_graphs"
            )
        if self.exposure and self.batch_size is None:
            raise ValueError("exposure: needs batches of a size; give batch_size")
        if self.micro_batch and self.penalty:
            raise ValueError(f"micro_batch: {self.micro_batch} does not go with penalty")
        if self.penalty and (speed.compile or speed.cuda_graphs):
            raise ValueError(
                "penalty: goes through gradients of gradients; not with speed.compile or speed.cuda_graphs"
            )
        if self.sam and speed.cuda_graphs:
            raise ValueError("sam: makes two different passes per update; not with speed.cuda_graphs")
        return self

    def check(self, ranks: Ranks) -> None:
        """Raise RecipeError where an option does not work with several processes."""
        options = {
            "penalty": self.penalty is not None,
            "speed.cuda_graphs": self.speed.cuda_graphs,
            "micro_batch": self.micro_batch is not None,
            "loss causal_lm": self.loss == "causal_lm",
        }
        used = [name for name, given in options.items() if given]
        if ranks.world > 1 and used:
            raise RecipeError(f"trajectory.{used[0]}: works in one process only, not in {ranks.world}")

    def objective(self, data: Data) -> Objective:
        """Return the objective that the loss settings describe.

        Raises:
            RecipeError: If the loss does not fit the data.

        """
        return data.objective(self.loss, self.loss_precision)

    def evaluated(self) -> list[int]:
        """Return the evaluated steps: 0, the last, and between them log-spaced ones or every ``evaluate_steps``."""
        if self.evaluate_steps is not None:
            return sorted({*range(0, self.steps, self.evaluate_steps), self.steps})
        return log_grid(self.steps, self.evaluate_every)

    def kept(self) -> list[int]:
        """Return the steps of checkpoints: 0, log-spaced ones, and the last; a replay makes again those that :meth:`restarts` leaves out."""
        return log_grid(self.steps, self.checkpoint_every, self.checkpoint_from)

    def restarts(self) -> list[int]:
        """Return the kept steps at which the whole state is written, so that a replay can start there; of the last, weights are.

        They are 0 and as few others as let no replay be longer than ``replay`` of all steps, or than the gap to the next kept step.
        """
        chosen = [0]
        for here, following in pairwise(self.kept()):
            if following - chosen[-1] > self.replay * self.steps and here > chosen[-1]:
                chosen.append(here)
        return chosen


def log_grid(last: int, spacing: float, first: int = 1) -> list[int]:
    """Return 0, then integers from ``first`` to ``last`` whose gap is 1 or at most ``spacing`` of the smaller one."""
    grid, step = [0], first
    while step < last:
        grid.append(step)
        step = max(step + 1, int(step * (1 + spacing)))
    return [*grid, last]


SPLITS = ("train", "validation", "test")


class Run:
    """One training run in memory: model, optimizer, data order, and the number of updates made.

    Args:
        model: Freshly initialized, already on its device.
        data: On the same device; only ``train`` is trained on.
        training: Optimizer, steps and grids.
        seed: Seed of the batch order, of the augmentation and of stochastic layers.
        order: Where ``training`` has an exposure: gives what its :meth:`~ungrok.train.exposure.Exposure.order` returns for ``data``.

    """

    def __init__(
        self, model: nn.Module, data: Data, training: Training, seed: int, order: Callable[[], Tensor] | None = None
    ) -> None:
        speed, self.device, self.ranks = training.speed, device_of(model), Ranks.current()
        speed.check(self.device)
        training.check(self.ranks)
        speed.prepare(model)
        self.model = model = synchronized(model)
        self.data = data
        self.parts = Parts(training.evaluate)
        self.training = training
        self.objective = training.objective(data)
        self.batches = self._batches(seed, order)
        # An exposure is judged by when each example was learned.
        self.followed = {*data.followed, "train"} if training.exposure else {*data.followed}
        self.forward = speed.forward(self.ranks.wrap(model), self.batches.batch_size)
        self.parameters = list(trainable(model).values())
        if not self.parameters:
            raise NotApplicable("training: every parameter of the model is frozen")
        self.optimizer = training.optimizer.build(self.parameters)
        self.masters = Masters(self.parameters)
        self.filter = training.grokfast.build(self.parameters) if training.grokfast else None
        self.attacked = training.robustness.subset(data.validation) if training.robustness else None
        self.random = PrivateRandomState(derive(seed, "layers"), torch_only=True)
        self.step = 0
        self.examples: dict[str, Tensor] = {}
        """Losses of single examples at the last measurement, by split; empty where they are not tracked."""
        with self.random:
            pass

    @property
    def scorer(self) -> Objective:
        """The objective by which scores are taken."""
        return self.training.speed.scorer(self.objective, self.device)

    def _batches(self, seed: int, order: Callable[[], Tensor] | None) -> TensorBatches:
        """Return the batches of all updates."""
        train, size, augment = self.data.train, self.training.batch_size, self.data.augment
        augment_seed = derive(seed, "augment")
        if (order is None) != (self.training.exposure is None):
            raise ValueError("an order is needed where trajectory.exposure is given, and only there")
        if order is not None and size is not None:
            return OrderedBatches(train, size, order, augment=augment, augment_seed=augment_seed)
        shuffle = derive(seed, "order") if size is not None else None
        return TensorBatches(train, size, shuffle, augment=augment, augment_seed=augment_seed)

    def measure_on(self, classes: Tensor) -> None:
        """Measure validation, test and robust accuracy on the examples of these classes alone; what is trained on stays.

        Args:
            classes: int64, of any shape.

        """

        def of_classes(split: Split) -> Split:
            return split.of(torch.isin(split.targets.cpu(), classes.cpu()).nonzero().squeeze(1))

        self.data = replace(self.data, validation=of_classes(self.data.validation), test=of_classes(self.data.test))
        self.attacked = self.attacked and of_classes(self.attacked)

    def weights(self) -> dict[str, Tensor]:
        """Return the part of :meth:`state` that says what the model is."""
        tensors = {f"model.{name}": value for name, value in kept(self.model).items()}
        return tensors | {"step": torch.tensor(self.step)}

    def state(self) -> dict[str, Tensor]:
        """Return everything that later updates depend on, as named tensors."""
        tensors = self.weights()
        for index, slots in self.optimizer.state_dict()["state"].items():
            for name, value in slots.items():
                if value is not None:
                    tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
        if self.filter:
            tensors |= {f"filter.{name}": value for name, value in self.filter.state().items()}
        tensors |= {f"master.{i}": value for i, value in enumerate(self.masters.values)}
        tensors |= {f"random.{i}": value for i, value in enumerate(self.random.states)}
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what :meth:`state` returned."""
        load_weights(self, tensors)
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, slot = name.split(".", 2)
                parameter = self.parameters[int(index)]
                if value.shape == parameter.shape:  # a fused update needs the parameter's memory layout
                    value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
                slots.setdefault(int(index), {})[slot] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.masters.restore([tensors[f"master.{i}"] for i in range(len(self.masters.low))])
        with self.masters.widened():  # an optimizer brings its state to the precision of the parameters
            self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        if self.filter:
            self.filter.restore({name[7:]: value for name, value in tensors.items() if name.startswith("filter.")})
        count = sum(name.startswith("random.") for name in tensors)
        self.random.states = [tensors[f"random.{i}"] for i in range(count)]

    def advance(self, to: int) -> None:
        """Make updates until ``to`` have been made."""
        config, optimizer = self.training.optimizer, self.optimizer
        varying = config.schedule != "constant" or config.warmup > 0
        self.model.train()
        with self.random:
            while self.step < to:
                epoch, position = divmod(self.step, len(self.batches))
                for batch in self.batches.epoch(epoch, position):
                    if varying:
                        for group in optimizer.param_groups:
                            group["lr"] = config.lr_at(self.step, self.training.steps)
                    self._gradients(batch)
                    before = self._climb(batch) if self.training.sam else None
                    with self.masters.widened():
                        if before is not None:
                            come_back(self.parameters, before)
                        if self.filter:
                            self.filter()
                        optimizer.step()
                    self.step += 1
                    if self.step == to:
                        break

    def _climb(self, batch: Batch) -> list[Tensor]:
        """Put the gradients of the place up the hill into the parameters, move them there, and return their values from before."""
        assert self.training.sam is not None
        with self.masters.widened():
            before = self.training.sam.climb(self.parameters)
        with still_statistics(self.model):
            self._gradients(batch)
        return before

    def _gradients(self, batch: Batch) -> None:
        """Put the gradients of a batch's training loss, penalty included, into the parameters."""
        penalty, size = self.training.penalty, self.objective.size(batch)
        if self.training.micro_batch is not None:
            self._clear()
            with self.masters.gathered():
                backward(part_losses(self._logits, batch, self.objective, self.training.micro_batch))
            return
        batch = self.ranks.share(batch)
        if penalty:
            batch = (batch[0].detach().requires_grad_(), *batch[1:])
        logits = self._logits(batch)
        losses = self.objective.losses(logits, batch)
        # Gradients are averaged over ranks, whose shares may differ by one example.
        loss = self.objective.mean(losses, batch) if self.ranks.world == 1 else losses.sum() * (self.ranks.world / size)
        if penalty:
            with still_statistics(self.model):
                loss = loss + penalty.term(lambda inputs: self._logits((inputs, *batch[1:])), batch[0], logits)
        self._clear()
        loss.backward()

    def _clear(self) -> None:
        """Drop all gradients, as ``optimizer.zero_grad`` does in ten times as long."""
        for parameter in self.parameters:
            parameter.grad = None

    def _logits(self, batch: Batch) -> Tensor:
        with self.training.speed.autocast(self.device):
            logits = self.objective.logits(self.forward, batch)  # type: ignore[arg-type]
        return logits.float() if self.training.speed.bfloat16 else logits

    def measure(self) -> dict[str, float | int | None]:
        """Return what is recorded at the current step; values that are not finite are None.

        That is the norm of the weights; for each split what :meth:`ungrok.core.scores.Scores.summary` holds; with
        ``data.gradient_norm`` the norm of the gradient of the mean training loss over the training examples that are measured, in eval mode; and
        robust accuracies. Between the first step and the last these may be fewer than all, see :class:`ungrok.train.measured.Measured`. For the splits in ``followed``, the losses of single examples are kept in ``examples``.
        """
        row: dict[str, float | int | None] = {"step": self.step, "epoch": self.step / len(self.batches)}
        measured: dict[str, Scores] = {}
        if self.data.gradient_norm:
            count = len(self._measured("train"))
            self._clear()
            with self.masters.gathered():
                measured["train"] = self._score("train", lambda losses: (wide(losses).sum() / count).backward())
            with self.masters.widened():
                row["gradient_norm"] = norm_of([p.grad for p in self.model.parameters() if p.grad is not None])
            self._clear()
        row["weight_norm"] = norm_of(self.model.parameters())
        for name in SPLITS:
            scores = measured[name] if name in measured else self._score(name)
            row |= {f"{name}_{key}": value for key, value in scores.summary().items()}
            if name in self.followed:
                self.examples[name] = scores.losses
        if self.training.robustness and self.attacked:
            row |= self.training.robustness.measure(self.model, self.attacked, self.objective)
        return row

    def _measured(self, name: str) -> Split:
        """Return the examples of a split that are measured at the current step."""
        split: Split = getattr(self.data, name)
        whole = self.step in (0, self.training.steps) or name in self.followed
        return split if whole else self.parts.of(name, split)

    def _score(self, name: str, on_losses: Callable[[Tensor], None] | None = None) -> Scores:
        size = self.training.evaluation_batch
        return self._measured(name).score(self.model, self.scorer, size, keep_logits=False, on_losses=on_losses)

    def record(
        self,
        folder: Path,
        *,
        save_after: float = 20.0,
        tick: Callable[[int], None] | None = None,
        resumable: bool = False,
    ) -> dict[str, Any]:
        """Train to the end, keeping metrics and checkpoints under ``folder``; go on from whatever is there.

        Args:
            folder: Exists; may hold the files of an interrupted run of the same training.
            save_after: Seconds after which a rolling checkpoint is written between kept ones.
            tick: Called with the step reached, now and then.
            resumable: Whether the files of :func:`ungrok.train.record.passing` stay, so that a later call gives the same at once.

        Returns:
            ``{"status": "completed" | "diverged", "steps": int, "rows": [...], "checkpoints": [...]}``.

        """
        return record_all([self], [folder], advance_one, save_after=save_after, tick=tick, resumable=resumable)[0]
