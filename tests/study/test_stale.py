"""Jobs that earlier code made are recognized by the keys that they had under it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ungrok.study.loading import load
from ungrok.study.manifest import MANIFEST
from ungrok.study.plan import make_plan
from ungrok.study.stale import Stale, _Earlier, stale_jobs, stale_warnings
from ungrok.study.store import Store

HERE = Path(__file__).parent
MECHANISM = (
    "analyze=[{kind: gradient_alignment, draws: 5}]",
    "controls={same: {kind: matched, stage: grokked, equal: train_loss}, twice: {kind: rescaled, stage: grokked}}",
    "stages=[pre_grok, grokked, same, twice]",
)

OLD = {
    ("tiny.yaml", "oracle"): ("oracle-ace4bdbf4dcf7e38d23b53f8", ("oracle", 1)),
    ("tiny.yaml", "unlearn"): ("unlearn-39b0cf72a89ce94d66fb89a4", ("unlearn", 3)),
    ("tiny.yaml", "evaluate"): ("evaluate-f6daa79264cd0ea0bc71f64d", ("evaluate", 2)),
    ("tiny.yaml", "snapshot"): ("unlearned-c9ec82daf475abbd67c821ef", ("unlearned", 1)),
    ("tiny-text.yaml", "oracle"): ("oracle-9c74d9996da7d6e325b2f205", ("oracle", 1)),
    ("tiny-text.yaml", "unlearn"): ("unlearn-8c44a9ef5d930c6bb4f98116", ("unlearn", 3)),
}
"""Keys that stores hold from before oracles recorded their accuracies and paths the kind of their scores."""

COUNTED = {
    "oracle": ("oracle-50e63a27866da1d1b6d68a8b", ("oracle", 2)),
    "unlearn": ("unlearn-4f7cfb261f9b7fb7ad9a0061", ("unlearn", 4)),
}
"""Those of language models from before scores said how many tokens an answer has."""

DISPLACED = {
    "tiny.yaml": ("unlearn-79c7eeb20dc14897527f1dc2", ("unlearn", 5)),
    "tiny-text.yaml": ("unlearn-c5dce1b59b7a6fef59b7882c", ("unlearn", 5)),
}
"""Those of paths whose displacement was read from passes of its own."""


def first(recipe, kind):
    plan = make_plan(load(str(HERE / recipe), MECHANISM if recipe == "tiny.yaml" else ()))
    return plan, next(job for job in plan.jobs.values() if job.kind == kind)


@pytest.mark.parametrize(("recipe", "kind"), OLD)
def test_keys_under_earlier_code_are_known(recipe, kind):
    plan, job = first(recipe, kind)
    key, what = OLD[recipe, kind]
    assert _Earlier(plan).of(job.key)[key] == what


@pytest.mark.parametrize("kind", COUNTED)
def test_keys_from_before_answer_tokens_were_counted_are_known(kind):
    plan, job = first("tiny-text.yaml", kind)
    key, what = COUNTED[kind]
    assert _Earlier(plan).of(job.key)[key] == what


@pytest.mark.parametrize("recipe", DISPLACED)
def test_keys_from_before_displacement_was_read_from_the_scores_are_known(recipe):
    plan, job = first(recipe, "unlearn")
    key, what = DISPLACED[recipe]
    assert _Earlier(plan).of(job.key)[key] == what


def test_jobs_of_a_kind_were_all_made_by_one_form_of_the_code():
    plan = make_plan(load(str(HERE / "tiny.yaml"), ["requests=6", "seeds=[0]"]))
    earlier = _Earlier(plan)
    last = next(job for job in plan.jobs.values() if job.kind == "sequence" and "path_6" in job.inputs)
    forms = len(earlier.of(plan.paths[0].path)) + 1  # of the code of paths
    assert forms == 6
    # The code of evaluations, oracles and trainings without a class has changed as well, the last two once.
    assert len(earlier.of(last.key)) == forms * 3 * 2 * 2 - 1
    assert set(earlier.of(last.key).values()) == {("sequence", None)}


def lay(store, key):
    store.folder(key).mkdir(parents=True)
    (store.folder(key) / MANIFEST).write_text("{}")


def test_a_store_of_earlier_code_is_told_by_kind_and_version(tmp_path):
    plan, _ = first("tiny.yaml", "oracle")
    store = Store(tmp_path)
    assert stale_warnings(plan, store) == []
    for (recipe, _), (key, _) in OLD.items():
        if recipe == "tiny.yaml":
            lay(store, key)
    assert {(each.kind, each.version, each.count) for each in stale_jobs(plan, store)} == {
        ("oracle", 1, 1), ("unlearn", 3, 1), ("evaluate", 2, 1), ("unlearned", 1, 1),
    }  # fmt: skip
    (text,) = stale_warnings(plan, store)
    assert text.startswith(
        f"store {store.root}: an earlier version of the package made 1 oracle job of version 1, 1 unlearn job of version 3, "
    )
    assert "1 evaluate job of version 2" in text
    assert text.endswith("; they are stale and will be made again")


def test_what_has_been_made_again_is_no_longer_stale(tmp_path):
    plan, job = first("tiny.yaml", "oracle")
    store = Store(tmp_path)
    lay(store, OLD["tiny.yaml", "oracle"][0])
    assert stale_jobs(plan, store) == [Stale("oracle", 1, 1)]
    lay(store, job.key)
    assert stale_jobs(plan, store) == []
