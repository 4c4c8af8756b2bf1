"""Chooses what to forget by how training went."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, get_args

from ungrok.core.errors import UngrokError
from ungrok.data.base import Data
from ungrok.data.forget import ForgetSplit
from ungrok.data.local import LocalGrokking, RuleName, difficulty, eligible
from ungrok.study.job import Job, Result, Spec, register
from ungrok.study.jobs.blocks import Forget
from ungrok.study.jobs.trained import Trained, again, forget_split, split_of, trajectory_of
from ungrok.study.store import Work
from ungrok.train.answers import loss_history

HARDNESS = ("question_length", "answer_length", "base_loss")


class SplitSpec(Spec):
    """The rule, which reads the input ``trajectory``."""

    forget: Forget


class SplitResult(Result):
    """The chosen examples, the sizes of the groups by rule, and how hard the chosen ones are.

    ``sizes`` counts members by rule and group, ``used`` being the recipe's own rule; ``members`` holds one value per chosen example.
    ``before`` holds what earlier requests had chosen, where there were some.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"before"})

    forget: list[int]
    before: list[list[int]] = []
    group: str
    matched: bool
    examples: int
    sizes: dict[str, dict[str, int]]
    members: dict[str, list[float]]


@register
class ChooseSplit(Job[SplitSpec, SplitResult]):
    """Choose what to forget by how training went."""

    kind = "split"
    version = 2
    spec_type: ClassVar[type[SplitSpec]] = SplitSpec
    result_type = SplitResult
    cost = 0.2

    def run(self, work: Work) -> SplitResult:
        """Choose the examples.

        Raises:
            UngrokError: If the trajectory has diverged, or a group is too small.

        """
        source, rule = work.open("trajectory", Trained), self.spec.forget.rule
        trajectory, data = trajectory_of(source), source.spec.data().pairs()
        per_epoch = len(again(source).batches)
        if trajectory.status == "diverged":
            raise UngrokError(
                f"training diverged at step {trajectory.steps}, so that it does not tell which examples were learned when"
            )
        history = loss_history(trajectory, data, per_epoch)
        seen = replace(data, history=history)
        block = self.spec.forget
        split = rule.split(seen, block.seed, block.before)
        forget, before = split.forget.tolist(), [part.tolist() for part in split.before]
        if not isinstance(rule, LocalGrokking):  # of a plug-in, which may choose in any other way
            other = {"group": rule.kind, "matched": False, "sizes": {}, "members": {}}
            return SplitResult(forget=forget, before=before, examples=len(data.train), **other)
        hard = difficulty(seen)
        columns = {name: getattr(hard, name) for name in HARDNESS} | {"final_loss": history.own[-1]}
        rules = {name: rule.using.model_copy(update={"rule": name, "by": "absolute"}) for name in get_args(RuleName)}
        groups = {name: eligible(seen, other) for name, other in rules.items()} | {"used": eligible(seen, rule.using)}
        return SplitResult(
            forget=forget,
            before=before,
            group=rule.group,
            matched=rule.matched,
            examples=len(data.train),
            sizes={rule: {name: int(mask.sum()) for name, mask in masks.items()} for rule, masks in groups.items()},
            members={name: [float(values[i]) for i in forget] for name, values in columns.items()},
        )


def made_split(work: Work, data: Data) -> ForgetSplit | None:
    """Return the forget split that a split job among the inputs made; None where there is none."""
    if not work.has("split"):
        return None
    made = work.open("split", ChooseSplit).result
    return split_of(made.forget, data, made.before)


def split_for(work: Work, data: Data, block: Forget | None) -> ForgetSplit:
    """Return the forget split of a job: what a split job made, or else what its spec describes."""
    made = made_split(work, data)
    if made is not None:
        return made
    assert block is not None
    return forget_split(data, block)
