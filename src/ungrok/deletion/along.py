"""An unlearning path that leaves a user's own model, measured along the way on the user's own sets."""

from __future__ import annotations

from typing import Any

from torch import nn

from ungrok.core.entrance import enter, entering
from ungrok.core.modules import bare
from ungrok.core.scores import Scores
from ungrok.core.seeds import seeded
from ungrok.deletion.inputs import Inputs
from ungrok.evaluate.examination import ACCURACIES
from ungrok.methods.base import OneShot, Unlearner
from ungrok.methods.path import Step
from ungrok.methods.run import unlearning_path
from ungrok.study.jobs.unlearn import observed
from ungrok.study.recipe_blocks import Observation


def along(inputs: Inputs, method: Unlearner) -> tuple[list[dict[str, Any]], nn.Module]:
    """Walk a path to its end, and measure the model where a recipe would.

    Args:
        inputs: The model and the sets, of which forget, retain and test are scored at every row.
        method: The configured method.

    Returns:
        Rows with ``dose`` (updates, or the strength of a one-shot method; the first is 0), ``UA``, ``RA``, ``TA`` and ``forget_loss``;
        and the bare model at the end, the one that :func:`ungrok.unlearn` gives.

    Raises:
        RecipeError: If a set is empty or cannot be scored, forget and retain share an example by content, or the method lacks something.
        NotApplicable: If the method does not apply.

    """
    inputs.check_contents()
    rows = [_row(inputs, inputs.model, 0.0)]
    path = unlearning_path(
        inputs.model, forget=inputs.sets["forget"], retain=inputs.sets["retain"], method=method, objective=inputs.objective,
        seed=inputs.seed, **inputs.extra,
    )  # fmt: skip
    places = None if isinstance(method, OneShot) else observed(int(path.budget), Observation())
    last: Step | None = None
    for last in path:
        if places is None or last.updates in places:
            rows.append(_row(inputs, last.model, last.dose))
    end = inputs.model if last is None else last.model
    if last is not None and rows[-1]["dose"] != last.dose:  # the method has stopped before its budget
        rows.append(_row(inputs, end, last.dose))
    return rows, bare(end)


def _row(inputs: Inputs, model: nn.Module, dose: float) -> dict[str, Any]:
    scores = {role: _scores(inputs, model, role) for role in inputs.sets}
    accuracies = {name: scores[role].accuracy for name, role in ACCURACIES.items()}
    return {"dose": float(dose), **accuracies, "forget_loss": scores["forget"].loss}


def _scores(inputs: Inputs, model: nn.Module, role: str) -> Scores:
    objective = inputs.objective
    with entering(role), seeded(inputs.seed):  # a loader draws from the global random state whenever it is iterated
        batches = (enter(objective, model, raw) for raw in inputs.sets[role])
        return objective.score(model, batches, keep_logits=False)
