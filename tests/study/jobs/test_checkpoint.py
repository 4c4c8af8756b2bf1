"""One model, kept as it is."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from ungrok.core.files import checksum, load_tensors, save_tensors
from ungrok.core.weights import GIVEN, whole
from ungrok.models.language import Llama
from ungrok.study import engine
from ungrok.study.jobs import Checkpoint, Train, Unlearn
from ungrok.study.jobs.checkpoint import WEIGHTS, keep, weights_of
from ungrok.study.jobs.trained import build_run, trained_on
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.store import Store
from ungrok.train.record import checkpoint_name

TEXT = str(Path(__file__).parents[1] / "tiny-text.yaml")


def test_weights_are_kept_bit_for_bit_with_what_they_were_trained_on(tmp_path):
    plan, model = make_plan(load("digits")), nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    trainings = [job.spec for job in plan.jobs.values() if isinstance(job, Train)]
    trajectory, oracle = (next(s for s in trainings if (s.without is None) == whole) for whole in (True, False))
    keep(model, tmp_path, trajectory)
    with safe_open(tmp_path / WEIGHTS, "pt") as file:
        assert file.metadata() == trained_on(trajectory) != trained_on(oracle)
    kept = load_tensors(tmp_path / WEIGHTS)
    assert kept.keys() == model.state_dict().keys()
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_every_kind_that_keeps_a_model_is_opened_alike(study, opened):
    for arm, stage in (("base", "grokked"), ("base", "louder"), ("wide", "as-long")):
        finished = opened(arm, stage)
        assert finished.result.step is not None
        assert weights_of(finished).keys() == {"1.weight", "1.bias", "3.weight", "3.bias"}


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """A function that runs a study of adapters on pretrained weights in a store, and returns its plan."""
    pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("pretrained")
    Llama(width=16, layers=1, heads=2, hidden=16).build((64,), 400, 0).save_pretrained(folder)
    overrides = [
        f"model={{kind: pretrained, path: {folder}, lora: {{rank: 2}}}}",
        "base=null",
        "analyze=[]",
        "seeds=[0]",
    ]
    unlearn = "unlearn=[{kind: gradient_difference, lr: 1.0e-2, updates: 2}]"
    recipe = load(
        TEXT, [*overrides, unlearn, "forget=[{kind: last, fraction: 0.5}]", "claims.compare=[]", "noise_seeds=0"]
    )

    def run(store):
        plan = make_plan(recipe)
        engine.run(list(plan.jobs.values()), store, workers=0)
        return plan

    return run


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks
def test_files_of_adapters_hold_nothing_else_and_those_of_old_stores_open(adapted, tmp_path):
    """An old store's files hold every weight, under every name; the jobs after them give the same, bit for bit."""
    store = Store(tmp_path / "store")
    plan = adapted(store)
    (trajectory,) = plan.trajectories.values()
    (stage,) = plan.stages.values()
    (path,) = (p.path for p in plan.paths)
    training, kept = store.open(trajectory, Train), store.open(stage, Checkpoint)
    end = checkpoint_name(training.result.steps)
    for file in (training.path / end, kept.path / WEIGHTS):
        names = {name.removeprefix("model.") for name in load_tensors(file)}
        assert GIVEN in names
        assert not [name for name in names if name.endswith("weight") and "lora_" not in name]
    before = store.open(path, Unlearn)
    scores, result = before.tensors("path.safetensors"), before.result
    model = build_run(training.spec).model
    state = whole(model, weights_of(kept))
    assert state.keys() == model.state_dict().keys()
    tensors = load_tensors(training.path / end)
    old = {name: value for name, value in tensors.items() if not name.startswith("model.")}
    _replace(training.path / end, old | {f"model.{name}": value for name, value in state.items()})
    _replace(kept.path / WEIGHTS, state)
    for key in (path, *(key for key in plan.jobs if key.startswith(("evaluate-", "oracle-")))):
        store.discard(key)
    adapted(Store(store.root))
    again = store.open(path, Unlearn)
    assert again.result == result
    assert scores.keys() == again.tensors("path.safetensors").keys()
    assert all(torch.equal(value, scores[name]) for name, value in again.tensors("path.safetensors").items())


def _replace(file, tensors):
    """Put other tensors into a finished job's file."""
    save_tensors(file, tensors)
    manifest = file.with_name("manifest.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {file.name: checksum(file)}))
