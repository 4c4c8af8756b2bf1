"""A whole study on a language model: what its jobs start from, leave out, and say."""

import copy
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

from ungrok.analyze import Subject
from ungrok.core.errors import RecipeError, UngrokError
from ungrok.core.files import load_tensors, read_json
from ungrok.core.seeds import derive
from ungrok.core.weights import whole
from ungrok.data.answers import AnswerData
from ungrok.evaluate.tofu import forget_quality, model_utility
from ungrok.report import write_report
from ungrok.report.families import AnswerReport
from ungrok.report.figures.drawing import STYLE
from ungrok.report.tables import language
from ungrok.report.view import View
from ungrok.study import engine, outputs
from ungrok.study.claims import judge
from ungrok.study.folder import check_writable
from ungrok.study.job import KINDS
from ungrok.study.jobs import Train
from ungrok.study.jobs.trained import again, build_run
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.preflight import preflight
from ungrok.study.problem_data import load_data
from ungrok.study.results import collect
from ungrok.study.store import Store, Work
from ungrok.train.record import checkpoint_name, model_state

TINY = str(Path(__file__).parent / "tiny-text.yaml")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return plan, store and results of the tiny study."""
    recipe = load(TINY)
    preflight(recipe)
    plan, store = make_plan(recipe), Store(tmp_path_factory.mktemp("store"))
    engine.run(list(plan.jobs.values()), store, workers=0)
    return plan, store, collect(plan, store)


def opened(store, key):
    return store.open(key, KINDS[key.rpartition("-")[0]])


def data_of(plan):
    data = load_data(plan.recipe.problem)
    assert isinstance(data, AnswerData)
    return data


def test_trajectories_and_oracles_start_where_their_seeds_base_ended(study):
    plan, store, _ = study
    for (arm, seed), base in plan.bases.items():
        end = model_state(load_tensors(opened(store, base).path / checkpoint_name(20)))
        starts = [
            plan.trajectories[arm, seed],
            *(opened(store, k).inputs["trajectory"] for (a, s, *_), k in plan.oracles.items() if (a, s) == (arm, seed)),
        ]
        for key in starts:
            start = model_state(load_tensors(opened(store, key).path / checkpoint_name(0)))
            assert all(torch.equal(start[name], end[name]) for name in end)
    assert len(set(plan.bases.values())) == 2


def test_oracles_are_fine_tuned_without_the_forget_pairs(study):
    plan, store, results = study
    for (arm, seed, forget, _), key in plan.oracles.items():
        run = again(store.open(opened(store, key).inputs["trajectory"], Train))
        cell = next(c for c in plan.paths if (c.seed, c.arm, c.forget) == (seed, arm, forget))
        gone = load_tensors(opened(store, cell.path).path / "path.safetensors")["forget"]
        kept = run.data.train.index
        assert not torch.isin(kept, gone).any()
        assert len(kept) + len(gone) == len(data_of(plan).train) == 40
    assert set(results.oracles["forget"]) == {"grokked-4", "ungrokked-4", "last-0.5"}


def test_groups_are_those_of_the_recorded_losses(study):
    plan, store, results = study
    for (arm, seed, label), key in plan.splits.items():
        own = load_tensors(opened(store, plan.trajectories[arm, seed]).path / "examples.safetensors")["train"].double()
        decrease = (own[1] - own[-1]).numpy()
        order = np.argsort(decrease, kind="stable")
        group = order[:12] if label.startswith("grokked") else order[-12:]
        assert set(opened(store, key).result.forget) <= set(group.tolist())
    assert (results.groups["found used grokked"] == 12).all()
    lengths = results.groups.set_index(["seed", "forget"])["question_length"]
    forget = opened(store, plan.splits["base", 0, "grokked-4"]).result.forget
    rows = data_of(plan).rows
    assert lengths[0, "grokked-4"] == pytest.approx(np.mean([len(rows[i]["question"]) for i in forget]))


def test_rows_and_audits_hold_what_was_measured(study):
    plan, store, results = study
    rows = results.rows
    first = rows[rows["dose"] == 0]
    assert len(first) == 2 * 3 * 3
    assert first[["UA", "RA", "TA", "ES_forget", "ES_retain", "oracle_ES_forget"]].notna().all(axis=None)
    audit = results.audits
    assert len(audit) == 18
    names = [
        "utility",
        "forget_quality",
        "forget_ks",
        "ROUGE_forget",
        "truth_ratio_forget",
        "min_k_auc",
        "oracle_min_k_auc",
    ]
    assert audit[names].notna().all(axis=None)
    cell = plan.paths[0]
    logs = read_json(opened(store, cell.path).path / "logs.json")
    oracle = read_json(opened(store, plan.oracles[cell.arm, cell.seed, cell.forget, cell.stage]).path / "logs.json")
    row = audit[
        (audit["seed"] == cell.seed) & (audit["forget"] == cell.forget) & (audit["method"] == cell.method)
    ].iloc[0]
    assert row["utility"] == pytest.approx(model_utility(logs))
    assert row["forget_quality"] == pytest.approx(forget_quality(logs, oracle).p_value)


def test_the_papers_tables_show_the_means_of_the_rows(study):
    plan, store, results = study
    verdicts = judge(results.rows, plan.recipe, outputs.doses_of(plan, store))
    budgets = outputs.doses_of(plan, store)
    view = View(plan, results, verdicts, budgets)
    (table,) = language.extraction(view)
    assert table.columns == ["method", "on", "4 pairs"]
    named = {(row[0], row[1]): row[2].lines[0] for row in table.rows}
    ends = results.rows[(results.rows["method"] == "gradient_difference") & (results.rows["dose"] == 3)]
    means = ends.groupby("forget")["ES_forget"].mean()
    assert (
        named[view.names.method("gradient_difference"), "forgotten"]
        == f"{means['grokked-4']:.3f} / {means['ungrokked-4']:.3f}"
    )
    assert ("oracle", "retained") in named
    (hard,) = language.difficulty(view)
    assert hard.rows[0][0] == "4 pairs"
    by_setting = {(v.method, v.metric): v for v in verdicts if v.claim.kind == "extraction"}
    both = ends.pivot(index="seed", columns="forget", values="extraction_forget")
    effect = (both["ungrokked-4"] - both["grokked-4"]).mean()
    assert by_setting["gradient_difference", "extraction_forget"].effect.value == pytest.approx(effect)


def test_the_page_shows_them(study, tmp_path):
    plan, store, results = study
    verdicts, budgets = judge(results.rows, plan.recipe, outputs.doses_of(plan, store)), outputs.doses_of(plan, store)
    made = outputs.provenance(plan, store, results, 0)
    check_writable(tmp_path)
    outputs.write_tables(tmp_path, plan, results, verdicts, made)
    text = write_report(tmp_path, plan, results, verdicts, made, budgets).read_text()
    for part in ("Table 2", "Table 12", "sizes of the groups", "Answers at the end", "second group", "model utility"):
        assert part in text, part
    assert len(pd.read_csv(tmp_path / "groups.csv")) == 4


def measured(plan, store, measurement):
    """Measure the stored model of a measurement on the groups that the split job made."""
    run = build_run(plan.jobs[plan.trajectories[measurement.arm, measurement.seed]].spec)
    models = {role: opened(store, key) for role, key in plan.jobs[measurement.rows].inputs.items() if role != "split"}
    loaded = {role: copy.deepcopy(run.model) for role in models}
    for role, model in loaded.items():
        model.load_state_dict(whole(model, load_tensors(models[role].path / "model.safetensors")))
    gone = torch.tensor(opened(store, plan.splits["base", measurement.seed, measurement.forget]).result.forget)
    kept = torch.tensor([i for i in range(40) if i not in gone])
    train, test = run.data.train, run.data.test
    sets = {"forget": [train.batch(gone)], "retain": [train.batch(kept)], "test": [test.batch(slice(None))]}
    analysis = next(a for a in plan.recipe.analyze if a.label == measurement.analysis)
    subject = Subject(loaded.pop("model"), run.objective, sets, loaded, derive(measurement.seed, "analysis"))
    return pd.DataFrame([row for reading in analysis.measure(subject) for row in reading.rows()])


@pytest.mark.parametrize(
    ("analysis", "forget", "method"),
    [
        ("gradient_alignment", "grokked-4", ""),
        ("gradient_alignment", "ungrokked-4", ""),
        ("local_complexity", "grokked-4", ""),
        ("cka", "ungrokked-4", "gradient_difference"),
    ],
)
def test_measures_are_those_of_the_stored_models_on_the_groups(study, analysis, forget, method):
    plan, store, results = study
    measurement = next(
        k for k in plan.measurements if (k.seed, k.analysis, k.forget, k.method) == (1, analysis, forget, method)
    )
    expected = measured(plan, store, measurement)
    table = results.mechanism
    own = table[(table.seed == 1) & (table.analysis == analysis) & (table.forget == forget) & (table.method == method)]
    names = ["measure", "on", "layer", "null"]
    assert own[names].to_numpy().tolist() == expected[names].to_numpy().tolist()
    np.testing.assert_allclose(own["value"].astype(float), expected["value"].astype(float), rtol=1e-4, atol=1e-6)
    if analysis == "gradient_alignment":
        assert "gradient_cosine_same_classes" in set(own["measure"])  # the authors arrived
    if analysis == "cka":
        assert {on.split("|")[1] for on in own["on"]} == {"before", "oracle"}


def test_an_empty_test_set_is_not_measured(study, monkeypatch):
    plan, store, _ = study
    data = replace(data_of(plan), test=data_of(plan).test.of(torch.zeros(0, dtype=torch.int64)))
    monkeypatch.setattr("ungrok.study.jobs.trained.load_data", lambda _: data)
    measurement = next(k for k in plan.measurements if (k.analysis, k.forget, k.method) == ("cka", "last-0.5", ""))
    job = plan.jobs[measurement.rows]
    rows = job.run(Work(store, job.inputs, Path())).rows
    assert {row["on"] for row in rows} == {"forget|oracle", "retain|oracle"}


def test_a_group_that_is_too_small_stops_the_study_with_the_keys_to_change(tmp_path):
    recipe = load(
        TINY,
        [
            "seeds=[0]",
            "forget=[{kind: local_grokking, size: 13, using: {by: quantile, candidate: 1}}]",
            "claims.compare=[]",
        ],
    )
    plan, store = make_plan(recipe), Store(tmp_path)
    with pytest.raises(
        UngrokError,
        match=r"split grokked-13, base, seed 0: .* finds 12 grokked and 12 ungrokked; change size, or using.quantile",
    ):
        engine.run(list(plan.jobs.values()), store, workers=0)
    assert not any(store.has(job.key) for job in plan.jobs.values() if job.kind in ("split", "oracle", "unlearn"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trajectory.loss=mse"], "trajectory.loss: 'mse' does not fit this problem; allowed: causal_lm"),
        (["unlearn=[{kind: unsir}]"], "unlearn: 'unsir' runs on classifier models only"),
        (["problem={kind: digits}", "model={kind: mlp}"], "loss: 'causal_lm' does not fit"),
        (["forget.0.size=40", "claims.compare=[]"], "size 40 of 40 training examples; nothing would be left"),
        (["model={kind: mlp}"], "model: kind 'mlp' "),
        (["model={kind: pretrained, path: /nowhere/at/all}"], "model.path: '/nowhere/at/all' is neither a folder"),
        (["problem.tokenizer=/nowhere/at/all"], "problem.tokenizer: '/nowhere/at/all' is neither a folder"),
        (["problem.max_length=20"], "tokens, which is more than problem.max_length 20"),
        (["analyze=[{kind: gradients}]"], "analyze"),
        (["analyze=[{kind: robustness}]"], "analyze.0: robustness: takes batches of .inputs, targets., not dict"),
        (
            ["analyze=[{kind: local_complexity}]"],
            "analyze.0: local_complexity: tokens cannot be moved; name an embedding",
        ),
        (
            ["forget.0.using.candidate=9", "forget.1.using.candidate=9"],
            "'grokked-4': using.candidate: epoch 9 is not before .* epoch 5",
        ),
        (
            ["forget.0.size=13", "claims.compare=[]"],
            "'grokked-13': 13 examples asked of a group of 12; .*using.quantile",
        ),
        (["unlearn=[{kind: rmu, layer: 3}]"], "rmu: layer 3 is not in the model; allowed: 1 to 1"),
        (["stages=[final, step-21]"], "stages: 'step-21' lies beyond the last of 20 steps"),
        (["problem.prompt='Q: {question} {x}'"], r"problem.prompt: 'Q: {question} {x}' cannot be filled .asks for 'x'"),
        (["problem.prompt='Q: {question} }'"], "problem.prompt: .* cannot be filled"),
        (["model.lora={targets: [nonesuch]}"], "model.lora: .*nonesuch"),
        (
            ["stages=[final, scaled]", "controls={scaled: {kind: rescaled, stage: final}}"],
            "controls.scaled: rescaling is for",
        ),
    ],
)
def test_what_is_wrong_is_said_before_any_training(overrides, message, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(RecipeError, match=message):
        preflight(load(TINY, overrides))


def test_a_classifier_recipe_cannot_ask_for_text():
    tiny = str(Path(__file__).parent / "tiny.yaml")
    with pytest.raises(RecipeError, match="unlearn: 'npo' runs on language models only; problem 'digits' has none"):
        preflight(load(tiny, ["unlearn=[{kind: npo}]"]))
    with pytest.raises(RecipeError, match="probe: is for language models"):
        preflight(load(tiny, ["probe={}"]))
    with pytest.raises(RecipeError, match="forget: kind 'local_grokking' reads losses of question-answer pairs"):
        preflight(load(tiny, ["forget=[{kind: local_grokking, size: 5}]"]))


def test_figures_draw_both_groups_against_the_oracle(study):
    plan, store, results = study
    view = View(
        plan, results, judge(results.rows, plan.recipe, outputs.doses_of(plan, store)), outputs.doses_of(plan, store)
    )
    with mpl.rc_context(STYLE):
        pictures_by_name = {picture.name: picture for picture in AnswerReport().pictures(view)}
    picture = pictures_by_name["extraction-final-grokked-4-ungrokked-4"]
    panel = next(
        axes for axes in picture.figure.axes if axes.get_title(loc="left") == view.names.method("gradient_difference")
    )
    rows = results.rows[(results.rows["method"] == "gradient_difference") & (results.rows["forget"] == "ungrokked-4")]
    bold = [line for line in panel.lines if line.get_linewidth() == 1.8 and line.get_color() == "#0072B2"]
    for name, line in zip(("extraction_forget", "extraction_retain"), bold, strict=True):
        assert line.get_ydata() == pytest.approx(rows.groupby("dose")[name].median().to_numpy())
    dotted = [line.get_ydata()[0] for line in panel.lines if line.get_linestyle() == ":"]
    expected = results.rows.drop_duplicates(["seed", "forget"]).groupby("forget")["oracle_extraction_forget"].median()
    assert dotted == pytest.approx([expected["grokked-4"], expected["ungrokked-4"]])
    assert any("last" in name for name in pictures_by_name)
    assert not any(name.startswith(("dose", "frontier")) and "grokked-4" in name for name in pictures_by_name)
