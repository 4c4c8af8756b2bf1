"""Privacy at two stages: joint flips of whole shadow models beside a slow version, the error rate under two nulls, and planted differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from ungrok.audits import ulira
from ungrok.audits.planted import CANNOT_TELL, MAY_SPEAK
from ungrok.audits.shadows import Shadows, Unlearned
from ungrok.study.loading import load
from ungrok.study.looks import Look, look, look_at_shadows, share
from ungrok.study.privacy import Group, Paired, family, flipped, privacy
from ungrok.study.recipe_audit import family_alpha, privacy_pairs
from ungrok.study.store import Store

TINY = str(Path(__file__).with_name("tiny.yaml"))
AUDITED = [
    "stages=[memorized, final]",
    "claims.compare=[[memorized, final]]",
    "claims.alpha=0.05",
    "audit={shadows: 16}",
]


def drawn(numbers, apart, models=8, examples=12, scale=1.0, moved=0.0):
    """Return a row whose unlearned models lie ``apart`` deviations above the others, at the earlier and at the later stage."""
    hard = numbers.normal(size=examples)
    members, others = (hard + numbers.normal(size=(2, models, examples)) for _ in range(2))
    later = [scale * side + moved for side in (members[1] + apart[1], others[1])]
    groups = np.arange(0, 2 * models, 2), np.arange(1, 2 * models, 2)
    return Group(groups[0], members[0] + apart[0], later[0]), Group(groups[1], others[0], later[1])


def test_flips_and_the_jackknife_are_those_of_a_slow_version():
    numbers = np.random.default_rng(0)
    rows = [drawn(numbers, (1.5, 0.5)), drawn(numbers, (1.0, 1.0))]
    outcomes = flipped([Paired(*row) for row in rows], 16, alpha=0.1, flips=20)
    signs = 1.0 - 2.0 * np.random.default_rng(0).integers(0, 2, (20, 8))
    signs[0] = 1
    table = np.zeros((2, 20))
    for place, (unlearned, never) in enumerate(rows):
        center = [never.earlier.mean(axis=0), never.later.mean(axis=0)]
        spread = [never.earlier.std(axis=0, ddof=1), never.later.std(axis=0, ddof=1)]
        for flip, sign in enumerate(signs):
            stages = []
            for stage in (0, 1):
                sides = []
                for group in (unlearned, never):
                    margins = []
                    for row, shadow in enumerate(group.numbers):
                        own = stage if sign[shadow // 2] > 0 else 1 - stage
                        margins.append(((group.earlier, group.later)[own][row] - center[own]) / spread[own])
                    sides.append(np.array(margins))
                stages.append(abs(ulira(*sides, draws=2).auc - 0.5))
            table[place, flip] = stages[0] - stages[1]
    statistics = np.abs(table) / np.sqrt((table**2).mean(axis=1, keepdims=True))
    largest = statistics.max(axis=0)
    reach = sorted(largest, reverse=True)[2]
    for place, outcome in enumerate(outcomes):
        size, effect = np.sqrt((table[place] ** 2).mean()), table[place, 0]
        error = slow_jackknife(*rows[place])
        half = max(reach * size, student.ppf(1 - 0.1 / 4, 7) * error)
        alone = 2 * (1 - student.cdf(abs(effect) / error, 7))
        assert outcome.effect == pytest.approx(effect)
        assert (outcome.low, outcome.high) == pytest.approx((effect - half, effect + half))
        flips = np.mean(largest >= statistics[place, 0] - 1e-9)
        assert outcome.p_value == pytest.approx(max(flips, min(1, 2 * alone)))


def slow_jackknife(unlearned, never):
    """Return the standard error of the effect of a row of pairs 0 to 7, each left out in turn."""
    without = []
    for pair in range(8):
        aucs = []
        for stage in ("earlier", "later"):
            sides = [
                [
                    margins
                    for number, margins in zip(side.numbers, getattr(side, stage), strict=True)
                    if number // 2 != pair
                ]
                for side in (unlearned, never)
            ]
            aucs.append(ulira(*map(np.array, sides), draws=2).auc)
        without.append(abs(aucs[0] - 0.5) - abs(aucs[1] - 0.5))
    mean = sum(without) / 8
    return np.sqrt(7 / 8 * sum((one - mean) ** 2 for one in without))


MIXED = np.where(np.arange(12) % 2, 0.7, -0.7)


@pytest.mark.parametrize(
    ("apart", "kind"),
    [((0.7, 0.7), {}), ((0.7, 0.7), {"scale": 2.0, "moved": 3.0}), ((1.0, -1.0), {}), ((0.7, MIXED), {})],
    ids=["same margins", "larger margins later", "too little and too much", "both within a stage"],
)
def test_no_difference_in_privacy_is_named_at_most_as_often_as_alpha_says(apart, kind):
    numbers, tables = np.random.default_rng(1), 200
    named = [
        outcome.low > 0 or outcome.high < 0
        for _ in range(tables)
        for outcome in flipped([Paired(*drawn(numbers, apart, **kind))], 16, alpha=0.05, flips=40)
    ]
    assert np.mean(named) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / tables)


@pytest.mark.parametrize(("apart", "sign"), [((2.0, 0.2), 1), ((0.2, 2.0), -1)])
def test_planted_differences_are_found_on_their_side(apart, sign):
    (outcome,) = flipped([Paired(*drawn(np.random.default_rng(2), apart, models=16))], 32, alpha=0.025)
    assert sign * outcome.effect > 0.2
    assert outcome.p_value <= 0.025
    assert sign * (outcome.low if sign > 0 else outcome.high) > 0


def test_margins_that_are_only_larger_are_no_difference():
    first, others = drawn(np.random.default_rng(3), (1.0, 1.0))
    same = [Group(group.numbers, group.earlier, 3 * group.earlier + 5) for group in (first, others)]
    (outcome,) = flipped([Paired(*same)], 16, alpha=0.05, flips=50)
    assert outcome.effect == pytest.approx(0, abs=1e-12)
    assert outcome.p_value == 1


def shadows(stage, apart, seed, models=16):
    """Return shadow models of which the even ones held a forget set of 12 examples of two classes and unlearned it with one method."""
    numbers = np.random.default_rng(seed)
    held = np.zeros((models, 20), dtype=bool)
    held[::2, :12] = True
    held[1::2, 12:] = True
    margins = numbers.normal(size=(models, 20))
    after = numbers.normal(size=(models // 2, 20)) + apart
    logits, unlearned = (np.stack([m, np.zeros_like(m)], axis=-1).astype(np.float16) for m in (margins, after))
    targets = np.zeros(20, dtype=np.int64)
    own = Unlearned(np.arange(0, models, 2), unlearned, unlearned[:, :4])
    return Shadows(
        stage,
        models,
        np.arange(models),
        held,
        logits,
        logits[:, :4],
        targets,
        targets[:4],
        {"class-0": np.arange(12)},
        {"class-0": {"gradient_ascent": own}},
    )


FIRST = Look(0.025, 1, (), first_headline_same=True)


def planted(words):
    return [
        {"stage": stage, "forget": "class-0", "measure": "ulira", "words": words} for stage in ("memorized", "final")
    ]


def test_the_answer_says_which_way_and_over_how_many():
    recipe = load(TINY, AUDITED)
    every = [shadows("memorized", -3.0, 0), shadows("final", -1.0, 1)]
    told = privacy(recipe, every, planted(MAY_SPEAK), FIRST)
    (row,) = told["rows"]
    assert (row["word"], row["shadows"], told["alpha"]) == ("supported", 16, 0.025)
    assert row["earlier"] > 0.9
    assert row["down"] == [1.0, 1.0]
    assert row["effect"] == pytest.approx(abs(row["earlier"] - 0.5) - abs(row["later"] - 0.5))
    assert told["answer"]["verdict"] == "supported"
    assert told["answer"]["text"] == (
        "At the end unlearned models are harder to tell from models that never saw the data than at memorization in 1 of 1 settings (a method and a "
        f"forget set); U-LiRA's AUC is {row['earlier']:.2f} and {row['later']:.2f} in the median; 16 of 16 shadow models reached both stages."
    )
    (back,) = privacy(recipe, [shadows("memorized", -1.0, 1), shadows("final", -3.0, 0)], planted(MAY_SPEAK), FIRST)[
        "rows"
    ]
    assert back["word"] == "refuted"


def test_a_row_has_no_word_where_the_measure_may_not_speak():
    recipe = load(TINY, AUDITED)
    every = [shadows("memorized", -3.0, 0), shadows("final", -1.0, 1)]
    told = privacy(recipe, every, planted(CANNOT_TELL), FIRST)
    assert [row["word"] for row in told["rows"]] == [CANNOT_TELL]
    assert told["answer"]["verdict"] == CANNOT_TELL


def test_a_row_has_no_word_where_models_did_not_come_down_to_those_that_never_saw_the_set():
    recipe = load(TINY, AUDITED)
    (row,) = privacy(recipe, [shadows("memorized", 3.0, 0), shadows("final", -1.0, 1)], planted(MAY_SPEAK), FIRST)[
        "rows"
    ]
    assert row["interval"][0] > 0
    assert (row["down"], row["word"]) == ([0.0, 1.0], "inconclusive")


def test_both_families_have_half_of_alpha_and_without_an_audit_there_is_one(tmp_path):
    audited, plain = load(TINY, AUDITED), load(TINY, AUDITED[:-1])
    assert [[side.stage for side in pair] for pair in privacy_pairs(audited)] == [["memorized", "final"]]
    assert (family_alpha(audited), family_alpha(plain)) == (0.025, 0.05)
    assert not privacy_pairs(plain)
    headline = {"metrics": ["damage"]}
    own, other = (look(Store(tmp_path / name), one, headline) for name, one in (("a", audited), ("b", plain)))
    assert own.alpha == pytest.approx(other.alpha / 2)


def test_more_shadow_models_are_another_look_at_half_of_what_is_left(tmp_path):
    store = Store(tmp_path)
    first, more = load(TINY, AUDITED), load(TINY, [*AUDITED[:-1], "audit={shadows: 32}"])
    spent = [look_at_shadows(store, one, family(one), 8) for one in (first, more, more)]
    assert [(one.number, one.alpha) for one in spent] == [(1, 0.025 * share(1))] + 2 * [(2, 0.025 * share(2))]
    assert spent[1].seeds_before == (tuple(range(16)),)
    every = [shadows("memorized", -3.0, 0, models=32), shadows("final", -1.0, 1, models=32)]
    told = privacy(more, every, planted(MAY_SPEAK), spent[1])
    assert (told["alpha"], told["looked"]) == (spent[1].alpha, [16])
    assert told["rows"][0]["p_value"] <= spent[1].alpha
    assert told["rows"][0]["word"] == "supported"


def test_where_other_settings_were_judged_before_all_words_are_exploratory(tmp_path):
    store = Store(tmp_path)
    first, other = load(TINY, AUDITED), load(TINY, [*AUDITED[:-1], "audit={shadows: 16, place: dose}"])
    look_at_shadows(store, first, family(first), 8)
    own = look_at_shadows(store, other, family(other), 8)
    told = privacy(first, [shadows("memorized", -3.0, 0), shadows("final", -1.0, 1)], planted(MAY_SPEAK), own)
    assert [row["word"] for row in told["rows"]] == ["exploratory"]
    assert told["answer"]["verdict"] == "exploratory"


@pytest.mark.parametrize(("looked", "spent"), [([], 0.05 / 2), ([6], 0.05 * share(2)), ([6, 8], 0.05 * share(3))])
def test_an_audit_that_follows_the_headline_spends_what_its_next_look_would(tmp_path, looked, spent):
    store, headline = Store(tmp_path), {"metrics": ["damage"]}
    for count in looked:
        look(store, load(TINY, [*AUDITED[:-1], f"seeds={list(range(count))}"]), headline)
    audited = load(TINY, AUDITED)
    assert look_at_shadows(store, audited, family(audited), 8).alpha == pytest.approx(spent * share(1))
