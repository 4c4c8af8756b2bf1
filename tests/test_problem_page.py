"""docs/problem.md: its problem is found as a plug-in, and its recipe runs, with fewer steps and one seed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
import torch

import ungrok

PAGE = (Path(__file__).parents[1] / "docs" / "problem.md").read_text(encoding="utf-8")
SOURCE, SETTINGS, RECIPE, _ = re.findall(r"^```\w+\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that holds the package as pip would have installed it, and the recipe."""
    folder = tmp_path_factory.mktemp("site")
    ((group, named),) = tomllib.loads(SETTINGS)["project"]["entry-points"].items()
    info = folder / "ungrok_parity-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ungrok-parity\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in named.items())
    )
    (folder / "ungrok_parity.py").write_text(SOURCE, encoding="utf-8")
    (folder / "parity.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


def test_the_target_is_the_parity_of_the_first_bits(monkeypatch):
    module = types.ModuleType("ungrok_parity")
    monkeypatch.setitem(sys.modules, "ungrok_parity", module)
    exec(SOURCE, vars(module))
    train, validation, test, classes = module.Parity(bits=5, relevant=3).splits()
    assert (len(train), len(validation), len(test), classes) == (500, 300, 300, 2)
    ones = (train.inputs[:, :3] > 0).sum(dim=1)
    assert torch.equal(train.targets, ((ones == 1) | (ones == 3)).long())


def test_the_recipe_runs_on_the_problem(site):
    shorter = ["seeds=[0]", "trajectory.steps=40", "stages=[step-10, final]", "claims.compare=[[step-10, final]]"]
    command = [sys.executable, "-m", "ungrok.cli", "study", "parity.yaml", *shorter, "--workers", "0", "--out", "out"]
    sources = str(Path(ungrok.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), sources])}
    done = subprocess.run(command, cwd=site, env=env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out/report/index.html\n"
    assert "kind: parity" in (site / "out" / "recipe.yaml").read_text(encoding="utf-8")
