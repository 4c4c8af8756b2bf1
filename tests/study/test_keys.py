"""Job keys that users' stores hold: a change of any of them makes finished work be done again, so it must be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from ungrok.study.loading import load
from ungrok.study.plan import make_plan

HERE = Path(__file__).parent
MECHANISM = (
    "analyze=[{kind: gradient_alignment, draws: 5}]",
    "controls={same: {kind: matched, stage: grokked, equal: train_loss}, twice: {kind: rescaled, stage: grokked}}",
    "stages=[pre_grok, grokked, same, twice]",
)

PINNED = {
    ("tiny.yaml", "train"): "train-aa01f8f8ebae44ec8ca92e69",
    ("tiny.yaml", "stage"): "stage-6948e9d9a3e6d95bfcb99c8a",
    ("tiny.yaml", "matched"): "matched-19f9bc6e7d1afd28c2be44e0",
    ("tiny.yaml", "rescaled"): "rescaled-e2a9abbcb75e0377f0d94f58",
    ("tiny.yaml", "oracle"): "oracle-342884caf63c651d55eb955e",
    ("tiny.yaml", "unlearn"): "unlearn-30a4f68620d32ecdd8255664",
    ("tiny.yaml", "evaluate"): "evaluate-86a939cc114415f66511b5aa",
    ("tiny.yaml", "snapshot"): "snapshot-f1031803989da58ea82cace7",
    ("tiny.yaml", "analyze"): "analyze-88dacafb2d027f07ca5762c0",
    ("tiny-text.yaml", "train"): "train-cc9966c40e332ac585656171",
    ("tiny-text.yaml", "split"): "split-17904fae172debfd8987b89c",
    ("tiny-text.yaml", "oracle"): "oracle-d462a26e56ec3d651ecb19d3",
    ("tiny-text.yaml", "unlearn"): "unlearn-f28abc9a80d9a3aa416f7d44",
    ("tiny-text.yaml", "analyze"): "analyze-2842284d836ba7a6c608f0cc",
}


@pytest.mark.parametrize(("recipe", "kind"), PINNED)
def test_the_first_job_of_a_kind_keeps_its_key(recipe, kind):
    plan = make_plan(load(str(HERE / recipe), MECHANISM if recipe == "tiny.yaml" else ()))
    assert next(job.key for job in plan.jobs.values() if job.kind == kind) == PINNED[recipe, kind]


def test_the_speed_of_attacks_is_left_out_where_it_is_not_asked_for():
    asked = (
        "stress={attacks: [{kind: relearn, updates: 4}], places: [end]}",
        "lasting={updates: 5}",
        "speed={bfloat16: true}",
    )
    plain, fast = (make_plan(load(str(HERE / "tiny.yaml"), [*asked, *more])) for more in ([], ["speed.attacks=true"]))
    changed = {plain.jobs[key].kind for key in plain.jobs.keys() - fast.jobs.keys()}
    assert changed == {"stress", "lasting"}
    for job in plain.jobs.values():
        assert not {"repair_speed", "attacks"} & {*job.spec.spec(), *job.spec.spec().get("speed", {})}
        assert job.kind != "stress" or "speed" not in job.spec.spec()
