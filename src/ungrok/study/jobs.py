"""What each kind of job computes: pure functions of a spec and finished inputs."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from ungrok.analyze import ANALYSES, Subject
from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import RecipeError, UngrokError, first_line
from ungrok.core.files import load_tensors, save_tensors
from ungrok.core.schema import canonical
from ungrok.core.scores import AnswerScores, Scores, score
from ungrok.core.seeds import derive
from ungrok.data.answers import AnswerData
from ungrok.data.base import PROBLEMS, Data, Split
from ungrok.data.batches import TensorBatches
from ungrok.data.forget import FORGET_RULES, ForgetSplit
from ungrok.data.tokens import TokenSplit
from ungrok.evaluate.cost import Metered
from ungrok.evaluate.path import is_text, path_audits, path_rows
from ungrok.methods import UNLEARNERS, OneShot, Unlearner, UnlearningPath
from ungrok.models.base import MODELS
from ungrok.models.rescale import check_equal, rescale
from ungrok.study.answers import answer_audits, answer_tensors, make_split, question, split_of, with_others
from ungrok.study.recipe import BatchSizes, Observation
from ungrok.study.store import Finished, Job, Store, explained
from ungrok.train import (
    Run,
    Training,
    Trajectory,
    TransitionRule,
    match_step,
    materialize,
    stage_step,
    value_at,
)
from ungrok.train.answers import look, make_run
from ungrok.train.loop import model_state, norm_of
from ungrok.train.record import checkpoint_name, record_all
from ungrok.train.together import advance_together, faster_together

SECONDS = "seconds"
"""Key under which a job returns what must not become part of its result."""

NOTHING_TO_COMPARE = "no model to compare with"

SPLITS = ("train", "validation", "test")
Tick = Callable[[float], None]

_one_at_a_time = threading.Lock()
_data: dict[str, Data] = {}


def load_data(block: dict[str, Any]) -> Data:
    """Return a problem's data, kept in memory for the next job of this process."""
    text = TypeAdapter(dict[str, Any]).dump_json(block).decode()
    if text not in _data:
        _data.clear()
        _data[text] = PROBLEMS.parse(block).load()
    return _data[text]


def forget_split(data: Data, block: dict[str, Any]) -> ForgetSplit:
    """Return the forget split that a spec describes: a rule's settings and its seed."""
    rule = FORGET_RULES.parse({key: value for key, value in block.items() if key != "seed"})
    if rule.from_trajectory:
        raise RecipeError(
            f"forget split {rule.label!r} depends on a trajectory, which weights of your own do not have; name another with --forget"
        )
    return rule.split(data, block["seed"])


def fresh_model(spec: dict[str, Any], seed: int) -> nn.Module:
    """Return the model of a train job's spec, initialized from ``seed``."""
    data = load_data(spec["problem"])
    return MODELS.parse(spec["model"]).build(data.shape, data.outputs, seed)


def build_run(spec: dict[str, Any], split: ForgetSplit | None = None) -> Run:
    """Return the fresh training run that the spec of a train job describes.

    Args:
        spec: Of a train job.
        split: What to leave out, where a split job decided that and not the spec.

    """
    data = load_data(spec["problem"])
    training = Training.model_validate(spec["trajectory"])
    network = fresh_model(spec, derive(spec["training_seed"], "init"))
    if spec["without"] is not None:
        split = forget_split(data, spec["without"])
    if split is not None:
        data = replace(data, train=data.train.of(split.retain))
    if spec.get("part") == "base":
        assert isinstance(data, AnswerData)
        assert data.base is not None
        data = replace(data, train=data.base)
    device = torch.device(spec["device"])
    return make_run(network.to(device), data.to(device), training, derive(spec["training_seed"], "training"))


def resolved(inputs: dict[str, Finished], spec: dict[str, Any]) -> ForgetSplit | None:
    """Return the forget split that a split job among the inputs made; None where there is none."""
    return split_of(inputs["split"].result, _text(spec)) if "split" in inputs else None


def _text(spec: dict[str, Any]) -> AnswerData:
    """Return the data of a train job's spec, which are text."""
    data = load_data(spec["problem"])
    assert isinstance(data, AnswerData)
    return data


