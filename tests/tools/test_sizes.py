"""Long functions and files are found, and nothing else."""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).parents[2] / "tools" / "sizes.py"


def test_what_is_too_long_is_named(script, tmp_path):
    body = "    x = 1\n"
    (tmp_path / "good.py").write_text("def f():\n" + body * 59 + "y = 1\n" * 340)
    assert script.main([str(tmp_path)]) == 0
    (tmp_path / "long.py").write_text("def f():\n" + body * 60 + "y = 1\n" * 340)
    assert list(script.too_long(tmp_path / "long.py")) == [
        f"{tmp_path / 'long.py'}: 401 lines; allowed: 400",
        f"{tmp_path / 'long.py'}:1: f has 61 lines; allowed: 60",
    ]
    assert script.main([str(tmp_path)]) == 1
