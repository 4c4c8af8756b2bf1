"""What studies cost.

python benchmarks/study.py [key=value ...]
    the default study from an empty store with 1 and with 2 workers, and the largest process of each
python benchmarks/study.py RUN_OR_RECIPE ... [key=value ...] [again=N]
    processor time of all jobs of a study over the bare time of their updates, by kind of job

A run is the folder of a finished study; a recipe is run first, in a temporary folder. Bare are a hand-written loop for trainings and for what
replays repeat of them, and for unlearning, models kept on its paths and attacks paths that nobody looks at; each is timed here, on one thread,
over a few hundred updates. Looking at models, measuring and evaluating them is no update. A busy machine stretches processor times too, by half
if many processes share its caches: with again=3, three trainings and three times three jobs of each other kind, neighbors in the plan, are run
once more here, and what all of them filed is taken in proportion. Jobs of earlier versions have filed wall time only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from bare import compared
from ungrok.study.folder import StudyFolder


def peak_mib(pid: int, stop: threading.Event) -> list[float]:
    """Return the peak resident memory of every process of the session that ``pid`` leads, in MiB."""
    peaks: dict[int, float] = {}
    while not stop.is_set():
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(stat.read_text().rsplit(")", 1)[1].split()[3]) != pid:
                    continue
                lines = stat.with_name("status").read_text().splitlines()
            except OSError:
                continue
            peaks |= {int(stat.parent.name): int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")}
        stop.wait(0.5)
    return sorted(peaks.values(), reverse=True)


def run(workers: int, overrides: list[str]) -> tuple[float, list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        words = ["study", "digits", *overrides, "--workers", str(workers), "--out", f"{folder}/out"]
        started = time.perf_counter()
        study = subprocess.Popen(
            [sys.executable, "-m", "ungrok.cli", *words],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stop, found = threading.Event(), []
        watch = threading.Thread(target=lambda: found.extend(peak_mib(study.pid, stop)))
        watch.start()
        code = study.wait()
        seconds = time.perf_counter() - started
        stop.set()
        watch.join()
        if code:
            raise SystemExit(f"the study ended with {code}")
        return seconds, found


def ratio(name: str, overrides: list[str], few: int) -> None:
    """Print the ratio of a run, or of a recipe that is run first."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(name)
        if not out.is_dir():
            out = Path(folder) / "out"
            subprocess.run(
                [sys.executable, "-m", "ungrok.cli", "study", name, *overrides, "--out", str(out)], check=True
            )
        spent, of_processor = compared(StudyFolder.open(out), few)
    took, least = (sum(each[i] for each in spent.values()) for i in (0, 1))
    clock = "processor" if of_processor else "wall, since no processor time was filed,"
    print(f"{name}: {took:.0f} s ({clock}) of jobs, {least:.0f} s of bare updates: ratio {took / least:.2f}")
    for kind, (own, bare, count) in sorted(spent.items(), key=lambda item: -item[1][0]):
        print(
            f"  {kind}: {count} jobs, {own:.0f} s" + (f", bare {bare:.0f} s: {own / bare:.2f}" if bare else ""),
            flush=True,
        )


def main() -> None:
    names = [word for word in sys.argv[1:] if "=" not in word]
    few = next((int(word[6:]) for word in sys.argv[1:] if word.startswith("again=")), 0)
    overrides = [word for word in sys.argv[1:] if "=" in word and not word.startswith("again=")]
    torch.set_num_threads(1)
    for name in names:
        ratio(name, overrides, few)
    if not names:
        both(overrides)


def both(overrides: list[str]) -> None:
    """Print the times of the default study with 1 and with 2 workers."""
    times = {}
    for workers in (1, 2):
        times[workers], peaks = run(workers, overrides)
        largest = ", ".join(f"{peak:.0f}" for peak in peaks[: workers + 1])
        print(
            f"{workers} workers: {times[workers]:.0f} s; peak memory of the largest processes {largest} MiB", flush=True
        )
    print(f"1 worker / 2 workers: {times[1] / times[2]:.2f}")


if __name__ == "__main__":
    main()