def again(source: Finished) -> Run:
    """Return a fresh run of a finished train job."""
    spec, result = source.job["spec"], source.result
    return build_run(spec, split_of(result, _text(spec)) if "forget" in result else None)


def weights_at(source: Finished, step: int) -> dict[str, Tensor]:
    """Return the state dict that a train job kept at a step.

    Raises:
        UngrokError: If it kept none there, because it diverged before.

    """
    if step not in source.result["checkpoints"]:
        raise UngrokError(f"the training it starts from diverged at step {source.result['steps']}")
    return model_state(load_tensors(source.path / checkpoint_name(step)))


def _set_objective(run: Run, spec: dict[str, Any]) -> None:
    """Take the loss that a spec names, if it names one, in the place of the one that was trained with."""
    if "objective" in spec:
        run.objective = Training.model_validate(spec["objective"]).objective(run.data)


def trajectory_of(finished: Finished) -> Trajectory:
    """Return the trajectory that a finished train job recorded."""
    return Trajectory(finished.path, finished.result)


def _keep(source: Finished, trajectory: Trajectory, step: int, folder: Path) -> Run:
    """Bring a fresh run of a finished train job to a step, and keep its model."""
    run = materialize(again(source), trajectory, step)
    save_tensors(folder / "model.safetensors", dict(run.model.state_dict()))
    return run


def train(spec: dict[str, Any], inputs: dict[str, Finished], folder: Path, tick: Tick) -> dict[str, Any]:
    """Train to the end and keep the path; from the end of the base job, if there is one."""
    split = resolved(inputs, spec)
    run = build_run(spec, split)
    if "base" in inputs:
        run.model.load_state_dict(weights_at(inputs["base"], inputs["base"].result["steps"]))
    result = run.record(folder, tick=lambda step: tick(step / run.training.steps))
    return result if split is None else {**result, "forget": split.forget.tolist()}


def split(spec: dict[str, Any], inputs: dict[str, Finished], folder: Path, tick: Tick) -> dict[str, Any]:  # noqa: ARG001
    """Choose what to forget by looking at how training went."""
    source = inputs["trajectory"]
    rule = FORGET_RULES.parse({key: value for key, value in spec["forget"].items() if key != "seed"})
    per_epoch = len(again(source).batches)
    return make_split(rule, _text(source.job["spec"]), trajectory_of(source), per_epoch, spec["forget"]["seed"])


