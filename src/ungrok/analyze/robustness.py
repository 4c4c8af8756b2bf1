"""Accuracy under attack, beside accuracy under noise of the same size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ungrok.analyze.base import ANALYSES, ROLES, Analysis, Null, Reading, Subject, chunks
from ungrok.core.attacks import ATTACKS, Attack, PGDLinf
from ungrok.core.forms import inputs_of
from ungrok.core.seeds import derive, generator

if TYPE_CHECKING:
    AnyAttack = Attack
else:
    AnyAttack = ATTACKS.union()


@ANALYSES.register
class RobustAccuracy(Analysis):
    """Accuracy under projected gradient descent on forget, retain and test; null: under noise in the same ball.

    ``robust_accuracy``, ``clean_accuracy`` on the same examples, both in [0, 1]. Null ``noise``: the attack's random start
    alone, drawn anew. Source: Madry et al. 2018 (arXiv 1706.06083); delayed robustness: arXiv 2402.15555.
    Cost: ``attack.steps`` gradients and 2 + ``draws`` forward passes.
    """

    needs: ClassVar[tuple[str, ...]] = ("retain",)
    kind: Literal["robustness"] = "robustness"
    attack: AnyAttack = Field(PGDLinf(), description="lengths in units of the model's input")
    examples: int = Field(500, ge=1, description="examples per set")
    draws: int = Field(5, ge=0, description="draws of the noise")
    chunk: int = Field(250, ge=1, description="examples per pass")

    def check(self, subject: Subject) -> None:
        """Raise NotApplicable unless batches are (inputs, targets)."""
        inputs_of(next(subject.batches("retain")), self.kind)

    def beside(self) -> frozenset[str]:
        """Return the accuracy without an attack."""
        return frozenset({"clean_accuracy"})

    def readings(self, subject: Subject) -> Iterator[Reading]:
        """Yield two readings per set."""
        for role in (role for role in ROLES if role in subject.sets):
            batch = subject.examples(role, self.examples)
            count = subject.objective.size(batch)
            parts = list(chunks(batch, count, self.chunk))
            seed = derive(subject.seed, "robustness", role)
            robust = self.attack.scores(subject.model, parts, subject.objective, seed).accuracy
            noisy = [self._noisy(subject, parts, seed, k) for k in range(self.draws)]
            null = Null.of([value for value in noisy if value is not None])
            clean = subject.objective.score(subject.model, parts, keep_logits=False).accuracy
            yield Reading("robust_accuracy", role, robust, "1", examples=count, nulls={"noise": null})
            yield Reading("clean_accuracy", role, clean, "1", examples=count)

    def _noisy(self, subject: Subject, parts: list[tuple[object, ...]], seed: int, number: int) -> float | None:
        draw, moved = generator(seed, "noise", number), []
        for part in parts:
            inputs = inputs_of(part, self.kind)
            shifted = inputs + self.attack.radius * self.attack.start(inputs.shape, draw).to(inputs)
            moved.append((shifted if self.attack.box is None else shifted.clamp(*self.attack.box), *part[1:]))
        return subject.objective.score(subject.model, moved, keep_logits=False).accuracy
