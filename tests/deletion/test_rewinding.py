"""A way back along a training."""

import pytest

import ungrok
from ungrok.deletion.inputs import checksums
from ungrok.deletion.rewinding import Rewinding

from .conftest import network


def back(updates):
    return iter([network(5 + updates), network(8), network(9)])


def test_what_it_gives_is_what_the_users_gives_and_the_earliest_is_remembered():
    way = Rewinding(back)
    assert (way.earliest, hasattr(way, "updates")) == (None, False)
    assert [checksums(model) for model in way(2)] == [checksums(network(seed)) for seed in (7, 8, 9)]
    assert way.earliest == checksums(network(7))


def test_how_far_it_leads_and_what_it_raises_are_the_users():
    def none(_):
        raise ValueError("no")

    none.updates = 12
    assert Rewinding(none).updates == 12
    with pytest.raises(ValueError, match="no"):
        Rewinding(none)(1)


@pytest.mark.filterwarnings("ignore:.*left the model as it was:ungrok.core.errors.UnlearningWarning")
def test_a_record_says_where_it_led(world):
    method = ungrok.RewindToDelete(updates=2)
    record = ungrok.delete(world.original, **world.sets, method=method, rewound=back, attacks=()).record
    assert record.models["rewound"] == checksums(network(7))
    outcome = ungrok.verify(record, world.original, **world.sets, rewound=lambda _: iter([network(1), *back(0)]))
    assert {"models.rewound.weights", "models.unlearned.weights"} <= {each.what for each in outcome.differences}
