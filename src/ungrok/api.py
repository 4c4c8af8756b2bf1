"""Functions for users that need several packages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ungrok.audits.base import StressTest
from ungrok.audits.beside import configured, side_by_side
from ungrok.audits.collected import collected
from ungrok.audits.one_model import AgainstShadows, against
from ungrok.audits.report import StressReport
from ungrok.audits.shadows import Shadows, load_shadows
from ungrok.core.entrance import check_lists, check_model, check_objective, check_seed, made_by, recognized
from ungrok.core.errors import RecipeError
from ungrok.core.modules import bare
from ungrok.core.objective import Batches, Objective
from ungrok.core.scores import ClassScores
from ungrok.core.seeds import seeded
from ungrok.core.sets import check_apart, check_batches
from ungrok.evaluate.audit import Audit
from ungrok.evaluate.distances import relative_forgetting, tug_of_war, tug_of_war_membership, weight_distance
from ungrok.evaluate.examination import EXAMINATIONS, RANDOM, UNLEARNED, Examination
from ungrok.evaluate.gap import oracle_gap

if TYPE_CHECKING:
    from ungrok.methods import Unlearner
    from ungrok.study.folder import StudyFolder


def attack(
    unlearned: nn.Module,
    *,
    original: nn.Module,
    oracle: nn.Module | None = None,
    forget: Batches,
    retain: Batches,
    test: Batches,
    attacks: Iterable[str | StressTest] | None = None,
    objective: Objective | None = None,
    seed: int = 0,
) -> StressReport:
    """Attack an unlearned model, and beside it the oracle and the original: is what was to be forgotten gone, or hidden?

    Every set is read once and kept in memory. Of the forget examples the attacker holds a share that is drawn by ``seed``; UA is read on
    the others. All models are attacked in the same way: same batches, same rates, same draws.

    Args:
        unlearned: The model after unlearning; not changed.
        original: The model before it.
        oracle: A model retrained without ``forget``. Without one the report says what cannot be known.
        forget: Batches that were to be forgotten.
        retain: Batches that were to be kept.
        test: Batches that no model has seen.
        attacks: Names or configured attacks, for instance ``["quantize", ungrok.Relearn(lr=(0.01, 0.02), updates=100)]``; those of
            :data:`ungrok.audits.base.DEFAULTS` by default.
        objective: How a batch becomes logits and losses. By default ``CausalLM`` for a causal language model of transformers
            or batches with a label for every token, cross-entropy classification for all else.
        seed: The only source of randomness.

    Returns:
        Rows for every model, attack, setting and place, the worst gap to the oracle by attack and over all, and a table.

    Raises:
        RecipeError: If a set is empty, two sets share examples, a batch cannot be taken, an attack is not known, the models have
            different outputs, or ``interpolate`` is to lead to a model with different parameters.
        NotApplicable: If an attack does not apply to these models.

    """
    models = _bare({"unlearned": unlearned, "oracle": oracle, "original": original})
    check_seed(seed)
    batches = _apart({"forget": forget, "retain": retain, "test": test})
    with seeded(seed):
        objective = _objective_of(objective, original, batches)
        tests = configured(attacks, objective.family, "oracle" in models)
        check_lists(objective, models[UNLEARNED], batches)
        sets = collected(objective, models[UNLEARNED], batches)
    return side_by_side(tests, models, objective, sets, seed)


def audit(
    original: nn.Module,
    unlearned: nn.Module,
    *,
    forget: Batches,
    retain: Batches,
    test: Batches,
    oracle: nn.Module | None = None,
    factory: Callable[[], nn.Module] | None = None,
    objective: Objective | None = None,
    tokenizer: Any = None,
    attacks: Iterable[str | StressTest] | None = (),
    shadows: Shadows | str | Path | None = None,
    seed: int = 0,
) -> Audit:
    """Measure what an unlearned model still knows, what it has lost, and how far it is from retraining.

    Every set is read once, and every model runs once over every batch of it, in eval mode; its mode is restored. A loader may shuffle or augment: all models
    see the same batches. Language models take dicts with ``input_ids``, ``attention_mask`` and ``labels``, padded on either side, as a collator of transformers
    makes them, and ``objective=CausalLM(tokenizer.eos_token_id)``; left out, the token that ends an answer counts like any other. UA, RA and TA are then
    shares of answer tokens that are the model's first choice after the true ones before them.

    Args:
        original: The model before unlearning.
        unlearned: The model after it.
        forget: Batches that were to be forgotten.
        retain: Batches that were to be kept.
        test: Batches that no model has seen. Attacks on a language model need texts of the same kind as those to forget, not world facts.
        oracle: A model retrained without ``forget``.
        factory: Returns a freshly initialized model; gives the ZRF score.
        objective: How a batch becomes logits and losses. By default ``CausalLM`` for a causal language model of transformers
            or batches with a label for every token, cross-entropy classification for all else.
        tokenizer: That of language models, one of transformers; gives the zlib attack.
        attacks: Attempts to bring back what was forgotten, as :func:`attack` takes them, every set being kept in memory; none by default.
        shadows: Folder of a study with an ``audit``, or what :func:`ungrok.audits.shadows.load_shadows` returns; ``forget`` must be a set that
            it asked about, in the order of its pool. What one model can say, and cannot: :func:`ungrok.audits.one_model.one_model`.
        seed: Seed of the attackers' draws, of the factory, and of loaders that shuffle.

    Returns:
        ``distances`` holds, for ``original`` and ``oracle``: ``disagreement``, ``js_divergence`` and ``activation_distance`` on
        forget and on test, and ``weight_distance``. Of language models these are means over answer tokens.

    Raises:
        RecipeError: If a set is empty, two sets share examples, a batch cannot be taken, or the models have different parameters.

    """
    models = _bare({"original": original, "unlearned": unlearned, "oracle": oracle})
    check_seed(seed)
    batches = _apart({"forget": forget, "retain": retain, "test": test})
    weights = {name: weight_distance(models[UNLEARNED], model) for name, model in models.items() if name != UNLEARNED}
    with seeded(seed):
        objective = _objective_of(objective, original, batches)
        _check_tokenizer(tokenizer, objective)
        tests = configured(attacks, objective.family, "oracle" in models) if attacks is None or attacks else []
        batches = {role: list(part) for role, part in batches.items()} if tests else batches  # they are passed twice
        check_lists(objective, models[UNLEARNED], batches)
        examination = _examined(objective, models, batches, factory, tokenizer)
        sets = collected(objective, models[UNLEARNED], batches) if tests else {}
    stress = side_by_side(tests, models, objective, sets, seed) if tests else None
    return replace(_audit_of(examination, weights, seed), stress=stress, shadows=_beside(shadows, examination))


def sweep(
    checkpoints: Any,
    *,
    forget: Any,
    retain: Any,
    test: Any,
    validation: Any = None,
    methods: Sequence[str | Unlearner | Mapping[str, Any]] = ("gradient_ascent", "neggrad_plus", "scrub"),
    oracle: Any = None,
    model: nn.Module | Callable[[], nn.Module] | None = None,
    tokenizer: Any = None,
    stages: Sequence[str | int] | None = None,
    seeds: Iterable[int] | None = None,
    out: str | Path = "sweep",
    say: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> StudyFolder:
    """Run a study of your own checkpoints: measure them, unlearn from them, compare with your own retraining, write the report.

    With several seeds, ``checkpoints``, ``forget``, ``retain`` and ``oracle`` may each be a function that takes a seed and returns what
    stands there for it. What is finished already, by its content, is not done again.

    Args:
        checkpoints: Of one training, by step: models, files or state dicts. Or a folder: of files with the step in their names
            (``.safetensors``, or state dicts of ``torch.save``), of a Trainer's ``checkpoint-*`` folders, or of a Recorder.
        forget: Training examples to be forgotten: tensors ``(inputs, targets)`` of shapes (n, ...) and (n,), a Dataset of such pairs, or a
            DataLoader or list of batches of them. A third part, int64 of shape (n,), holds the identities of the examples, which then
            stand in that order. Of a causal language model: dicts with ``input_ids`` and ``labels``, of one example or of a batch.
        retain: All other training examples.
        test: Examples that training never saw.
        validation: Others, on which transitions are read and learning rates chosen; without it a random half of ``test``.
        methods: Names, whose learning rate is searched for, objects such as ``ungrok.SCRUB(lr=0.01, updates=50)``, or entries as in a recipe.
        oracle: Like ``checkpoints``, of a training that never saw ``forget``, at the same steps; a function is called with the seed when all
            else has been tried. Without one, what needs it is absent.
        model: Where checkpoints are weights alone: a model of their shape, or a function without arguments that makes a fresh one; by default
            the causal language model of transformers beside the first of them.
        tokenizer: That of a language model; by default the one that lies there.
        stages: What is compared, the first with each other one: steps, or names of stages. By default ``pre_grok`` and ``grokked`` or, where no
            run transitions, the first and the last step after 0.
        seeds: Of the runs. Words need six; without seeds there is one run, called seed 0.
        out: The study's folder; finished jobs lie in ``store`` beside it.
        say: Takes one line of text, for instance ``print``.
        **settings: Any key of a recipe, for instance ``transition={"grokked": 0.95}`` or ``batches={"retain": 256}``.

    Returns:
        The study: ``path``, ``verdicts``, ``results``; its report is ``path / "report" / "index.html"``.

    Raises:
        RecipeError: If something is missing or does not fit, before any training or unlearning.

    """
    from ungrok.report import write_report
    from ungrok.study.sweep import Sweep, run_sweep

    asked = Sweep(
        checkpoints, forget, retain, test, validation, methods, oracle, model, tokenizer, stages, seeds, settings
    )
    made = run_sweep(asked, Path(out).expanduser(), say)
    write_report(made.path, made.plan, made.results, made.verdicts, made.provenance, made.doses)
    return made


def _objective_of(objective: Objective | None, original: nn.Module, batches: dict[str, Batches]) -> Objective:
    """Return the objective that was given, or is recognized from the forget set, which may be looked into."""
    if objective is None:
        objective, batches["forget"] = recognized(original, batches["forget"])
    check_objective(objective)
    return objective


def _examined(
    objective: Objective,
    models: Mapping[str, nn.Module],
    batches: Mapping[str, Batches],
    factory: Callable[[], nn.Module] | None,
    tokenizer: Any,
) -> Examination:
    """Return what all models, and a fresh one where there is a factory, make of every set."""
    random = {RANDOM: made_by(factory, models[UNLEARNED])} if factory else {}
    examination = EXAMINATIONS[objective.family](objective, dict(models) | random)
    examination.tokenizer = tokenizer
    for role, part in batches.items():
        examination.read(role, part)
    examination.contents.check()
    return examination


def _beside(shadows: Shadows | str | Path | None, examination: Examination) -> AgainstShadows | None:
    """Return the unlearned model beside shadow models; None without them.

    Raises:
        RecipeError: If they are of other models or another forget set.

    """
    if shadows is None:
        return None
    given = shadows if isinstance(shadows, Shadows) else load_shadows(shadows)
    scores = examination.scores[UNLEARNED]["forget"]
    if not isinstance(scores, ClassScores) or scores.logits is None:
        raise RecipeError("shadows: are models of classes; leave shadows out")
    if scores.logits.shape[-1] != given.logits.shape[-1]:
        raise RecipeError(
            f"shadows: tell {given.logits.shape[-1]} classes apart, and unlearned {scores.logits.shape[-1]}"
        )
    return against(given, scores.logits.numpy(), scores.targets.numpy())


def _apart(batches: dict[str, Batches]) -> dict[str, Batches]:
    """Return the sets, which can be read and share nothing as far as that is known without reading."""
    for role, part in batches.items():
        if part is None:
            raise RecipeError(f"{role}: is None; allowed: a DataLoader or a list of batches, for instance [(X, y)]")
        check_batches(role, part, again=False)
    check_apart(batches)
    return batches


def _check_tokenizer(tokenizer: Any, objective: Objective) -> None:
    if tokenizer is None:
        return
    if not callable(getattr(tokenizer, "decode", None)):
        raise RecipeError(f"tokenizer: is a {type(tokenizer).__name__}; allowed: a tokenizer of transformers")
    if objective.family != "language":
        raise RecipeError(
            f"tokenizer: has no meaning for a {objective.family} model; leave it out, or give objective=CausalLM(...)"
        )


def _bare(models: Mapping[str, nn.Module | None]) -> dict[str, nn.Module]:
    """Return the models that were given, without their wrappers."""
    given = {name: model for name, model in models.items() if name != "oracle" or model is not None}
    for name, model in given.items():
        check_model(name, model)
    return {name: bare(model) for name, model in given.items() if model is not None}


def _audit_of(examination: Examination, weights: Mapping[str, float | None], seed: int) -> Audit:
    """Return everything that follows from the models' outputs, and from the distances of their weights."""
    accuracies, attacks, apart = examination.accuracies(), examination.membership(seed), examination.distances()
    ours, best = accuracies["unlearned"], accuracies.get("oracle")
    return Audit(
        accuracies=accuracies,
        classes=examination.classes(),
        memorization=examination.memorization(),
        membership=attacks,
        distances={name: apart[name] | {"weight_distance": distance} for name, distance in weights.items()},
        oracle_gap=oracle_gap(ours, best) if best else None,
        tug_of_war=tug_of_war(ours, best) if best else None,
        tug_of_war_membership=tug_of_war_membership(ours, best, attacks["unlearned"], attacks["oracle"])
        if best
        else None,
        relative_forgetting=relative_forgetting(accuracies["original"]["UA"], ours["UA"]),
        zrf=examination.zrf() if RANDOM in examination.models else None,
        reading=examination.reading,
    )
