"""What a study was made with, in words."""

from __future__ import annotations

import pytest

from ungrok.report.scale import scale
from ungrok.study.loading import load


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("digits", "MLP on 400 examples of 8x8 digits, 6,000 updates, 10 seeds"),
        ("modular", "MLP on 1,404 examples of modular addition, 3,500 updates, 8 seeds"),
        ("paper/table1-cnn", "CNN on 45,000 examples of CIFAR-10, 500,000 updates, 8 seeds"),
        ("tofu-tiny", "Llama-style transformer on 160 examples of fictitious authors, 200 updates, 8 seeds"),
    ],
)
def test_a_recipe_is_one_sentence(name, sentence):
    assert scale(load(name)).sentence == sentence


def test_all_there_is_has_no_number_and_a_pretrained_model_its_name(monkeypatch):
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_OFFLINE", True
    )  # else it tries for 46 seconds to reach the hub
    assert scale(load("mnist", ["problem.train_size=null"])).of_data == "MNIST"
    assert scale(load("paper/table2-phi15")).model == "phi-1_5"
