"""What is asked of a language model, and what is kept of its answers."""

from pathlib import Path

import pytest
import torch

from ungrok.evaluate.leakage import LOSSES
from ungrok.evaluate.tofu import FILES
from ungrok.study.jobs import Train
from ungrok.study.jobs.blocks import Asked
from ungrok.study.jobs.questions import logs_of, question
from ungrok.study.jobs.trained import fresh_model, split_of
from ungrok.study.loading import load
from ungrok.study.plan import make_plan

TEXT = Path(__file__).parents[1] / "tiny-text.yaml"
ASKED = Asked(retain=3, new_tokens=2, seed=1)


@pytest.fixture(scope="module")
def training():
    plan = make_plan(load(str(TEXT)))
    return plan.job(plan.trajectories["base", 0], Train).spec


def test_all_forget_questions_are_asked_and_a_draw_of_the_retained(training, tmp_path):
    split = split_of(list(range(20, 25)), training.data())
    attacks = question(fresh_model(training, 0), training, split, ASKED, tmp_path)
    logs = logs_of(tmp_path)
    assert len(logs[FILES["forget"]]["avg_gt_loss"]) == 5
    assert len(logs[FILES["retain"]]["avg_gt_loss"]) == 3
    assert set(attacks) == {"loss", "zlib", "min_k", "min_k_plus_plus"}
    held_out = training.data().pairs().held_out
    assert [len(logs[name]["avg_loss"]) for name in LOSSES.values()] == [5, len(held_out)]
    assert all(attack.members == 5 for attack in attacks.values())


def test_the_same_questions_have_the_same_answers(training, tmp_path):
    split = split_of([1, 2], training.data())
    model = fresh_model(training, 0)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        torch.rand(1)
        question(model, training, split, ASKED, tmp_path / name)
    assert (tmp_path / "one" / "logs.json").read_bytes() == (tmp_path / "two" / "logs.json").read_bytes()


def test_where_nothing_was_asked_there_are_no_logs(tmp_path):
    assert logs_of(tmp_path) is None
