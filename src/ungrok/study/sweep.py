"""A study of checkpoints that a user's program made: the same plan, tables and verdicts, without training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ungrok.core.entrance import entering, recognized
from ungrok.core.errors import RecipeError, shown
from ungrok.core.pretrained import open_model, tokenizer_in
from ungrok.core.seeds import seeded
from ungrok.data import given as given_data_files
from ungrok.data import given_text
from ungrok.data.base import Data
from ungrok.data.given import GivenData
from ungrok.data.given_text import GivenAnswers, check_tokenizer
from ungrok.data.sets import given_data
from ungrok.data.token_sets import given_answers
from ungrok.methods import UNLEARNERS, Iterative, Unlearner
from ungrok.models.given import GivenModel, answers, made
from ungrok.models.given import remember as remember_model
from ungrok.study import engine
from ungrok.study.cluster import Report
from ungrok.study.folder import StudyFolder
from ungrok.study.jobs import Trained
from ungrok.study.loading import validate
from ungrok.study.plan import Plan, make_plan
from ungrok.study.preflight import preflight
from ungrok.study.recipe import Recipe
from ungrok.study.results import transition_of
from ungrok.study.run import folders, run_study
from ungrok.study.store import Store
from ungrok.train.given import Checkpoints, remember
from ungrok.train.stages import step_of

NOTHING = "0" * 64
"""Stands for the hash of checkpoints that are not read yet."""

ANSWERED = 8
"""Training examples, the first ones, by whose answers a model is known beside its layers and shapes."""

SETS = ("forget", "retain", "validation", "test")


@dataclass(frozen=True)
class Sweep:
    """What a user gives; the arguments are those of :func:`ungrok.api.sweep`."""

    checkpoints: Any
    forget: Any
    retain: Any
    test: Any
    validation: Any = None
    methods: Sequence[Any] = ("gradient_ascent", "neggrad_plus", "scrub")
    oracle: Any = None
    model: nn.Module | Callable[[], nn.Module] | None = None
    tokenizer: Any = None
    stages: Sequence[str | int] | None = None
    seeds: Iterable[int] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def of(self, name: str, seed: int) -> Any:
        """Return an argument for one seed: what it returns where it is a function, else itself."""
        given = getattr(self, name)
        if isinstance(given, nn.Module) or not callable(given):
            return given
        with entering(name, f"fails for seed {seed}"):
            return given(seed)


def run_sweep(sweep: Sweep, out: Path, say: Report = lambda _: None) -> StudyFolder:
    """Measure, unlearn and compare the checkpoints, and write tables and verdicts; see :func:`ungrok.api.sweep`.

    Args:
        sweep: What the user gave.
        out: The study's folder; its store is the folder ``store`` beside it.
        say: Takes one line of text for the user.

    """
    seeds = [0] if sweep.seeds is None else [*sweep.seeds]
    given = _given(sweep, seeds)
    _check_distinct(given.hashes)
    recipe = _recipe(sweep, seeds, given)
    plan, store = make_plan(recipe), folders(recipe, out)[1]
    trained = [key for key, job in plan.jobs.items() if isinstance(job, Trained)]
    engine.run([plan.jobs[key] for key in trained], store, workers=0, say=say)
    stages = _stages(sweep, plan, store)
    return run_study(_recipe(sweep, seeds, given, stages), out, workers=0, say=say)


@dataclass
class _Given:
    """What was given, as a recipe has it: blocks of problem and model, hashes for every seed, and the last step."""

    problem: dict[str, Any] = field(default_factory=dict)
    model: GivenModel = field(default_factory=GivenModel)
    hashes: list[dict[str, Any]] = field(default_factory=list)
    last: int = 0


def _check_distinct(hashes: Sequence[dict[str, Any]]) -> None:
    """Raise RecipeError where one training would count as several, or as its own oracle."""
    models = [entry[key] for entry in hashes for key in ("checkpoints", "oracle") if entry[key] is not None]
    if len(set(models)) < len(models):
        raise RecipeError(
            "checkpoints: the same models were given twice; every seed needs a training of its own, and an oracle of its own"
        )


def _given(sweep: Sweep, seeds: Sequence[int]) -> _Given:
    """Return what was given.

    All that can be known to fail is tried on the first seed before a function of the user's trains anything further.
    """
    given, network = _Given(), nn.Module()
    model: nn.Module | Callable[[], nn.Module] = network
    for number, seed in enumerate(seeds):
        own = Checkpoints("checkpoints", sweep.of("checkpoints", seed))
        if number == 0:
            model = _model(sweep, own)
            network = made(model)
        _check_stages(sweep, own)
        given.last = max(given.last, own.steps[-1])
        data = _data(sweep, seed, network, own)
        entry = {"data": _kept(data), "checkpoints": remember(own, network), "oracle": None}
        if number == 0:
            given.problem = {"kind": "given_text" if isinstance(data, GivenAnswers) else "given"}
            given.model = remember_model(model, _answered(network, own, data))
            tried = entry | {"oracle": None if sweep.oracle is None else NOTHING}
            preflight(_recipe(sweep, seeds, replace(given, hashes=[tried] * len(seeds))))
        oracle = sweep.of("oracle", seed)
        if oracle is not None:
            entry["oracle"] = remember(Checkpoints("oracle", oracle), network)
        given.hashes.append(entry)
    return given


def _data(sweep: Sweep, seed: int, network: nn.Module, own: Checkpoints) -> GivenData | GivenAnswers:
    """Return the data of a seed: texts, where the model is a causal language model or the sets hold a label for every token."""
    sets = {name: sweep.of(name, seed) for name in SETS}
    if isinstance(sets["forget"], Mapping):  # one batch
        sets["forget"] = [sets["forget"]]
    with entering("forget", "cannot be read"), seeded(0):
        objective, sets["forget"] = recognized(network, sets["forget"])
    if objective.family != "language":
        return given_data(sets, network)
    tokenizer = sweep.tokenizer or (own.home and tokenizer_in(own.home))
    if tokenizer is None:
        raise RecipeError("tokenizer: is missing, and none lies beside the checkpoints; a language model needs its own")
    check_tokenizer(tokenizer)
    return given_answers(sets, network, tokenizer)


def _kept(data: GivenData | GivenAnswers) -> str:
    """Keep data in the cache, and return their hash."""
    return given_text.keep(data) if isinstance(data, GivenAnswers) else given_data_files.keep(data)


def _answered(network: nn.Module, given: Checkpoints, data: Data) -> str:
    """Return the hash of what the first checkpoint answers to the first training examples; ``network`` is left with its weights."""
    network.load_state_dict(given.weights(given.steps[0], network))
    return answers(network, data.objective(data.losses[0]), data.train.batch(slice(ANSWERED)))


def _model(sweep: Sweep, first: Checkpoints) -> nn.Module | Callable[[], nn.Module]:
    """Return the user's model, or the function that makes it; without either, that of transformers beside the checkpoints."""
    model = first.model if sweep.model is None else sweep.model
    if model is not None:
        return model
    if first.home is None or not (first.home / "config.json").is_file():
        raise RecipeError(
            "model: is missing, and the checkpoints hold weights alone; give a model of their shape, or a function that makes one"
        )
    opened: nn.Module = open_model(str(first.home), None, None, torch.float32)
    return opened


