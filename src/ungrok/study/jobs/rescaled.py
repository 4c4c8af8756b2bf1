"""Rescales the model of a stage: its function stays the same, its weight norm changes."""

from __future__ import annotations

import torch
from torch import Tensor

from ungrok.core.gradients import norm_of
from ungrok.core.schema import Schema
from ungrok.core.scores import evaluating
from ungrok.core.weights import whole
from ungrok.models.rescale import check_equal, rescale
from ungrok.study.job import Spec, register
from ungrok.study.jobs.checkpoint import Checkpoint, CheckpointResult, keep, weights_of
from ungrok.study.jobs.trained import build_run
from ungrok.study.store import Work


class RescaledSpec(Spec):
    """The factor of the first layer of the model of the input ``stage``."""

    factor: float


class Rescaling(Schema):
    """The largest change of a logit, and the weight norms."""

    change: float
    norm_before: float | None
    norm_after: float | None


class RescaledResult(CheckpointResult):
    """Where the rescaled model stands; ``rescaling`` is None where there was none to be rescaled."""

    rescaling: Rescaling | None


@register
class RescaledCheckpoint(Checkpoint):
    """Rescale the model of a stage and make sure, on all training and test data, that its function has stayed the same."""

    kind = "rescaled"
    version = 1
    spec_type = RescaledSpec
    result_type = RescaledResult
    cost = 0.1

    spec: RescaledSpec

    def run(self, work: Work) -> RescaledResult:
        """Rescale the model."""
        source = work.open("stage", Checkpoint)
        step, reason, training = source.result.step, source.result.reason, source.result.training
        if step is None:
            return RescaledResult(step=None, reason=reason, training=training, rescaling=None)
        run = build_run(training)
        run.model.load_state_dict(whole(run.model, weights_of(source)))
        splits = (run.data.train, run.data.test)

        def logits() -> Tensor:
            batches = (batch for split in splits for batch in split.evaluation(run.training.evaluation_batch))
            with evaluating(run.model), torch.no_grad():
                return torch.cat([run.objective.logits(run.model, batch) for batch in batches]).cpu()

        before, norm = logits(), norm_of(run.model.parameters())
        rescale(run.model, self.spec.factor)
        after = norm_of(run.model.parameters())
        rescaling = Rescaling(change=check_equal(before, logits()), norm_before=norm, norm_after=after)
        keep(run.model, work.folder, training)
        return RescaledResult(step=step, reason=reason, training=training, rescaling=rescaling)
