"""The page on plug-ins, done as it says: its two files are built, installed and used."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ungrok

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"

USE = """
import torch, ungrok
from torch import nn

torch.manual_seed(0)
model, labels = nn.Linear(4, 3), torch.arange(8) % 3
nn.init.normal_(model.weight)
forget = [(torch.cat([torch.randn(8, 2), torch.zeros(8, 2)], 1), labels)]
retain = [(torch.cat([torch.zeros(8, 2), torch.randn(8, 2)], 1), labels)]
{call}
far = [(network(forget[0][0]).softmax(dim=1) - 1 / 3).abs().mean().item() for network in (model, unlearned)]
print(far[1] < 0.5 * far[0])
by_name = ungrok.unlearn(
    model, forget=forget, retain=retain, method="uniform_forgetting", lr=0.05, alpha=0.5, epochs=20
)
print(torch.equal(by_name.weight, unlearned.weight))
"""


def run(*command, path=""):
    sources = str(Path(ungrok.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), sources]), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def blocks():
    fenced = re.findall(r"```(python|toml)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert [language for language, _ in fenced] == ["python", "toml", "python"]
    return [text for _, text in fenced]


@pytest.fixture(scope="module")
def installed(blocks, tmp_path_factory):
    folder, target = tmp_path_factory.mktemp("ungrok-uniform"), tmp_path_factory.mktemp("site")
    (folder / "ungrok_uniform.py").write_text(blocks[0], encoding="utf-8")
    (folder / "pyproject.toml").write_text(blocks[1], encoding="utf-8")
    pip = "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"
    run(*pip, "--target", target, folder)
    return target


def test_the_method_is_listed(installed):
    listed = run("-m", "ungrok.cli", "list", "methods", path=installed)
    assert "uniform_forgetting" in listed
    assert "Teach the model to be undecided" in listed


def test_the_method_makes_the_model_undecided_by_class_and_by_name(blocks, installed):
    assert run("-c", USE.format(call=blocks[2]), path=installed) == "True\nTrue\n"


def test_the_method_has_thirty_lines(blocks):
    assert len(blocks[0].splitlines()) <= 30
