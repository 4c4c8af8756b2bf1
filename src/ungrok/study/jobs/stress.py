"""One attack after unlearning on one model: unlearned, the oracle, or the original."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import field_validator
from torch import Tensor, nn

from ungrok.audits import Score, StressMaterial, StressStep, StressTest, attacked
from ungrok.audits.scoring import NUMBERS
from ungrok.core.modules import duplicate
from ungrok.core.weights import whole
from ungrok.data.forget import ForgetSplit
from ungrok.evaluate.path import place_accuracies
from ungrok.study.bill import Bill, Prices
from ungrok.study.job import Job, Result, Spec, register
from ungrok.study.jobs.blocks import Forget, OwnLoss
from ungrok.study.jobs.checkpoint import Checkpoint, weights_of
from ungrok.study.jobs.paths import use_loss
from ungrok.study.jobs.split import made_split
from ungrok.study.jobs.trained import build_run, forget_split
from ungrok.study.recipe_stress import AnyStressTest
from ungrok.study.store import Work
from ungrok.train import Run
from ungrok.train.speed import UnlearningSpeed

PLACES = 10
"""Number of places at which an attack without updates is taken to be observed when its cost is estimated."""


class StressSpec(Spec):
    """An attack on the input ``model``. The seed, the same for all models of a study's seed, draws what the attacker holds and its batches.

    The input ``original`` is the model before unlearning, on whose data all are attacked; an input ``oracle`` is there where the
    attack needs one, and an input ``split`` says what was forgotten where a job decided that instead of the spec.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"objective", "speed"})
    unnamed: ClassVar[dict[str, tuple[str, ...]]] = {"test": ()}

    test: AnyStressTest
    forget: Forget
    seed: int
    objective: OwnLoss | None = None
    speed: UnlearningSpeed = UnlearningSpeed()

    @field_validator("test")
    @classmethod
    def _nameless(cls, value: StressTest) -> StressTest:
        return value.model_copy(update={"name": None})


class StressResult(Result):
    """One row per setting and observed place of the attack, as :func:`ungrok.audits.attacked` returns them; or the ``reason`` for none."""

    rows: list[dict[str, Any]] = []
    reason: str = ""


@register
class Stress(Job[StressSpec, StressResult]):
    """Attack one model, and read at every observed place how much of what was to be forgotten is there."""

    kind = "stress"
    version = 1
    spec_type = StressSpec
    result_type = StressResult
    cost = 3.0
    advice = "stress.attacks"

    def run(self, work: Work) -> StressResult:
        """Attack the model."""
        models: dict[str, dict[str, Tensor]] = {}
        any_kind: type[Job[Any, Any]] = Job  # a checkpoint, or an oracle
        for role in ("model", "original", "oracle"):
            if not work.has(role):
                continue
            one = work.open(role, any_kind)
            if one.result.step is None:
                return StressResult(reason=one.result.reason)
            models[role] = weights_of(one)
        training = work.open("original", Checkpoint).result.training
        run, spec = build_run(training), self.spec
        use_loss(run, spec.objective)
        split = made_split(work, training.data()) or forget_split(training.data(), spec.forget)
        by_role = {role: loaded(run.model, weights) for role, weights in models.items()}
        own = material(run, split, spec.seed, by_role["original"], by_role.get("oracle"), spec.speed)
        rows = attacked(spec.test, by_role["model"], own, scorer(run, split))
        return StressResult(rows=[{key: row[key] for key in row if key != "attack"} for row in rows])

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of the updates of every setting, and of the observed places."""
        price, test = prices.unlearning, self.spec.test
        updates, places = int(getattr(test, "updates", 0)), PLACES if test.moves else 1
        if updates:
            untrained = nn.Identity()
            places = sum(test.observed(StressStep(update, update, untrained)) for update in range(updates + 1))
        return Bill(len(test.settings()) * (updates * price.update + places * price.evaluation), 0)


def loaded(model: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """Return a copy of a model with given weights; what is frozen in the model is frozen in the copy."""
    copy = duplicate(model)
    copy.load_state_dict(whole(copy, weights))
    return copy


def material(
    run: Run,
    split: ForgetSplit,
    seed: int,
    original: nn.Module | None = None,
    oracle: nn.Module | None = None,
    speed: UnlearningSpeed = UnlearningSpeed(),  # noqa: B008 (frozen)
) -> StressMaterial:
    """Return what an attacker of a model of a study may work with.

    Args:
        run: Holds the data and the objective.
        split: What was to be forgotten.
        seed: The attacker's.
        original: The model before unlearning.
        oracle: The model that was retrained.
        speed: How the attacker's passes are computed.

    """
    data = run.data
    return StressMaterial(
        objective=speed.objective(run.objective, run.device),
        forget=data.train.of(split.forget),
        retain=data.train.of(split.retain),
        test=data.test,
        validation=data.validation if len(data.validation) else None,
        original=original,
        oracle=oracle,
        seed=seed,
    )


def scorer(run: Run, split: ForgetSplit) -> Score:
    """Return what reads a model as the places of unlearning paths are read, UA on the forget examples that are held back."""
    kind = run.objective.scores_type

    def score(model: nn.Module, held_back: Tensor) -> dict[str, float | None]:
        places = kind.stack([run.data.score(model, run.scorer, run.training.evaluation_batch)])
        every = place_accuracies(places, split.forget[held_back], split.retain, split.classes, kind.kind).to_dict()
        return {name: every[name] for name in NUMBERS}

    return score
