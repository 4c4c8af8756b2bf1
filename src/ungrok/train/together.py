"""Several runs of one training as one: their parameters are stacked, and each update is one batched update."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import stack_module_state, vmap
from torch.nn.modules.dropout import _DropoutNd

from ungrok.core.gradients import with_parameters
from ungrok.core.modules import duplicate
from ungrok.train.loop import Run

ELEMENTWISE = ("adamw", "adam", "sgd")
"""Optimizers that treat every weight on its own, so that stacking does not change what they do."""

TRIAL = 20
"""Updates that are timed."""


def stackable(runs: Sequence[Run]) -> bool:
    """Return whether runs can be trained as one.

    They must be of the same training, with batches of the same sizes; the optimizer must be elementwise, and the model free of
    buffers, of dropout and of weights with fewer than 32 bits. Arms that work on whole gradients (SAM, Grokfast, penalties) train one at a time.
    """
    first = runs[0]
    config, layers = first.training, list(first.model.modules())
    plain = not (config.sam or config.grokfast or config.penalty or config.speed.compile or config.speed.cuda_graphs)
    return (
        plain
        and config.optimizer.kind in ELEMENTWISE
        and not first.masters.low
        and not list(first.model.buffers())
        and not any(isinstance(layer, _DropoutNd) for layer in layers)
        and all(run.training == config and len(run.data.train) == len(first.data.train) for run in runs)
    )


def advance_together(runs: Sequence[Run], to: int) -> None:
    """Bring runs that stand at the same step to step ``to``; equal to :meth:`Run.advance` of each but for rounding.

    Args:
        runs: :func:`stackable`.
        to: Number of updates made in the end.

    """
    if runs[0].step >= to:
        return
    stack = _Stack(runs)
    for run in runs:
        run.model.train()
    step = runs[0].step
    while step < to:
        epoch, position = divmod(step, len(runs[0].batches))
        for batches in zip(*(run.batches.epoch(epoch, position) for run in runs), strict=True):
            stack.update([torch.stack(parts) for parts in zip(*batches, strict=True)], step)
            step += 1
            if step == to:
                break
    stack.hand_back(to)


class _Stack:
    """The stacked parameters and moments of several runs."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs, first = runs, runs[0]
        self.training, self.objective = first.training, first.objective
        trained = [[p for p in run.model.parameters() if p.requires_grad] for run in runs]
        self.singles = list(zip(*trained, strict=True))
        self.body = duplicate(first.model).to("meta")
        self.parameters: dict[str, Tensor] = stack_module_state([run.model for run in runs])[0]
        self.trained = [p for p in self.parameters.values() if p.requires_grad]
        self.optimizer = self.training.optimizer.build(self.trained)  # type: ignore[arg-type]
        for leaf, singles in zip(self.trained, self.singles, strict=True):
            states = [run.optimizer.state[single] for run, single in zip(runs, singles, strict=True)]
            for name, value in states[0].items():
                self.optimizer.state[leaf][name] = (
                    torch.stack([state[name] for state in states]) if value.shape == singles[0].shape else value.clone()
                )

    def update(self, batch: list[Tensor], step: int) -> None:
        """Make one update of every run; the parts of the batch have the runs as their first dimension."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.optimizer.lr_at(step, self.training.steps)
        with self.training.speed.autocast(batch[0].device):
            logits = vmap(self._logits)(self.parameters, batch[0])
        if self.training.speed.bfloat16:
            logits = logits.float()
        flat = [part.flatten(0, 1) for part in batch]
        losses = self.objective.losses(logits.flatten(0, 1), flat)
        self.optimizer.zero_grad(set_to_none=True)
        losses.view(len(self.runs), -1).mean(dim=1).sum().backward()
        self.optimizer.step()

    def _logits(self, parameters: dict[str, Tensor], inputs: Tensor) -> Tensor:
        return self.objective.logits(with_parameters(self.body, parameters), (inputs,))  # type: ignore[arg-type]

    @torch.no_grad()
    def hand_back(self, step: int) -> None:
        """Give every run its own parameters and moments back."""
        for leaf, singles in zip(self.trained, self.singles, strict=True):
            for index, (run, single) in enumerate(zip(self.runs, singles, strict=True)):
                single.copy_(leaf[index])
                for name, value in self.optimizer.state[leaf].items():
                    own = value[index].clone() if value.shape == leaf.shape else value.clone()
                    run.optimizer.state[single][name] = own
        for run in self.runs:
            run.step = step


def faster_together(runs: Sequence[Run], clock: Callable[[], float] = time.perf_counter) -> bool:
    """Time a few updates of copies of the runs, one run after another and as one, and return whether one is faster.

    On a CPU the answer is always False: for the models tried it is never faster (see the benchmarks), and results there must
    not depend on timing.
    """
    if runs[0].device.type == "cpu" or len(runs) == 1 or not stackable(runs):
        return False
    trial = [Run(duplicate(run.model), run.data, run.training, seed) for seed, run in enumerate(runs)]
    seconds = {}
    for way in (_one_by_one, advance_together):
        way(trial, trial[0].step + 3)
        torch.cuda.synchronize()
        started = clock()
        way(trial, trial[0].step + TRIAL)
        torch.cuda.synchronize()
        seconds[way] = clock() - started
    return seconds[advance_together] < seconds[_one_by_one]


def _one_by_one(runs: Sequence[Run], to: int) -> None:
    for run in runs:
        run.advance(to)
