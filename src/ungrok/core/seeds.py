"""Named seeds: every random draw has a name, so no draw depends on how many came before it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def derive(seed: int, *names: str | int) -> int:
    """Return a seed in [0, 2**63) that depends on ``seed`` and on every name, through SHA-256."""
    path = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator seeded with :func:`derive`."""
    return torch.Generator().manual_seed(derive(seed, *names))


class PrivateRandomState:
    """A global random state of one's own, kept apart from the caller's.

    Inside ``with state:`` the global generators of PyTorch (CPU, and CUDA where it has been used), Python and NumPy continue from
    where this object left them; outside, the caller's are untouched. Dropout, augmentation and the like then depend on ``seed``
    alone.

    Args:
        seed: Of all generators.
        torch_only: Leaves those of Python and NumPy out, which costs 0.1 ms less each time, where no data of a user's are read.

    """

    def __init__(self, seed: int, *, torch_only: bool = False) -> None:
        self._seed, self._torch_only = seed, torch_only
        self.states: list[torch.Tensor] = []
        """Those of PyTorch; empty before the first use."""
        self._others: tuple[Any, Any] | None = None
        self._caller: list[torch.Tensor] = []
        self._callers_others: tuple[Any, Any] = (None, None)

    @staticmethod
    def _get() -> list[torch.Tensor]:
        devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(i) for i in devices)]

    @staticmethod
    def _set(states: list[torch.Tensor]) -> None:
        torch.set_rng_state(states[0])
        for i, state in enumerate(states[1:]):
            torch.cuda.set_rng_state(state, i)

    @staticmethod
    def _get_others() -> tuple[Any, Any]:
        """Return the states of Python and NumPy, from which the data sets of users may draw."""
        return random.getstate(), np.random.get_state()  # noqa: NPY002

    @staticmethod
    def _set_others(states: tuple[Any, Any]) -> None:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002

    def __enter__(self) -> PrivateRandomState:
        self._caller = self._get()
        if not self._torch_only:
            self._callers_others = self._get_others()
            if self._others:
                self._set_others(self._others)
            else:
                random.seed(self._seed)
                np.random.seed(self._seed % 2**32)  # noqa: NPY002
        if self.states:
            self._set(self.states)
        else:
            torch.manual_seed(self._seed)
        return self

    def __exit__(self, *_: object) -> None:
        self.states = self._get()
        self._set(self._caller)
        if not self._torch_only:
            self._others = self._get_others()
            self._set_others(self._callers_others)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with the global random state seeded, and restore the caller's afterwards."""
    with PrivateRandomState(seed):
        yield