def alike(jobs: list[Job]) -> list[list[Job]]:
    """Return groups of training jobs on a GPU that differ in nothing but seeds."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        if job.kind == "train" and job.spec["device"] == "cuda" and not _is_text(job):
            without = job.spec["without"]
            rule = without and {key: value for key, value in without.items() if key != "seed"}
            same = canonical({**job.spec, "training_seed": None, "without": rule})
            groups.setdefault(same, []).append(job)
    return [group for group in groups.values() if len(group) > 1]


def _is_text(job: Job) -> bool:
    return bool(job.spec["trajectory"]["loss"] == "causal_lm")


def train_together(store: Store, jobs: list[Job]) -> None:
    """Finish jobs of :func:`alike` by training their models as one; do nothing where that is not faster, or too large."""
    full = torch.OutOfMemoryError  # one by one they may fit
    with explained(store.root), _one_at_a_time, ExitStack() as held, suppress(full):
        for job in sorted(jobs, key=lambda job: job.key):
            held.enter_context(store.lock(job.key))
        todo = [job for job in jobs if not store.has(job.key)]
        started, runs = time.perf_counter(), [build_run(job.spec) for job in todo]
        if not runs or not faster_together(runs):
            return
        results = record_all(runs, [store.partial(job) for job in todo], advance_together)
        share = (time.perf_counter() - started) / len(todo)
        for job, result in zip(todo, results, strict=True):
            store.finish(job, result, {"total": share})


def follow(store: Store, job: Job) -> None:
    """Take part, as one of several processes, in a train job that rank 0 executes."""
    build_run(job.spec).record(store.partial(job))


def stage(spec: dict[str, Any], inputs: dict[str, Finished], folder: Path, tick: Tick) -> dict[str, Any]:  # noqa: ARG001
    """Find the step of a stage and keep the model there."""
    source = inputs["trajectory"]
    trajectory = trajectory_of(source)
    transition = trajectory.transition(TransitionRule.model_validate(spec["transition"]))
    step, reason = stage_step(spec["stage"], trajectory.metrics, transition)
    if step is not None:
        _keep(source, trajectory, step, folder)
    return {"step": step, "reason": reason, "training": source.job["spec"]}


def matched(spec: dict[str, Any], inputs: dict[str, Finished], folder: Path, tick: Tick) -> dict[str, Any]:  # noqa: ARG001
    """Find the step of a trajectory at which one nuisance is that of another checkpoint, and keep the model there."""
    source, other = inputs["trajectory"], inputs["to_trajectory"]
    trajectory, step = trajectory_of(source), inputs["to"].result["step"]
    training = {"training": source.job["spec"]}
    if step is None:
        reason = f"no checkpoint to be matched ({inputs['to'].result['reason']})"
        return {"step": None, "reason": reason, "match": None} | training
    transition = trajectory.transition(TransitionRule.model_validate(spec["transition"]))
    wanted = float(step) if spec["equal"] == "updates" else value_at(trajectory_of(other), step, spec["equal"])
    same = step if source.path == other.path else None
    found = match_step(trajectory.metrics, transition, wanted, spec["equal"], spec["tolerance"], spec["part"], same)
    if found.step is not None:
        _keep(source, trajectory, found.step, folder)
    match = {"wanted": found.wanted, "found": found.found, "mismatch": found.mismatch}
    return {"step": found.step, "reason": found.reason, "match": match} | training


def rescaled(spec: dict[str, Any], inputs: dict[str, Finished], folder: Path, tick: Tick) -> dict[str, Any]:  # noqa: ARG001
    """Rescale the model of a stage and make sure, on all training and test data, that its function is the same."""
    source = inputs["stage"]
    if source.result["step"] is None:
        return source.result | {"rescaling": None}
    run = build_run(source.result["training"])
    run.model.load_state_dict(load_tensors(source.path / "model.safetensors"))
    splits = (run.data.train, run.data.test)

    def logits() -> Tensor:
        every = [score(run.model, TensorBatches(s, run.training.evaluation_batch), run.objective) for s in splits]
        return torch.cat([one.logits for one in every if one.logits is not None])

    before, norm = logits(), norm_of(run.model.parameters())
    rescale(run.model, spec["factor"])
    rescaling = {
        "change": check_equal(before, logits()),
        "norm_before": norm,
        "norm_after": norm_of(run.model.parameters()),
    }
    save_tensors(folder / "model.safetensors", dict(run.model.state_dict()))
    return source.result | {"rescaling": rescaling}


def _scores(model: nn.Module, data: Data, run: Run) -> dict[str, Any]:
    return {name: _score(model, getattr(data, name), run) for name in SPLITS}


def _score(model: nn.Module, split: Split, run: Run, *, keep_logits: bool = True) -> Scores | AnswerScores:
    """Score a model on one split."""
    if isinstance(split, TokenSplit):
        assert isinstance(run.objective, CausalLM)
        return look(model, split, run.objective)
    batches = TensorBatches(split, run.training.evaluation_batch)
    return score(model, batches, run.objective, keep_logits=keep_logits)


def oracle(spec: dict[str, Any], inputs: dict[str, Finished], folder: Path, tick: Tick) -> dict[str, Any]:  # noqa: ARG001
    """Bring the model trained without the forget data to the step of a stage, and score it on all data."""
    step, source = inputs["stage"].result["step"], inputs["trajectory"]
    trajectory = trajectory_of(source)
    if step is None or step > trajectory.steps:
        return {"step": None, "reason": inputs["stage"].result["reason"] or f"the oracle {trajectory.status}"}
    run = _keep(source, trajectory, step, folder)
    _set_objective(run, spec)
    data = load_data(source.job["spec"]["problem"]).to(next(run.model.parameters()).device)
    found = _scores(run.model, data, run)
    save_tensors(folder / "scores.safetensors", _tensors([found], keep_logits=True))
    asked = _questions(run.model, source.job["spec"], spec, inputs, folder)
    return {"step": step, "reason": "", **asked}


def _questions(
    model: nn.Module, training: dict[str, Any], spec: dict[str, Any], inputs: dict[str, Finished], folder: Path
) -> dict[str, Any]:
    """Put TOFU's questions to a model where the spec has a probe."""
    if "probe" not in spec:
        return {}
    data = _text(training)
    split = resolved(inputs, training) or forget_split(data, spec["forget"])
    objective = Training.model_validate(training["trajectory"]).objective(data)
    return question(model, data, objective, split, spec["probe"], folder)


