"""Every question in study/ of what kind data and models are: images and numbers, or question-answer pairs.

Nothing else in study/ asks. Each function here is to become a method of the data, the objective or the scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from ungrok.core.causal_lm import AnswerScores, CausalLM
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Objective
from ungrok.core.scores import Scores, score
from ungrok.data.answers import AnswerData, AnswerProblem
from ungrok.data.base import Data, Problem, Split
from ungrok.data.batches import TensorBatches
from ungrok.data.forget import ForgetRule, ForgetSplit
from ungrok.data.tokens import TokenSplit
from ungrok.methods import Unlearner
from ungrok.study.bill import timed
from ungrok.study.recipe import Recipe, Rescaled
from ungrok.train import Run, Training
from ungrok.train.answers import AnswerRun, look

SPLITS = ("train", "validation", "test")
SAMPLE = 16
"""Examples of a language model's data that are timed; an update counts as three forward passes."""

AnyScores = Scores | AnswerScores
ScoreKind = Literal["class", "answer"]


def score_split(model: nn.Module, split: Split, run: Run, *, keep_logits: bool = True) -> AnyScores:
    """Score a model on one split by the objective of a run."""
    if isinstance(split, TokenSplit):
        return look(model, split, causal(run.objective))
    batches = TensorBatches(split, run.training.evaluation_batch)
    return score(model, batches, run.objective, keep_logits=keep_logits)


def score_splits(model: nn.Module, data: Data, run: Run) -> dict[str, AnyScores]:
    """Score a model on train, validation and test data."""
    return {name: score_split(model, getattr(data, name), run) for name in SPLITS}


def kind_of_scores(place: dict[str, AnyScores]) -> ScoreKind:
    """Return whether scores are of classes or of answers."""
    return "answer" if isinstance(place["train"], AnswerScores) else "class"


def stack(places: Sequence[dict[str, AnyScores]]) -> dict[str, Tensor]:
    """Stack the scores along a path.

    Returns:
        Of classes, per split: predictions int16 and losses float32, shape (places, n); targets once; logits of the last place.
        Of answers, per split: losses, matches and extraction, float32 of shape (places, n).

    """
    if kind_of_scores(places[0]) == "answer":
        return {
            f"{name}.{part}": torch.stack([getattr(place[name], part) for place in places])
            for name in SPLITS
            for part in ("losses", "matches", "extraction")
        }
    out: dict[str, Tensor] = {}
    for name in SPLITS:
        scores = [place[name] for place in places]
        first, last = scores[0], scores[-1]
        assert isinstance(first, Scores)
        assert isinstance(last, Scores)
        out[f"{name}.predictions"] = torch.stack([one.predictions.to(torch.int16) for one in scores])  # type: ignore[union-attr]
        out[f"{name}.losses"] = torch.stack([one.losses.float() for one in scores])
        out[f"{name}.targets"] = first.targets
        if last.logits is not None:
            out[f"{name}.logits"] = last.logits.float()
    return out


def base_part(data: Data) -> Data:
    """Return the data on which a base model is trained."""
    base = answers(data).base
    assert base is not None
    return replace(data, train=base)


def without_split(data: Data, split: ForgetSplit) -> Data:
    """Return the data without a forget split."""
    return replace(data, train=data.train.of(split.retain))


def forget_part(data: Data, split: ForgetSplit, method: Unlearner) -> Split:
    """Return what a method is handed to forget, with the other answers that it needs."""
    part = data.train.of(split.forget)
    if not (isinstance(data, AnswerData) and method.other):
        return part
    other = data.others[method.other].of(split.forget).to(data.train.targets.device)
    assert isinstance(part, TokenSplit)
    return replace(part, others={method.other: other})


def answers(data: Data) -> AnswerData:
    """Return data that are question-answer pairs: what is asked for them was checked before any training."""
    assert isinstance(data, AnswerData)
    return data


def causal(objective: Objective) -> CausalLM:
    """Return the objective of a language model."""
    assert isinstance(objective, CausalLM)
    return objective


def keeps_start(problem: Problem) -> bool:
    """Return whether paths are given the weights before training, from which oracles start, too."""
    return isinstance(problem, AnswerProblem)


def stackable(training: Training) -> bool:
    """Return whether trainings of this kind can be trained together as one."""
    return training.loss != "causal_lm"


def fits(out: object, rows: int, data: Data) -> bool:
    """Return whether what a model gives are logits of the data; a vocabulary may be larger than the tokenizer's."""
    if not (isinstance(out, Tensor) and out.ndim == 2 and len(out) == rows):
        return False
    return out.shape[1] >= data.outputs if isinstance(data, AnswerData) else out.shape[1] == data.outputs


def check_fits(recipe: Recipe, data: Data) -> None:
    """Raise RecipeError where methods, base, probe or controls do not fit the data."""
    language = isinstance(data, AnswerData)
    for key, part in (("base", recipe.base), ("probe", recipe.probe)):
        if part is not None and not language:
            raise RecipeError(f"{key}: is for language models; problem {recipe.problem.kind!r} has none")
    for method in recipe.unlearn:
        if ("language" if language else "classifier") not in method.inputs:
            kinds = " and ".join(method.inputs)
            raise RecipeError(
                f"unlearn: {method.kind!r} runs on {kinds} models only; problem {recipe.problem.kind!r} has none"
            )
        if isinstance(data, AnswerData) and method.other and method.other not in data.others:
            raise RecipeError(
                f"unlearn: {method.kind!r} needs {method.other!r} answers, which problem {recipe.problem.kind!r} does not have for "
                "every question"
            )
    if isinstance(data, AnswerData) and recipe.base is not None:
        if data.base is None:
            raise RecipeError(f"base: problem {recipe.problem.kind!r} has no part for a base model; leave base out")
        recipe.base.objective(data)


def check_rescaling(name: str, control: Rescaled, data: Data) -> None:  # noqa: ARG001
    """Raise RecipeError where models of these data cannot be rescaled."""
    if isinstance(data, AnswerData):
        raise RecipeError(f"controls.{name}: rescaling is for classifiers of images or numbers, not for text")


def check_losses(rule: ForgetRule, data: Data) -> None:
    """Raise RecipeError where a rule reads losses of single examples that training on these data does not keep."""
    if not isinstance(data, AnswerData):
        raise RecipeError(
            f"forget: kind {rule.kind!r} reads losses of question-answer pairs, which this problem does not have"
        )


def seconds_per_example(run: Run) -> float | None:
    """Return the seconds of a forward pass per example, where a whole evaluation is too long to wait for; else None."""
    if not isinstance(run, AnswerRun):
        return None
    train, objective = run.data.train, causal(run.objective)
    assert isinstance(train, TokenSplit)
    few = train.of(torch.arange(min(SAMPLE, len(train))))
    return timed(lambda: look(run.model, few, objective)) / len(few)
