"""What attacks brought back, on tables made by hand: gaps, the worst of them, floors, relearning, and the words for it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.audits.conftest import OBJECTIVE, examples, network

from ungrok.audits.beside import side_by_side
from ungrok.audits.interpolate import Interpolate
from ungrok.audits.prune import Prune
from ungrok.audits.relearn import Relearn
from ungrok.study.inference import Differences, family
from ungrok.study.place import Place
from ungrok.study.stress import (
    Relearning,
    attacked,
    counting,
    floor,
    gaps,
    over_attacks,
    relearned,
    standings,
    together,
    word,
    worst_gap,
)

WHERE = {"seed": 0, "arm": "base", "stage": "grokked", "forget": "class"}


def curve(subject, values, *, setting="lr 0.01", kind="relearn", attack=None, place=None, method=None, **where):
    """Return the rows of one attack: UA by dose."""
    method = "scrub" if subject == "unlearned" and method is None else method
    place = "0.1" if subject == "unlearned" and place is None else place
    return [
        WHERE | where
        | {"subject": subject, "method": method, "place": place, "attack": attack or kind, "kind": kind, "setting": setting}
        | {"dose": float(dose), "updates": int(dose) if kind == "relearn" else 0, "UA": ua}
        for dose, ua in values.items()
    ]  # fmt: skip


def table(*curves):
    return pd.DataFrame([row for rows in curves for row in rows])


ORIGINAL = curve("original", {0: 0.8, 5: 1.0, 50: 1.0})
ORACLE = curve("oracle", {0: 0.1, 5: 0.15, 50: 0.5})


def test_a_gap_is_to_the_oracle_under_the_same_attack_setting_and_dose():
    other = curve("oracle", {0: 0.3, 5: 0.4}, setting="lr 0.02")
    rows = gaps(table(ORACLE, other, curve("unlearned", {0: 0.1, 5: 0.9, 7: 0.9}), ORIGINAL))
    own = rows[rows["subject"] == "unlearned"].set_index("dose")["gap"]
    assert own[0.0] == 0.0
    assert own[5.0] == pytest.approx(0.75)
    assert math.isnan(own[7.0])
    assert set(rows["subject"]) == {"unlearned", "original"}
    assert rows.loc[(rows["subject"] == "original") & (rows["dose"] == 0), "gap"].item() == pytest.approx(0.7)


def test_an_attack_without_a_grid_has_one_setting_whether_it_is_empty_or_missing():
    rows = table(curve("oracle", {4: 0.2}, kind="quantize", setting=""), curve("unlearned", {4: 0.5}, kind="quantize", setting=None))  # fmt: skip
    assert gaps(rows)["gap"].tolist() == [pytest.approx(0.3)]
    assert gaps(gaps(rows)).equals(gaps(rows))


def test_r_is_the_largest_gap_over_attacks_settings_and_doses():
    quantized = [
        curve("oracle", {4: 0.1, 2: 0.3}, kind="quantize"),
        curve("unlearned", {4: 0.95, 2: 0.9}, kind="quantize"),
    ]
    (row,) = worst_gap(table(ORACLE, curve("unlearned", {0: 0.1, 5: 0.9, 50: 1.0}), *quantized)).to_dict("records")
    assert row["gap"] == pytest.approx(0.85)
    assert (row["UA"], row["attack"], row["dose"], row["method"], row["place"]) == (
        0.95,
        "quantize",
        4.0,
        "scrub",
        "0.1",
    )


def test_a_mixture_with_another_model_is_no_part_of_r():
    mixed = [curve("oracle", {0.5: 0.1}, kind="interpolate"), curve("unlearned", {0.5: 1.0}, kind="interpolate")]
    rows = table(ORACLE, curve("unlearned", {0: 0.1, 5: 0.2, 50: 0.5}), *mixed)
    assert worst_gap(rows)["gap"].tolist() == [pytest.approx(0.05)]
    by_attack = worst_gap(rows, by_attack=True).set_index("attack")["gap"]
    assert by_attack.to_dict() == {"interpolate": pytest.approx(0.9), "relearn": pytest.approx(0.05)}


def test_which_attacks_count_is_said_by_their_classes(monkeypatch):
    rows = table(ORACLE, curve("unlearned", {0: 0.1, 5: 0.9, 50: 1.0}))
    assert counting(rows)["kind"].unique().tolist() == ["relearn"]
    monkeypatch.setattr(Relearn, "counts", False)
    assert counting(rows).empty
    assert worst_gap(rows).empty


def test_r_is_that_of_a_report_on_the_same_models():
    """The same rows, as a study files them and as ``ungrok.attack`` returns them."""
    tests = [Interpolate(parts=2), Prune(shares=(0.3, 0.5)), Relearn(updates=4, lr=0.5, shares=0.1)]
    models = {"unlearned": network(1), "oracle": network(2), "original": network(1)}
    sets = {"forget": examples(20, 1, [2]), "retain": examples(60, 2, [0, 1]), "test": examples(30, 3)}
    report = side_by_side(tests, models, OBJECTIVE, sets, 0)
    filed = pd.DataFrame([WHERE | {"method": "scrub", "place": "0.1"} | row for row in report.rows])
    own = filed["subject"] != "unlearned"
    filed.loc[own, ["method", "place"]] = None
    assert worst_gap(filed)["gap"].tolist() == [report.worst_gap]
    by_attack = worst_gap(filed, by_attack=True).set_index("attack")["gap"].to_dict()
    assert by_attack == report.worst_gaps
    assert max(by_attack, key=by_attack.get) == "interpolate_original"


def test_the_floor_is_the_worst_gap_of_either_oracle_against_the_other():
    second = curve("oracle_2", {0: 0.12, 5: 0.05, 50: 0.44})
    assert floor(table(ORACLE, second))["floor"].tolist() == [pytest.approx(0.1)]
    assert floor(table(ORACLE, curve("unlearned", {0: 0.1}))).empty


def test_an_oracle_taken_as_an_unlearner_lies_within_its_floor_whichever_of_the_two():
    values = {0: 0.12, 5: 0.05, 50: 0.44}
    rows = table(ORACLE, curve("oracle_2", values), curve("unlearned", values), curve("unlearned", {0: 0.1, 5: 0.15, 50: 0.5}, method="first"))  # fmt: skip
    worst = worst_gap(rows).set_index("method")["gap"]
    assert worst["first"] == 0.0
    assert worst["scrub"] == pytest.approx(0.02)
    assert worst["scrub"] <= floor(rows)["floor"].item()


def test_relearning_takes_the_fewest_updates_over_all_settings_to_half_of_the_original():
    slow, fast = (
        curve("unlearned", {0: 0.0, 5: 0.39, 50: 0.9}),
        curve("unlearned", {0: 0.0, 5: 0.4, 50: 0.3}, setting="lr 0.02"),
    )
    starts = curve("original", {0: 0.8}, setting="lr 0.02")
    rows = relearned(table(ORIGINAL, starts, ORACLE, slow, fast)).set_index("subject")
    assert (rows.loc["unlearned", "updates"], rows.loc["unlearned", "censored"]) == (pytest.approx(5), False)
    # From 0.15 after 5 updates to 0.5 after 50; half of the original is 0.4.
    assert rows.loc["oracle", "updates"] == pytest.approx(5 + 45 * 0.25 / 0.35)
    assert not rows.loc["oracle", "censored"]
    soon = relearned(table(ORIGINAL, curve("unlearned", {0: 0.39, 1: 0.9, 5: 0.2})))
    assert soon["updates"].item() == 1
    never = relearned(table(ORIGINAL, curve("unlearned", {0: 0.0, 5: 0.1, 50: 0.39})))
    assert (never["updates"].item(), never["censored"].item()) == (50, True)
    at_once = relearned(table(ORIGINAL, curve("unlearned", {0: 0.5, 5: 0.1})))
    assert (at_once["updates"].item(), at_once["censored"].item()) == (0, False)


def test_where_relearning_diverges_it_counts_with_the_last_update_that_was_tried():
    """A path whose numbers are no longer finite was not relearned by where they end."""
    never = curve("unlearned", {0: 0.0, 5: 0.1, 50: None})
    own = relearned(table(ORIGINAL, never))
    assert (own["updates"].item(), own["censored"].item()) == (50, True)
    back = relearned(table(ORIGINAL, curve("unlearned", {0: 0.0, 5: 0.4, 50: None})))
    assert (back["updates"].item(), back["censored"].item()) == (pytest.approx(5), False)


def test_what_attacks_gave_is_known_by_path_and_place():
    end = curve("unlearned", {0: 0.0, 5: 0.1, 50: 0.2}, place="end")
    second = curve("oracle_2", {0: 0.1, 5: 0.2, 50: 0.5})
    rows = table(ORIGINAL, ORACLE, second, curve("unlearned", {0: 0.1, 5: 0.9, 50: 1.0}), end)
    (key,) = attacked(rows)
    assert key == (0, Place("base", "grokked", "class", "scrub"))
    here, there = (attacked(rows)[key][place] for place in ("0.1", "end"))
    assert (here.gap, here.accuracy, here.floor) == (pytest.approx(0.75), 0.9, pytest.approx(0.05))
    assert here.relearned == Relearning(pytest.approx(5 * 0.3 / 0.8), censored=False)
    assert here.oracle == Relearning(pytest.approx(5 + 45 * 0.25 / 0.35), censored=False)
    assert (there.gap, there.relearned) == (pytest.approx(-0.05), Relearning(50, censored=True))


def frames(gap, two, seeds=range(8)):
    where = {"arm": "base", "stage": "grokked", "forget": "class"}
    worst = [where | {"seed": s, "method": "scrub", "place": "0.1", "gap": gap(s)} for s in seeds]
    return pd.DataFrame(worst), pd.DataFrame([where | {"seed": s, "floor": two(s)} for s in seeds])


@pytest.mark.parametrize(
    ("gap", "two", "expected"),
    [
        (lambda _: 0.0, lambda s: 0.01 * s, "forgotten"),
        (lambda s: 0.01 * s, lambda s: 0.01 * s, "forgotten"),
        (lambda s: 0.5 + 0.01 * s, lambda s: 0.01 * s, "hidden"),
        (lambda s: 0.02 * s, lambda s: 0.01 * s, "undecided"),
    ],
)
def test_the_word_compares_the_interval_of_r_with_the_upper_end_of_the_floor(gap, two, expected):
    (row,) = standings(*frames(gap, two)).to_dict("records")
    (own,) = family([Differences([gap(s) for s in range(8)])], 8)
    assert (row["gap"], row["low"], row["high"]) == pytest.approx((own.effect, own.low, own.high))
    assert (row["word"], row["seeds"], row["floor_seeds"]) == (expected, 8, 8)


@pytest.mark.parametrize("floors", [0, 1, 5])
def test_a_floor_of_too_few_seeds_decides_nothing(floors):
    """The interval of a few floors has no upper end, which everything would lie below."""
    worst, two = frames(lambda _: 0.9, lambda _: 0.01)
    (row,) = standings(worst, two[:floors]).to_dict("records")
    assert (row["word"], row["floor_seeds"]) == ("undecided", floors)
    few = standings(worst[:5], two).to_dict("records")
    assert few[0]["word"] == "undecided"


@pytest.mark.parametrize(
    ("relearn", "bits", "expected", "shown_by"),
    [
        (0.9, 0.0, "hidden", "relearn"),
        (0.0, 0.0, "forgotten", None),
        (0.04, 0.0, "undecided", None),
        (0.9, 1.0, "hidden", "quantize"),
    ],
)
def test_an_attack_that_breaks_every_model_hides_nothing_that_another_shows(relearn, bits, expected, shown_by):
    """Two bits bring two oracles apart by nearly 1 in two seeds of eight; relearning does so by .01 to .07 and is held against that."""
    of_relearn, its_floor = frames(lambda s: relearn * (1 + 0.1 * s), lambda s: 0.01 * s)
    of_bits, floor_of_bits = frames(
        lambda s: bits * (1 + 0.01 * s), lambda s: float(s < 2 and not bits) * (0.9 - 0.1 * s)
    )
    single = [
        pd.concat([first.assign(attack="relearn"), second.assign(attack="quantize")])
        for first, second in ((of_relearn, of_bits), (its_floor, floor_of_bits))
    ]
    most = [
        of_relearn.assign(gap=np.maximum(of_relearn["gap"], of_bits["gap"])),
        its_floor.assign(floor=np.maximum(its_floor["floor"], floor_of_bits["floor"])),
    ]
    (row,) = over_attacks(standings(*most), standings(*single, by_attack=True)).to_dict("records")
    assert (row["word"], row["shown_by"]) == (expected, shown_by)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["forgotten", "hidden", "undecided"], "hidden"),
        (["forgotten", "forgotten"], "forgotten"),
        (["forgotten", "undecided"], "undecided"),
        ([], "undecided"),
    ],
)
def test_one_attack_hides_and_every_one_must_forget(words, expected):
    assert together(words) == expected


def test_a_floor_without_an_upper_end_decides_nothing():
    """Everything would lie below it."""
    (row,) = standings(*frames(lambda s: 0.9 - 0.01 * s, lambda s: 0.01 * s, range(6)), alpha=0.02).to_dict("records")
    assert math.isinf(row["floor_high"])
    assert row["word"] == "undecided"


def test_intervals_of_several_methods_hold_together():
    draw = np.random.default_rng(0)
    worst, two = frames(lambda _: draw.normal(0.2, 0.05), lambda _: 0.01)
    several = pd.concat([worst.assign(method=name, gap=draw.normal(0.2, 0.05, 8)) for name in "abcdef"] + [worst])
    (alone,) = standings(worst, two).to_dict("records")
    together = standings(several, two).set_index("method").loc["scrub"]
    assert together["low"] < alone["low"] < alone["high"] < together["high"]


def test_no_r_has_no_word():
    assert word(None, None) == "undecided"


def test_a_swapped_pair_of_seeds_has_one_gap_and_one_floor():
    """The gaps of a pair differ by chance of its examples, which cancels in the mean; a pair with one seed has none."""
    worst, two = frames(lambda s: 0.5 + 0.01 * s + (0.4 if s % 2 else -0.4), lambda s: 0.01 * s, range(13))
    (row,) = standings(worst, two, paired=True).to_dict("records")
    pairs = [0.505 + 0.02 * pair for pair in range(6)]
    (own,) = family([Differences([*pairs, np.nan])], 7)
    assert (row["gap"], row["low"], row["high"], row["seeds"]) == pytest.approx((own.effect, own.low, own.high, 6))
    assert (row["floor_seeds"], row["word"]) == (6, "hidden")
