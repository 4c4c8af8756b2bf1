"""What can be known to fail before any training: data, forget splits, models, methods, analyses, the device."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import nn

from ungrok.analyze import ROLES, Subject
from ungrok.audits import StressMaterial
from ungrok.core.errors import NotApplicable, RecipeError, UngrokError, first_line
from ungrok.core.modules import duplicate
from ungrok.core.scores import evaluating
from ungrok.core.weights import kept
from ungrok.data.base import Data
from ungrok.data.batches import TensorBatches
from ungrok.data.forget import SMALL, ForgetRule
from ungrok.data.local import LocalGrokking
from ungrok.methods import Material
from ungrok.models.rescale import check_equal, rescale
from ungrok.study.claims.headline import resolved
from ungrok.study.draws import seen_by
from ungrok.study.inference import FEWEST
from ungrok.study.plan_requests import device_of
from ungrok.study.plan_shadows import check_pool
from ungrok.study.problem_data import seen_data
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE, Rescaled
from ungrok.study.room import built, check_counts, check_paths
from ungrok.study.seeding import Seeds
from ungrok.study.units import assignment, drawing, units_of
from ungrok.train import Training
from ungrok.train.speed import native_bfloat16


def check_device(recipe: Recipe) -> None:
    """Raise RecipeError if the recipe asks for a device that is not there."""
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("device: 'cuda' is not available on this machine; allowed here: cpu, auto")


def preflight(recipe: Recipe) -> tuple[Data, list[str]]:
    """Load the data and try every forget split, model shape and analysis, before any training.

    Returns:
        The base arm's data, and warnings for the report.

    Raises:
        UngrokError: If a split cannot be made, or the model or an analysis does not fit the data.

    """
    check_counts(recipe)
    warnings: list[str] = []
    for arm in reversed((BASE, *recipe.arms)):
        data, of_arm = _try_arm(recipe, arm)
        warnings += of_arm
    check_pool(recipe)
    warnings += _slow_bfloat16(recipe)
    units = units_of(recipe)
    if resolved(recipe) is not None and len(units) < FEWEST:
        warnings.append(f"{units.counted(len(units))}: under {FEWEST} every row of the report is exploratory.")
    return data, list(dict.fromkeys(warnings))


def _slow_bfloat16(recipe: Recipe) -> Iterator[str]:
    """Yield a warning where a recipe asks for bfloat16 and the processor does not calculate in it."""
    trained = [
        f"{key}.speed"
        for key, own in (("trajectory", recipe.trajectory), ("base", recipe.base))
        if own and own.speed.bfloat16
    ]
    keys = [*trained, "speed"] if recipe.speed.bfloat16 else trained
    if keys and device_of(recipe) == "cpu" and native_bfloat16() is False:
        yield (
            f"{keys[0]}.bfloat16: this processor has no instructions for bfloat16; results are sound, but updates take longer "
            "than in float32, up to ten times; leave the key out here."
        )


def _try_arm(recipe: Recipe, arm: str) -> tuple[Data, list[str]]:
    """Return an arm's data and warnings about them, after trying everything that the arm needs."""
    problem, model, training = recipe.for_arm(arm)
    training.speed.check(torch.device(device_of(recipe)))
    data = seen(recipe, arm, recipe.seeds[0])
    warnings = problem.warnings()
    if training.robustness:
        training.robustness.subset(data.validation)
    network = built(model, training, data)
    check_paths(recipe, data, sum(tensor.nbytes for tensor in kept(network).values()))
    _try(network, model.kind, data, training)
    _check_family(recipe, data)
    _check_methods(recipe, network, data, training)
    _check_analyses(recipe, network, data)
    _check_attacks(recipe, network, data)
    _check_rescaled(recipe, arm, network, data)
    _check_rewound(recipe, arm)
    _check_exposure(recipe, data, training)
    for scheme in recipe.schemes if arm == BASE else []:
        scheme.members(len(data.train), scheme.steps or training.steps, 0)
    for rule in recipe.forget:
        if rule.from_trajectory:
            if not rule.from_shadows:
                _check_local(rule, data, training, recipe.requests)
            _check_repair(recipe, rule, len(data.train) - (getattr(rule, "size", 0) or 0))
            continue
        sizes = list(_sizes(recipe, arm, rule, data))
        _check_repair(recipe, rule, len(data.train) - max(sizes))
        smallest = min(sizes)
        if smallest < SMALL:
            text = f"forget split {rule.label!r} holds only {smallest} examples"
            warnings.append(f"{text}; under {SMALL}, one example moves UA by more than 3 points.")
    return data, warnings


