"""What deletion costs under SISA: closed forms, and requests drawn one by one."""

import numpy as np
import pytest

from ungrok.audits.sharded import shards_hit, share_retrained
from ungrok.core.errors import RecipeError


def test_known_numbers_of_shards():
    assert shards_hit(1, 5) == 1
    assert shards_hit(10, 0) == 0
    assert shards_hit(10, 1) == pytest.approx(1)
    assert shards_hit(2, 2) == pytest.approx(1.5)


def test_one_shard_of_one_slice_is_retraining():
    assert share_retrained(1, 1, 1) == 1
    assert share_retrained(4, 1, 1) == pytest.approx(0.25)
    # Of two slices, parts of sizes 1 and 2: a request in the first redoes all, in the second part 2 alone.
    assert share_retrained(1, 2, 1) == pytest.approx((1 + 2 / 3) / 2)


def test_drawn_requests_agree():
    rng = np.random.default_rng(0)
    shards, slices, requests, trials = 5, 4, 3, 4000
    drawn = rng.integers(0, shards * slices, (trials, requests))
    hit, parts = np.zeros((trials, shards)), np.arange(1, slices + 1)
    redone = np.zeros((trials, shards))
    for shard in range(shards):
        here = np.where(drawn // slices == shard, drawn % slices, slices)
        hit[:, shard] = (here < slices).any(axis=1)
        redone[:, shard] = ((parts > here.min(axis=1)[:, None]) * parts).sum(axis=1) / parts.sum()
    for sampled, expected in (
        (hit.sum(axis=1), shards_hit(shards, requests)),
        (redone.mean(axis=1), share_retrained(shards, slices, requests)),
    ):
        assert sampled.mean() == pytest.approx(expected, abs=4 * sampled.std() / trials**0.5)


def test_what_is_refused():
    with pytest.raises(RecipeError, match="shards: 0 must be a whole number from 1 on"):
        shards_hit(0, 1)
    with pytest.raises(RecipeError, match="requests: -1"):
        share_retrained(1, 1, -1)
