"""What deletion costs under SISA, whose shards are trained apart and slice by slice."""

from __future__ import annotations

from ungrok.core.errors import RecipeError


def shards_hit(shards: int, requests: int) -> float:
    """Return how many shards are expected to hold any of K random examples: ``S·(1 − (1 − 1/S)^K)`` (Bourtoule et al., arXiv 1912.03817).

    Args:
        shards: S, at least 1.
        requests: K, at least 0; examples are in each shard with equal chance.

    Raises:
        RecipeError: If an argument is not allowed.

    """
    _check(shards=shards, slices=1, requests=requests)
    return shards * (1 - (1 - 1 / shards) ** requests)


def share_retrained(shards: int, slices: int, requests: int) -> float:
    """Return the expected share of all training that K random requests, taken together, make anew.

    A shard has R slices; its training has R parts, part k on slices 1 to k, each in proportion to what it reads. Part k is made anew unless
    all requests miss those slices: ``Σ k·[1 − (1 − k/(RS))^K] / Σ k``.

    Args:
        shards: S, at least 1.
        slices: R, at least 1.
        requests: K, at least 0.

    Returns:
        Between 0 and 1; 1 for any request where S = R = 1, which is retraining.

    Raises:
        RecipeError: If an argument is not allowed.

    """
    _check(shards=shards, slices=slices, requests=requests)
    parts = range(1, slices + 1)
    return sum(part * (1 - (1 - part / (slices * shards)) ** requests) for part in parts) / sum(parts)


def _check(*, shards: int, slices: int, requests: int) -> None:
    for name, value, least in (("shards", shards, 1), ("slices", slices, 1), ("requests", requests, 0)):
        if value != int(value) or value < least:
            raise RecipeError(f"{name}: {value} must be a whole number from {least} on")
