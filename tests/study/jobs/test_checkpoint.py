"""One model, kept as it is."""

import torch
from torch import nn

from ungrok.core.files import load_tensors
from ungrok.study.jobs.checkpoint import WEIGHTS, keep, weights_of


def test_weights_are_kept_bit_for_bit(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    keep(model, tmp_path)
    kept = load_tensors(tmp_path / WEIGHTS)
    assert kept.keys() == model.state_dict().keys()
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_every_kind_that_keeps_a_model_is_opened_alike(study, opened):
    for arm, stage in (("base", "grokked"), ("base", "louder"), ("wide", "as-long")):
        finished = opened(arm, stage)
        assert finished.result.step is not None
        assert weights_of(finished).keys() == {"1.weight", "1.bias", "3.weight", "3.bias"}
