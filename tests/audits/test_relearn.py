"""Training on: the batches, the updates, and the oracle against itself."""

from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ungrok.audits import Scorer, Setting, attacked
from ungrok.audits.relearn import Relearn, log_spaced, stream
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.modules import duplicate

from .conftest import examples, material, network


def walk(test, model, given, setting):
    return [duplicate(step.model) for step in test.path(model, given, setting)]


def equal(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_no_updates_move_nothing_bit_for_bit(given):
    model = network()
    (only,) = walk(Relearn(updates=0), model, given, Setting("", 0.1, 0.1))
    assert equal(only, model)


def test_a_rate_of_0_is_flat(given, score):
    model = network()
    places = walk(Relearn(updates=5), model, given, Setting("", 0.1, 0.0))
    assert len(places) == 6
    assert all(equal(place, model) for place in places)
    rows = attacked(Relearn(updates=5, lr=0.0, shares=0.1), model, given, score)
    assert [row["updates"] for row in rows] == [0, 1, 2, 5]
    assert len({(row["UA"], row["RA"], row["forget_loss"]) for row in rows}) == 1


def test_the_oracle_against_itself_has_no_gap(given):
    oracle = given.oracle
    test, score = Relearn(updates=50, lr=(0.1, 0.2), shares=(0.0, 0.1)), Scorer(given)
    rows, again = (attacked(test, model, given, score) for model in (oracle, duplicate(oracle)))
    assert len({row["UA"] for row in rows}) > 1
    assert [mine["UA"] - theirs["UA"] for mine, theirs in zip(rows, again, strict=True)] == [0] * len(rows)


def test_updates_by_hand(given):
    """SGD with momentum 0.9 on retained examples and those that the attacker holds."""
    model, setting = network(), Setting("", 0.1, 0.05)
    test = Relearn(updates=3, batch=8, weight_decay=0.1)
    batches = list(islice(test.signal(given, 0.1, torch.device("cpu")), 3))
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    speed = {name: torch.zeros_like(p) for name, p in weights.items()}
    for (x, y), place in zip(batches, walk(test, model, given, setting)[1:], strict=True):
        leaves = {name: p.clone().requires_grad_() for name, p in weights.items()}
        hidden = torch.relu(x @ leaves["0.weight"].T + leaves["0.bias"])
        F.cross_entropy(hidden @ leaves["2.weight"].T + leaves["2.bias"], y).backward()
        for name, leaf in leaves.items():
            speed[name] = 0.9 * speed[name] + leaf.grad + 0.1 * weights[name]
            weights[name] = weights[name] - 0.05 * speed[name]
            torch.testing.assert_close(place.get_parameter(name), weights[name])


def rows_in(batch, part):
    """Return which examples of a set a batch holds, by their inputs."""
    whole = part.batch(torch.arange(len(part)))[0]
    return [number for row in batch[0] for number in (whole == row).all(1).nonzero().flatten().tolist()]


def test_a_batch_holds_what_the_attacker_holds_and_retained_examples_beside_it(given):
    held = set(given.held(0.1).tolist())
    for batch in islice(Relearn(batch=8).signal(given, 0.1, torch.device("cpu")), 10):
        assert len(batch[1]) == 8
        assert set(rows_in(batch, given.forget)) == held
        assert len(set(rows_in(batch, given.retain))) == 6


def test_many_held_examples_fill_half_of_a_batch_in_turn(given):
    signal = islice(Relearn(batch=8).signal(given, 0.5, torch.device("cpu")), 5)
    seen = [rows_in(batch, given.forget) for batch in signal]
    assert [len(part) for part in seen] == [4] * 5
    assert sorted(number for part in seen for number in part) == sorted(2 * given.held(0.5).tolist())


def test_without_a_share_no_forget_example_is_ever_seen(given):
    for batch in islice(Relearn().signal(given, 0.0, torch.device("cpu")), 5):
        assert len(batch[1]) == 60  # all there are
        assert not rows_in(batch, given.forget)


def test_a_stream_is_made_of_shuffled_passes():
    numbers = torch.cat(list(islice(stream(7, 3, 0, "a"), 14))).reshape(6, 7)
    assert all(sorted(row.tolist()) == list(range(7)) for row in numbers)
    assert len({tuple(row.tolist()) for row in numbers}) == 6
    assert not torch.equal(next(stream(7, 7, 0, "b")), next(stream(7, 7, 0, "a")))


@pytest.mark.parametrize(
    ("last", "places"),
    [(0, (0,)), (1, (1,)), (5, (1, 2, 5)), (50, (1, 2, 5, 10, 20, 50)), (120, (1, 2, 5, 10, 20, 50, 100, 120))],
)
def test_places_are_log_spaced(last, places):
    assert log_spaced(last) == places


def test_places_of_ones_own(given, score):
    test = Relearn(updates=9, lr=0.1, shares=0.0, observe=(3, 9))
    assert [row["updates"] for row in attacked(test, network(), given, score)] == [0, 3, 9]


def test_every_share_is_tried_at_every_rate():
    settings = Relearn(shares=(0.0, 0.1), lr=(0.01, 0.02)).settings()
    assert [(s.share, s.lr, s.label) for s in settings] == [
        (0.0, 0.01, "share 0, lr 0.01"),
        (0.0, 0.02, "share 0, lr 0.02"),
        (0.1, 0.01, "share 0.1, lr 0.01"),
        (0.1, 0.02, "share 0.1, lr 0.02"),
    ]


def test_what_is_hidden_comes_back_on_retained_data_and_what_was_never_learned_does_not():
    """A head that hides a class by its bias; the oracle has never seen the class."""
    given = material(forget=examples(40, 1, [2]), retain=examples(80, 2, [0, 1, 2]))
    seen = examples(80, 2, [0, 1])
    torch.manual_seed(0)
    models = []
    for part in (given.retain, seen):
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), 0.05)
        for _ in range(100):
            optimizer.zero_grad()
            x, y = part.batch(torch.arange(len(part)))
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        models.append(model)
    hidden, oracle = models
    with torch.no_grad():
        hidden[2].bias[2] -= 30
    test = Relearn(updates=50, lr=0.2, shares=0.0)
    only_others = material(forget=given.forget, retain=given.retain)
    rows = attacked(test, hidden, only_others, Scorer(only_others))
    assert rows[0]["UA"] == 0
    assert rows[-1]["UA"] > 0.9
    without = material(forget=given.forget, retain=seen)
    assert attacked(test, oracle, without, Scorer(without))[-1]["UA"] == 0


