"""Two records side by side."""

import pytest

from ungrok.deletion.compare import Difference, differences, equal, near


def test_the_innermost_places_are_named():
    recorded = {"a": {"x": [1, 2], "y": "same"}, "gone": 1, "long": [1, 2, 3]}
    now = {"a": {"x": [1, 5], "y": "same"}, "new": None, "long": [1, 2]}
    assert differences(recorded, now, equal) == [
        Difference("a.x.1", 2, 5),
        Difference("gone", 1, None),
        Difference("long", [1, 2, 3], [1, 2]),
    ]
    assert str(Difference("a.x.1", 2, "z" * 90)) == f"a.x.1: recorded 2, now {'z' * 39}...{'z' * 38}"


@pytest.mark.parametrize("same", [equal, near(0.01)])
@pytest.mark.parametrize(
    ("place", "recorded", "now", "agree"),
    [
        ("date", "2020", "2026", True),
        ("place", None, {"data": "a:b"}, True),
        ("models.unlearned.files.new.safetensors", "0", "1", True),
        ("models.original.weights", "0", "1", False),
        ("models.oracle.weights", "0", "1", False),
        ("asked.forget.batches", "0", "1", False),
        ("stress.0.counts", True, 1, False),
        ("stress.0.share", 0.2, 0.201, False),
        ("stress.0.dose", 5.0, 5.001, False),
        ("membership.unlearned.loss.members", 6, 7, False),
        ("method.settings.lr", 0.1, 0.1001, False),
        ("remains.0.code", "no_oracle", "price", False),
        ("a_field_of_tomorrow.x", 0.5, 0.5001, False),
    ],
)
def test_what_every_machine_must_give(same, place, recorded, now, agree):
    assert same(place, recorded, now) is agree


@pytest.mark.parametrize(
    ("place", "recorded", "now", "agree"),
    [
        ("accuracies.unlearned.UA", 0.5, 0.51, True),
        ("accuracies.unlearned.UA", 0.5, 0.511, False),
        ("accuracies.unlearned.UA", None, 0.5, False),
        ("membership.original.loss.low", 0.31, 0.3, True),
        ("membership.original.loss.low", 0.32, 0.3, False),
        ("stress.0.before", 0.5, 0.505, True),
        ("stress.1.RA.oracle", 0.9, 0.92, False),
        ("memorization.unlearned.extraction_strength_forget", 0.1, 0.105, True),
        ("distances.oracle.disagreement_test", 0.01, 0.015, True),
        ("distances.oracle.js_divergence_test", 0.01, 0.015, False),
        ("distances.original.weight_distance", 200.0, 201.9, True),
        ("distances.original.weight_distance", 200.0, 202.1, False),
        ("models.unlearned.weights", "0", "1", True),
        ("models.original.structure", "0", "1", True),
        ("remains.3.text", "0.83", "0.84", True),
    ],
)
def test_what_another_machine_may_give(place, recorded, now, agree):
    assert near(0.01)(place, recorded, now) is agree
    assert not equal(place, recorded, now)


def test_without_a_tolerance_measured_numbers_are_the_same():
    assert near(0)("accuracies.unlearned.UA", 0.5, 0.5)
    assert not near(0)("accuracies.unlearned.UA", 0.5, 0.5 + 1e-9)
