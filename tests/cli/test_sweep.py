"""The commands on checkpoints of the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

EventAccumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator

MINE = """
import torch
from torch import nn

x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
y = (x[:, 0] > 0).long()

def sets():
    method = {"kind": "gradient_ascent", "lr": 0.1, "updates": 3}
    return {
        "forget": (x[:20], y[:20]), "retain": (x[20:40], y[20:40]), "test": (x[40:], y[40:]),
        "model": lambda: nn.Linear(4, 2), "methods": [method],
    }

def without(seed):
    torch.manual_seed(seed)
    return {10: nn.Linear(4, 2), 20: nn.Linear(4, 2)}

def nothing():
    return {"forget": 1}
"""


class Config:
    """What no reader of tensors knows."""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Write a user's module and the checkpoints of two seeds."""
    Path(tmp_path, "users_own.py").write_text(MINE)
    monkeypatch.delitem(__import__("sys").modules, "users_own", raising=False)
    for seed in (0, 1):
        Path(tmp_path, f"run{seed}").mkdir()
        for step in (10, 20):
            torch.manual_seed(seed + step)
            torch.save(nn.Linear(4, 2).state_dict(), tmp_path / f"run{seed}" / f"{step}.pt")
    return tmp_path


def test_a_sweep_from_the_command_line_is_a_study_with_a_report(ungrok, mine):
    words = ["run{seed}", "--seeds", "2", "--data", "users_own:sets", "--train", "users_own:without", "--out", "a/b"]
    code, out, err = ungrok("sweep", *words, "--track", "tensorboard")
    assert (code, out) == (0, "a/b/report/index.html\n"), err
    assert err.endswith("tracked: tensorboard --logdir a/b/track/tensorboard\n")
    events = EventAccumulator(str(mine / "a/b/track/tensorboard/base/seed-1")).Reload().Scalars("training/test_loss")
    curve = pd.read_csv(mine / "a/b/curves.csv").query("seed == 1")
    assert [event.step for event in events] == [10, 20]
    assert [event.value for event in events] == curve["test_loss"].astype("float32").tolist()
    verdicts = json.loads((mine / "a/b/report/verdicts.json").read_text())
    assert max(each["n_seeds"] for each in verdicts if each["claim"] == "oracle_gap") == 2
    assert "<figure" in (mine / out.strip()).read_text(encoding="utf-8")
    code, again, _ = ungrok("report", "a/b")
    assert (code, again) == (0, out)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["run0", "--data", "users_own:nothing"],
            "--data: 'users_own:nothing' gives no retain; allowed: a dict with forget",
        ),
        (["run0", "--data", "users_own:set"], "--data: 'users_own' has no function 'set'"),
        (["run0", "--data", "users_own:sets", "--train", "x"], "--train: 'x' is not allowed"),
        (["run0", "--data", "users_own:sets", "--seeds", "2"], "--seeds: goes with a FOLDER that holds {seed}"),
        (["run{seed}", "--data", "users_own:sets"], "--seeds: goes with a FOLDER that holds {seed}"),
        (["gone", "--data", "users_own:sets"], "checkpoints: 'gone' holds no checkpoints"),
        (
            ["run0", "--data", "users_own:sets", "--track", "wand"],
            "--track: 'wand' is not known; allowed: mlflow, tens",
        ),
        (["run0", "--data", "users_own:sets", "--method", "scrubb"], "'scrubb' is not known"),
    ],
)
def test_what_cannot_be_swept_is_one_sentence(ungrok, mine, words, message):
    code, _, err = ungrok("sweep", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert message in err


def test_a_pickled_file_is_refused_and_convert_is_the_way_out(ungrok, mine):
    state = torch.load(mine / "run0" / "10.pt")
    torch.save({"model": state, "config": Config()}, mine / "run0" / "10.pt")
    code, _, err = ungrok("sweep", "run0", "--data", "users_own:sets")
    assert (code, err.count("\n")) == (2, 1)
    assert "`ungrok convert run0/10.pt` writes its weights as safetensors" in err
    code, out, _ = ungrok("convert", "run0/10.pt")
    assert (code, out) == (0, "run0/10.safetensors\n")
    assert all(torch.equal(value, state[name]) for name, value in load_file(mine / "run0" / "10.safetensors").items())
    torch.save({"ema": state, "model": nn.Linear(4, 2).state_dict()}, mine / "run0" / "20.pt")
    code, _, err = ungrok("sweep", "run0", "--data", "users_own:sets")
    assert "20.pt': holds weights of the model under 'ema' and under 'model'; `ungrok convert FILE --key ema`" in err
    code, out, _ = ungrok("convert", "run0/20.pt", "run1/10.pt", "--key", "ema")
    assert (code, out) == (2, "run0/20.safetensors\n")
    assert all(torch.equal(value, state[name]) for name, value in load_file(mine / "run0" / "20.safetensors").items())
    code, _, err = ungrok("convert", "gone.pt")
    assert (code, err.count("\n")) == (2, 1)
    assert "gone.pt" in err