def _tensors(places: list[dict[str, Any]], *, keep_logits: bool = False) -> dict[str, Tensor]:
    """Stack the scores along a path: predictions int16 and losses float32, shape (places, n); targets once."""
    if isinstance(places[0]["train"], AnswerScores):
        return answer_tensors(places)
    out: dict[str, Tensor] = {}
    for name in SPLITS:
        out[f"{name}.predictions"] = torch.stack([place[name].predictions.to(torch.int16) for place in places])
        out[f"{name}.losses"] = torch.stack([place[name].losses.float() for place in places])
        out[f"{name}.targets"] = places[0][name].targets
        if keep_logits and places[-1][name].logits is not None:
            out[f"{name}.logits"] = places[-1][name].logits.float()
    return out


def observed(total: int, rule: Observation) -> set[int]:
    """Return the updates at which a path of ``total`` updates is looked at."""
    grid, update = set(range(min(total, rule.every_until) + 1)), rule.every_until
    while update < total:
        grid.add(update)
        update = max(update + 1, int(update * (1 + rule.spacing)))
    return grid | {total}


def unlearn(spec: dict[str, Any], inputs: dict[str, Finished], folder: Path, tick: Tick) -> dict[str, Any]:
    """Walk one unlearning path and keep the scores at the observed places."""
    source = inputs["stage"]
    if source.result["step"] is None:
        return {"status": "no stage", "reason": source.result["reason"], "doses": [], "updates": []}
    training = source.result["training"]
    weights = load_tensors(source.path / "model.safetensors")
    tensors, record, end = walk(training, weights, spec, tick, *_sources(inputs, training))
    save_tensors(folder / "path.safetensors", tensors)
    if record["status"] == "completed":
        record |= _questions(end, training, spec, inputs, folder)
    return record


def _sources(
    inputs: dict[str, Finished], training: dict[str, Any]
) -> tuple[ForgetSplit | None, dict[str, Tensor] | None]:
    """Return what an unlearn job may take from other jobs: the forget split, and the weights before training."""
    start = weights_at(inputs["trajectory"], 0) if "trajectory" in inputs else None
    return resolved(inputs, training), start


def _start(
    training: dict[str, Any],
    weights: dict[str, Tensor],
    spec: dict[str, Any],
    split: ForgetSplit | None,
    start: dict[str, Tensor] | None,
) -> tuple[Run, ForgetSplit, Unlearner, UnlearningPath, dict[str, Metered]]:
    """Return the run that a path leaves, the forget split, the method, its path before the first update, and its data."""
    run = build_run(training)
    _set_objective(run, spec)
    run.model.load_state_dict(weights)
    split = split or forget_split(load_data(training["problem"]), spec["forget"])
    method, seed, data = UNLEARNERS.parse(spec["unlearn"]), spec["seed"], run.data
    sizes = BatchSizes.model_validate(spec["batches"])
    parts = {"forget": data.train.of(split.forget), "retain": data.train.of(split.retain)}
    if isinstance(data, AnswerData) and method.other:
        parts["forget"] = with_others(data, split.forget, method.other)
    sets = {
        role: Metered(TensorBatches(part, getattr(sizes, role), derive(seed, role)), len(part), run.objective)
        for role, part in parts.items()
    }
    held_out = TensorBatches(data.validation, sizes.validation, derive(seed, "validation"))

    def fresh() -> nn.Module:
        model = fresh_model(training, derive(seed, "factory"))
        if start is not None:
            model.load_state_dict(start)
        return model

    path = method.path(
        run.model,
        sets["forget"],
        sets["retain"],
        run.objective,
        validation=held_out if len(data.validation) else None,
        factory=fresh,
        base=fresh() if "base" in method.needs and start is not None else None,
        seed=seed,
    )
    return run, split, method, path, sets


