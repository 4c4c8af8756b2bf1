"""Families of controls and arms: what one entry stands for, and what cannot be meant."""

from __future__ import annotations

import pytest

from ungrok.core.errors import RecipeError
from ungrok.study.grids import Series, series_of
from ungrok.study.loading import load, to_yaml, validate
from ungrok.study.plan import make_plan

LOUDER = "controls.louder={kind: rescaled, stage: grokked, factor: [0.5, 2, 4]}"
SAM = "arms.sam={trajectory: {loss: mse}, grid: {trajectory.sam.rho: [0.01, 0.1]}}"


def test_a_control_of_each_factor_by_name(tiny):
    recipe = tiny(
        LOUDER, "stages=[pre_grok, louder, grokked]", "claims.compare=[[louder, pre_grok], [pre_grok, louder x4]]"
    )
    assert {name: control.factor for name, control in recipe.controls.items()} == {
        "louder x0.5": 0.5,
        "louder x2": 2.0,
        "louder x4": 4.0,
    }
    assert recipe.stages == ["pre_grok", "louder x0.5", "louder x2", "louder x4", "grokked"]
    assert [(left.label, right.label) for left, right in recipe.claims.compare] == [
        ("louder x0.5", "pre_grok"),
        ("louder x2", "pre_grok"),
        ("louder x4", "pre_grok"),
        ("pre_grok", "louder x4"),
    ]


def test_an_arm_of_each_value_by_name(tiny):
    recipe = tiny(
        SAM,
        "arms.decayed={grid: {trajectory.optimizer.weight_decay: [1, 0.25]}, stages: [final]}",
        "claims.compare=[[grokked, {arm: sam, stage: grokked}]]",
    )
    assert list(recipe.arms) == ["sam rho=0.01", "sam rho=0.1", "decayed weight_decay=1", "decayed weight_decay=0.25"]
    training = recipe.for_arm("sam rho=0.1")[2]
    assert (training.sam.rho, training.loss) == (0.1, "mse")
    decayed = recipe.for_arm("decayed weight_decay=0.25")[2].optimizer
    assert (decayed.weight_decay, decayed.lr) == (0.25, recipe.trajectory.optimizer.lr)
    assert recipe.stages_of("decayed weight_decay=1") == ["final"]
    assert [right.arm for _, right in recipe.claims.compare] == ["sam rho=0.01", "sam rho=0.1"]


def test_a_family_makes_the_jobs_that_its_members_make_one_by_one(tiny):
    together = tiny(LOUDER, SAM, "stages=[grokked, louder]", "claims.compare=[]")
    alone = tiny(
        *(
            f"controls.x{n}={{kind: rescaled, stage: grokked, factor: {factor}}}"
            for n, factor in enumerate((0.5, 2, 4))
        ),
        *(f"arms.a{n}={{trajectory: {{loss: mse, sam: {{rho: {rho}}}}}}}" for n, rho in enumerate((0.01, 0.1))),
        "stages=[grokked, x0, x1, x2]",
        "claims.compare=[]",
    )
    assert make_plan(together).jobs.keys() == make_plan(alone).jobs.keys()


def test_what_is_written_out_is_read_back(tiny, tmp_path):
    recipe = tiny(LOUDER, SAM, "stages=[pre_grok, grokked, louder]")
    (tmp_path / "again.yaml").write_text(to_yaml(recipe))
    again = load(str(tmp_path / "again.yaml"))
    assert again == recipe
    assert again.hash == recipe.hash
    assert load(str(tmp_path / "again.yaml"), ["stages=[louder]", "claims.compare=[]"]).stages == list(recipe.controls)


