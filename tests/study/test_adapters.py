"""A whole study on adapters of a pretrained model, and what its files hold."""

import copy
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ungrok.core.files import load_tensors
from ungrok.core.weights import GIVEN, whole
from ungrok.models.language import Llama
from ungrok.report import write_report
from ungrok.report.compare import compare
from ungrok.report.view import View
from ungrok.study import engine, outputs
from ungrok.study.claims import judge
from ungrok.study.folder import check_writable
from ungrok.study.jobs import Checkpoint, Evaluate, Train, Unlearn
from ungrok.study.jobs.checkpoint import WEIGHTS, weights_of
from ungrok.study.jobs.trained import build_run
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.preflight import preflight
from ungrok.study.results import collect
from ungrok.study.store import Store
from ungrok.train.record import checkpoint_name, model_state

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks

TEXT = str(Path(__file__).parent / "tiny-text.yaml")
METHODS = ("gradient_ascent", "gradient_difference", "kl_minimization", "preference_optimization", "npo", "rmu")
STEPS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a pretrained model: a small Llama with random weights."""
    pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("pretrained")
    Llama(width=16, layers=2, heads=2, hidden=16).build((64,), 400, 0).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def study(folder, tmp_path_factory):
    """Return plan, store and results of a study on adapters, with an arm in which all weights are trained."""
    recipe = load(
        TEXT,
        [
            f"model={{kind: pretrained, path: {folder}, lora: {{rank: 2}}}}",
            "seeds=[0]",
            "noise_seeds=0",
            "base=null",
            "forget=[{kind: local_grokking, group: grokked, size: 4, using: {by: quantile, candidate: 1}},"
            " {kind: local_grokking, group: ungrokked, size: 4, using: {by: quantile, candidate: 1}}]",
            "analyze=[]",
            "probe=null",
            "trajectory.speed={bfloat16: true, scores: true}",
            "speed={bfloat16: true}",
            "arms.full={model: {lora: null}, seeds: 1, unlearn_lr: 0.1}",
            "unlearn=[" + ", ".join(f"{{kind: {kind}, lr: 1.0e-2, updates: 4}}" for kind in METHODS) + "]",
            "observe={every_until: 1, spacing: 1.0, drawn: {retain: 6, validation: 5, test: 4, moved: 2}}",
            "stress={attacks: [{kind: relearn, optimizer: adamw, shares: [0], lr: [1.0e-2], batch: 8, updates: 2}, {kind: quantize, bits: [4]}],"
            " places: [end], methods: [npo], seeds: 1}",
        ],
    )
    preflight(recipe)
    plan, store = make_plan(recipe), Store(tmp_path_factory.mktemp("store"))
    engine.run(list(plan.jobs.values()), store, workers=0)
    return plan, store, collect(plan, store)


def weights(plan, store, arm):
    """Yield the training and the kept weights of every model that the jobs of an arm have left, by the job's key."""
    names = {job.key: job for job in plan.jobs.values() if f", {arm}, " in f"{job.label}," or f" {arm} " in job.label}
    for key, job in names.items():
        if isinstance(job, Train):
            done = store.open(key, Train)
            for file in sorted(done.path.glob("step-*")):
                yield done.spec, model_state(load_tensors(file))
        elif isinstance(job, Checkpoint):
            done = store.open(key, Checkpoint)
            yield done.result.training, load_tensors(done.path / WEIGHTS)


def test_files_hold_adapters_alone_and_the_weights_below_are_those_of_the_folder(study, folder):
    plan, store, _ = study
    given, seen = load_file(folder / "model.safetensors"), 0
    for training, held in weights(plan, store, "base"):
        assert GIVEN in held
        assert all("lora_" in name for name in held if name != GIVEN)
        model = build_run(training).model
        state = whole(model, held)
        for name, weight in given.items():
            before, _, layer = name.removesuffix(".weight").rpartition(".")
            names = [f"base_model.model.{name}", f"base_model.model.{before}.{layer}.base_layer.weight"]
            (own,) = [state[each] for each in names if each in state]
            assert torch.equal(own, weight), name
        seen += 1
    kinds = {job.kind for job in plan.jobs.values() if isinstance(job, Checkpoint)}
    assert kinds == {"stage", "placed"}
    assert seen >= 2 * 3 + 2


def test_adapters_are_trained_and_unlearned(study):
    plan, store, results = study
    done = store.open(plan.trajectories["base", 0], Train)
    start, end = (model_state(load_tensors(done.path / checkpoint_name(step))) for step in (0, STEPS))
    assert all(not torch.equal(start[name], end[name]) for name in start if "lora_B" in name)
    assert done.result.rows[-1]["train_loss"] < done.result.rows[0]["train_loss"] - 0.05
    ends = results.rows[(results.rows["dose"] == 4) & (results.rows["arm"] == "base")]
    assert set(ends["method"]) == set(METHODS)
    assert (ends["weight_distance"] > 0).all()
    assert not ends["diverged"].any()


