"""The default study from an empty store with 1 and with 2 workers, and the largest process of each.

python benchmarks/study.py [key=value ...]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


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


def main() -> None:
    times = {}
    for workers in (1, 2):
        times[workers], peaks = run(workers, sys.argv[1:])
        largest = ", ".join(f"{peak:.0f}" for peak in peaks[: workers + 1])
        print(
            f"{workers} workers: {times[workers]:.0f} s; peak memory of the largest processes {largest} MiB", flush=True
        )
    print(f"1 worker / 2 workers: {times[1] / times[2]:.2f}")


if __name__ == "__main__":
    main()