def walk(
    training: dict[str, Any],
    weights: dict[str, Tensor],
    spec: dict[str, Any],
    tick: Tick = lambda _: None,
    split: ForgetSplit | None = None,
    start: dict[str, Tensor] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Any], nn.Module]:
    """Walk an unlearning path from given weights.

    Args:
        training: The spec of the train job whose problem and model these are.
        weights: The state dict to start from.
        spec: The spec of an unlearn job.
        tick: Told the share that is done.
        split: What to forget, where a split job decided that and not the spec.
        start: The state dict before the first update of training: the base model, from which an oracle starts.

    Returns:
        The scores at the observed places, the record of the path, and the model at its end.

    """
    run, split, method, path, sets = _start(training, weights, spec, split, start)
    data = run.data
    places, doses, updates, status, timing = [_scores(run.model, data, run)], [0.0], [0], "completed", 0.0
    passes = {role: [0.0] for role in sets}
    one_shot = isinstance(method, OneShot)
    end = run.model
    looked_at = set() if one_shot else observed(int(path.budget), Observation.model_validate(spec["observe"]))
    started = time.perf_counter()
    for step in path:
        if not one_shot and step.updates not in looked_at:
            continue
        timing += time.perf_counter() - started
        end = step.model
        places.append(_scores(step.model, data, run))
        doses.append(float(step.dose))
        updates.append(step.updates)
        for role, batches in sets.items():
            passes[role].append(batches.passes)
        tick(len(doses) / (len(looked_at) or len(doses) + 1))
        if any(places[-1][name].diverged for name in SPLITS):
            status = "diverged"
            break
        started = time.perf_counter()
    tensors = _tensors(places, keep_logits=True) | {"forget": split.forget, "retain": split.retain}
    record = {
        "status": status,
        "reason": "",
        "doses": doses,
        "updates": updates,
        "passes": passes,
        "classes": list(split.classes),
        "one_shot": one_shot,
        "budget": path.budget,
        SECONDS: {"updates": timing},
    }
    return tensors, record, end


def evaluate(spec: dict[str, Any], inputs: dict[str, Finished], folder: Path, tick: Tick) -> dict[str, Any]:  # noqa: ARG001
    """Turn the scores along a path into rows, and those at its end into an audit."""
    path = inputs["path"]
    if not path.result["doses"]:
        return {"rows": [], "audits": []}
    oracle_scores = None
    if "oracle" in inputs and inputs["oracle"].result["step"] is not None:
        oracle_scores = load_tensors(inputs["oracle"].path / "scores.safetensors")
    scores = load_tensors(path.path / "path.safetensors")
    rows = path_rows(scores, path.result, spec["targets"], oracle_scores)
    if is_text(scores):
        return {"rows": rows, "audits": answer_audits(rows[-1], path, inputs["oracle"] if oracle_scores else None)}
    return {"rows": rows, "audits": path_audits(scores, path.result, oracle_scores, path.job["spec"]["seed"])}


def matched_dose(method: Unlearner, budget: float, dose: float, strength: float) -> float:
    """Return the dose at which paths of a method are compared.

    Args:
        method: Iterative or one-shot.
        budget: The dose at which its path ends.
        dose: Share of the updates of an iterative method.
        strength: Share of the list of strengths of a one-shot method.

    """
    if isinstance(method, OneShot):
        strengths = method.doses()
        return strengths[max(0, round(strength * len(strengths)) - 1)]
    return max(1, round(dose * budget))


def unlearned(spec: dict[str, Any], inputs: dict[str, Finished], folder: Path, tick: Tick) -> dict[str, Any]:
    """Walk an unlearning path to the matched dose, without looking, and keep the model there."""
    source = inputs["stage"]
    if source.result["step"] is None:
        return source.result | {"dose": None}
    weights = load_tensors(source.path / "model.safetensors")
    training = source.result["training"]
    _, _, method, path, _ = _start(training, weights, spec, *_sources(inputs, training))
    dose, model = matched_dose(method, path.budget, spec["dose"], spec["strength"]), None
    for step in path:
        model = step.model
        tick(step.dose / dose)
        if step.dose >= dose * (1 - 1e-9):
            break
    assert model is not None
    save_tensors(folder / "model.safetensors", dict(model.state_dict()))
    return source.result | {"dose": dose}


