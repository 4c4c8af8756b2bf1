"""Which examples shadow models hold, against the rule written out; and the logits of a stage."""

from __future__ import annotations

import numpy as np
import pytest

from ungrok.audits.shadows import Shadows, Unlearned, held_by, holds, load_shadows, save_shadows
from ungrok.audits.signals import margins
from ungrok.core.errors import RecipeError

POOL, SIZE, SHADOWS = 200, 100, 64
SETS = [np.arange(3, 23), np.arange(40, 50)]
BARRED = np.arange(150, 170)


def every(seed=7):
    held = np.zeros((SHADOWS, POOL), dtype=bool)
    for shadow in range(SHADOWS):
        chosen = held_by(shadow, POOL, SIZE, SETS, BARRED, seed)
        assert np.array_equal(chosen, np.unique(chosen)), "each example once, in order"
        held[shadow, chosen] = True
    return held


def test_every_shadow_holds_as_many_examples_and_whole_forget_sets_or_nothing_of_them():
    held = every()
    assert set(held.sum(axis=1)) == {SIZE}
    assert not held[:, BARRED].any()
    for number, part in enumerate(SETS):
        inside = held[:, part]
        whole = [holds(shadow, len(SETS), 7)[number] for shadow in range(SHADOWS)]
        assert np.array_equal(inside, np.repeat(np.array(whole)[:, None], len(part), axis=1))
        assert sum(whole) == SHADOWS // 2
        assert all(whole[k] != whole[k + 1] for k in range(0, SHADOWS, 2)), "one of each pair"
    together = [holds(shadow, 2, 7) for shadow in range(SHADOWS)]
    assert {tuple(each) for each in together} == {(a, b) for a in (True, False) for b in (True, False)}


def test_other_examples_are_drawn_singly_each_in_about_half_of_the_shadows():
    held, single = every(), np.ones(POOL, dtype=bool)
    single[np.concatenate([*SETS, BARRED])] = False
    others = held[:, single]
    shared = others[::2] & others[1::2]
    assert set(shared.sum(axis=1)) == {2 * SIZE - 30 - single.sum()}, "a pair shares no more than it must"
    assert (others[::2] | others[1::2]).all()
    expected = (SIZE - 15) / single.sum()
    share = others.mean(axis=0)
    assert abs(share - expected).max() < 4 * np.sqrt(expected * (1 - expected) / (SHADOWS / 2))
    assert len({tuple(row) for row in others.tolist()}) == SHADOWS


def test_the_seed_alone_draws_and_no_shadow_depends_on_how_many_there_are():
    assert np.array_equal(every(), every())
    assert not np.array_equal(every(7), every(8))
    assert np.array_equal(held_by(5, POOL, SIZE, SETS, BARRED, 7), np.flatnonzero(every()[5]))


def test_forget_sets_that_leave_too_little_are_refused():
    shadow = next(k for k in (0, 1) if holds(k, 1, 7) == [True])
    with pytest.raises(RecipeError, match=r"audit.forget: .* 110 of 100 .* 90 of the pool of 200"):
        held_by(shadow, POOL, SIZE, [np.arange(110)], np.zeros(0, dtype=int), 7)


def drawn(models=6, test=4):
    draw = np.random.default_rng(0)
    held = np.stack([np.isin(np.arange(POOL), held_by(k, POOL, SIZE, SETS, BARRED, 7)) for k in range(models)])
    logits = draw.normal(size=(models, POOL, 3)).astype(np.float16)
    inside = np.flatnonzero(held[:, SETS[0]].all(axis=1))
    unlearned = Unlearned(inside, logits[inside] * 2, np.zeros((len(inside), test, 3), dtype=np.float16))
    return Shadows(
        "a/b", models + 2, np.arange(models), held, logits, logits[:, :test], draw.integers(3, size=POOL),
        draw.integers(3, size=test), {"first": SETS[0], "second": SETS[1]}, {"first": {"scrub": unlearned}},
    )  # fmt: skip


def test_signals_are_those_of_the_models_that_held_a_set_of_the_others_and_of_those_that_unlearned_it():
    stage = drawn()
    assert stage.share == 6 / 8
    whole = margins(stage.logits, stage.targets)[:, SETS[0]]
    inside = np.array([holds(k, 2, 7)[0] for k in range(6)])
    assert inside.sum() == 3
    assert np.array_equal(stage.holding("first"), inside)
    assert np.array_equal(stage.original("first"), whole[inside])
    assert np.array_equal(stage.never("first"), whole[~inside])
    doubled = margins(stage.logits * 2, stage.targets)[:, SETS[0]]
    assert np.array_equal(stage.after("first", "scrub"), doubled[inside])
    with pytest.raises(RecipeError, match="forget: 'third' is not known; allowed: first, second"):
        stage.never("third")
    with pytest.raises(RecipeError, match="method: 'salun' is not known; allowed: scrub"):
        stage.after("first", "salun")


def test_a_stage_is_read_as_it_was_written(tmp_path):
    stage = drawn()
    save_shadows(tmp_path / "shadows", [stage])
    again = load_shadows(tmp_path)
    assert (again.stage, again.trained) == ("a/b", 8)
    for name in ("numbers", "held", "logits", "test", "targets", "test_targets"):
        assert np.array_equal(getattr(again, name), getattr(stage, name))
        assert getattr(again, name).dtype == getattr(stage, name).dtype
    assert np.array_equal(again.forget["second"], SETS[1])
    assert np.array_equal(again.after("first", "scrub"), stage.after("first", "scrub"))
    assert np.array_equal(again.unlearned["first"]["scrub"].numbers, stage.unlearned["first"]["scrub"].numbers)
    with pytest.raises(RecipeError, match="stage: 'final' is not known; allowed: a/b"):
        load_shadows(tmp_path, "final")
    with pytest.raises(RecipeError, match="holds no shadow models"):
        load_shadows(tmp_path / "elsewhere")
