"""How far a study is, in lines and as a bar."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ungrok.study import progress as module
from ungrok.study.job import AnyJob
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.progress import Tally, clock, describe, progress

TINY = str(Path(__file__).parent / "tiny.yaml")
PLAN = make_plan(load(TINY, ["seeds=[3]", "trajectory.steps=200", "unlearn=[{kind: scrub, updates: 40}]"]))
TRAIN, PATH, ROWS = (
    next(job for job in PLAN.jobs.values() if job.kind == kind) for kind in ("train", "unlearn", "evaluate")
)
JOBS = [TRAIN, PATH, ROWS]
COSTS = {TRAIN.key: 6.0, PATH.key: 3.0, ROWS.key: 1.0}


def cost(job: AnyJob) -> float:
    return COSTS[job.key]


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def elsewhere() -> Console:
    return Console(file=io.StringIO(), force_terminal=False)


def test_shares_count_by_cost():
    tally = Tally(JOBS, cost)
    assert tally.share == 0
    tally.advance(TRAIN, 0.5)
    tally.advance(PATH, 1.0)
    assert tally.share == pytest.approx((0.5 * 6 + 3) / 10)
    assert (tally.done, list(tally.running)) == (1, [TRAIN.key])


def test_what_is_said_of_a_job_after_its_end_is_late():
    tally = Tally(JOBS, cost)
    tally.advance(TRAIN)
    tally.advance(TRAIN, 0.9)
    tally.advance(TRAIN)
    assert (tally.done, tally.running) == (1, {})
    assert tally.share == pytest.approx(0.6)


def test_a_line_says_what_is_done_what_runs_and_what_is_left(monkeypatch):
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    tally = Tally(JOBS, cost)
    assert tally.line() == "0 of 3 jobs done, 0 running, time left unknown yet"
    tally.advance(TRAIN, 0.0)
    assert tally.line() == "0 of 3 jobs done, 1 running, time left unknown yet"
    tally.advance(TRAIN)
    tally.advance(PATH, 0.0)
    now = 160.0  # six tenths took a minute
    assert tally.line() == "1 of 3 jobs done, 1 running, about 0:00:40 left"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00:00"), (61, "0:01:01"), (36000, "10:00:00"), (3599.6, "1:00:00")]
)
def test_lengths_of_time(seconds, text):
    assert clock(seconds) == text


def test_a_job_is_named_with_its_seed_and_step():
    assert describe(TRAIN, 0.25) == "trajectory, base, seed 3: step 50/200"
    assert describe(PATH, 0.5) == "scrub from pre_grok, class, base, seed 3: step 20/40"
    assert describe(ROWS, 0.5) == "scores of scrub from pre_grok, class, base, seed 3"
    assert describe(replace(ROWS, label=""), 0.5) == "evaluate"


def test_lines_come_at_intervals_where_there_is_no_terminal():
    said: list[str] = []
    console = elsewhere()
    with progress(JOBS, cost, said.append, console=console, every=0.02) as advance:
        advance(TRAIN, 0.0)
        deadline = time.monotonic() + 20
        while len(said) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(said) >= 3
    assert said[2].startswith("0 of 3 jobs done, 1 running, ")
    assert console.file.getvalue() == ""
    count = len(said)
    time.sleep(0.1)
    assert len(said) == count, "a line after the end"


def test_a_short_run_says_nothing():
    said: list[str] = []
    with progress(JOBS, cost, said.append, console=elsewhere()) as advance:
        advance(TRAIN)
    assert said == []
    assert module.EVERY == 30


def test_a_bar_on_a_terminal_names_job_seed_and_step():
    console, said = terminal(), []
    with progress(JOBS, cost, said.append, console=console, every=0.01) as advance:
        advance(TRAIN, 0.25)
        time.sleep(0.3)
        advance(PATH)
    shown = console.file.getvalue()
    assert "trajectory, base, seed 3: step 50/200" in shown
    assert "0/3" in shown
    assert " left" in shown
    assert said == []
