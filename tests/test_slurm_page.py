"""docs/slurm.md: its scripts run without Slurm, on a tiny recipe and with one worker of the array."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ungrok

PAGE = Path(__file__).parents[1] / "docs" / "slurm.md"
RECIPE = Path(__file__).parent / "study" / "tiny.yaml"
SCRIPTS = {
    re.search(r"--job-name=(\w+)", script).group(1): script
    for script in re.findall(r"^```bash\n(#!.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
}


def started(name, folder):
    """Start a script of the page in a process group of its own, as Slurm does."""
    script = re.sub(
        r"(?<= )digits(?= )", f"{RECIPE} seeds=[0]", SCRIPTS[name].replace("source .venv/bin/activate\n", "")
    )
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    sources = str(Path(ungrok.__file__).parents[1])
    env = {**os.environ, "PATH": path, "PYTHONPATH": sources, "SLURM_ARRAY_TASK_ID": "0"}
    return subprocess.Popen(
        ["bash", "-c", script], cwd=folder, env=env, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def end(process, number=signal.SIGTERM):
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


@pytest.mark.timeout(600)
def test_the_study_runs_on_the_worker_which_ends_with_it(tmp_path):
    (tmp_path / "logs").mkdir()
    study, worker = started("study", tmp_path), started("worker", tmp_path)
    try:
        shown, said = study.communicate(timeout=500)
        assert study.returncode == 0, said
        assert shown.splitlines()[-1] == "runs/digits/report/index.html"
        assert (tmp_path / shown.splitlines()[-1]).is_file()
        assert " jobs ran, 0 were finished already" in said
        end(study)  # Slurm ends what a script leaves behind: the scheduler
        worker.communicate(timeout=120)
    finally:
        end(study, signal.SIGKILL)
        end(worker, signal.SIGKILL)


@pytest.mark.timeout(600)
def test_an_array_task_trains_what_the_study_needs(tmp_path):
    done = started("training", tmp_path)
    shown, said = done.communicate(timeout=500)
    assert done.returncode == 0, said
    trained = {Path(line) for line in shown.splitlines() if line.startswith("/")}
    assert len(trained) == 2
    assert {path.parent for path in trained} == {tmp_path / "runs" / "store"}