def test_recipes_without_families_keep_their_hash(tiny):
    plain = tiny("controls.louder={kind: rescaled, stage: grokked, factor: 4}", "arms.wide={model: {width: 48}}")
    assert plain.hash == "8a2dc7b5"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["controls.a={kind: rescaled, stage: grokked, factor: [2]}"],
            r"controls.a.factor: \[2\] is not a list of two or more",
        ),
        (["controls.a={kind: rescaled, stage: grokked, factor: [2, 2.0]}"], "two or more different numbers"),
        (["controls.a={kind: rescaled, stage: grokked, factor: [2, 0]}"], "not all above 0"),
        (["controls.a={kind: rescaled, stage: grokked, factor: [2, big]}"], "two or more different numbers"),
        (
            ["controls.grokked={kind: rescaled, stage: final, factor: [2, 4]}"],
            "controls: 'grokked' is the name of something",
        ),
        (
            [LOUDER, "controls.louder x2={kind: rescaled, stage: grokked}"],
            "controls: two entries are called 'louder x2'",
        ),
        ([LOUDER, "controls.b={kind: rescaled, stage: louder}"], r"controls.b.stage: 'louder' is not known|'louder'"),
        (
            [LOUDER, SAM, "claims.compare=[[louder, {stage: grokked, arm: sam}]]"],
            "claims.compare: .* more than one family",
        ),
        (
            [
                LOUDER,
                "stages=[louder]",
                "claims.compare=[[louder, grokked]]",
                "claims.headline.compare=[louder, grokked]",
            ],
            "claims.headline.compare: .* names a whole family",
        ),
        (["arms.a={grid: {trajectory.sam.rho: 0.1}}"], r"arms.a.grid.trajectory.sam.rho: 0.1 is not a list"),
        (["arms.a={grid: {sam.rho: [1, 2]}}"], "arms.a.grid: 'sam.rho' is not a key of problem, model, trajectory"),
        (["arms.a={grid: {trajectory: [1, 2]}}"], "'trajectory' is not a key of problem, model, trajectory"),
        (["arms.a={grid: {trajectory.steps: [1, 2], model.width: [8, 16]}}"], "arms.a.grid: .* is not one key"),
        (
            ["arms.a={model: {width: 8}, grid: {model.width: [8, 16]}}"],
            "arms.a.grid.model.width: the arm gives 8 there",
        ),
        (["arms.a={trajectory: {sam: 3}, grid: {trajectory.sam.rho: [1, 2]}}"], "sam is 3 in this arm"),
        (["arms.a={grid: {trajectory.optimizer.rho: [1, 2]}}"], "arms.a rho=1.*no such key 'rho'"),
        (["arms.a={family: b}"], "arms.a: grid and family belong together"),
        (["arms.base={grid: {model.width: [8, 16]}}", "arms.x={model: {width: 8}}"], "arms: 'base'"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(tiny, overrides, message):
    with pytest.raises(RecipeError, match=message):
        tiny(*overrides)


def test_series_share_all_but_one_number(tiny):
    recipe = tiny(LOUDER, SAM, "stages=[pre_grok, grokked, louder]", "arms.sam.stages=[grokked, final]")
    assert series_of(recipe) == [
        Series(
            "louder",
            "factor",
            "base",
            (
                ("base", "louder x0.5", 0.5),
                ("base", "grokked", 1.0),
                ("base", "louder x2", 2.0),
                ("base", "louder x4", 4.0),
            ),
            same_function=True,
        ),
        *(
            Series(
                "sam",
                "trajectory.sam.rho",
                stage,
                (("sam rho=0.01", stage, 0.01), ("sam rho=0.1", stage, 0.1)),
                same_function=False,
            )
            for stage in ("grokked", "final")
        ),
    ]
    assert series_of(tiny()) == []


def test_plain_content_is_left_alone():
    assert validate(
        {
            "name": "a",
            "seeds": [0],
            "problem": {"kind": "digits"},
            "model": {"kind": "mlp"},
            "forget": [{"kind": "class"}],
            "unlearn": [{"kind": "scrub"}],
        }
    ).stages == ["pre_grok", "grokked"]


def test_the_headline_may_hold_the_comparisons_of_a_whole_family(tiny):
    recipe = tiny(
        LOUDER, "stages=[pre_grok, louder, grokked]", "claims.compare=[[pre_grok, grokked], [louder, grokked]]",
        "claims.headline={also: [[louder, grokked]]}",
    )  # fmt: skip
    assert [left.stage for left, _ in recipe.claims.headline.also] == [
        left.stage for left, _ in recipe.claims.compare[1:]
    ]
    assert len(recipe.claims.headline.also) > 1
