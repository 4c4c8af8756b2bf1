"""Doses at which paths are compared, and what a path will cost."""

import pytest

from ungrok.methods import UNLEARNERS
from ungrok.study.jobs.blocks import Forget
from ungrok.study.jobs.paths import PathSpec, arrived, matched_dose
from ungrok.study.recipe_blocks import BatchSizes


def method(kind, **settings):
    return UNLEARNERS.parse({"kind": kind, **settings})


@pytest.mark.parametrize(("share", "dose"), [(1.0, 40), (0.5, 20), (0.01, 1)])
def test_the_matched_dose_of_an_iterative_method_is_a_share_of_its_updates(share, dose):
    assert matched_dose(method("gradient_ascent", updates=40), 40, share, 0.5) == dose


@pytest.mark.parametrize(("share", "dose"), [(1.0, 0.3), (0.5, 0.2), (0.01, 0.1)])
def test_that_of_a_one_shot_method_is_a_share_of_its_strengths(share, dose):
    assert matched_dose(method("fisher", alpha=[0.1, 0.2, 0.3]), 0.3, 1.0, share) == dose


@pytest.mark.parametrize(
    ("settings", "updates"),
    [
        ({"kind": "gradient_ascent", "updates": 7}, 7),
        ({"kind": "gradient_ascent", "epochs": 2}, 20),
        ({"kind": "fisher"}, 0),
        ({"kind": "rewind_to_delete", "updates": 8}, 8),
        ({"kind": "rewind_to_delete", "share": 0.5}, 0),
    ],
)
def test_updates_are_guessed_from_epochs(settings, updates):
    forget = Forget.model_validate({"kind": "class", "seed": 1})
    spec = PathSpec(unlearn=method(**settings), forget=forget, seed=1, batches=BatchSizes())
    assert spec.updates() == updates


def test_a_dose_counts_up_to_rounding():
    """Strengths scaled along a path end within a few units in the last place of the one that was asked for."""
    assert [arrived(dose, 0.3) for dose in (0.1 + 0.2, 0.3 * (1 - 1e-15), 0.3, 0.5)] == [True] * 4
    assert [arrived(dose, 100.0) for dose in (0.0, 99.0, 99.9999)] == [False] * 3
