"""The training loop: a function of its arguments alone, resumable bit-exactly from any checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import DamagedFile, RecipeError
from ungrok.core.files import checksum, load_tensors, read_json, save_tensors, write_json
from ungrok.core.objective import Batch, Classification, Loss, Objective, backward, part_losses
from ungrok.core.schema import Schema
from ungrok.core.scores import Scores, device_of, score
from ungrok.core.seeds import PrivateRandomState, derive
from ungrok.data.base import Data, Split
from ungrok.data.batches import TensorBatches
from ungrok.data.tokens import TokenSplit
from ungrok.train.grokfast import GRADIENT_FILTERS, Grokfast
from ungrok.train.optimizers import OPTIMIZERS, AdamW, Optimizer
from ungrok.train.parallel import Ranks, synchronized
from ungrok.train.penalties import PENALTIES, Penalty
from ungrok.train.robustness import Robustness
from ungrok.train.sam import SAM, come_back, still_statistics
from ungrok.train.speed import Speed

if TYPE_CHECKING:
    AnyOptimizer = Optimizer
    AnyGrokfast = Grokfast
    AnyPenalty = Penalty
else:
    AnyOptimizer, AnyGrokfast, AnyPenalty = OPTIMIZERS.union(), GRADIENT_FILTERS.union(), PENALTIES.union()

PROGRESS, EXAMPLES = "progress.json", "examples.safetensors"


class Training(Schema):
    """How a model is trained and how densely its path is recorded."""

    optional: ClassVar[frozenset[str]] = frozenset(
        {"sam", "grokfast", "penalty", "robustness", "speed", "evaluation_batch", "micro_batch", "evaluate_steps"}
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
    robustness: Robustness | None = Field(None, description="attacks measured at every evaluated step")
    speed: Speed = Field(Speed(), description="how updates are computed")
    evaluation_batch: int = Field(2048, ge=1, description="examples per batch where nothing is updated")
    evaluate_every: float = Field(0.05, gt=0, le=1, description="relative distance of evaluated steps")
    evaluate_steps: int | None = Field(None, ge=1, description="evaluate every so many updates instead")
    checkpoint_every: float = Field(0.25, gt=0, description="relative distance of kept checkpoints")
    checkpoint_from: int = Field(10, ge=1, description="first kept checkpoint after step 0")

    @model_validator(mode="after")
    def _goes_together(self) -> Training:
        speed, text = self.speed, self.loss == "causal_lm"
        if text and (self.penalty or self.robustness or speed.compile or speed.cuda_graphs):
            raise ValueError(
                "loss: 'causal_lm' does not go with penalty, robustness, speed.compile or speed.cuda_graphs"
            )
        if self.micro_batch and self.penalty:
            raise ValueError("micro_batch: not with penalty")
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
        found = [name for name, used in options.items() if used]
        if ranks.world > 1 and found:
            raise RecipeError(f"trajectory.{found[0]}: works in one process only, not in {ranks.world}")

    def objective(self, data: Data) -> Objective:
        """Return the objective that the loss settings describe.

        Raises:
            RecipeError: If the loss does not fit the data.

        """
        if isinstance(data.train, TokenSplit) != (self.loss == "causal_lm"):
            allowed = "causal_lm" if isinstance(data.train, TokenSplit) else ", ".join(get_args(Loss))
            raise RecipeError(f"trajectory.loss: {self.loss!r} does not fit this problem; allowed: {allowed}")
        if isinstance(data.train, TokenSplit):
            return CausalLM(data.train.eos)
        assert self.loss != "causal_lm"
        return Classification(self.loss, self.loss_precision)

    def evaluated(self) -> list[int]:
        """Return the evaluated steps: 0, the last, and between them log-spaced ones or every ``evaluate_steps``."""
        if self.evaluate_steps is not None:
            return sorted({*range(0, self.steps, self.evaluate_steps), self.steps})
        return log_grid(self.steps, self.evaluate_every)

    def kept(self) -> list[int]:
        """Return the steps whose checkpoint is kept: 0, log-spaced ones, and the last."""
        return log_grid(self.steps, self.checkpoint_every, self.checkpoint_from)


def log_grid(last: int, spacing: float, first: int = 1) -> list[int]:
    """Return 0, then integers from ``first`` to ``last`` whose gap is 1 or at most ``spacing`` of the smaller one."""
    grid, step = [0], first
    while step < last:
        grid.append(step)
        step = max(step + 1, int(step * (1 + spacing)))
    return [*grid, last]


class Run:
    """One training run in memory: model, optimizer, data order, and the number of updates made.

    Args:
        model: Freshly initialized, already on its device.
        data: On the same device; only ``train`` is trained on.
        training: Optimizer, steps and grids.
        seed: Seed of the batch order, of the augmentation and of stochastic layers.

    """

    def __init__(self, model: nn.Module, data: Data, training: Training, seed: int) -> None:
        speed, self.device, self.ranks = training.speed, device_of(model), Ranks.current()
        speed.check(self.device)
        training.check(self.ranks)
        speed.prepare(model)
        model = synchronized(model)
        self.model = model
        self.data = data
        self.training = training
        self.objective = training.objective(data)
        shuffle = derive(seed, "order") if training.batch_size is not None else None
        self.batches = TensorBatches(
            data.train, training.batch_size, shuffle, augment=data.augment, augment_seed=derive(seed, "augment")
        )
        self.forward = speed.forward(self.ranks.wrap(model), self.batches.batch_size)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = training.optimizer.build(self.parameters)
        self.filter = training.grokfast.build(self.parameters) if training.grokfast else None
        self.attacked = training.robustness.subset(data.validation) if training.robustness else None
        self.random = PrivateRandomState(derive(seed, "layers"))
        self.step = 0
        self.examples: dict[str, Tensor] = {}
        """Losses of single examples at the last measurement, by split; empty where they are not tracked."""
        with self.random:
            pass

    def state(self) -> dict[str, Tensor]:
        """Return everything that later updates depend on, as named tensors."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            for name, value in slots.items():
                if value is not None:
                    tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
        if self.filter:
            tensors |= {f"filter.{name}": value for name, value in self.filter.state().items()}
        tensors |= {f"random.{i}": value for i, value in enumerate(self.random.states)}
        return tensors | {"step": torch.tensor(self.step)}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Continue from what :meth:`state` returned."""
        self.model.load_state_dict(model_state(tensors))
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, slot = name.split(".", 2)
                parameter = self.parameters[int(index)]
                if value.shape == parameter.shape:  # a fused update needs it laid out as the parameter is
                    value = torch.empty_like(parameter).copy_(value)
                slots.setdefault(int(index), {})[slot] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        if self.filter:
            self.filter.restore({name[7:]: value for name, value in tensors.items() if name.startswith("filter.")})
        count = sum(name.startswith("random.") for name in tensors)
        self.random.states = [tensors[f"random.{i}"] for i in range(count)]
        self.step = int(tensors["step"])

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
                    if self.training.sam:
                        before = self.training.sam.climb(self.parameters)
                        with still_statistics(self.model):
                            self._gradients(batch)
                        come_back(self.parameters, before)
                    if self.filter:
                        self.filter()
                    optimizer.step()
                    self.step += 1
                    if self.step == to:
                        break

    def _gradients(self, batch: Batch) -> None:
        """Put the gradients of a batch's training loss, penalty included, into the parameters."""
        penalty, size = self.training.penalty, self.objective.size(batch)
        if self.training.micro_batch is not None:
            self.optimizer.zero_grad(set_to_none=True)
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
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()

    def _logits(self, batch: Batch) -> Tensor:
        with self.training.speed.autocast(self.device):
            logits = self.objective.logits(self.forward, batch)  # type: ignore[arg-type]
        return logits.float() if self.training.speed.bfloat16 else logits

    def measure(self) -> dict[str, float | int | None]:
        """Return loss and accuracy on each split, robust accuracy, weight norm and gradient norm at the current step.

        The gradient norm is that of the mean training loss over all training examples, in eval mode. Values that are
        not finite are None.
        """
        row: dict[str, float | int | None] = {"step": self.step, "epoch": self.step / len(self.batches)}
        count = len(self.data.train)
        self.optimizer.zero_grad(set_to_none=True)
        train = self._score(self.data.train, lambda losses: (losses.sum() / count).backward())
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        row["gradient_norm"] = norm_of(gradients)
        self.optimizer.zero_grad(set_to_none=True)
        row["weight_norm"] = norm_of(self.model.parameters())
        found = {"train": train, "validation": self._score(self.data.validation), "test": self._score(self.data.test)}
        for name, scores in found.items():
            row[f"{name}_loss"], row[f"{name}_accuracy"] = scores.loss, scores.accuracy
        if self.training.robustness and self.attacked:
            row |= self.training.robustness.measure(self.model, self.attacked, self.objective)
        return row

    def _score(self, split: Split, on_losses: Callable[[Tensor], None] | None = None) -> Scores:
        batches = TensorBatches(split, self.training.evaluation_batch)
        return score(self.model, batches, self.objective, keep_logits=False, on_losses=on_losses)

    def record(
        self, folder: Path, *, save_after: float = 20.0, tick: Callable[[int], None] | None = None
    ) -> dict[str, Any]:
        """Train to the end, keeping metrics and checkpoints under ``folder``; go on from whatever is there.

        Args:
            folder: Exists; may hold the files of an interrupted run of the same training.
            save_after: Seconds after which a rolling checkpoint is written between kept ones.
            tick: Called with the step reached, now and then.

        Returns:
            ``{"status": "completed" | "diverged", "steps": int, "rows": [...], "checkpoints": [...]}``.

        """
        return record_all([self], [folder], lambda runs, to: runs[0].advance(to), save_after=save_after, tick=tick)[0]


