"""Requests one after another: where phases start and end, and what is left of every set, against models scored by hand."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from ungrok.study import engine
from ungrok.study.folder import StudyFolder
from ungrok.study.jobs import Checkpoint, Evaluate, Oracle, RequestSequence, Train, Unlearn
from ungrok.study.jobs.blocks import Forget
from ungrok.study.jobs.checkpoint import weights_of
from ungrok.study.jobs.trained import again, build_run, forget_split, trajectory_of
from ungrok.study.plan import make_plan
from ungrok.study.plan_sequences import RETRAINED
from ungrok.study.results import SEQUENCES, collect
from ungrok.study.run import written
from ungrok.study.seeding import Seeds
from ungrok.study.sequences import EFFECTS, effects, floors
from ungrok.study.store import Store
from ungrok.train import materialize

SMALL = ("seeds=[0]", "trajectory.steps=100", "stages=[grokked]", "claims.compare=[]", "requests=3")
METHODS = (
    "unlearn=[{kind: gradient_ascent, lr: 0.05, updates: 40}, {kind: gradient_ascent, lr: 1.0e-6, updates: 3, name: weak}, "
    "{kind: gradient_ascent, lr: 1.0e+30, updates: 3, name: wild}, {kind: fisher, alpha: [1.0e-6, 1.0e-3]}, "
    "{kind: retrain, updates: 5, lr: 0.01}, {kind: rewind_to_delete, share: 1.0}]"
)
SPLITS = "forget=[{kind: class}, {kind: random, size: 12}]"


@pytest.fixture(scope="module")
def sequences(tmp_path_factory):
    """Return plan and store of a study with three requests of two rules."""
    from tests.study.conftest import TINY

    from ungrok.study.loading import load

    plan, store = make_plan(load(str(TINY), [*SMALL, METHODS, SPLITS])), Store(tmp_path_factory.mktemp("store"))
    engine.run(list(plan.jobs.values()), store, workers=0)
    return plan, store


def opened(sequences, method, subject="unlearned", forget="class"):
    """Return the job of a sequence, its rows, and for phases 2 and 3 the jobs by which they start."""
    plan, store = sequences
    (one,) = (s for s in plan.sequences if (s.method, s.subject, s.forget) == (method, subject, forget))
    job = plan.job(one.rows, RequestSequence)
    starts = [plan.jobs[job.inputs[f"path_{n}"]].inputs["stage"] for n in (2, 3)] if "path_2" in job.inputs else []
    return job, store.open(one.rows, RequestSequence).result.rows, starts


def by_hand(run, sets, phase):
    """Return UA on each of the first sets, then RA, TA and bystander accuracy of the model of a run with all data."""
    run.model.eval()
    data = run.data
    with torch.no_grad():
        right, tested = (
            (run.model(part.batch(slice(None))[0]).argmax(1) == part.targets).double()
            for part in (data.train, data.test)
        )
    gone = sorted(i for forgotten in sets[:phase] for i in forgotten)
    kept = [i for i in range(len(data.train)) if i not in gone]
    touched = {int(data.train.targets[i]) for i in gone}
    others = [i for i in range(len(data.test)) if int(data.test.targets[i]) not in touched]
    means = [right[kept].mean(), tested.mean(), tested[others].mean() if others else torch.tensor(float("nan"))]
    return [*(float(right[forgotten].mean()) for forgotten in sets[:phase]), *map(float, means)]


def sets_of(plan, forget):
    rule = plan.recipe.forget[plan.recipe.forget_labels().index(forget)]
    *before, last = Seeds(0).requests_of(3)
    split = forget_split(plan.recipe.problem.load(), Forget(rule=rule, seed=last, before=tuple(before)))
    return [part.tolist() for part in split.requests]


def in_phase(rows, phase):
    here = [row for row in rows if row["phase"] == phase]
    assert [row["of"] for row in here] == list(range(1, phase + 1))
    ends = [row["bystander_accuracy"] for row in here]
    return [
        *(row["UA"] for row in here),
        here[0]["RA"],
        here[0]["TA"],
        ends[0] if ends[0] is not None else float("nan"),
    ]


@pytest.mark.parametrize("forget", ["class", "random-12"])
@pytest.mark.parametrize("method", ["gradient_ascent", "weak", "fisher", "retrain"])
def test_rows_are_those_of_the_models_from_which_the_next_phases_start(sequences, method, forget):
    plan, store = sequences
    _, rows, starts = opened(sequences, method, forget=forget)
    assert len(rows) == 1 + 2 + 3
    for phase, key in enumerate(starts, start=1):
        kept = store.open(key, Checkpoint)
        run = build_run(kept.result.training)
        run.model.load_state_dict(weights_of(kept))
        assert in_phase(rows, phase) == pytest.approx(by_hand(run, sets_of(plan, forget), phase), nan_ok=True)


@pytest.mark.parametrize("forget", ["class", "random-12"])
def test_oracles_never_saw_any_set_so_far_and_stand_at_the_same_step(sequences, forget):
    plan, store = sequences
    job, rows, _ = opened(sequences, "retrain from scratch", "oracle", forget)
    sets, stage = sets_of(plan, forget), store.open(plan.stages["base", 0, "grokked"], Checkpoint).result
    for phase in (1, 2, 3):
        oracle = store.open(job.inputs[f"oracle_{phase}"], Oracle)
        trained = store.open(oracle.inputs["trajectory"], Train)
        assert oracle.result.step == stage.step
        run = materialize(again(trained), trajectory_of(trained), stage.step)
        gone = {i for forgotten in sets[:phase] for i in forgotten}
        whole = build_run(stage.training).data
        kept = torch.tensor([i for i in range(len(whole.train)) if i not in gone])
        assert torch.equal(run.data.train.inputs, whole.train.inputs[kept])
        run.data = whole
        assert in_phase(rows, phase) == pytest.approx(by_hand(run, sets, phase), nan_ok=True)
    assert [row["updates"] for row in rows if row["of"] == 1] == [stage.step, 2 * stage.step, 3 * stage.step]


@pytest.mark.parametrize("forget", ["class", "random-12"])
def test_going_all_the_way_back_is_the_oracle_in_every_phase(sequences, forget):
    own, oracle = (
        pd.DataFrame(opened(sequences, *which, forget)[1])
        for which in (("rewind_to_delete", "unlearned"), (RETRAINED, "oracle"))
    )
    names = ["phase", "of", "UA", "RA", "TA", "bystander_accuracy", "updates"]
    assert len(own) == 6
    pd.testing.assert_frame_equal(own[names], oracle[names])


@pytest.mark.parametrize(
    ("method", "reached"), [("gradient_ascent", True), ("weak", False), ("retrain", None), ("fisher", True)]
)
def test_a_phase_ends_at_the_target_or_with_its_path_and_costs_add_up(sequences, method, reached):
    plan, store = sequences
    job, rows, _ = opened(sequences, method)
    so_far = {"updates": 0, "forget_passes": 0.0, "retain_passes": 0.0}
    for phase in (1, 2, 3):
        walked = store.open(job.inputs[f"rows_{phase}"], Evaluate).result.rows
        hits = [index for index, row in enumerate(walked) if row["UA"] <= 0.1]
        last = walked[hits[0] if reached else -1]
        so_far = {k: None if last[k] is None else v + last[k] for k, v in so_far.items()}
        (row,) = (row for row in rows if row["phase"] == row["of"] == phase)
        assert row["UA"] == last["UA"]
        assert row["reached"] is reached
        assert {name: row[name] for name in so_far} == pytest.approx(so_far)
        if phase > 1:
            until = plan.job(job.inputs[f"path_{phase}"], Unlearn).spec.until
            assert until == (None if method == "retrain" else 0.1)
    if method == "gradient_ascent":
        assert len(store.open(job.inputs["rows_1"], Evaluate).result.rows) > hits[0] + 1  # the first path goes on


def test_a_phase_starts_from_the_scores_with_which_the_last_one_ended(sequences):
    _, store = sequences
    job, _, _ = opened(sequences, "gradient_ascent")
    rows = store.open(job.inputs["rows_1"], Evaluate).result.rows
    place = next(index for index, row in enumerate(rows) if row["UA"] <= 0.1)
    one, two = (store.open(job.inputs[f"path_{n}"], Unlearn).tensors("path.safetensors") for n in (1, 2))
    assert place > 0
    assert torch.equal(one["train.predictions"][place], two["train.predictions"][0])
    assert not torch.isin(two["retain"], one["forget"]).any()


def test_a_sequence_ends_where_a_request_breaks_the_model(sequences):
    _, store = sequences
    job, rows, starts = opened(sequences, "wild")
    assert [(row["phase"], row["UA"], row["reached"]) for row in rows] == [(1, None, False)]
    ends = [store.open(key, Checkpoint).result for key in starts]
    assert {end.step for end in ends} == {None}
    assert {end.reason for end in ends} == {"the path has diverged there"}
    assert store.open(job.inputs["path_3"], Unlearn).result.status == "no stage"


def test_the_table_holds_every_sequence(sequences):
    table = collect(*sequences).sequences
    assert len(table) == 2 * (5 * 6 + 1 + 2 * 6)
    assert set(table["subject"]) == {"unlearned", "oracle", "oracle_2"}
    own = table[(table["method"] == "fisher") & (table["forget"] == "class")]
    assert own["UA"].tolist() == [row["UA"] for row in opened(sequences, "fisher")[1]]
    assert own["updates"].isna().all()


def test_the_table_is_read_back_from_a_studys_folder(sequences, tmp_path):
    plan, store = sequences
    study = written(tmp_path / "study", plan, store, 1, None)
    read = StudyFolder.open(tmp_path / "study", store.root).results.sequences
    pd.testing.assert_frame_equal(read, study.results.sequences)
    assert (tmp_path / "study" / "sequences.csv").is_file()


def test_a_study_of_one_request_writes_no_table_of_sequences(finished, tmp_path):
    plan, store = finished
    written(tmp_path, plan, store, 1, None)
    assert not list(tmp_path.glob("sequences.*"))
    read = StudyFolder.open(tmp_path, store.root).results.sequences
    assert (list(read), len(read)) == (SEQUENCES, 0)


def test_without_a_stage_there_are_no_rows(tiny, tmp_path):
    plan, store = (
        make_plan(tiny(*SMALL, "unlearn=[{kind: gradient_ascent}]", "transition.memorized=0.99999")),
        Store(tmp_path),
    )
    engine.run(list(plan.jobs.values()), store, workers=0)
    assert len(plan.sequences) == 3
    assert [store.open(one.rows, RequestSequence).result.rows for one in plan.sequences] == [[], [], []]


def test_retraining_shows_reversal_and_erosion_within_the_floor_where_gradient_ascent_erodes(tiny, tmp_path):
    """On random sets that are small beside what is retained, retrained models differ by noise alone."""
    optimizer = "trajectory.optimizer={kind: sgd, lr: 0.05, momentum: 0.9}"
    unlearn = "unlearn=[{kind: retrain, updates: 100, lr: 0.05, weight_decay: 0}, {kind: gradient_ascent, lr: 0.02, updates: 40}]"
    more = (
        "seeds=[0, 1, 2]",
        "noise_seeds=3",
        "problem.train_size=600",
        "forget=[{kind: random, size: 30}]",
        "stages=[final]",
        "claims.targets=[0.5]",
    )
    plan, store = make_plan(tiny(*SMALL, optimizer, unlearn, *more)), Store(tmp_path)
    engine.run(list(plan.jobs.values()), store, workers=0)
    table = collect(plan, store).sequences
    (floor,) = floors(table[table["phase"] != 2]).to_dict("records")
    every = effects(table).query("phase == 3")
    means = every.groupby(["method", "subject"])[[*EFFECTS, *(f"{name}_beyond" for name in EFFECTS)]].mean()
    assert len(means) == 4
    for name in EFFECTS[:3]:
        assert (means.loc[RETRAINED, name] <= floor[name]).all()
        assert abs(means.loc["retrain", f"{name}_beyond"].item()) <= floor[name]
    for name in ("erosion_RA", "erosion_TA"):
        assert means.loc["gradient_ascent", name].item() > 3 * floor[name]


def test_a_class_comes_back_after_gradient_ascent_and_a_retrained_model_never_knew_it(sequences):
    table = collect(*sequences).sequences
    every = effects(table[table["forget"] == "class"]).query("phase == 3").set_index(["method", "subject"])["reversal"]
    assert every[RETRAINED].tolist() == [0, 0]
    assert every["gradient_ascent", "unlearned"] > 0.3
