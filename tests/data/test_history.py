"""Which record stands for a step."""

import numpy as np
import pytest

from ungrok.data.history import LossHistory

HISTORY = LossHistory(np.array([0, 4, 10]), np.zeros((3, 2)), np.zeros((3, 2)), per_epoch=4)


@pytest.mark.parametrize(("step", "place"), [(0, 0), (3, 0), (4, 1), (9, 1), (10, 2), (50, 2)])
def test_the_last_record_that_is_not_after_a_step(step, place):
    assert HISTORY.at(step) == place