def seen(recipe: Recipe, arm: str, seed: int) -> Data:
    """Return the data as the trajectory of an arm and a seed sees them."""
    problem, _, training = recipe.for_arm(arm)
    return seen_data(seen_by(recipe, problem, seed).load(), training, assignment(recipe, training, seed))


def _sizes(recipe: Recipe, arm: str, rule: ForgetRule, data: Data) -> Iterator[int]:
    """Yield the number of forget examples of every draw and request of every seed; ``data`` are those of the first."""
    for seed in recipe.seeds:
        same = recipe.data_seed is None and not recipe.given and recipe.for_arm(arm)[2].exposure is None
        own, drawn_by = data if same or seed == recipe.seeds[0] else seen(recipe, arm, seed), drawing(recipe, seed)
        for draw in range(recipe.forget_draws):
            yield len(rule.split(own, Seeds(drawn_by).forget_of(draw)).forget)
        if recipe.requests > 1:
            *before, last = Seeds(drawn_by).requests_of(recipe.requests)
            yield from map(len, rule.split(own, last, before).requests)


def _check_family(recipe: Recipe, data: Data) -> None:
    """Raise RecipeError where methods, base or probe do not fit the data."""
    for key, part in (("base", recipe.base), ("probe", recipe.probe)):
        if part is not None and data.family != "language":
            raise RecipeError(
                f"{key}: is for language models; those of problem {recipe.problem.kind!r} are classifiers"
            )
    for number, method in enumerate(recipe.unlearn):
        data.check_method(method, recipe.problem.kind)
        if "base" in method.needs and data.family != "language" and not method.from_any_start:
            raise RecipeError(
                f"unlearn.{number}: {method.kind!r} starts from a base model, which studies of language models have; "
                f"problem {recipe.problem.kind!r} has none"
            )
    if recipe.base is not None:
        try:
            data.base_part()
        except NotApplicable:
            kind = recipe.problem.kind
            raise RecipeError(f"base: problem {kind!r} has no part for a base model; leave base out") from None
        recipe.base.objective(data)


def _check_methods(recipe: Recipe, network: nn.Module, data: Data, training: Training) -> None:
    """Raise RecipeError or NotApplicable where a method does not fit the model, as its path would after training."""
    objective, all_of = training.objective(data), torch.arange(len(data.train))
    for rule in recipe.forget:
        forget = all_of[:1] if rule.from_trajectory else rule.split(data, Seeds(recipe.seeds[0]).forget).forget
        kept = all_of[~torch.isin(all_of, forget)]
        ours, theirs = (TensorBatches(data.train.of(part), training.evaluation_batch) for part in (forget, kept))
        for method in recipe.unlearn:
            method.check(Material(network, network, ours, theirs, (), objective, None, None, 0))


def _check_exposure(recipe: Recipe, data: Data, training: Training) -> None:
    """Raise UngrokError where an exposure does not fit the data or the steps, or leaves an oracle nothing to be shown at first."""
    if training.exposure is None or training.batch_size is None:
        return
    for rule in recipe.forget:
        split = None if rule.from_trajectory else rule.split(data, Seeds(drawing(recipe, recipe.seeds[0])).forget)
        training.exposure.order(data, training.steps, training.batch_size, 0, None if split is None else split.retain)


def _check_local(rule: ForgetRule, data: Data, training: Training, requests: int) -> None:
    """Raise RecipeError where it can be told before training that a split by groups of local grokking will fail."""
    try:
        data.pairs()
    except NotApplicable:
        raise RecipeError(
            f"forget: kind {rule.kind!r} reads losses of question-answer pairs, which this problem does not have"
        ) from None
    size, key = getattr(rule, "size", 0) * requests, "requests: " if requests > 1 else ""
    if size >= len(data.train):
        asked = f"size {size}" if requests == 1 else f"{requests} sets hold {size}"
        raise RecipeError(
            f"{key}forget split {rule.label!r}: {asked} of {len(data.train)} training examples; nothing would be left"
        )
    if isinstance(rule, LocalGrokking):
        per_epoch = math.ceil(len(data.train) / (training.batch_size or len(data.train)))
        try:
            rule.using.check(len(data.train), training.steps / per_epoch, size)
        except RecipeError as error:
            raise RecipeError(f"{key}forget split {rule.label!r}: {error}") from None


