"""Named seeds: every random draw has a name, so no draw depends on how many came before it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, *names: str | int) -> int:
    """Return a seed in [0, 2**63) that depends on ``seed`` and on every name, through SHA-256."""
    path = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator seeded with :func:`derive`."""
    return torch.Generator().manual_seed(derive(seed, *names))


class PrivateRandomState:
    """A global random state of PyTorch of one's own, kept apart from the caller's.

    Inside ``with state:`` the global generators (CPU, and CUDA where it has been used) continue from where this object
    left them; outside, the caller's are untouched. Dropout and the like then depend on ``seed`` alone.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.states: list[torch.Tensor] = []
        self._caller: list[torch.Tensor] = []

    @staticmethod
    def _get() -> list[torch.Tensor]:
        devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(i) for i in devices)]

    @staticmethod
    def _set(states: list[torch.Tensor]) -> None:
        torch.set_rng_state(states[0])
        for i, state in enumerate(states[1:]):
            torch.cuda.set_rng_state(state, i)

    def __enter__(self) -> PrivateRandomState:
        self._caller = self._get()
        if self.states:
            self._set(self.states)
        else:
            torch.manual_seed(self._seed)
        return self

    def __exit__(self, *_: object) -> None:
        self.states = self._get()
        self._set(self._caller)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with PyTorch's global random state seeded, and restore the caller's afterwards."""
    with PrivateRandomState(seed):
        yield
