"""Blocks that the specs of several kinds of job hold."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ungrok.core.objective import Loss, Objective
from ungrok.core.schema import Schema
from ungrok.data.base import Data
from ungrok.data.forget import ForgetRule
from ungrok.study.job import anonymous
from ungrok.study.recipe import AnyForgetRule
from ungrok.study.recipe_blocks import Probe
from ungrok.train import Training


class Forget(Schema):
    """A forget rule and the seed of its draw; flat where it is stored, and without the rule's label.

    ``before`` holds the seeds of earlier requests to the same rule, whose sets are forgotten already.
    """

    rule: AnyForgetRule
    seed: int
    before: tuple[int, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, value: Any) -> Any:
        if isinstance(value, dict) and not isinstance(value.get("rule"), ForgetRule) and "seed" in value:
            own = {key: value[key] for key in ("seed", "before") if key in value}
            return own | {"rule": {key: setting for key, setting in value.items() if key not in own}}
        return value

    @field_validator("rule")
    @classmethod
    def _unnamed(cls, value: ForgetRule) -> ForgetRule:
        return value.model_copy(update={"name": None})

    def spec(self) -> dict[str, Any]:
        """Return the rule's settings and the seed beside each other, and the seeds of earlier requests where there were some."""
        earlier = {"before": list(self.before)} if self.before else {}
        return anonymous(self.rule) | {"seed": self.seed} | earlier


class OwnLoss(Schema):
    """The loss by which a model is unlearned and measured where it was trained by another."""

    loss: Loss | Literal["causal_lm"]
    loss_precision: Literal["float32", "float64"]

    def objective(self, data: Data) -> Objective:
        """Return the objective of this loss."""
        return Training(loss=self.loss, loss_precision=self.loss_precision).objective(data)


def without_counts(spec: dict[str, Any]) -> dict[str, Any]:
    """Return a spec as it was before scores said how many tokens an answer has, and min-k attacks which tokens they see."""
    old = {key: value for key, value in spec.items() if key != "scores"}
    if old.get("probe"):
        asked = {key: value for key, value in old["probe"].items() if key not in ("rounding", "last_token")}
        old["probe"] = asked | ({"share": 0.2} if asked["share"] == Probe().share else {})
    return old


class Asked(Probe):
    """What a language model is asked, and the seed of the draw of retained questions."""

    seed: int = Field(description="seed of the draw")
