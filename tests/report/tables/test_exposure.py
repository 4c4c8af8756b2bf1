"""Tables of a randomized exposure."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from ungrok.report.tables.exposure import exposure

FORGET = [{"kind": "exposed", "group": group, "size": 20} for group in ("late", "early")]
TRAINING = {"steps": 1000, "batch_size": 40, "exposure": {"within": "class"}}
PAIR = [[{"stage": "final", "forget": "late-20"}, {"stage": "final", "forget": "early-20"}]]


@pytest.fixture
def exposed(study):
    """Six pairs of seeds: the late group was learned 300 steps later, and its loss is half as large where unlearning starts."""

    def hit(cell):
        return 60.0 + cell.seed if cell.forget == "late-20" else 30.0 + cell.seed

    view = study(
        hit, seeds=list(range(12)), trajectory=TRAINING, forget=FORGET, stages=["final"],
        claims={"compare": PAIR, "targets": ["oracle"]},
    )  # fmt: skip
    rows = view.results.rows
    late = rows["forget"] == "late-20"
    rows["forget_loss"] = 0.02 * (1 + rows["seed"] / 100) / (1 + late)
    learned = [
        {
            "arm": "base", "seed": seed, "forget": f"{group}-20", "draw": 0, "examples": 20, "first_shown": 400 * (group == "late"),
            "least_shown": 100, "most_shown": 100, "base_loss": 2.0, "persistent_step": 200.0 + 300 * (group == "late") + seed,
            "learned": 1.0,
        }
        for seed in range(12)
        for group in ("late", "early")
    ]  # fmt: skip
    return replace(view, results=replace(view.results, learned=pd.DataFrame(learned)))


def test_the_checks_say_what_was_wanted_and_what_came_out(exposed, plain):
    table = next(exposure(exposed))
    assert table.title == "Checks of the randomized exposure, 20 shown late → 20 shown early, at the end"
    assert [plain(row) for row in table.rows] == [
        ["times shown", "100.0", "100.0", "–", "equal, within one", "holds"],
        ["step from which learned", "505.5", "205.5", "300/[300, 300]", "later where shown later", "holds"],
        ["loss before training", "2.0000", "2.0000", "× 1/[1, 1]", "alike, within × 1.1", "holds"],
        ["the oracle's score", "0.2000", "0.2000", "0/[0, 0]", "alike, within 0.05", "holds"],
        [
            "loss where unlearning starts",
            "0.0106",
            "0.0211",
            "× 0.5/[0.5, 0.5]",
            "nothing; see the adjusted effects",
            "",
        ],
    ]


def test_effects_stand_beside_what_they_are_at_equal_loss(exposed, plain):
    _, table = exposure(exposed)
    (of_score, of_updates) = (plain(row) for row in table.rows)
    assert of_score[:5] == ["gradient ascent", "UA beyond the oracle", "6", "1", "× 0.5"]
    times = math.exp(sum(math.log((60 + seed) / (30 + seed)) for seed in range(12)) / 12)
    assert of_updates[:5] == ["gradient ascent", "updates to UA ≤ that of the oracle", "6", f"× {times:.2g}", "× 0.5"]
    assert of_updates[5:] == ["–", "–"]


def test_the_answers_count_pairs_of_seeds(exposed):
    from ungrok.report.front import first_screen, words

    screen = first_screen(exposed)
    assert "4 of 4 checks of the randomized exposure hold." in screen.first
    assert "6 swapped pairs of seeds" in " ".join(answer.sentence for answer in screen.answers)
    assert "swapped pair" in dict(words(exposed))


def test_other_studies_have_no_such_tables(study):
    assert list(exposure(study())) == []
