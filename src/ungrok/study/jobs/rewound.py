"""Going back along a finished training, and on again on retained data alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from ungrok.data.forget import ForgetSplit
from ungrok.evaluate.cost import Metered
from ungrok.study.jobs.trained import FinishedTraining, again, build_run, trajectory_of
from ungrok.train import materialize


@dataclass(frozen=True)
class Rewound:
    """What :data:`ungrok.methods.material.Rewound` describes, of a finished training.

    The updates on retained data take the batches that the oracle of the split takes at the same steps.

    Args:
        source: The training that gave the model.
        updates: The step at which the model stands.
        split: What is forgotten and retained.
        retain: Told how many examples the updates read; no one where None.

    """

    source: FinishedTraining
    updates: int
    split: ForgetSplit
    retain: Metered | None = None

    def __call__(self, back: int) -> Iterator[nn.Module]:
        """Yield the live model as it was ``back`` updates ago, then after each of as many updates on retained data."""
        earlier = materialize(again(self.source), trajectory_of(self.source), self.updates - back)
        run = build_run(self.source.spec, self.split)
        run.restore(earlier.state())
        yield run.model
        while run.step < self.updates:
            place = run.step % len(run.batches)
            run.advance(run.step + 1)
            if self.retain is not None:
                self.retain.read += run.batches.examples(place)
            yield run.model
