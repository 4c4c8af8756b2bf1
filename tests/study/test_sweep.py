"""A sweep over checkpoints that a user's program made is a study: same code, same numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.report.families import family_of
from ungrok.report.view import View
from ungrok.study.deletion_costs import Policy, settings_of
from ungrok.study.folder import StudyFolder
from ungrok.study.jobs import Trained
from ungrok.study.jobs.trained import again, forget_split, trajectory_of
from ungrok.study.loading import load
from ungrok.study.plan_sequences import RETRAINED
from ungrok.study.run import reopened, run_study
from ungrok.study.sweep import Sweep, run_sweep
from ungrok.train import materialize

TINY = Path(__file__).with_name("tiny.yaml")
RULE = {"memorized": 0.4, "grokked": 0.7, "min_delay": 1.0}
METHODS = [
    {"kind": "gradient_ascent", "lr": 0.05, "updates": 40},
    {"kind": "scrub", "lr": 0.05, "updates": 20},
    {"kind": "fisher", "alpha": [1.0e-6, 1.0e-3]},
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "tiny"
    return run_study(load(str(TINY), ["noise_seeds=0"]), out, workers=0)


def models(study, key):
    """Return the models of a training of the study at every evaluated step."""
    source = study.store.open(key, Trained)
    trajectory = trajectory_of(source)
    return {int(step): materialize(again(source), trajectory, int(step)).model for step in trajectory.metrics["step"]}


def given(study, seed):
    """Return what a user would have of one seed of the study: checkpoints, those of the retraining, and the sets."""
    plan = study.plan
    key = plan.trajectories["base", seed]
    oracle = plan.jobs[plan.oracles["base", seed, "class", "grokked"]].inputs["trajectory"]
    data = study.store.open(key, Trained).spec.data()
    split = forget_split(data, plan.jobs[oracle].spec.without)
    sets = {
        role: (data.train.inputs[index], data.train.targets[index], index)
        for role, index in (("forget", split.forget), ("retain", split.retain))
    }
    held_out = {
        name: (part.inputs, part.targets) for name, part in (("test", data.test), ("validation", data.validation))
    }
    return {"checkpoints": models(study, key), "oracle": models(study, oracle), **sets, **held_out}


@pytest.fixture(scope="module")
def runs(study):
    return {seed: given(study, seed) for seed in (0, 1)}


def by_seed(runs):
    one = runs[0]
    changing = {
        name: (lambda seed, name=name: runs[seed][name]) for name in ("checkpoints", "forget", "retain", "oracle")
    }
    same = {name: one[name] for name in ("test", "validation")}
    settings = {
        "transition": RULE,
        "trajectory": {"batch_size": 60},
        "forget": [{"kind": "given", "name": "class"}],
    }
    return Sweep(**changing, **same, methods=METHODS, seeds=[0, 1], settings=settings)


@pytest.fixture(scope="module")
def swept(runs, tmp_path_factory):
    return run_sweep(by_seed(runs), tmp_path_factory.mktemp("sweep") / "mine")


def test_a_sweep_over_the_models_of_a_study_gives_the_verdicts_of_the_study(study, swept):
    assert len(study.verdicts) > 5
    assert [each.to_dict() for each in swept.verdicts] == [each.to_dict() for each in study.verdicts]


def test_and_the_tables_of_the_study(study, swept):
    for name in ("rows", "oracles", "transitions", "curves", "audits"):
        ours, theirs = (getattr(made.results, name) for made in (swept, study))
        assert len(theirs)
        assert ours.equals(theirs), name


def test_how_long_the_users_training_took_is_not_known(swept):
    timings = swept.results.timings.set_index("kind")["seconds_per_update"]
    assert timings["train"].isna().all()
    assert timings["unlearn"].notna().any()


def test_its_deletion_is_priced_where_it_is_known_how_large_batches_were(swept, study):
    (ours,), (theirs,) = (settings_of(made, None, 0.05) for made in (swept, study))
    for policy, own in theirs.policies.items():
        np.testing.assert_array_equal(ours.policies[policy].training["passes"], own.training["passes"])
        np.testing.assert_array_equal(ours.policies[policy].requests["passes"], own.requests["passes"])
        assert np.isnan(ours.policies[policy].training["seconds"]).all()
    unsaid = StudyFolder.open(swept.path)
    plan = unsaid.plan
    plan.arms["base"] = replace(
        plan.arms["base"], training=plan.arms["base"].training.model_copy(update={"batch_size": None})
    )
    with pytest.raises(
        RecipeError, match=r"--batch-size: how many examples an update of the training of .* read is not known"
    ):
        settings_of(unsaid, None, 0.05)
    (given,) = settings_of(unsaid, None, 0.05, batch_size=60)
    anew = Policy("base", "grokked", RETRAINED)
    assert given.policies[anew].training["passes"].tolist() == ours.policies[anew].training["passes"].tolist()


def test_its_report_is_written_again_where_models_and_checkpoints_are_gone(swept, monkeypatch):
    monkeypatch.setattr("ungrok.models.given._makers", {})
    monkeypatch.setattr("ungrok.train.given._known", {})
    again = reopened(swept.path)
    assert [each.to_dict() for each in again.verdicts] == [each.to_dict() for each in swept.verdicts]


def test_the_same_call_runs_nothing_again(runs, swept):
    said = []
    run_sweep(by_seed(runs), swept.path, said.append)
    assert f"0 jobs ran, {len(swept.plan.jobs)} were finished already" in said


class Doubled(nn.Sequential):
    """A model of equal layers that computes something else."""

    def _get_name(self):
        return "Sequential"

    def forward(self, x):
        return 2 * super().forward(x)


def test_another_forward_pass_with_the_same_weights_is_another_sweep(tmp_path):
    files = {step: {"0.weight": untrained(step).weight.detach(), "0.bias": torch.zeros(2)} for step in (10, 20)}
    losses = []
    for model, ran in ((nn.Sequential, True), (nn.Sequential, False), (Doubled, True)):
        said = []
        asked = small(checkpoints=files, model=model(nn.Linear(4, 2)), validation=(X[40:], Y[40:]))
        made = run_sweep(asked, tmp_path / "mine", said.append)
        assert (f"0 jobs ran, {len(made.plan.jobs)} were finished already" not in said) == ran
        losses += made.results.curves["test_loss"].tolist()[1:]
    logits = X[40:] @ files[20]["0.weight"].T
    once, twice = (nn.functional.cross_entropy(factor * logits, Y[40:]).item() for factor in (1, 2))
    assert losses == pytest.approx([once, once, twice])


X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def untrained(seed):
    torch.manual_seed(seed)
    return nn.Linear(4, 2)


def small(**changes):
    """Return a sweep over three models without an oracle."""
    given = {
        "checkpoints": {step: untrained(step) for step in (0, 10, 20, 30)},
        "forget": (X[:20], Y[:20]),
        "retain": (X[20:40], Y[20:40]),
        "test": (X[40:], Y[40:]),
        "methods": [{"kind": "gradient_ascent", "lr": 0.1, "updates": 3}],
    }
    return Sweep(**given | changes)


def test_one_run_without_a_retraining_has_effects_and_no_words(tmp_path):
    made = run_sweep(small(), tmp_path / "mine")
    assert made.recipe.stages == ["step-10", "step-30"]
    assert made.results.oracles.empty
    assert len(made.results.rows) == 8
    assert not {"damage", "oracle_gap"} & {each.claim for each in made.verdicts if each.headline}
    assert {each.to_dict()["verdict"] for each in made.verdicts} == {"exploratory"}
    first = (made.path / "report" / "answers.json").read_text()
    assert (
        "No retraining was given: how near unlearning comes to it, and what is lost beyond it, is not known." in first
    )


def test_an_oracle_that_lacks_a_step_is_absent_there(tmp_path):
    made = run_sweep(small(oracle={30: untrained(7)}, stages=[10, 20, 30]), tmp_path / "mine")
    assert [f"{left.label} {right.label}" for left, right in made.recipe.claims.compare] == ["10 30", "10 20"]
    oracles = made.results.oracles.set_index("stage")["UA"]
    assert oracles.isna().to_dict() == {"step-10": True, "step-20": True, "step-30": False}


def refuse(seed):
    raise AssertionError("the retraining was started before all else was tried")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stages": [11]}, "stages: 11 is no checkpoint; allowed: 0, 10, 20, 30, or the name of a stage"),
        ({"methods": ["retrain"]}, "methods: 'retrain' needs a fresh model"),
        ({"methods": ["retrain"], "model": lambda: untrained(0)}, "'retrain' trains as the model was trained"),
        ({"methods": ["rewind_to_delete"]}, "'rewind_to_delete' trains as the model was trained"),
        ({"methods": ["scrubb"]}, "'scrubb' is not known"),
        ({"methods": ["npo"]}, "'npo' runs on language models only"),
        ({"settings": {"arms": {"x": {}}}}, "arms: .* needs trainings that a sweep does not make"),
        ({"settings": {"colour": 1}}, "colour"),
        ({"checkpoints": {1: untrained(0).state_dict()}}, "model: is missing, and the checkpoints hold weights alone"),
        ({"model": nn.Linear(4, 3)}, "checkpoints: step 0 does not hold the model"),
        ({"retain": (X[20:40], Y[20:40] + 5)}, "retain: holds the target 5; allowed: 0 to 1"),
        ({"checkpoints": lambda seed: 1 // 0}, "checkpoints: fails for seed 0"),
    ],
)
def test_what_cannot_be_swept_is_told_before_the_retraining(changes, words, tmp_path):
    with pytest.raises(RecipeError, match=words):
        run_sweep(small(oracle=refuse, **changes), tmp_path / "mine")


def test_nothing_to_compare_is_told(tmp_path):
    with pytest.raises(RecipeError, match="nothing transitions, and there are no two steps after 0"):
        run_sweep(small(checkpoints={0: untrained(0), 5: untrained(1)}), tmp_path / "mine")


def test_files_of_several_seeds(tmp_path):
    for seed in (3, 4):
        (tmp_path / f"run{seed}").mkdir()
        for step in (10, 20):
            torch.save({"model": untrained(seed * step).state_dict()}, tmp_path / f"run{seed}" / f"step_{step}.pt")
    asked = small(checkpoints=lambda seed: tmp_path / f"run{seed}", seeds=[3, 4], model=untrained(0))
    made = run_sweep(asked, tmp_path / "out")
    assert made.recipe.seeds == [3, 4]
    assert made.results.curves.groupby("seed")["step"].apply(list).to_dict() == {3: [10, 20], 4: [10, 20]}
    norms = made.results.curves.set_index(["seed", "step"])["weight_norm"]
    weights = torch.cat([each.flatten() for each in untrained(60).parameters()])
    assert norms[3, 20] == pytest.approx(weights.double().norm().item())


def test_one_training_does_not_count_as_several_or_as_its_own_oracle(tmp_path):
    models = {step: untrained(step) for step in (10, 20)}
    for asked in (small(checkpoints=models, seeds=[0, 1]), small(checkpoints=models, oracle=dict(models))):
        with pytest.raises(RecipeError, match="the same models were given twice"):
            run_sweep(asked, tmp_path / "out")


TEXT = [
    "base=null", "analyze=[]", "probe={retain: 5, new_tokens: 4}", "noise_seeds=0", "stages=[step-8, final]",
    "forget=[{kind: last, fraction: 0.5}]",
    "unlearn=[{kind: gradient_difference, lr: 1.0e-2, updates: 3}, {kind: preference_optimization, lr: 1.0e-2, updates: 2}]",
    "claims={compare: [[step-8, final]], targets: [0.01, oracle]}",
]  # fmt: skip


@pytest.fixture(scope="module")
def language_study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "text"
    return run_study(load(str(TINY.with_name("tiny-text.yaml")), TEXT), out, workers=0)


def saved(folder, by_step, tokenizer):
    """Save models as a Trainer does."""
    for step, model in by_step.items():
        model.save_pretrained(folder / f"checkpoint-{step}")
        tokenizer.save_pretrained(folder / f"checkpoint-{step}")
    return folder


@pytest.fixture(scope="module")
def language_sweep(language_study, tmp_path_factory):
    folder, plan = tmp_path_factory.mktemp("trainer"), language_study.plan
    data = language_study.store.open(plan.trajectories["base", 0], Trained).spec.data()
    asked = torch.arange(20, 40)
    train = replace(data.train, others=data.others)
    sets = {
        "forget": train.of(asked),
        "retain": train.of(torch.arange(20)),
        "validation": data.validation,
        "test": data.test,
    }
    keys = {
        name: {seed: key for (_, seed, *_), key in found.items()}
        for name, found in (("checkpoints", plan.trajectories), ("oracle", plan.oracles))
    }
    keys["oracle"] = {seed: plan.jobs[key].inputs["trajectory"] for seed, key in keys["oracle"].items()}
    runs = {
        name: {
            seed: saved(folder / f"{name}{seed}", models(language_study, key), data.tokenizer)
            for seed, key in of.items()
        }
        for name, of in keys.items()
    }
    settings = {
        "trajectory": {"batch_size": 10},
        "batches": {"forget": 4, "retain": 4, "validation": 8},
        "forget": [{"kind": "given", "name": "last-0.5"}],
        "claims": {"targets": [0.01, "oracle"]},
        "probe": {"retain": 5, "new_tokens": 4},
    }
    given = Sweep(
        **{name: lambda seed, of=of: of[seed] for name, of in runs.items()},
        **{name: [part.batch(index) for index in torch.arange(len(part)).split(7)] for name, part in sets.items()},
        methods=language_study.recipe.unlearn,
        stages=["step-8", "final"],
        seeds=[0, 1],
        settings=settings,
    )
    return run_sweep(given, folder / "out" / "mine")


def test_a_sweep_over_the_checkpoints_of_a_language_model_has_the_tables_of_its_study(language_study, language_sweep):
    assert language_sweep.recipe.problem.family == "language"
    for name in ("rows", "oracles", "transitions", "curves"):
        ours, theirs = (getattr(made.results, name) for made in (language_sweep, language_study))
        assert len(theirs)
        pd.testing.assert_frame_equal(ours, theirs)
    assert {"UA", "oracle_UA", "ES_forget", "probability_retain"} <= {*language_sweep.results.rows}


def test_its_models_are_asked_what_those_of_the_study_are_asked(language_study, language_sweep):
    ours, theirs = (made.results.audits for made in (language_sweep, language_study))
    same = [
        "seed",
        "stage",
        "method",
        "ROUGE_forget",
        "ROUGE_retain",
        "fluency_forget",
        "oracle_ROUGE_forget",
        "ES_forget",
    ]
    assert len(theirs) == 8
    pd.testing.assert_frame_equal(ours[same], theirs[same])
    held_out = {"min_k_auc", "zlib_auc", "reference_auc", "privleak"}
    assert held_out <= {*ours}
    assert not {"utility", "forget_quality", "truth_ratio_forget"} & {*ours}


def test_and_its_verdicts(language_study, language_sweep):
    assert len(language_study.verdicts) > 5
    assert [each.to_dict() for each in language_sweep.verdicts] == [each.to_dict() for each in language_study.verdicts]


def test_its_report_asks_what_a_sweep_asks(swept, language_sweep):
    for made, what in ((swept, "a classifier"), (language_sweep, "a language model")):
        view = View(made.plan, made.results, made.verdicts, made.doses)
        asked = family_of(made.recipe).question(view)
        steps = made.recipe.trajectory.steps
        assert f"Here checkpoints of {what} were given, of up to {steps:,} steps, with 2 seeds. From models" in asked
        assert "all else is the same, and stages are compared seed by seed. UA" in asked
        assert family_of(made.recipe).later == "later stage"


def test_its_report_is_written_again_from_the_kept_tokens_and_tokenizer(language_sweep, monkeypatch):
    monkeypatch.setattr("ungrok.models.given._makers", {})
    monkeypatch.setattr("ungrok.train.given._known", {})
    again = reopened(language_sweep.path)
    assert [each.to_dict() for each in again.verdicts] == [each.to_dict() for each in language_sweep.verdicts]


class Language(nn.Module):
    """A language model of one's own: logits that hang on the token before."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(5, 5)

    def forward(self, input_ids, attention_mask):
        return self.rows(input_ids)


@pytest.mark.parametrize(
    ("tokenizer", "words"),
    [
        (None, "tokenizer: is missing, and none lies beside the checkpoints; a language model needs its own"),
        ("gpt2", "tokenizer: is a str; allowed: a tokenizer of transformers"),
    ],
)
def test_a_language_model_needs_its_tokenizer(tmp_path, tokenizer, words):
    tokens = torch.ones(2, 3, dtype=torch.int64)
    batches = [{"input_ids": tokens, "attention_mask": tokens, "labels": tokens}]
    sets = dict.fromkeys(("forget", "retain", "test"), batches)
    asked = small(checkpoints={1: Language(), 2: Language()}, tokenizer=tokenizer, **sets)
    with pytest.raises(RecipeError, match=words):
        run_sweep(asked, tmp_path / "mine")