def test_frozen_parameters_stay_and_one_is_needed(given):
    model = network()
    model[0].requires_grad_(requires_grad=False)
    *_, last = walk(Relearn(updates=3), model, given, Setting("", 0.1, 0.1))
    assert torch.equal(last[0].weight, model[0].weight)
    assert not torch.equal(last[2].weight, model[2].weight)
    with pytest.raises(NotApplicable, match="relearn: every parameter of the model is frozen"):
        Relearn().path(network().requires_grad_(requires_grad=False), given, Setting("", 0.1, 0.1))


def test_weights_of_few_bits_add_up_small_updates():
    given = material(forget=examples(20, 1, [2], torch.bfloat16), retain=examples(60, 2, [0, 1], torch.bfloat16))
    model = network().bfloat16()
    test, setting = Relearn(updates=400, momentum=0.0), Setting("", 0.1, 1e-4)
    *_, low = walk(test, model, given, setting)
    *_, high = walk(test, duplicate(model).float(), material(), setting)
    assert low[0].weight.dtype == torch.bfloat16
    moved, expected = (
        (place[0].weight.detach().float() - model[0].weight.detach().float()).norm() for place in (low, high)
    )
    assert float(moved / expected) == pytest.approx(1, abs=0.2)


def test_normalization_learns_its_statistics_again(given):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).eval()
    *_, last = walk(Relearn(updates=2), model, given, Setting("", 0.1, 0.1))
    assert int(last[1].num_batches_tracked) == 2
    assert int(model[1].num_batches_tracked) == 0


def test_adamw(given):
    model = network()
    *_, last = walk(Relearn(updates=1, optimizer="adamw"), model, given, Setting("", 0.1, 0.01))
    step = (last[0].weight - model[0].weight).detach().abs()
    assert float(step.max()) == pytest.approx(0.01, rel=1e-3)  # the first step of Adam has the size of the rate


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"updates": 5, "observe": (2, 10)},
            "relearn: observe: 10 is not allowed; allowed: at most 5, the number of updates",
        ),
        ({"observe": ()}, "relearn: observe: () is not allowed; allowed: at least 1 item"),
        ({"observe": (-1,)}, "relearn: observe: -1 is not allowed: input should be greater than or equal to 0"),
        (
            {"lr": "fast"},
            "relearn: lr: 'fast' is not allowed: input should be a valid number, unable to parse string as a number",
        ),
        ({"lr": ()}, "relearn: lr: () is not allowed; allowed: at least 1 item"),
    ],
)
def test_settings_that_cannot_be_meant(settings, message):
    with pytest.raises(RecipeError) as caught:
        Relearn(**settings)
    assert str(caught.value) == message
