"""Named seeds and the random state that is kept apart from the caller's."""

import random
from contextlib import suppress

import numpy as np
import pytest
import torch

from ungrok.core.seeds import PrivateRandomState, derive, generator, seeded

# Recorded once. A change here silently changes every split, order and initialization of every stored study.
PINNED = {
    (0,): 3456079177858693020,
    (0, "split"): 3769940940748469125,
    (3, "order"): 4004221479398028008,
    (0, "epoch", 0): 3436799098431864646,
    (7, "forget", "classes"): 743095522131562471,
}


@pytest.mark.parametrize(("parts", "value"), PINNED.items())
def test_known_seeds(parts, value):
    assert derive(*parts) == value


def test_every_name_matters():
    parts = [(0,), (1,), (0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "b", "a"), (0, "a", 1), (0, "ab")]
    seeds = [derive(*part) for part in parts]
    assert len(set(seeds)) == len(parts)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_draw_does_not_depend_on_draws_under_other_names():
    alone = torch.rand(3, generator=generator(0, "a"))
    torch.rand(100, generator=generator(0, "b"))
    torch.rand(100)
    assert torch.equal(torch.rand(3, generator=generator(0, "a")), alone)
    assert not torch.equal(torch.rand(3, generator=generator(0, "b")), alone)


def test_private_state_continues_its_own_stream_and_leaves_the_callers_alone():
    torch.manual_seed(11)
    private = torch.rand(6)
    torch.manual_seed(5)
    outside = torch.rand(4)
    torch.manual_seed(5)
    state, inner, outer = PrivateRandomState(11), [], []
    for _ in range(2):
        outer.append(torch.rand(2))
        with state:
            inner.append(torch.rand(3))
    assert torch.equal(torch.cat(inner), private)
    assert torch.equal(torch.cat(outer), outside)


def test_private_state_can_be_carried_over():
    first = PrivateRandomState(1)
    with first:
        torch.rand(3)
    second = PrivateRandomState(2)
    second.states = [state.clone() for state in first.states]
    with first:
        expected = torch.rand(3)
    with second:
        assert torch.equal(torch.rand(3), expected)


def test_python_and_numpy_draw_from_the_private_state_too():
    def draw():
        return random.random(), float(np.random.rand())  # noqa: NPY002

    def stream():
        state, drawn = PrivateRandomState(11), []
        for _ in range(2):
            with state:
                drawn.append(draw())
        return drawn

    before = random.getstate(), np.random.get_state()[1:3]  # noqa: NPY002
    first = stream()
    assert random.getstate() == before[0]
    np.testing.assert_equal(np.random.get_state()[1:3], before[1])  # noqa: NPY002
    draw()
    assert stream() == first
    assert first[0] != first[1]


def test_callers_state_comes_back_after_an_error():
    before = torch.get_rng_state()
    with suppress(ZeroDivisionError), seeded(3):
        torch.rand(1)
        raise ZeroDivisionError
    assert torch.equal(torch.get_rng_state(), before)