def test_what_a_model_with_adapters_gives_is_what_it_gives_with_them_merged(study):
    plan, store, _ = study
    kept = store.open(plan.stages["base", 0, "final"], Checkpoint)
    run = build_run(kept.result.training)
    bare = run.data.train.score(run.model, run.objective)
    run.model.load_state_dict(whole(run.model, weights_of(kept)))
    adapted = run.data.train.score(run.model, run.objective)
    merged = copy.deepcopy(run.model).merge_and_unload()
    assert not [name for name, _ in merged.named_parameters() if "lora_" in name]
    together = run.data.train.score(merged, run.objective)
    torch.testing.assert_close(together.losses, adapted.losses, rtol=1e-5, atol=1e-5)
    assert torch.equal(together.matches, adapted.matches)
    assert (adapted.losses - bare.losses).abs().max() > 0.01


class Stop(Exception):
    """Raised in the middle of a training."""


def test_a_training_that_was_interrupted_ends_in_the_same_bytes(study, tmp_path):
    plan, store, _ = study
    done = store.open(plan.trajectories["base", 0], Train)

    def until(step):
        if step >= 9:
            raise Stop

    with pytest.raises(Stop):
        build_run(done.spec).record(tmp_path, save_after=0.0, tick=until)
    assert not (tmp_path / checkpoint_name(STEPS)).exists()
    went_on = build_run(done.spec)
    went_on.record(tmp_path)
    written = {path.name: path.read_bytes() for path in done.path.glob("step-*")}
    assert {*written} >= {checkpoint_name(0), checkpoint_name(STEPS)}
    assert written == {path.name: path.read_bytes() for path in tmp_path.glob("step-*")}


def test_paths_that_are_walked_again_give_the_same_bytes(study, tmp_path):
    plan, store, _ = study
    again = Store(tmp_path)
    chosen = [path.path for path in plan.paths if path.arm == "base" and path.method in ("npo", "rmu")]
    engine.run(plan.needed_for(*chosen), again, workers=0)
    assert len(chosen) == 4
    for key in chosen:
        one, other = (each.open(key, Unlearn) for each in (store, again))
        assert (one.path / "path.safetensors").read_bytes() == (other.path / "path.safetensors").read_bytes()
        assert one.result == other.result


def test_all_weights_are_trained_in_the_arm_without_adapters(study, folder):
    plan, store, _ = study
    given = load_file(folder / "model.safetensors")
    assert [seed for arm, seed in plan.trajectories if arm == "full"] == [0]
    done = store.open(plan.trajectories["full", 0], Train)
    end = model_state(load_tensors(done.path / checkpoint_name(STEPS)))
    assert end.keys() == given.keys()
    assert all(not torch.equal(value, given[name]) for name, value in end.items())
    rates = {path.arm: plan.job(path.path, Unlearn).spec.unlearn.lr for path in plan.paths if path.method == "npo"}
    assert rates == {"base": 1e-2, "full": pytest.approx(1e-3)}


def test_between_the_ends_rows_are_estimates_from_the_drawn_pairs(study):
    plan, store, _ = study
    path = next(p for p in plan.paths if (p.arm, p.seed, p.method) == ("base", 0, "rmu"))
    rows, walked = store.open(path.rows, Evaluate).result.rows, store.open(path.path, Unlearn)
    tensors = walked.tensors("path.safetensors")
    assert tensors["whole"].tolist() == [True, False, False, True]
    drawn = tensors["train.drawn"][~torch.isin(tensors["train.drawn"], tensors["forget"])]
    assert len(drawn) == 6
    matches = tensors["train.matches"].double()
    moved = matches[2, drawn].mean() - matches[0, drawn].mean()
    assert rows[2]["RA"] == pytest.approx(float(matches[0, tensors["retain"]].mean() + moved), abs=1e-6)
    assert rows[3]["RA"] == pytest.approx(float(matches[3, tensors["retain"]].mean()))
    assert rows[1]["UA"] == pytest.approx(float(matches[1, tensors["forget"]].mean()))


def test_attacks_work_on_models_with_adapters(study):
    _, _, results = study
    npo = results.stress[(results.stress["method"] == "npo") & (results.stress["subject"] == "unlearned")]
    assert set(npo["attack"]) == {"relearn", "quantize"}
    assert npo[["UA", "RA"]].notna().all(axis=None)
    assert set(results.stress["subject"]) >= {"original", "oracle"}


def test_the_report_is_written_and_stands_beside_the_papers_table(study, tmp_path):
    plan, store, results = study
    budgets = outputs.doses_of(plan, store)
    verdicts = judge(results.rows, plan.recipe, budgets, stress=results.stress)
    made = outputs.provenance(plan, store, results, 0)
    check_writable(tmp_path)
    outputs.write_tables(tmp_path, plan, results, verdicts, made)
    text = write_report(tmp_path, plan, results, verdicts, made, budgets).read_text()
    for part in ("Table 2", "sizes of the groups", "full"):
        assert part in text, part
    groups = pd.read_csv(tmp_path / "groups.csv")
    assert set(zip(groups["arm"], groups["seed"], strict=True)) == {("base", 0), ("full", 0)}
    view = View(plan, results, verdicts, budgets)
    places = ["grokked-50=grokked-4", "ungrokked-50=ungrokked-4"]
    lines = compare(view, "paper:table2", places)
    own = [line for line in lines if line.method == "npo" and "ungrokked-4" in line.places]
    assert {line.metric for line in own} == {"ES_forget"}
