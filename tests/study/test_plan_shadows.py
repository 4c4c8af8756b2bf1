"""The shadow models of a plan, their stages, and what unlearns from them."""

from collections import Counter

import pytest

from ungrok.audits.shadows import holds
from ungrok.study.jobs import Shadow, ShadowSplit, ShadowUnlearned, Train
from ungrok.study.plan import make_plan
from ungrok.study.plan_shadows import held_of
from ungrok.study.seeding import Seeds

FORGET = "forget=[{kind: random, size: 9}, {kind: class}]"


def test_every_shadow_is_trained_once_and_scored_at_every_stage(tiny):
    plan = make_plan(tiny("audit={shadows: 8, place: dose}", FORGET))
    assert len({own.training for own in plan.shadows}) == 8
    scored = [own for own in plan.shadows if own.method is None]
    assert Counter(own.stage for own in scored) == {"pre_grok": 8, "grokked": 8}
    for own in scored:
        job, training = plan.job(own.logits, Shadow), plan.job(own.training, Train)
        assert job.inputs == {"stage": own.model}
        assert plan.jobs[own.model].inputs == {"trajectory": own.training}
        assert training.spec.training_seed == Seeds(0).shadow_of(own.shadow)
        assert training.spec.problem.train_size == 240
        assert training.spec.held == held_of(plan.recipe, own.shadow)
        assert [block.seed for block in training.spec.held.forget] == [Seeds(0).forget] * 2


def test_shadows_that_hold_a_set_unlearn_it_by_every_method(tiny):
    plan = make_plan(tiny("audit={shadows: 8, place: dose, stages: [grokked], unlearn: [scrub, fisher]}", FORGET))
    after = [own for own in plan.shadows if own.method]
    assert Counter((own.forget, own.method) for own in after) == {
        (forget, method): 4 for forget in ("class", "random-9") for method in ("scrub", "fisher")
    }
    for own in after:
        spec = plan.job(own.logits, ShadowUnlearned).spec
        number = ["class", "random-9"].index(own.forget)
        assert holds(own.shadow, 2, Seeds(0).shadows)[number]
        assert spec.forget == held_of(plan.recipe, own.shadow).forget[number]
        assert spec.unlearn.kind == own.method
        assert (spec.dose, spec.strength) == (plan.recipe.claims.dose, plan.recipe.claims.strength)
        assert plan.jobs[own.logits].inputs == {"stage": own.model}


@pytest.mark.parametrize("kind", ["rewind_to_delete", "output_perturbation"])
def test_a_method_that_needs_an_earlier_model_reads_the_training(tiny, kind):
    plan = make_plan(tiny("audit={shadows: 8, place: dose, stages: [grokked]}", f"unlearn=[{{kind: {kind}}}]"))
    for own in [own for own in plan.shadows if own.method]:
        assert plan.jobs[own.logits].inputs == {"stage": own.model, "trajectory": own.training}


@pytest.mark.parametrize("place", ["oracle", "dose"])
def test_methods_that_are_judged_at_their_end_are_not_stopped_before_it(tiny, place):
    kinds = ("retrain", "output_perturbation", "noisy_finetune", "scrub")
    plan = make_plan(
        tiny(
            f"audit={{shadows: 8, place: {place}}}",
            "claims.dose=0.5",
            f"unlearn=[{', '.join(f'{{kind: {kind}}}' for kind in kinds)}]",
        )
    )
    walked = {kind: [own for own in plan.shadows if own.method == kind] for kind in kinds}
    assert {kind: len(every) for kind, every in walked.items()} == dict.fromkeys(kinds, 8)
    for kind, every in walked.items():
        for own in every:
            job = plan.job(own.logits, ShadowUnlearned)
            stopped = any(role.startswith("never-") for role in job.inputs)
            assert (stopped, job.spec.dose) == ((place == "oracle", 0.5) if kind == "scrub" else (False, 1.0))


def test_what_shadows_say_of_examples_is_read_at_the_last_stage_by_every_seed(tiny):
    ranked = "forget=[{kind: memorization, third: low, size: 9}, {kind: class}]"
    plan = make_plan(tiny("audit={shadows: 8, place: dose}", ranked))
    splits = [job for job in plan.jobs.values() if isinstance(job, ShadowSplit)]
    assert [job.spec.forget.seed for job in splits] == [Seeds(0).forget, Seeds(1).forget]
    logits = {str(own.shadow): own.logits for own in plan.shadows if (own.stage, own.method) == ("grokked", None)}
    for job in splits:
        assert job.inputs == logits
        assert (job.spec.problem.train_size, job.spec.pool.train_size) == (120, 240)
        assert job.spec.held == held_of(plan.recipe, 0)
    assert [block.rule.kind for block in splits[0].spec.held.forget] == ["class"]
    keys = list(plan.jobs)
    assert all(keys.index(key) < keys.index(job.key) for job in splits for key in job.inputs.values())
    walked = [plan.jobs[path.path] for path in plan.paths if path.forget == "memorization-low-9"]
    assert {job.inputs["split"] for job in walked} == {job.key for job in splits}


def test_a_study_keeps_its_jobs_and_more_shadows_or_methods_add_some(tiny):
    plain, audited, more = (
        make_plan(tiny(*given))
        for given in ([], ["audit={shadows: 8, place: dose, unlearn: [scrub]}"], ["audit={shadows: 16, place: dose}"])
    )
    assert set(plain.jobs) < set(audited.jobs) < set(more.jobs)
    assert not plain.shadows
