"""docs/sweep.md: the script there and the lines added to it run as they stand, with fewer steps."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

PAGE = Path(__file__).parents[1] / "docs" / "sweep.md"
SCRIPT, ADDED = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[:2]


def code(block):
    return [line for line in block.splitlines() if line.strip()]


def test_the_script_is_of_the_size_of_a_users_and_the_added_lines_are_few():
    assert "ungrok" not in SCRIPT
    assert len(SCRIPT.splitlines()) == 49
    assert len(code(ADDED)) <= 8


def test_script_and_added_lines_give_a_study_with_verdicts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    faster = SCRIPT.replace("STEPS, EVERY, WIDTH = 31, 4000, 100, 64", "STEPS, EVERY, WIDTH = 31, 60, 20, 16").replace(
        "lr=1e-3, weight_decay=1.0", "lr=0.03"
    )
    assert "31, 60, 20, 16" in faster
    assert "lr=0.03" in faster
    one = ADDED.replace(
        "seeds=range(6)", 'seeds=range(6), methods=[{"kind": "gradient_ascent", "lr": 0.5, "updates": 8}]'
    )
    assert one != ADDED
    exec(compile(faster + one, "script.py", "exec"), {"__name__": "script"})
    page = Path(capsys.readouterr().out.splitlines()[-1])
    assert page == Path("runs/sweep/report/index.html")
    assert "<figure" in page.read_text(encoding="utf-8")
    verdicts = pd.read_json(page.with_name("verdicts.json"))
    words = set(verdicts.loc[verdicts["n_seeds"] == 6, "verdict"])
    assert words & {"supported", "refuted", "inconclusive"}, words
