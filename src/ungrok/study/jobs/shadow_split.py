"""Chooses what to forget by what shadow models say of every example."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ungrok.audits import correctness, memorization
from ungrok.audits.calibrated import LEAST
from ungrok.core.errors import UngrokError
from ungrok.data.base import Data
from ungrok.data.ranked import RankedRule
from ungrok.study.job import register
from ungrok.study.jobs.held import Held
from ungrok.study.jobs.shadow import LOGITS, POOL, ShadowLogits
from ungrok.study.jobs.split import ChooseSplit, SplitResult, SplitSpec
from ungrok.study.problem_data import load_data
from ungrok.study.recipe import AnyProblem
from ungrok.study.store import Work


class ShadowSplitSpec(SplitSpec):
    """The rule, which reads the logits of the inputs: one for each shadow model at one stage, by its number."""

    problem: AnyProblem
    """Whose training examples are chosen from."""
    pool: AnyProblem
    """The same with the pool, of which these are the first."""
    held: Held
    """What shadow 0 is trained on; the others differ in their number alone."""


@register
class ShadowSplit(ChooseSplit):
    """Choose what to forget by what shadow models say of every example."""

    kind = "shadow_split"
    version = 1
    spec_type = ShadowSplitSpec

    spec: ShadowSplitSpec

    def run(self, work: Work) -> SplitResult:
        """Choose the examples.

        Raises:
            UngrokError: If too few shadows reached the stage.

        """
        spec, rule = self.spec, self.spec.forget.rule
        assert isinstance(rule, RankedRule)
        pool = load_data(spec.pool)
        held, logits = [], []
        for role in sorted(self.inputs, key=int):
            one = work.open(role, ShadowLogits)
            if one.result.step is not None:
                examples = spec.held.model_copy(update={"shadow": int(role)}).examples(pool)
                held.append(np.isin(np.arange(spec.held.size), examples.numpy()))
                logits.append(one.tensors(LOGITS)[POOL][: spec.held.size].numpy())
        if len(held) < LEAST:
            raise UngrokError(f"audit: {len(held)} shadow models reached the stage, too few for {rule.kind}")
        ranked = ranks(np.stack(held), np.stack(logits), pool)
        data = replace(load_data(spec.problem), ranked=ranked)
        forget = rule.split(data, spec.forget.seed).forget
        return SplitResult(
            forget=forget.tolist(),
            group=rule.third,
            matched=False,
            examples=len(data.train),
            sizes={},
            members={rule.kind: [float(ranked[rule.kind][i]) for i in forget]},
        )


def ranks(held: np.ndarray, logits: np.ndarray, pool: Data) -> dict[str, torch.Tensor]:
    """Return the numbers by which examples are ordered, by kind of rule, each float64 of shape (examples,).

    Args:
        held: Whether a model was trained on an example, bool, shape (models, examples).
        logits: float16, shape (models, examples, classes).
        pool: All data, of which these examples are the first.

    """
    count, targets = held.sum(axis=0), pool.train.targets.cpu().numpy()[: held.shape[1]]
    known = np.flatnonzero((count > 0) & (count < len(held)))
    memorized = np.full(held.shape[1], np.nan)
    if len(known):
        memorized[known] = memorization(correctness(logits, targets)[:, known], held[:, known]).values
    mean = logits.astype(np.float64).mean(axis=0)
    near = -np.linalg.norm(mean - mean.mean(axis=0), axis=1)
    return {"memorization": torch.from_numpy(memorized), "entanglement": torch.from_numpy(near)}