def analyze(spec: dict[str, Any], inputs: dict[str, Finished], folder: Path, tick: Tick) -> dict[str, Any]:  # noqa: ARG001
    """Measure one model; inputs other than ``model`` and ``split`` are what it is compared with."""
    source = inputs["model"].result
    if source["step"] is None:
        return {"rows": [], "reason": source["reason"]}
    models = {role: finished for role, finished in inputs.items() if role != "split"}
    there = {role: finished for role, finished in models.items() if finished.result["step"] is not None}
    weights = {role: load_tensors(finished.path / "model.safetensors") for role, finished in there.items()}
    return measure(source["training"], weights, spec, resolved(inputs, source["training"]))


def measure(
    training: dict[str, Any],
    weights: dict[str, dict[str, Tensor]],
    spec: dict[str, Any],
    split: ForgetSplit | None = None,
) -> dict[str, Any]:
    """Measure given weights on the data of a study.

    Args:
        training: The spec of the train job whose problem and model these are.
        weights: State dicts: ``model``, and those that it is compared with, by name.
        spec: The spec of an analyze job.
        split: What is forgotten, where a split job decided that and not the spec.

    Returns:
        ``rows``, and the ``reason`` if there are none: the model has diverged, or there is nothing to compare it with.
        Models to compare with that have diverged are left out.

    """
    run, models = build_run(training), {}
    _set_objective(run, spec)
    for role, state in weights.items():
        model = copy.deepcopy(run.model)
        model.load_state_dict(state)
        if not _score(model, run.data.train, run, keep_logits=False).diverged:
            models[role] = model
    if "model" not in models:
        return {"rows": [], "reason": "diverged"}
    split = split or forget_split(load_data(training["problem"]), spec["forget"])
    sets = {"forget": run.data.train.of(split.forget), "retain": run.data.train.of(split.retain), "test": run.data.test}
    batches = {role: TensorBatches(part, run.training.evaluation_batch) for role, part in sets.items() if len(part)}
    subject = Subject(models.pop("model"), run.objective, batches, models, spec["seed"])
    analysis = ANALYSES.parse(spec["analyze"])
    if "references" in analysis.needs and not models:
        return {"rows": [], "reason": NOTHING_TO_COMPARE}
    return {"rows": [row for reading in analysis.measure(subject) for row in reading.rows()], "reason": ""}


KINDS = {
    "train": train,
    "split": split,
    "stage": stage,
    "matched": matched,
    "rescaled": rescaled,
    "oracle": oracle,
    "unlearn": unlearn,
    "evaluate": evaluate,
    "unlearned": unlearned,
    "analyze": analyze,
}


ADVICE = {
    "analyze": "chunk or examples of the analysis",
    "train": "trajectory.batch_size, trajectory.evaluation_batch or the size of the model",
    "unlearn": "batches.forget, batches.retain or trajectory.evaluation_batch",
}


@contextmanager
def _memory_explained(job: Job) -> Iterator[None]:
    """Say which keys to lower where a device runs out of memory.

    Raises:
        UngrokError: Then.

    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        keys = ADVICE.get(job.kind, "trajectory.evaluation_batch")
        raise UngrokError(
            f"the device is out of memory; lower {keys}, or run fewer --workers ({first_line(error)})"
        ) from error


def execute(store: Store, job: Job, tick: Tick = lambda _: None) -> None:
    """Run one job on one thread, unless it is finished already, and put its folder into the store.

    Raises:
        StoreError: If the store cannot be read or written; DamagedFile if an input is damaged.
        UngrokError: If the device runs out of memory.

    """
    with explained(store.root), _one_at_a_time, store.lock(job.key):
        if store.has(job.key):
            return
        inputs = {role: store.open(key) for role, key in job.inputs.items()}
        started = time.perf_counter()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with _memory_explained(job):
                result = KINDS[job.kind](job.spec, inputs, store.partial(job), tick)
        finally:
            torch.set_num_threads(threads)
        parts = result.pop(SECONDS, {})
        store.finish(job, result, {"total": time.perf_counter() - started, **parts})
