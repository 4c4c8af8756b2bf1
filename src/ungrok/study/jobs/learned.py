"""When the examples of a forget split were shown and learned, in a training that shows some of its examples later than others."""

from __future__ import annotations

import numpy as np
import torch

from ungrok.core.files import load_tensors
from ungrok.data.local import persistent_step
from ungrok.study.job import Job, Result, Spec, register
from ungrok.study.jobs.blocks import Forget
from ungrok.study.jobs.trained import Trained, forget_split, shown_order, trajectory_of
from ungrok.study.store import Work
from ungrok.train.record import EXAMPLES


class LearnedSpec(Spec):
    """The forget split, and when an example of the input ``trajectory`` counts as learned; see :class:`~ungrok.study.recipe_blocks.Learned`."""

    forget: Forget
    epsilon: float
    delta: float


class LearnedResult(Result):
    """Of the forget examples, means unless said otherwise.

    Args:
        examples: Their number.
        first_shown: The first update, counted from 0, that showed any of them.
        least_shown: Times that the one that was shown least often was shown in all.
        most_shown: The same of the one that was shown most often.
        base_loss: Loss before the first update, in the unit of the training loss; None where it is not finite.
        persistent_step: The step from which it was learned for good; where it was not, the last one.
        learned: Share that was learned for good.

    """

    examples: int
    first_shown: int
    least_shown: int
    most_shown: int
    base_loss: float | None
    persistent_step: float
    learned: float


@register
class WhenLearned(Job[LearnedSpec, LearnedResult]):
    """Read when the examples of a forget split were shown, and when they were learned."""

    kind = "learned"
    version = 1
    spec_type = LearnedSpec
    result_type = LearnedResult
    cost = 0.1

    def run(self, work: Work) -> LearnedResult:
        """Read the trajectory's losses of single examples."""
        source, spec = work.open("trajectory", Trained), self.spec
        trajectory, forget = trajectory_of(source), forget_split(source.spec.data(), spec.forget).forget
        order = shown_order(source.spec)
        places = torch.isin(order, forget)
        counts = torch.bincount(order[places], minlength=int(forget.max()) + 1)[forget]
        losses = load_tensors(trajectory.folder / EXAMPLES)["train"].double().numpy()[:, forget.numpy()]
        steps = trajectory.metrics["step"].to_numpy(dtype=np.int64)
        learned = persistent_step(losses, steps, spec.epsilon, spec.delta)
        base = float(losses[0].mean())
        return LearnedResult(
            examples=len(forget),
            first_shown=int(places.any(dim=1).nonzero()[0]),
            least_shown=int(counts.min()),
            most_shown=int(counts.max()),
            base_loss=base if np.isfinite(base) else None,
            persistent_step=float(np.minimum(learned, steps[-1]).mean()),
            learned=float(np.isfinite(learned).mean()),
        )
