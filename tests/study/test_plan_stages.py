"""The jobs of stages; what they are called is pinned in test_keys.py."""

from ungrok.study.jobs import LeveledCheckpoint, Stage
from ungrok.study.plan import make_plan
from ungrok.study.plan_stages import add_reached, add_stage

CONTROLS = (
    "controls={half: {kind: level, of: train_accuracy, at: 0.5, sustained: true}, twice: {kind: rescaled, stage: grokked}, "
    "same: {kind: matched, stage: grokked, equal: train_loss}}"
)


def test_a_stage_is_found_along_the_training_that_is_named(tiny):
    plan = make_plan(tiny(CONTROLS, "stages=[pre_grok, grokked, half]"))
    training = plan.trajectories["base", 1]
    level = plan.jobs[add_reached(plan, training, "half", "half, mine")]
    assert isinstance(level, LeveledCheckpoint)
    assert (level.spec.of, level.spec.at, level.spec.times) == ("train_accuracy", 0.5, plan.recipe.transition.sustained)
    named = plan.jobs[add_reached(plan, training, "grokked", "grokked, mine")]
    assert isinstance(named, Stage)
    assert named.key == plan.stages["base", 1, "grokked"]
    assert level.inputs == named.inputs == {"trajectory": training}


def test_controls_are_made_of_stages(tiny):
    plan = make_plan(tiny(CONTROLS, "stages=[pre_grok, grokked, twice, same]"))
    grokked = plan.stages["base", 0, "grokked"]
    assert plan.jobs[add_stage(plan, "base", 0, "twice")].inputs == {"stage": grokked}
    trajectory = plan.trajectories["base", 0]
    assert plan.jobs[add_stage(plan, "base", 0, "same")].inputs == {
        "trajectory": trajectory, "to": grokked, "to_trajectory": trajectory,
    }  # fmt: skip
