"""The program as a whole: help, version, completion, mistakes and interrupts."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
import warnings
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import psutil
import pytest
import torch

from ungrok.cli.app import app
from ungrok.cli.listing import LISTS
from ungrok.core.errors import UngrokWarning, WorkersLost

from .conftest import TINY


def test_every_summary_is_a_sentence_that_fits(ungrok):
    code, out, _ = ungrok("--help")
    summaries = [line for line in out.partition("Commands:\n")[2].splitlines() if line.strip()]
    assert code == 0
    assert len(summaries) == len(app.registered_commands) + len(app.registered_groups) == 22
    assert all(line.endswith(".") and not line.endswith("...") for line in summaries), summaries


def test_the_version(ungrok):
    assert ungrok("--version") == (0, f"ungrok {metadata.version('ungrok')}\n", "")


def test_completion_can_be_installed(environment, tmp_path):
    """For the shell that the program was called from."""
    words = f"{sys.executable} -c 'from ungrok.cli import app; app(prog_name=\"ungrok\")' --install-completion; true"
    home = environment | {"HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, env=home)
    assert "bash completion installed" in done.stdout, done.stderr
    assert "_UNGROK_COMPLETE" in (tmp_path / ".bash_completions" / "ungrok.sh").read_text()


def test_memory_that_runs_out_outside_a_job_is_one_line(ungrok, tiny, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr("ungrok.study.estimate.estimates", full)
    code, _, err = ungrok("check", tiny[0])
    assert (code, err.count("\n")) == (2, 1)
    assert "lower the batch sizes" in err
    assert "CUDA out of memory." in err


def test_lost_workers_are_one_line_and_exit_code_1(ungrok, tiny, monkeypatch):
    def lost(*_, **__):
        raise WorkersLost("no worker process lives")

    monkeypatch.setattr("ungrok.study.engine.run", lost)
    code, _, err = ungrok("study", *tiny)
    assert (code, err.splitlines()[-1]) == (1, "error: no worker process lives")


def test_other_errors_keep_their_traceback(ungrok, tiny, monkeypatch):
    def broken(*_):
        raise RuntimeError("a mistake in the program")

    monkeypatch.setattr("ungrok.study.estimate.estimates", broken)
    with pytest.raises(RuntimeError, match="a mistake in the program"):
        ungrok("check", tiny[0])


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["study", "digist"], ["digist", "did you mean 'digits'"]),
        (["study", "digits", "model.kind=mpl"], ["model.kind", "did you mean 'mlp'"]),
        (["study", "nothing.yaml"], ["nothing.yaml"]),
        (["study", "digits", "problem.train_size=1500", "problem.validation_size=400"], ["1500", "1797"]),
        (["study", "digits", "forget=[{kind: mislabeled}]", "sweep=null"], ["label_noise"]),
        (["study", "modular", "model={kind: cnn}"], ["model", "cnn", "shape"]),
        (["study", "digits", "device=cuda"], ["device", "cuda"]),
        (["train", "digits", "--seed", "77"], ["--seed", "77", "0"]),
        (["unlearn", "digits", "--method", "scurb"], ["--method", "did you mean 'scrub'"]),
        (["unlearn", "TINY", "--model", "nothing.safetensors"], ["--model", "nothing.safetensors"]),
        (["list", "method"], ["method", "did you mean 'methods'"]),
        (["study", "digits", "--dashboard", "--workers", "0"], ["--dashboard", "--workers 0"]),
        (["report", "."], ["recipe.yaml"]),
        (["analyze", "digits"], ["--analysis", "'digits'", "weight_norm"]),
        (["analyze", "digits", "--model", "my.safetensors", "--stage", "grokked"], ["--model", "--stage"]),
        (["compare", ".", "--with", "paper:table1"], ["recipe.yaml"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(ungrok, tiny, words, parts):
    code, out, err = ungrok(*(tiny[0] if word == "TINY" else word for word in words))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert all(part in err for part in parts), err


def test_the_module_runs_as_a_program(environment):
    words = [sys.executable, "-m", "ungrok.cli", "list", "claims"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0
    assert done.stdout.startswith("beyond_oracle\t")


class Session:
    """A program on a terminal of its own, as whose foreground job it runs."""

    def __init__(self, words: list[str], folder: Path, environment: dict[str, str]) -> None:
        self.keyboard, screen = pty.openpty()
        self.shown = ""
        self.children: set[psutil.Process] = set()
        self.program = subprocess.Popen(
            words, stdin=screen, stdout=screen, stderr=screen, cwd=folder, env=environment, start_new_session=True,
            preexec_fn=self._take_the_terminal,
        )  # fmt: skip
        os.close(screen)

    @staticmethod
    def _take_the_terminal() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests that run in the background inherit that it is ignored
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def read_until(self, text: str, seconds: float = 150) -> None:
        """Read what is shown until it holds a text, or to the end of the program where that is empty."""
        deadline = time.monotonic() + seconds
        while not text or text not in self.shown:
            assert time.monotonic() < deadline, self.shown[-2000:]
            if self.program.poll() is None:
                self.children |= set(psutil.Process(self.program.pid).children(recursive=True))
            if select.select([self.keyboard], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self.keyboard, 65536).decode(errors="replace")
                except OSError:  # the program has closed its side
                    assert not text, self.shown[-2000:]
                    return


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes through /proc")
@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_ends_a_study_with_a_sentence(workers, tiny, tmp_path, environment):
    """Pressed in the middle of training, with as many workers, and once more while they end."""
    words = [
        sys.executable,
        "-m",
        "ungrok.cli",
        "study",
        tiny[0],
        "trajectory.steps=1000000",
        "--workers",
        str(workers),
    ]
    session = Session(words, tmp_path, environment | {"COLUMNS": "120", "TERM": "xterm"})
    try:
        session.read_until("trajectory, base, seed 0: step ")
        before = len(session.shown)
        session.read_until("left")  # some of it is done
        assert len(session.children) >= workers
        os.write(session.keyboard, b"\x03")
        time.sleep(0.1)
        os.write(session.keyboard, b"\x03")
        session.read_until("")
        assert session.program.wait(30) == 130, session.shown
        alive = psutil.wait_procs(session.children, timeout=10)[1]
    finally:
        for process in [*session.children, session.program]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        session.program.wait()
    after = session.shown[before:]
    assert "interrupted; run the same command again to go on from here\r\n" in after
    assert "Traceback" not in session.shown
    assert "Error" not in session.shown
    assert alive == []


def test_a_warning_of_the_package_is_one_line_and_others_are_as_python_shows_them(ungrok, monkeypatch):
    def warned(*_):
        warnings.simplefilter("always")
        warnings.warn("mind\nthis", UngrokWarning, stacklevel=1)
        warnings.warn("and that", UserWarning, stacklevel=1)
        return {}

    monkeypatch.setitem(LISTS, "recipes", warned)
    code, _, err = ungrok("list", "recipes")
    assert code == 0
    assert err.startswith("warning: mind this\n")
    assert "UserWarning: and that" in err


def test_without_a_command_the_help_is_shown(ungrok):
    assert ungrok() == ungrok("--help")


PLUG_INS = {
    "raises": "raise RuntimeError('out of order')",
    "exits": "import sys; sys.exit(3)",
    "number": "Method = 3",
    "scrub": "from ungrok.methods import SCRUB\n\n\nclass Method(SCRUB):\n    pass",
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Return a function that runs the program beside broken plug-ins for methods."""
    site = tmp_path_factory.mktemp("site")
    for name, source in PLUG_INS.items():
        (site / f"of_{name}.py").write_text(source)
        about = site / f"of_{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: of_{name}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[ungrok.unlearners]\n{name} = of_{name}:Method\n")
    path = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])}

    def run(*words: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "ungrok.cli", *words]
        done = subprocess.run(command, capture_output=True, text=True, env=path, cwd=site)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.parametrize("words", [("list", "methods"), ("show", TINY)], ids=lambda words: words[0])
def test_broken_plug_ins_are_named_once_each_and_the_commands_work(broken, words):
    code, out, err = broken(*words)
    assert (code, "scrub" in out) == (0, True), err
    named = re.findall(r"^warning: plug-in ungrok\.unlearners: '(\w+)' cannot be used \(.*$", err, re.MULTILINE)
    assert sorted(named) == sorted(PLUG_INS)
    assert err.count("\n") == len(PLUG_INS)


def test_using_a_broken_plug_in_is_an_error(broken, tiny):
    code, out, err = broken("show", tiny[0], "unlearn=[{kind: raises}]")
    assert (code, out) == (2, "")
    assert (
        "unlearn.0.kind: the plug-in 'raises' cannot be used (RuntimeError: out of order)"
        in err.splitlines()[len(PLUG_INS)]
    )
