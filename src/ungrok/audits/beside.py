"""Several models under the same attacks."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from ungrok.audits.attacked import attacked
from ungrok.audits.base import STRESS_TESTS, Examples, StressMaterial, StressTest, default_attacks
from ungrok.audits.report import SUBJECTS, UNLEARNED, StressReport
from ungrok.audits.scoring import Scorer
from ungrok.core.entrance import entering
from ungrok.core.errors import NotApplicable, RecipeError, UngrokWarning, shown, unknown
from ungrok.core.gradients import trainable
from ungrok.core.objective import Family, Objective
from ungrok.core.scores import device_of, evaluating


def configured(attacks: Iterable[str | StressTest] | None, family: Family, has_oracle: bool) -> list[StressTest]:
    """Return attacks ready to be made.

    Args:
        attacks: Names or configured attacks; those of :func:`~ungrok.audits.base.default_attacks` when None.
        family: Of the models.
        has_oracle: Whether an oracle stands beside the unlearned model.

    Raises:
        RecipeError: If one is not known, two have the same label, or there are none.

    """
    if attacks is None:
        return [STRESS_TESTS.parse(entry) for entry in default_attacks(family, has_oracle=has_oracle)]
    several = isinstance(attacks, Iterable) and not isinstance(attacks, str | StressTest | Mapping | type)
    tests = [_one(attack) for attack in (attacks if several else [attacks])]
    labels = [test.label for test in tests]
    for label in labels:
        if labels.count(label) > 1:
            raise RecipeError(f"attacks: two are called {label!r}; give one of them a name=")
    if not tests:
        raise RecipeError(f"attacks: there are none; allowed: {', '.join(STRESS_TESTS.names())}")
    return tests


def _one(attack: object) -> StressTest:
    if isinstance(attack, StressTest):
        return attack
    if isinstance(attack, str):
        if attack not in STRESS_TESTS.names():
            raise unknown("attacks", attack, STRESS_TESTS.names())
        return STRESS_TESTS.get(attack).model_validate({"kind": attack})
    what = f"the class {attack.__name__}" if isinstance(attack, type) else shown(attack)
    raise RecipeError(
        f"attacks: {what} is neither a name nor a configured attack; allowed: for instance 'relearn' or Relearn()"
    )


def side_by_side(
    tests: Iterable[StressTest],
    models: Mapping[str, nn.Module],
    objective: Objective,
    sets: Mapping[str, Examples],
    seed: int,
) -> StressReport:
    """Return the rows of all models under all attacks; what cannot be done is refused before any work.

    Args:
        tests: The attacks.
        models: By the names of :data:`ungrok.audits.report.SUBJECTS`; ``oracle`` may be missing.
        objective: How a batch becomes logits and losses.
        sets: ``forget``, ``retain`` and ``test``.
        seed: The only source of randomness.

    Raises:
        RecipeError: If a model that an attack needs is missing or has other parameters, or a model does not take the examples.
        NotApplicable: If an attack does not apply to one of the models.

    Warns:
        UngrokWarning: If an attack trains, and fewer weights of the unlearned model may be trained than of the oracle.

    """
    tests, names = list(tests), [name for name in SUBJECTS if name in models]
    material = StressMaterial(objective, **sets, original=models["original"], oracle=models.get("oracle"), seed=seed)
    for test in tests:
        for name in names:
            try:
                test.refuse(models[name], material)
            except NotApplicable as error:
                raise NotApplicable(f"{name}: {error}") from None
    _check_outputs(objective, {name: models[name] for name in names}, sets["forget"])
    _warn_of_frozen(tests, models)
    score = Scorer(material)
    return StressReport(
        [
            {"subject": name, "counts": test.counts} | row
            for test in tests
            for name in names
            for row in attacked(test, models[name], material, score)
        ]
    )


def _warn_of_frozen(tests: Iterable[StressTest], models: Mapping[str, nn.Module]) -> None:
    """Warn where training can bring less back from the unlearned model than from its oracle, since more of it is frozen."""
    training = [test.label for test in tests if test.dose == "updates"]
    if not training or "oracle" not in models:
        return
    ours, theirs = (sum(p.numel() for p in trainable(models[name]).values()) for name in (UNLEARNED, "oracle"))
    if ours < theirs:
        text = (
            f"{', '.join(training)}: trains {ours:,} weights of the unlearned model and {theirs:,} of the oracle, since others are frozen; "
            "the gap between them is too small. Let both train the same."
        )
        warnings.warn(text, UngrokWarning, stacklevel=4)


@torch.no_grad()
def _check_outputs(objective: Objective, models: Mapping[str, nn.Module], examples: Examples) -> None:
    """Raise RecipeError unless all models take the first example, and give equally many outputs."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, model in models.items():
        with entering(name, "the model does not take the batches of forget"), evaluating(model):
            batch = objective.move(examples.batch(torch.arange(1)), device_of(model))
            shapes[name] = tuple(objective.logits(model, batch).shape[1:])
        if shapes[name] != shapes[UNLEARNED]:
            raise RecipeError(
                f"{name}: gives outputs of shape {shapes[name]} for an example; allowed: {shapes[UNLEARNED]}, as the unlearned model"
            )
