from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ungrok.core.errors import RecipeError
from ungrok.core.plain import parse_yaml
from ungrok.study.loading import load, shipped, to_yaml, validate
from ungrok.study.recipe import merge


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_recipes_survive_a_round_trip_and_say_what_they_show(name):
    recipe = load(name)
    assert validate(parse_yaml(to_yaml(recipe), "here")) == recipe
    assert recipe.name == name
    header = [line for line in shipped()[name].read_text().splitlines() if line.startswith("#")]
    assert len(header) >= 3


@pytest.mark.parametrize("name", [name for name in sorted(shipped()) if name.startswith("paper/")])
def test_a_recipe_of_the_paper_says_what_it_costs_and_where_it_deviates(name):
    lines = shipped()[name].read_text().splitlines()
    header = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    for part in ("2512.03437", "Reproduces: ", "Paper: ", "Cost: one H200", "2 CPU cores", "(estimate", "Deviations: "):
        assert part in header, part
    assert load(name).device == "auto"


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("trajectory.stpes=3", ["trajectory", "'stpes'", "3", "steps", "did you mean 'steps'"]),
        ("model.kind=mpl", ["model.kind", "'mpl'", "function, given, llama, mlp", "did you mean 'mlp'"]),
        ("trajectory.loss=mes", ["trajectory.loss", "'mes'", "cross_entropy, mse", "did you mean 'mse'"]),
        ("trajectory.optimizer.lr=-1", ["trajectory.optimizer.lr", "-1", "greater than 0"]),
        ("arms.x.seeds=0", ["arms.x.seeds", "0", "greater than or equal to 1"]),
        ("seeds=[1, 1]", ["seeds", "[1]", "distinct"]),
        ("controls.x={kind: matched, stage: pregrok, equal: updates}", ["controls.x.stage", "did you mean 'pre_grok'"]),
        ("controls.x={kind: matched, stage: grokked, equal: norm}", ["controls.x.equal", "'norm'", "weight_norm"]),
        ("controls.x={kind: matched, stage: grokked, equal: updates, arm: b}", ["controls.x.arm", "'b'", "base"]),
        ("controls.final={kind: rescaled, stage: grokked}", ["controls", "'final'", "already"]),
        ("arms.x.stages=[finl]", ["arms.x.stages", "'finl'", "did you mean 'final'"]),
        ("stages=[pregrok]", ["stages", "'pregrok'", "did you mean 'pre_grok'"]),
        ("claims.compare=[[pre_grok, final]]", ["claims.compare stage", "'final'", "pre_grok, grokked"]),
        ("claims.compare=[[pre_grok, {stage: grokked, arm: sam}]]", ["claims.compare arm", "'sam'", "base"]),
        ("claims.targets=[2]", ["claims.targets", "2.0", "0 <= level < 1"]),
        ("unlearn.7.lr=1", ["unlearn.7", "0 to 2"]),
        ("unlearn.0.epochs=2", ["unlearn.0", "either epochs or updates"]),
        ("unlearn=[{kind: fisher}, {kind: fisher}]", ["unlearn", "two entries are called 'fisher'"]),
        ("forget=[{kind: random}]", ["forget.0", "either fraction or size"]),
        ("problem.train_size=abc", ["problem.train_size", "'abc'", "integer"]),
        ("arms.x.model.widht=3", ["arms.x.model", "'widht'", "did you mean 'width'"]),
        ("along={unlearn: ga, forget: class}", ["along.unlearn", "'ga'", "gradient_ascent"]),
        ("steps", ["'steps'", "key=value"]),
        ("model={kind", ["not valid YAML", "line 1"]),
        ("problem.kind=null", ["problem.kind", "None"]),
        ("claims.compare=[[pre_grok]]", ["claims.compare.0", "missing"]),
        ("claims.compare=[[pre_grok, grokked, final]]", ["claims.compare.0"]),
        ("claims.compare=[[pre_grok, grokked], [pre_grok, grokked]]", ["claims.compare", "more than once"]),
        ("claims.targets=[0.1, 0.10]", ["claims.targets", "more than once"]),
        ("arms={base: {}}", ["arms", "'base'"]),
        ("unlearn.0.lr=[1e-3, abc]", ["unlearn", "'abc'", "gradient_ascent"]),
        ("unlearn.0.lr=[]", ["unlearn", "[]"]),
        ("model=mlp", ["model", "'mlp'"]),
        ("trajectory.steps.x=1", ["trajectory.steps", "150"]),
        ("transition.signal=adversarial", ["transition.signal", "trajectory.robustness", "'base'"]),
        ("trajectory.robustness.attacks=[{kind: pgd_l3}]", ["attacks.0.kind", "pgd_l3", "did you mean 'pgd_l2'"]),
        ("trajectory.grokfast.kind=eam", ["trajectory.grokfast.kind", "did you mean 'ema'"]),
    ],
)
def test_an_error_is_one_line_with_key_value_and_what_is_allowed(tiny, override, parts):
    with pytest.raises(RecipeError) as error:
        tiny(override)
    message = str(error.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(RecipeError, match="did you mean 'digits'"):
        load("digist")


def test_changing_a_kind_resets_the_block(tiny):
    changed = tiny("model.kind=cnn").model
    assert changed.kind == "cnn"
    assert "width" not in changed.to_dict()
    assert tiny("trajectory.optimizer.kind=sgd").trajectory.optimizer.lr == 0.1
    assert tiny("trajectory.optimizer.kind=adamw").trajectory.optimizer.lr == 3e-3


def test_kind_then_key_of_the_new_kind(tiny):
    assert tiny("model.kind=cnn", "model.channels=[4]").model.channels == (4,)


def test_numbers_in_exponent_notation_are_numbers():
    assert parse_yaml("a: 1e-3\nb: 1.0E+2\nc: .5e1\nd: 1e\ne: 12", "here") == {
        "a": 1e-3,
        "b": 100.0,
        "c": 5.0,
        "d": "1e",
        "e": 12,
    }


def test_a_list_of_rates_becomes_one_method_each(tiny):
    recipe = tiny("unlearn.0.lr=[1e-3, 1e-2]")
    assert recipe.unlearn_labels()[:2] == ["gradient_ascent lr=0.001", "gradient_ascent lr=0.01"]
    assert [method.lr for method in recipe.unlearn[:2]] == [1e-3, 1e-2]


def test_an_arm_lays_its_changes_over_the_base(tiny):
    recipe = tiny("arms.slow.trajectory.optimizer.lr=1e-4", "arms.other.trajectory.optimizer.kind=sgd")
    assert recipe.for_arm("slow")[2].optimizer.lr == 1e-4
    assert recipe.for_arm("slow")[2].steps == recipe.trajectory.steps
    assert recipe.for_arm("other")[2].optimizer.kind == "sgd"
    assert recipe.for_arm("base")[2] == recipe.trajectory


def test_arms_trained_differently(tiny):
    recipe = tiny(
        "arms.sam.trajectory.sam.rho=0.1",
        "arms.fast.trajectory.grokfast={kind: ma, window: 10}",
        "arms.spline.trajectory.penalty={kind: spline}",
        "arms.stable.trajectory.loss=stablemax",
    )
    trainings = {arm: recipe.for_arm(arm)[2] for arm in recipe.arms}
    assert trainings["sam"].sam.rho == 0.1
    assert trainings["fast"].grokfast.window == 10
    assert trainings["spline"].penalty.kind == "spline"
    assert trainings["stable"].loss == "stablemax"
    assert recipe.trajectory == tiny().trajectory


def test_hash_follows_content_only(tiny):
    assert tiny().hash == tiny("trajectory.steps=150").hash != tiny("trajectory.steps=151").hash


def test_stages_given_as_numbers_are_steps(tiny):
    assert tiny("stages=[pre_grok, grokked, 100, step-100]").stages == ["pre_grok", "grokked", "step-100"]


scalars = st.none() | st.integers() | st.text(max_size=3)
blocks = st.dictionaries(st.sampled_from("abc"), scalars | st.dictionaries(st.sampled_from("xy"), scalars), max_size=3)


@given(blocks, blocks)
def test_merge_keeps_what_is_not_named_and_takes_what_is(old, new):
    merged = merge(old, new)
    assert merge(merged, new) == merged
    assert all(merged[key] == old[key] for key in old if key not in new)
    assert set(merged) == set(old) | set(new)
