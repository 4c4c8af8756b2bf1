"""Compare the numbers of three small studies with those of another commit, made on this machine.

    python benchmarks/same_numbers.py COMMIT [--folder DIR]

Runs ``tests/study/tiny.yaml``, ``tests/study/tiny-text.yaml``, the tiny study with measures and controls, and ``digits`` on three
seeds, from COMMIT and from this checkout, and compares ``results.parquet``, ``audits.parquet``, ``mechanism.parquet`` and
``verdicts.json`` value by value. What COMMIT gave is kept in the folder and not made again. Exit code 1 where a number differs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
MECHANISM = (
    "analyze=[{kind: gradient_alignment, draws: 5}, {kind: cka, draws: 2}]",
    "controls={same: {kind: matched, stage: grokked, equal: train_loss, tolerance: 10.0}, twice: {kind: rescaled, stage: grokked}}",
    "stages=[pre_grok, grokked, same, twice]",
    "arms={sam: {trajectory: {sam: {rho: 0.05}}}}",
)
STUDIES = {
    "tiny": ("tests/study/tiny.yaml",),
    "tiny-text": ("tests/study/tiny-text.yaml",),
    "tiny-mechanism": ("tests/study/tiny.yaml", *MECHANISM),
    "digits": ("digits", "seeds=[0, 1, 2]"),
}
TABLES = ("results", "audits", "mechanism")


def run(tree: Path, out: Path) -> None:
    """Run every study that is not in ``out`` yet, with the code of ``tree``."""
    environment = os.environ | {"PYTHONPATH": str(tree / "src")}
    for name, words in STUDIES.items():
        if not (out / name / "report" / "verdicts.json").exists():
            command = [sys.executable, "-m", "ungrok.cli", "study", *words, "--out", str(out / name)]
            subprocess.run(command, cwd=tree, env=environment, check=True)


def differences(old: Path, new: Path) -> list[str]:
    """Return a line for each table or list of verdicts that is not equal in two studies."""
    found = []
    for table in TABLES:
        sides = [folder / f"{table}.parquet" for folder in (old, new)]
        if not any(side.exists() for side in sides):
            continue
        try:
            pd.testing.assert_frame_equal(*(pd.read_parquet(side) for side in sides), check_exact=True)
        except (AssertionError, FileNotFoundError) as error:
            found.append(f"{new.name}/{table}.parquet: {error}")
    verdicts = [json.loads((folder / "report" / "verdicts.json").read_text()) for folder in (old, new)]
    if verdicts[0] != verdicts[1]:
        pairs = zip(*verdicts, strict=False)
        first = next(((a, b) for a, b in pairs if a != b), (len(verdicts[0]), len(verdicts[1])))
        found.append(f"{new.name}/report/verdicts.json: first difference {first}")
    return found


def main() -> None:
    """Compare with the commit that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--folder", type=Path, default=Path("runs/same-numbers"))
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    tree = folder / asked.commit / "tree"
    if not tree.exists():
        subprocess.run(["git", "worktree", "add", "--detach", str(tree), asked.commit], cwd=ROOT, check=True)
    run(tree, folder / asked.commit)
    run(ROOT, folder / "here")
    found = [line for name in STUDIES for line in differences(folder / asked.commit / name, folder / "here" / name)]
    print("\n".join(found) or f"all numbers are those of {asked.commit}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
