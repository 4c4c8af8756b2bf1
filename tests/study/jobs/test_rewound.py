"""Going back along a finished training: all the way it is the oracle, and with nothing left out it is the original, bit for bit."""

import pytest
import torch

from ungrok.data.forget import ForgetSplit
from ungrok.evaluate.cost import Metered
from ungrok.study.executing import execute
from ungrok.study.jobs import Oracle, Snapshot, Train, Unlearn
from ungrok.study.jobs.checkpoint import weights_of
from ungrok.study.jobs.rewound import Rewound
from ungrok.study.jobs.snapshot import SnapshotSpec
from ungrok.study.jobs.trained import forget_split, weights_at
from ungrok.study.plan import make_plan

REWOUND = [
    "unlearn=[{kind: rewind_to_delete, share: 1.0}]", "arms={}", "controls={}", "stages=[pre_grok, grokked]",
    "claims.compare=[[pre_grok, grokked]]",
]  # fmt: skip


def content(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(params=["pre_grok", "grokked"])
def stage(request):
    return request.param


@pytest.fixture
def going_back(study, opened, stage):
    """Return a function that goes back from a stage with a split left out, and the stage's finished job."""
    plan, store, _ = study
    source, end = store.open(plan.trajectories["base", 0], Train), opened("base", stage)
    return lambda split, retain=None: Rewound(source, end.result.step, split, retain), end, source


def test_all_the_way_back_is_the_oracle_bit_for_bit(study, stage, going_back):
    plan, store, _ = study
    rewound, end, source = going_back
    oracle = store.open(plan.oracles["base", 0, "class", stage], Oracle)
    split = forget_split(source.spec.data(), oracle.spec.forget)
    places = [content(model) for model in rewound(split)(end.result.step)]
    assert len(places) == end.result.step + 1
    assert equal(places[0], weights_at(source, 0))
    assert equal(places[-1], weights_of(oracle))
    assert not equal(places[-1], weights_of(end))


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_with_nothing_left_out_it_comes_back_to_the_original_bit_for_bit(going_back, share):
    rewound, end, source = going_back
    nothing = ForgetSplit(torch.tensor([], dtype=torch.int64), torch.arange(len(source.spec.data().train)), ())
    back = max(1, round(share * end.result.step))
    *_, last = rewound(nothing)(back)
    assert equal(content(last), weights_of(end))


def test_the_first_place_is_that_of_the_training_and_the_callers_random_state_stays(going_back):
    rewound, end, source = going_back
    kept = max(step for step in source.spec.trajectory.restarts() if step < end.result.step)
    split = ForgetSplit(torch.arange(30), torch.arange(30, 120), (0,))
    before = torch.get_rng_state()
    places = rewound(split)(end.result.step - kept)
    assert equal(content(next(places)), weights_at(source, kept))
    assert not equal(content(next(places)), weights_at(source, kept))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_the_updates_read_is_counted(going_back):
    """90 examples in batches of 60: an epoch is two updates, 60 and 30 examples, in the order of the oracle's steps."""
    rewound, end, _ = going_back
    split = ForgetSplit(torch.arange(30), torch.arange(30, 120), (0,))
    retain, read = Metered([], 90), []
    for _ in rewound(split, retain)(5):
        read.append(retain.read)
    first = (end.result.step - 5) % 2
    sizes = [60, 30, 60, 30, 60, 30][first:][:5]
    assert read == [sum(sizes[:count]) for count in range(6)]


def test_the_path_of_a_study_ends_at_the_oracle_bit_for_bit(study, controlled, stage, going_back):
    """It walks the trajectory of the plan, and what it reads of the retain set is counted."""
    plan, store, _ = study
    _, end, source = going_back
    own = make_plan(controlled(*REWOUND))
    path = next(path for path in own.paths if path.stage == stage)
    job = own.job(path.path, Unlearn)
    assert job.inputs == {"stage": plan.stages["base", 0, stage], "trajectory": plan.trajectories["base", 0]}
    parts = {name: getattr(job.spec, name) for name in ("unlearn", "forget", "seed", "batches", "objective")}
    snapshot = Snapshot(SnapshotSpec(**parts, dose=1.0, strength=1.0), job.inputs)
    store.prepare()
    for each in (job, snapshot):
        execute(store, each)
    oracle, walked = store.open(plan.oracles["base", 0, "class", stage], Oracle), store.open(job.key, Unlearn).result
    assert equal(weights_of(store.open(snapshot.key, Snapshot)), weights_of(oracle))
    assert (walked.status, walked.one_shot) == ("completed", False)
    assert walked.doses == walked.updates
    assert walked.budget == walked.updates[-1] == end.result.step
    kept = len(forget_split(source.spec.data(), job.spec.forget).retain)
    epochs, more = divmod(end.result.step, -(-kept // 60))
    assert walked.passes["retain"][-1] * kept == pytest.approx(epochs * kept + 60 * more)
    assert set(walked.passes["forget"]) == {0}


def test_other_methods_do_not_take_the_trajectory(study, controlled):
    """Theirs are the jobs of a plan without it."""
    plan, _, _ = study
    own = make_plan(
        controlled("unlearn=[{kind: gradient_ascent, lr: 0.05, updates: 40}, {kind: rewind_to_delete}]", *REWOUND[1:])
    )
    roles = {path.method: set(own.job(path.path, Unlearn).inputs) for path in own.paths}
    assert roles == {"gradient_ascent": {"stage"}, "rewind_to_delete": {"stage", "trajectory"}}
    assert {p.path for p in own.paths if p.method == "gradient_ascent"} <= set(plan.jobs)
