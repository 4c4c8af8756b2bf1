"""One model, kept as it is."""

import torch
from safetensors import safe_open
from torch import nn

from ungrok.core.files import load_tensors
from ungrok.study.jobs import Train
from ungrok.study.jobs.checkpoint import WEIGHTS, keep, weights_of
from ungrok.study.jobs.trained import trained_on
from ungrok.study.loading import load
from ungrok.study.plan import make_plan


def test_weights_are_kept_bit_for_bit_with_what_they_were_trained_on(tmp_path):
    plan, model = make_plan(load("digits")), nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    trainings = [job.spec for job in plan.jobs.values() if isinstance(job, Train)]
    trajectory, oracle = (next(s for s in trainings if (s.without is None) == whole) for whole in (True, False))
    keep(model, tmp_path, trajectory)
    with safe_open(tmp_path / WEIGHTS, "pt") as file:
        assert file.metadata() == trained_on(trajectory) != trained_on(oracle)
    kept = load_tensors(tmp_path / WEIGHTS)
    assert kept.keys() == model.state_dict().keys()
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_every_kind_that_keeps_a_model_is_opened_alike(study, opened):
    for arm, stage in (("base", "grokked"), ("base", "louder"), ("wide", "as-long")):
        finished = opened(arm, stage)
        assert finished.result.step is not None
        assert weights_of(finished).keys() == {"1.weight", "1.bias", "3.weight", "3.bias"}