def record_all(
    runs: Sequence[Run],
    folders: Sequence[Path],
    advance: Callable[[list[Run], int], None],
    *,
    save_after: float = 20.0,
    tick: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Record runs of the same training, each in its own folder; see :meth:`Run.record`.

    Args:
        runs: Differ in seed or data only.
        folders: One for each run.
        advance: Brings runs that stand at the same step to a later one.
        save_after: As in :meth:`Run.record`.
        tick: As in :meth:`Run.record`.

    """
    logs = [_Log(run, folder) for run, folder in zip(runs, folders, strict=True)]
    for log in logs:
        log.resume()
    training = runs[0].training
    evaluated, kept = set(training.evaluated()), set(training.kept())
    saved = time.monotonic()
    for stop in sorted(evaluated | kept | set(range(0, training.steps, 1000))):
        behind = [log for log in logs if log.awaits(stop)]
        if not behind:
            continue
        advance([log.run for log in behind], stop)
        roll = time.monotonic() - saved > save_after
        for log in behind:
            log.look(measure=stop in evaluated, keep=stop in kept, roll=roll)
        if roll or stop in kept:
            saved = time.monotonic()
        if tick:
            tick(stop)
    return [log.result() for log in logs]


def norm_of(tensors: Iterable[Tensor]) -> float | None:
    """Return the Euclidean norm of several tensors together, summed in float64; None where it is not finite."""
    norm = torch.stack([t.detach().double().square().sum() for t in tensors]).sum().sqrt()
    return norm.item() if torch.isfinite(norm) else None


def model_state(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the model's part of a checkpoint, as ``load_state_dict`` takes it."""
    return {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}


def checkpoint_name(step: int) -> str:
    """Return the file name of a kept checkpoint."""
    return f"step-{step:09d}.safetensors"


class _Log:
    """Rows and checkpoints of a run under way, with checksums, so that a damaged file is passed over."""

    rolling = "resume.safetensors"

    def __init__(self, run: Run, folder: Path) -> None:
        self.run = run
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.sums: dict[str, dict[str, Any]] = {}
        self.examples: dict[str, list[Tensor]] = {}
        self.diverged = False
        self.writes = run.ranks.rank == 0

    def resume(self) -> None:
        self._resume()
        self.run.ranks.wait()  # nobody writes before everybody has read

    def _resume(self) -> None:
        if not (self.folder / PROGRESS).exists():
            return
        try:
            progress = read_json(self.folder / PROGRESS)
        except DamagedFile:
            return
        if not self._resume_examples(progress.get("examples")):
            return
        for name, known in sorted(progress["files"].items(), key=lambda item: item[1]["step"]):
            path = self.folder / name
            if path.exists() and checksum(path) == known["sha256"]:
                self.sums[name] = known
            elif name != self.rolling:
                break  # replay from before it, so that every kept checkpoint is whole in the end
        if self.sums:
            self.run.restore(load_tensors(self.folder / list(self.sums)[-1]))
            self.rows = [row for row in progress["rows"] if row["step"] <= self.run.step]
        self.examples = {name: losses[: len(self.rows)] for name, losses in self.examples.items()}

    def _resume_examples(self, known: str | None) -> bool:
        """Read the losses of single examples, and return whether they are whole."""
        path = self.folder / EXAMPLES
        if known is None:
            return True
        if not path.exists() or checksum(path) != known:
            return False
        self.examples = {name: list(losses) for name, losses in load_tensors(path).items()}
        return True

    def awaits(self, stop: int) -> bool:
        """Return whether the run has not been at ``stop`` yet."""
        seen = bool(self.rows) and self.rows[-1]["step"] == stop
        return not self.diverged and (self.run.step < stop or (self.run.step == stop and not seen))

    def look(self, *, measure: bool, keep: bool, roll: bool) -> None:
        """Measure the run where it stands, and save it."""
        if measure:
            row = self.run.measure() if self.writes else {"step": self.run.step}
            self.rows.append(row)
            for name, losses in self.run.examples.items():
                self.examples.setdefault(name, []).append(losses)
            broken = self.writes and None in (row["train_loss"], row.get("gradient_norm", 0))
            self.diverged = self.run.ranks.agree(broken)
        if self.writes and not self.diverged and (keep or roll):
            self._save(checkpoint_name(self.run.step) if keep else self.rolling)

    def _save(self, name: str) -> None:
        save_tensors(self.folder / name, self.run.state())
        self.sums[name] = {"step": self.run.step, "sha256": checksum(self.folder / name)}
        progress = {"rows": self.rows, "files": self.sums, "examples": self._save_examples()}
        write_json(self.folder / PROGRESS, progress)

    def _save_examples(self) -> str | None:
        """Write the losses of single examples, shape (records, n) per split, and return the file's checksum."""
        if not self.examples:
            return None
        save_tensors(self.folder / EXAMPLES, {name: torch.stack(losses) for name, losses in self.examples.items()})
        return checksum(self.folder / EXAMPLES)

    def result(self) -> dict[str, Any]:
        if not self.writes:
            return {}
        self._save_examples()
        (self.folder / self.rolling).unlink(missing_ok=True)
        (self.folder / PROGRESS).unlink(missing_ok=True)
        steps = sorted(known["step"] for name, known in self.sums.items() if name != self.rolling)
        status = "diverged" if self.diverged else "completed"
        return {"status": status, "steps": self.run.step, "rows": self.rows, "checkpoints": steps}
