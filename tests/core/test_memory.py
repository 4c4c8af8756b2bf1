"""What does not fit into memory is refused by an estimate."""

from __future__ import annotations

import pytest

from ungrok.core import memory as module
from ungrok.core.errors import RecipeError
from ungrok.core.memory import check_fits, memory, readable


def test_more_than_the_machine_has_is_refused(monkeypatch):
    monkeypatch.setattr(module, "memory", lambda: 8_000_000_000)
    check_fits(8e9, "model.width", "weights")
    with pytest.raises(RecipeError) as error:
        check_fits(8.01e9, "model.width", "weights")
    assert str(error.value) == (
        "model.width: weights need about 8.01 GB of memory, and this machine has 8 GB; lower it"
    )


def test_this_machine_has_some():
    assert 2**28 < memory() < 2**50


@pytest.mark.parametrize(
    ("size", "text"),
    [(1, "0.001 kB"), (999, "0.999 kB"), (1500, "1.5 kB"), (2**30, "1.07 GB"), (1e12, "1 TB"), (4e19, "40 EB"), (4e25, "4e+07 EB")],
)  # fmt: skip
def test_sizes_are_readable(size, text):
    assert readable(size) == text
