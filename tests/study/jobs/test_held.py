"""What a shadow model of a study is trained on, against its rules applied by hand."""

from __future__ import annotations

import pytest
import torch

from ungrok.core.errors import RecipeError
from ungrok.data.digits import Digits
from ungrok.data.forget import AtRandom, Mislabeled, WholeClass
from ungrok.study.jobs.blocks import Forget
from ungrok.study.jobs.held import Held, drawn_sets

PROBLEM = Digits(train_size=120, validation_size=100, label_noise=0.1)
CLASS, RANDOM, WRONG = (Forget(rule=rule, seed=3) for rule in (WholeClass(), AtRandom(size=20), Mislabeled()))


@pytest.fixture(scope="module")
def pool():
    return PROBLEM.pool()[0].load()


def test_the_recipes_own_examples_are_the_first_of_the_pool(pool):
    own = PROBLEM.load()
    assert PROBLEM.pool()[1] == 120
    assert len(pool.train) == 240
    assert torch.equal(pool.train.inputs[:120], own.train.inputs)


def test_a_whole_class_is_the_recipes_own_and_no_shadow_sees_more_of_it(pool):
    targets = pool.train.targets
    drawn = drawn_sets(pool, 120, [CLASS])
    (label,) = targets[drawn.sets[0]].unique().tolist()
    of_class = (targets == label).nonzero()[:, 0]
    assert drawn.sets[0].tolist() == [i for i in of_class.tolist() if i < 120]
    assert drawn.barred.tolist() == [i for i in of_class.tolist() if i >= 120] != []
    clean = Digits(train_size=120, validation_size=100)
    expected = clean.load().train
    split = WholeClass().split(clean.load(), 3)
    sets = drawn_sets(clean.pool()[0].load(), 120, [CLASS]).sets
    assert torch.equal(sets[0], split.forget), "that of a study with this seed"
    assert len(expected) == 120


def test_each_set_is_drawn_from_what_those_before_it_leave(pool):
    sets = drawn_sets(pool, 120, [CLASS, RANDOM, WRONG]).sets
    together = torch.cat(sets)
    assert len(together.unique()) == len(together)
    assert int(together.max()) < 120
    assert len(sets[1]) == 20
    wrong = {i for i in pool.mislabeled.tolist() if i < 120}
    assert set(sets[2].tolist()) == wrong - set(sets[0].tolist()) - set(sets[1].tolist())
    with pytest.raises(RecipeError, match=r"audit.forget: 'class' after 1 other sets: .* no training examples"):
        drawn_sets(pool, 120, [CLASS, CLASS])


def test_its_data_are_its_examples_and_the_same_others(pool):
    for shadow in range(6):
        held = Held(shadow=shadow, seed=5, size=120, forget=[CLASS, RANDOM])
        chosen, data = held.examples(pool), held.of(pool)
        assert len(chosen) == 120
        assert torch.equal(data.train.inputs, pool.train.inputs[chosen])
        assert torch.equal(data.train.targets, pool.train.targets[chosen])
        assert torch.equal(data.test.inputs, pool.test.inputs)
        assert {int(chosen[i]) for i in data.mislabeled} == {*pool.mislabeled.tolist()} & {*chosen.tolist()}


def test_a_set_that_it_holds_is_a_split_of_its_own_examples(pool):
    block = drawn_sets(pool, 120, [CLASS, RANDOM]).sets[1]
    held = [Held(shadow=shadow, seed=5, size=120, forget=[CLASS, RANDOM]) for shadow in (0, 1)]
    (own,) = [one for one in held if block[0] in one.examples(pool)]
    split, chosen = own.split(pool, RANDOM), own.examples(pool)
    assert torch.equal(chosen[split.forget], block)
    assert sorted([*split.forget.tolist(), *split.retain.tolist()]) == list(range(120))
    assert split.classes == tuple(pool.train.targets[block].unique().tolist())


def test_it_is_read_as_it_is_stored_and_without_labels():
    named = Forget(rule=WholeClass(name="mine"), seed=3)
    held = Held(shadow=4, seed=5, size=120, forget=[named])
    assert held.spec()["forget"] == [{"kind": "class", "label_to_forget": None, "seed": 3}]
    assert Held.model_validate(held.spec()) == held
