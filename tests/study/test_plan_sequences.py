"""Plans of requests in sequence: what stays as it is, what is added, and what each phase starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from ungrok.study.jobs import ChooseSplit, Evaluate, Oracle, Placed, RequestSequence, Train, Unlearn
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.plan_sequences import ORACLE, RETRAINED, SECOND_ORACLE, UNLEARNED
from ungrok.study.seeding import Seeds

TEXT = Path(__file__).with_name("tiny-text.yaml")


@pytest.fixture
def planned(tiny):
    return lambda *overrides: make_plan(tiny(*overrides))


def chain(plan, method="scrub", **where):
    """Return the sequence of a method, and by phase its path, its rows and the job that keeps where it starts."""
    wanted = {"seed": 0, "stage": "grokked", "subject": UNLEARNED, "method": method} | where
    (one,) = (s for s in plan.sequences if all(getattr(s, name) == value for name, value in wanted.items()))
    inputs = plan.job(one.rows, RequestSequence).inputs
    count = sum(role.startswith("path_") for role in inputs)
    paths = [plan.job(inputs[f"path_{n}"], Unlearn) for n in range(1, count + 1)]
    rows = [plan.job(inputs[f"rows_{n}"], Evaluate) for n in range(1, count + 1)]
    return paths, rows, [plan.jobs[path.inputs["stage"]] for path in paths]


def test_one_request_is_the_study_of_today(planned, tiny):
    today, one = planned(), planned("requests=1")
    assert list(one.jobs) == list(today.jobs)
    assert one.sequences == []
    assert tiny("requests=1").hash == tiny().hash != tiny("requests=2").hash


@pytest.mark.parametrize("overrides", [(), ("unlearn.1.lr={auto: 0.05}",), ("forget_draws=2", "unlearn_seeds=2")])
def test_further_requests_change_no_job_of_those_before(planned, overrides):
    one, two, three = (planned(f"requests={count}", *overrides) for count in (1, 2, 3))
    assert set(one.jobs) < set(two.jobs)
    assert set(two.jobs) - set(three.jobs) == {one.rows for one in two.sequences}
    assert one.paths == two.paths == three.paths
    assert one.replicates == three.replicates


def test_there_is_a_sequence_of_every_method_and_oracle_from_every_stage_and_of_the_second_oracle_where_there_is_one(
    planned,
):
    plan = planned("requests=2", "noise_seeds=1", "arms.wide={model: {width: 48}, stages: [final]}")
    places = {(s.seed, s.arm, s.stage) for s in plan.sequences}
    assert places == {
        (seed, *place) for seed in (0, 1) for place in (("base", "pre_grok"), ("base", "grokked"), ("wide", "final"))
    }
    assert {s.method for s in plan.sequences if s.subject == UNLEARNED} == {"gradient_ascent", "scrub", "fisher"}
    by_subject = {
        subject: [s for s in plan.sequences if s.subject == subject] for subject in (UNLEARNED, ORACLE, SECOND_ORACLE)
    }
    assert [len(by_subject[name]) for name in by_subject] == [2 * 3 * 3, 2 * 3, 3]
    assert {s.seed for s in by_subject[SECOND_ORACLE]} == {0}
    assert {s.method for s in [*by_subject[ORACLE], *by_subject[SECOND_ORACLE]]} == {RETRAINED}


def test_a_phase_starts_where_the_one_before_ends(planned):
    plan = planned("requests=3")
    paths, rows, starts = chain(plan)
    assert starts[0].key == plan.stages["base", 0, "grokked"]
    for number in (1, 2):
        kept, before = starts[number], paths[number - 1]
        assert isinstance(kept, Placed)
        assert (kept.spec.where, kept.spec.or_end) == (0.1, True)
        assert kept.inputs == before.inputs | {"rows": rows[number - 1].key}
        assert kept.spec.forget == before.spec.forget
        assert (paths[number].spec.until, rows[number].spec.targets) == (0.1, [0.1])
    assert paths[0].key in {path.path for path in plan.paths}
    assert [path.spec.seed for path in paths] == [Seeds(0).unlearning_in(n) for n in (1, 2, 3)]


def test_every_request_is_told_what_was_forgotten_before_and_so_is_its_oracle(planned):
    plan = planned("requests=3")
    paths, rows, _ = chain(plan)
    seeds = Seeds(0).requests_of(3)
    for number, (path, row) in enumerate(zip(paths, rows, strict=True)):
        assert (path.spec.forget.seed, path.spec.forget.before) == (seeds[number], seeds[:number])
        oracle = plan.job(row.inputs["oracle"], Oracle)
        assert oracle.spec.forget == path.spec.forget
        assert oracle.inputs["stage"] == plan.stages["base", 0, "grokked"]
        assert plan.job(oracle.inputs["trajectory"], Train).spec.without == path.spec.forget


def test_methods_that_stop_by_themselves_or_start_anew_end_with_their_paths(planned):
    methods = "unlearn=[{kind: retrain, epochs: 1}, {kind: nabla_tau, epochs: 1}, {kind: scrub, updates: 5}]"
    plan = planned(
        "requests=2",
        methods,
        "claims.targets=[oracle, 0.3]",
        "claims.headline={target: oracle}",
        "stages=[grokked]",
        "claims.compare=[]",
    )
    for method, where in (("retrain", "end"), ("nabla_tau", "end"), ("scrub", "oracle")):
        paths, rows, starts = chain(plan, method)
        assert (starts[1].spec.where, starts[1].spec.or_end) == (where, where != "end")
        assert paths[1].spec.until is None
        assert rows[1].spec.targets == ([] if where == "end" else ["oracle"])


def test_a_rate_search_has_sequences_at_the_recipes_own_rate(planned):
    plan = planned("requests=2", "unlearn.1.lr={auto: 0.05}")
    assert {s.method for s in plan.sequences if s.subject == UNLEARNED} == {"gradient_ascent", "scrub", "fisher"}
    paths, _, _ = chain(plan)
    assert [path.spec.unlearn.lr for path in paths] == [0.05, 0.05]


def test_groups_of_local_grokking_are_chosen_by_a_job_for_each_request():
    only = "forget=[{kind: local_grokking, size: 4, using: {by: quantile, candidate: 1}}]"
    plan = make_plan(
        load(
            str(TEXT),
            (only, "claims.compare=[]", "requests=2", "seeds=[0]", "unlearn=[{kind: gradient_difference, updates: 3}]"),
        )
    )
    (one,) = (s for s in plan.sequences if s.subject == UNLEARNED)
    inputs = plan.job(one.rows, RequestSequence).inputs
    paths = [plan.job(inputs[f"path_{n}"], Unlearn) for n in (1, 2)]
    splits = [plan.job(path.inputs["split"], ChooseSplit).spec.forget for path in paths]
    assert [split.before for split in splits] == [(), Seeds(0).requests_of(1)]
    assert inputs["split"] == paths[1].inputs["split"] != paths[0].inputs["split"]
    assert plan.splits == {("base", 0, "grokked-4"): paths[0].inputs["split"]}
    assert paths[1].inputs["trajectory"] == plan.trajectories["base", 0]
    assert paths[1].spec.probe is None
    assert plan.job(plan.jobs[inputs["rows_2"]].inputs["oracle"], Oracle).spec.probe is None
