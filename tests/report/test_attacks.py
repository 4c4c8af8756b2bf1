"""What attacks gave as the report reads it, against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from scipy import stats

from ungrok.report.attacks import Attacks, setting_name

EARLY = ("base", "pre_grok", "class")
STRONG = "share 0.1, lr 0.02"


def test_a_curve_is_the_mean_over_seeds_with_students_interval(attacked_study):
    attacks = Attacks(attacked_study(["relearn"]))
    curve = attacks.curve(EARLY, "unlearned", "gradient_ascent", "relearn", STRONG)
    assert curve.doses.tolist() == [0, 1, 10, 100]
    assert curve.mean == pytest.approx([0.035, 0.035, 0.635, 0.635])
    half = stats.t.ppf(0.975, 7) * math.sqrt(6e-4) / math.sqrt(8)  # the variance of 0 to 7 is 6
    assert curve.high[2] - 0.635 == pytest.approx(half) == 0.635 - curve.low[2]
    alone = Attacks(attacked_study(["relearn"], seeds=[2])).curve(EARLY, "oracle", "gradient_ascent", "relearn", STRONG)
    assert alone.mean == pytest.approx([0.02, 0.02, 0.02, 0.12])
    assert all(map(math.isnan, [*alone.low, *alone.high]))


def test_the_strongest_setting_has_the_largest_mean_gap(attacked_study):
    """At 100 updates with forgotten data UA is as high as at 10, but the oracle has 0.1 more by then."""
    attacks = Attacks(attacked_study(["relearn", "linear_probe"]))
    worst = attacks.strongest(EARLY, "gradient_ascent", "relearn")
    assert (worst.setting, worst.dose, worst.name) == (STRONG, 10, "share 10 %, rate 0.02")
    assert attacks.strongest(("base", "final", "class"), "gradient_ascent", "relearn") is None


def test_without_an_oracle_it_is_that_of_the_highest_mean(attacked_study):
    view = attacked_study(["relearn"], oracle=False)
    table = view.results.stress.copy()
    last = (table["subject"] == "unlearned") & (table["setting"] == STRONG) & (table["dose"] == 100)
    table.loc[last, "UA"] += 0.05
    attacks = Attacks(replace(view, results=replace(view.results, stress=table)))
    assert attacks.strongest(EARLY, "gradient_ascent", "relearn").dose == 100
    assert attacks.standings.empty


def test_r_and_its_word_over_all_attacks_and_one_by_one(attacked_study):
    """Gaps are the same in every seed, so intervals are points: 0.6 by relearning, 0.2 by pruning, 0 by the probe; the floor is 0.05."""
    table = Attacks(attacked_study()).standings
    rows = table[table["stage"] == "pre_grok"].set_index("attack")
    assert rows["gap"].to_dict() == pytest.approx(
        {"": 0.6, "relearn": 0.6, "quantize": 0.2, "linear_probe": 0.0, "prune": 0.2, "weight_noise": 0.2}
    )
    assert rows["floor"].to_numpy() == pytest.approx(0.05)
    assert rows["word"].to_dict() == {
        "": "hidden", "relearn": "hidden", "quantize": "hidden", "linear_probe": "forgotten", "prune": "hidden", "weight_noise": "hidden",
    }  # fmt: skip
    assert table[table["stage"] == "grokked"].set_index("attack").loc["", "gap"] == pytest.approx(0.8)


def test_the_place_of_the_headline_comes_first(attacked_study):
    attacks = Attacks(attacked_study(["prune"], places=("end", "0.1", "rewound")))
    assert attacks.places == {"gradient_ascent": ["0.1", "end", "rewound"]}
    assert attacks.methods == ["gradient_ascent"]
    assert attacks.series == [EARLY, ("base", "grokked", "class")]


def test_attacks_are_named_for_people_and_walks_do_not_count(attacked_study):
    attacks = Attacks(attacked_study())
    assert [attacks.name(attack) for attack in attacks.attacks] == [
        "relearning", "quantization", "interpolation to the original", "linear probe", "pruning", "weight noise",
    ]  # fmt: skip
    assert attacks.counting == ["relearn", "quantize", "linear_probe", "prune", "weight_noise"]
    assert attacks.dose_name("quantize") == "bits"


def test_a_setting_is_named_by_its_share_and_rate_or_else_by_its_label():
    row = {"setting": "x", "share": None, "lr": None}
    assert setting_name(row) == "x"
    assert setting_name(row | {"share": 0.0, "lr": 0.005}) == "share 0 %, rate 0.005"
    assert setting_name(row | {"share": 0.01}) == "share 1 %"


def test_a_study_without_attacks_has_none(study):
    attacks = Attacks(study())
    assert (attacks.attacks, attacks.methods, attacks.series) == ({}, [], [])
