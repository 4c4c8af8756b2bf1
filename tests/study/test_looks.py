"""Looks at a study: what each may spend, whatever was judged before."""

from __future__ import annotations

import os

import pytest

from ungrok.core.errors import DamagedFile
from ungrok.study.claims import judge
from ungrok.study.looks import Look, judged, look, share, study_digest
from ungrok.study.outputs import doses_of
from ungrok.study.results import collect
from ungrok.study.store import Store

HEADLINE = {"compare": [{"stage": "pre_grok"}, {"stage": "grokked"}], "target": 0.1, "metrics": ["same_rate"]}
OTHER = HEADLINE | {"target": 0.5}
SIX, EIGHT, TEN = (list(range(count)) for count in (6, 8, 10))


@pytest.fixture
def store(tmp_path):
    """Return a store that no study has used yet."""
    return Store(tmp_path / "store")


def ledgers(store):
    return {path.name: path.read_bytes() for path in (store.root / "looks").glob("*")}


def test_shares_halve_what_is_left_and_never_sum_to_more_than_one():
    left = 1.0
    for number in range(1, 40):
        spent = share(number)
        assert spent == pytest.approx(left * (4 / 5 if number == 1 else 1 / 2))
        left -= spent
    assert [share(number) for number in (1, 2, 3)] == pytest.approx([0.8, 0.1, 0.05])
    assert sum(map(share, range(1, 200))) <= 1


def test_each_set_of_seeds_is_a_look_and_knows_the_ones_before(store, tiny):
    looks = [look(store, tiny(f"seeds={seeds}"), HEADLINE) for seeds in (SIX, EIGHT, TEN)]
    assert [each.number for each in looks] == [1, 2, 3]
    assert [each.alpha for each in looks] == pytest.approx([0.04, 0.005, 0.0025])
    assert looks[2].seeds_before == (tuple(SIX), tuple(EIGHT))
    assert all(each.first_headline_same for each in looks)


def test_the_same_seeds_in_any_order_are_the_same_look_also_later(store, tiny):
    first = look(store, tiny(f"seeds={SIX}"), HEADLINE)
    look(store, tiny(f"seeds={TEN}"), HEADLINE)
    before = ledgers(store)
    again = look(store, tiny(f"seeds={SIX[::-1]}", "name=renamed"), HEADLINE)
    assert again == first
    assert (again.number, again.seeds_before) == (1, ())
    assert ledgers(store) == before != {}


def test_another_headline_is_not_the_first_and_spends_nothing(store, tiny):
    look(store, tiny(f"seeds={SIX}"), HEADLINE)
    before = ledgers(store)
    other = look(store, tiny(f"seeds={TEN}"), OTHER)
    assert (other.number, other.first_headline_same, other.seeds_before) == (0, False, (tuple(SIX),))
    assert ledgers(store) == before
    assert look(store, tiny(f"seeds={TEN}"), HEADLINE).number == 2


def test_too_few_seeds_fix_the_headline_but_spend_nothing(store, tiny):
    few = look(store, tiny("seeds=[0]"), HEADLINE)
    assert (few.number, few.first_headline_same) == (0, True)
    six = look(store, tiny(f"seeds={SIX}"), HEADLINE)
    assert (six.number, six.alpha, six.seeds_before) == (1, pytest.approx(0.04), ((0,),))
    assert not look(store, tiny(f"seeds={SIX}"), OTHER).first_headline_same


def test_alpha_may_be_lowered_later_but_not_raised(store, tiny):
    alphas = [
        look(store, tiny(f"seeds={seeds}", f"claims.alpha={alpha}"), HEADLINE).alpha
        for seeds, alpha in ((SIX, 0.05), (EIGHT, 0.01), (TEN, 0.5))
    ]
    assert alphas == pytest.approx([0.05 * 0.8, 0.01 * 0.1, 0.05 * 0.05])


def test_studies_that_differ_in_more_than_seeds_claims_and_name_are_others(store, tiny):
    same = tiny("seeds=[7]", "name=renamed", "claims.targets=[0.5]")
    assert study_digest(same) == study_digest(tiny()) != study_digest(tiny("trajectory.steps=149"))
    for more in ("analyze=[{kind: weight_norm}]", "schemes=[{kind: sisa}]", "audit={shadows: 16}"):
        assert study_digest(tiny(more)) == study_digest(tiny())
    assert look(store, tiny(f"seeds={SIX}"), HEADLINE).number == 1
    assert look(store, tiny(f"seeds={TEN}", "trajectory.steps=149"), OTHER).number == 1
    assert len(ledgers(store)) == 2


@pytest.mark.parametrize("judged_before", [True, False])
def test_a_store_that_cannot_be_written_is_read(store, tiny, monkeypatch, judged_before):
    if judged_before:
        look(store, tiny(f"seeds={SIX}"), HEADLINE)
    before = ledgers(store)

    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", refuse)
    monkeypatch.setattr("ungrok.study.looks.locked", refuse)
    ten = look(store, tiny(f"seeds={TEN}"), HEADLINE)
    assert (ten.number, ten.alpha) == ((2, pytest.approx(0.005)) if judged_before else (1, pytest.approx(0.04)))
    assert ledgers(store) == before


def test_a_damaged_record_is_named_and_what_removing_it_means(store, tiny):
    look(store, tiny(f"seeds={SIX}"), HEADLINE)
    (path,) = (store.root / "looks").glob("*")
    path.write_text(path.read_text().replace("0.05", "0.5"))
    with pytest.raises(DamagedFile, match="does not match its checksum; it counts the looks at a study"):
        look(store, tiny(f"seeds={TEN}"), HEADLINE)


def test_a_study_is_judged_at_what_its_look_may_spend(finished, store):
    """Looks are counted in a store of their own, since other tests may have looked at the finished study."""
    plan, _ = finished
    rows, doses = collect(*finished).rows, doses_of(*finished)
    more = plan.recipe.model_copy(update={"seeds": EIGHT})
    assert judged(store, more, rows, doses)[1] == Look(pytest.approx(0.04), 1, (), first_headline_same=True)
    assert judged(store, more, rows, doses)[0] == judge(rows, more, doses, 0.04)
    changed = more.model_copy(update={"claims": more.claims.model_copy(update={"targets": [0.5]})})
    verdicts, later = judged(store, changed, rows, doses)
    assert not later.first_headline_same
    assert [verdict for verdict in verdicts if verdict.headline and not verdict.noted("looked_otherwise")] == []
    assert sum(verdict.headline for verdict in verdicts) > 0
    alone = more.model_copy(update={"claims": more.claims.model_copy(update={"compare": []})})
    assert judged(store, alone, rows, doses) == ([], None)


def test_a_look_at_fewer_than_six_swapped_pairs_spends_nothing(store, tiny):
    exposure = "trajectory.exposure={within: class}"
    five = look(store, tiny(f"seeds={TEN}", exposure), HEADLINE)
    six = look(store, tiny(f"seeds={list(range(12))}", exposure), HEADLINE)
    assert (five.number, six.number, six.alpha) == (0, 1, pytest.approx(0.04))
