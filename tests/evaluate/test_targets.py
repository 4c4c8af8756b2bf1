"""When a path first reaches a level, by hand."""

import pytest

from ungrok.evaluate.targets import first_passage, target_column


@pytest.mark.parametrize(
    ("ua", "level", "place"),
    [
        ([1.0, 0.6, 0.3, 0.5, 0.1], 0.5, 2),
        ([1.0, 0.6, 0.5, 0.3], 0.5, 2),
        ([0.4, 0.6], 0.5, 0),
        ([1.0, 0.9], 0.5, "never"),
        ([1.0, None, 0.4], 0.5, 2),
        ([1.0, 0.6, None], 0.5, "never"),
        ([None], 0.5, "never"),
        ([1.0, 0.0], None, None),
        ([1.0, 0.0], 0.0, 1),
        ([1.0, 1 / 3], 0.3333333333333333 - 1e-16, 1),
        ([1.0, 0.51], 0.5, "never"),
    ],
)
def test_first_passage(ua, level, place):
    assert first_passage(ua, level) == place


@pytest.mark.parametrize(
    ("target", "column"), [(0.1, "reached_0.1"), (0.5, "reached_0.5"), (1.0, "reached_1"), ("oracle", "reached_oracle")]
)
def test_columns(target, column):
    assert target_column(target) == column
