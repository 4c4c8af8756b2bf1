"""Collecting garbage stops inside the block only, and only where it was on."""

import gc

import pytest

from ungrok.core.collector import paused


@pytest.mark.parametrize("on", [True, False])
def test_the_collector_is_left_as_it_was(on):
    try:
        (gc.enable if on else gc.disable)()
        with paused():
            assert not gc.isenabled()
        assert gc.isenabled() == on
        with pytest.raises(KeyError), paused():
            raise KeyError
        assert gc.isenabled() == on
    finally:
        gc.enable()