def _recipe(sweep: Sweep, seeds: Sequence[int], given: _Given, stages: Sequence[str | int] = ("final",)) -> Recipe:
    """Return the recipe of a sweep."""
    retrained = any(entry["oracle"] for entry in given.hashes)
    settings = dict(sweep.settings)
    loss = {"loss": "causal_lm"} if given.problem["kind"] == "given_text" else {}
    own = {"steps": given.last, **loss, **settings.pop("trajectory", {})}
    compare = [[stages[0], later] for later in reversed(stages[1:])]
    claims = {"compare": compare, **({} if retrained else {"targets": [0.1, 0.5]}), **settings.pop("claims", {})}
    content = {
        "name": "sweep",
        "seeds": list(seeds),
        "problem": given.problem,
        "model": given.model.to_dict(),
        "trajectory": own,
        "stages": list(stages),
        "forget": [{"kind": "given", "name": "forget"}],
        "unlearn": [_method(sweep, each) for each in sweep.methods],
        "noise_seeds": 0,
        "claims": claims,
        "given": [dict(entry) for entry in given.hashes],
    }
    return validate(content | settings)


def _method(sweep: Sweep, given: Any) -> dict[str, Any]:
    """Return the entry of a recipe for a method; one that is given by its name alone has its learning rate searched for."""
    if isinstance(given, Unlearner):
        entry, cls = given.to_dict(), type(given)
    else:
        entry = {"kind": given} if isinstance(given, str) else dict(given)
        cls = UNLEARNERS.get(entry.get("kind", ""))
        fixed = cls.self_stopping or cls.from_scratch or "lr" not in cls.model_fields
        if isinstance(given, str) and issubclass(cls, Iterative) and not fixed:
            entry["lr"] = "auto"
    if "factory" in cls.needs and (sweep.model is None or isinstance(sweep.model, nn.Module)):
        raise RecipeError(
            f"methods: {entry['kind']!r} needs a fresh model; give model= as a function without arguments that makes one"
        )
    return entry


def _check_stages(sweep: Sweep, given: Checkpoints) -> None:
    """Raise RecipeError where a named step is no checkpoint."""
    for stage in sweep.stages or ():
        step = stage if isinstance(stage, int) else step_of(stage)
        if step is not None and step not in given.steps:
            steps = ", ".join(map(str, given.steps))
            raise RecipeError(f"stages: {shown(stage)} is no checkpoint; allowed: {steps}, or the name of a stage")


def _stages(sweep: Sweep, plan: Plan, store: Store) -> Sequence[str | int]:
    """Return the stages: those the user names; else those of the transition or, where no run has one, the first and the last step."""
    if sweep.stages is not None:
        return sweep.stages
    runs = [store.open(key, Trained) for key in plan.trajectories.values()]
    if any(transition_of(plan, run).grokked for run in runs):
        return "pre_grok", "grokked"
    common = sorted(set.intersection(*({*run.result.checkpoints} for run in runs)) - {0})
    if len(common) < 2:
        raise RecipeError(
            "checkpoints: nothing transitions, and there are no two steps after 0 of every seed; name some with stages="
        )
    return common[0], common[-1]
