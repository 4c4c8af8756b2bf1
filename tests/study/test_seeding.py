"""Seeds by name: a changed name would change every number of a study."""

from __future__ import annotations

import pytest

from ungrok.core.seeds import derive
from ungrok.study.seeding import Seeds, batch_order, fresh_weights, initial_weights, path_batches


@pytest.mark.parametrize(
    "name", ["base", "training", "noise", "forget", "unlearning", "probe", "analysis", "data", "shadows"]
)
def test_each_draw_of_a_seed_has_its_own_name(name):
    assert getattr(Seeds(7), name) == derive(7, name)


def test_seeds_of_jobs_follow_from_those_of_the_study():
    assert initial_weights(7) == derive(7, "init")
    assert batch_order(7) == derive(7, "training")
    assert fresh_weights(7) == derive(7, "factory")
    assert path_batches(7, "retain") == derive(7, "retain")


def test_the_first_draw_and_repeat_have_the_seeds_of_the_only_one():
    assert [Seeds(7).forget_of(draw) for draw in (0, 1)] == [derive(7, "forget"), derive(7, "forget", 1)]
    assert [Seeds(7).unlearning_of(n) for n in (0, 2)] == [derive(7, "unlearning"), derive(7, "unlearning", 2)]


def test_requests_and_phases_have_seeds_of_their_own_and_the_first_that_of_the_only_one():
    assert Seeds(7).requests_of(1) == (derive(7, "forget"),)
    assert Seeds(7).requests_of(3) == (
        derive(7, "forget"),
        derive(7, "forget", "request", 2),
        derive(7, "forget", "request", 3),
    )
    assert [Seeds(7).unlearning_in(n) for n in (1, 2)] == [derive(7, "unlearning"), derive(7, "unlearning", "phase", 2)]


def test_every_shadow_has_seeds_of_its_own():
    assert Seeds(7).shadow_of(3) == derive(derive(7, "shadows"), "training", 3)
    assert Seeds(7).shadow_unlearning_of(3) == derive(derive(7, "shadows"), "unlearning", 3)