def _try(network: nn.Module, kind: str, data: Data, training: Training) -> None:
    """Raise RecipeError unless a model turns two examples into logits of the right shape."""
    objective, batch = training.objective(data), data.train.batch(slice(2))
    try:
        with torch.no_grad():
            out = objective.logits(network, batch)
    except UngrokError as error:
        raise RecipeError(f"model: kind {kind!r}: {error}") from None
    except Exception as error:  # whatever a model of the user's own raises
        raise RecipeError(
            f"model: kind {kind!r} does not take inputs of shape {data.shape} ({first_line(error)})"
        ) from error
    rows = len(objective.targets(batch))
    if not data.fits(out.shape, rows):
        given = tuple(out.shape)
        raise RecipeError(
            f"model: kind {kind!r} gives {given} for two examples; wanted: logits ({rows}, {data.outputs})"
        )


def _check_analyses(recipe: Recipe, network: nn.Module, data: Data) -> None:
    sets = {role: [data.train.batch(slice(2))] for role in ROLES}
    with evaluating(network):
        for place, analysis in enumerate(recipe.analyze):
            try:
                analysis.check(Subject(network, recipe.trajectory.objective(data), sets))
            except (NotApplicable, RecipeError) as error:
                raise RecipeError(f"analyze.{place}: {error}") from None


def _check_attacks(recipe: Recipe, network: nn.Module, data: Data) -> None:
    """Raise RecipeError where an attack cannot be made on the models of the first seed.

    What a rule will choose along a training is not known yet: there all training examples stand for both sets.
    """
    if recipe.stress is None:
        return
    seeds, objective = Seeds(recipe.seeds[0]), recipe.trajectory.objective(data)
    for rule in recipe.forget:
        if rule.from_trajectory:
            forget = retain = data.train
        else:
            split = rule.split(data, seeds.forget)
            forget, retain = data.train.of(split.forget), data.train.of(split.retain)
        own = StressMaterial(objective, forget, retain, data.test, None, network, network, seeds.stress)
        for place, test in enumerate(recipe.stress.attacks):
            try:
                test.check(network, own)
            except (NotApplicable, RecipeError) as error:
                raise RecipeError(f"stress.attacks.{place}: {error}") from None


def _check_repair(recipe: Recipe, rule: ForgetRule, retained: int) -> None:
    """Raise RecipeError where an update of the repair would need more retained examples than there are."""
    if recipe.lasting and recipe.lasting.batch > retained:
        raise RecipeError(
            f"lasting.batch: {recipe.lasting.batch} retained examples per update, and forget split {rule.label!r} leaves {retained}; "
            f"allowed: at most {retained}"
        )


def _check_rewound(recipe: Recipe, arm: str) -> None:
    """Raise RecipeError where a method goes back along a training that never passed the model of a stage."""
    rescaled = [name for name in recipe.stages_of(arm) if isinstance(recipe.controls.get(name), Rescaled)]
    for number, method in enumerate(recipe.unlearn):
        if "rewound" in method.needs and rescaled:
            raise RecipeError(
                f"unlearn.{number}: {method.kind!r} goes back along the training of a model, and stage {rescaled[0]!r} is of a rescaled one, "
                "which no training gave; leave one of them out"
            )


def _check_rescaled(recipe: Recipe, arm: str, network: nn.Module, data: Data) -> None:
    for name in recipe.stages_of(arm):
        control = recipe.controls.get(name)
        if isinstance(control, Rescaled):
            if data.family == "language":
                raise RecipeError(f"controls.{name}: rescaling is for classifiers of images or numbers, not for text")
            inputs, scaled = data.train.batch(slice(2))[0], duplicate(network)
            try:
                rescale(scaled, control.factor)
                with evaluating(network), evaluating(scaled), torch.no_grad():
                    check_equal(network(inputs), scaled(inputs))
            except NotApplicable as error:
                raise RecipeError(f"controls.{name}: arm {arm!r}: {error}") from None
