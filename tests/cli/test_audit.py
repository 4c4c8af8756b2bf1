"""The command audit, and what check and study make of a recipe with the block."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ungrok.report import audit_page
from ungrok.study import audit

SMALL = (
    "trajectory.steps=20", "trajectory.evaluate_steps=20", "stages=[final]", "claims.compare=[]", "forget=[{kind: random, size: 30}]",
    "unlearn=[{kind: gradient_ascent, updates: 2}]", "audit={shadows: 8, measures: [ulira]}",
)  # fmt: skip


def test_audit_writes_its_file_and_a_study_the_same(ungrok, tiny):
    code, out, err = ungrok("audit", *tiny, *SMALL, "--workers", "0", "--out", "out", "--store", "store")
    assert (code, out) == (0, "out/report/audit.html\n"), err
    page = Path(out.strip()).read_text(encoding="utf-8")
    for title in ("Measures on planted truths", "Measures of unlearned models", "Shadow models"):
        assert title in page
    assert "tiny: audit of 8 shadow models, 28 jobs\n" in err
    assert "final: 8 of 8 shadow models reached it\n" in err
    first = Path("out/audit.json").read_bytes()
    assert [row["method"] for row in json.loads(first)["rows"]] == ["gradient_ascent"]
    Path("out/audit.json").unlink()
    code, _, err = ungrok("study", *tiny, *SMALL, "--workers", "0", "--out", "out", "--store", "store")
    assert code == 0, err
    assert "28 were finished already" in err
    assert Path("out/audit.json").read_bytes() == first
    assert "Audits of many models" in Path("out/report/index.html").read_text(encoding="utf-8")
    assert not list(Path("store").glob("shadow*/model.safetensors"))


def test_a_recipe_without_the_block_gets_the_default_one(ungrok, tiny, monkeypatch):
    asked = []
    monkeypatch.setattr(audit, "run_audit", lambda plan, *_, **__: asked.append(plan.recipe.audit))
    monkeypatch.setattr(audit_page, "write_audit_page", lambda out, *_: out)
    code, out, err = ungrok("audit", *tiny)
    assert code == 0, err
    assert re.fullmatch(r"runs/tiny-[0-9a-f]{8}\n", out)
    assert [own.shadows for own in asked] == [64]


def test_check_says_what_an_audit_takes(ungrok, tiny):
    code, out, _ = ungrok("check", *tiny, *SMALL)
    assert code == 0
    assert re.search(
        r"^audit: 8 shadow models, 4 unlearned from them; about .* of one processor, .* on \d+; about \d+ MB of disk, of which \d+ MB stay$",
        out,
        re.MULTILINE,
    )
    assert "audit:" not in ungrok("check", *tiny)[1]
