"""Attacks: signals by hand, known answers, and what must not give membership away."""

import importlib
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.core.scores import ClassScores
from ungrok.core.seeds import generator
from ungrok.evaluate.membership import ATTACKS, READING, loss_auc, membership, signals
from ungrok.evaluate.roc import roc

module = importlib.import_module("ungrok.evaluate.membership")  # the package shows the function under this name

THRESHOLDS, TRAINED = ["loss", "confidence", "entropy", "modified_entropy"], ["logistic", "svc"]


def scores(logits, targets):
    logits, targets = torch.as_tensor(logits), torch.as_tensor(targets)
    losses = nn.functional.cross_entropy(logits, targets, reduction="none")
    return ClassScores(losses, logits.argmax(1), targets, logits)


def drawn(n, seed, *, targets=None, margin=0.0, classes=4):
    """Return scores of a model whose true logit is raised by ``margin``."""
    draw = torch.Generator().manual_seed(seed)
    targets = torch.zeros(n, dtype=torch.int64) if targets is None else torch.as_tensor(targets)
    logits = torch.randn(n, classes, generator=draw)
    logits[torch.arange(n), targets] += torch.as_tensor(margin, dtype=torch.float32)
    return scores(logits, targets)


def test_signals_by_hand():
    """Probabilities 0.7, 0.2, 0.1; the true class is each of them in turn."""
    found = signals(scores(torch.tensor([[0.7, 0.2, 0.1]] * 3, dtype=torch.float64).log(), [0, 1, 2]))
    ln = math.log
    assert found["loss"] == pytest.approx([ln(0.7), ln(0.2), ln(0.1)])
    assert found["confidence"] == pytest.approx([ln(7 / 3), ln(1 / 4), ln(1 / 9)])
    assert found["entropy"] == pytest.approx([0.7 * ln(0.7) + 0.2 * ln(0.2) + 0.1 * ln(0.1)] * 3)
    assert found["modified_entropy"] == pytest.approx(
        [
            0.3 * ln(0.7) + 0.2 * ln(0.8) + 0.1 * ln(0.9),
            0.8 * ln(0.2) + 0.7 * ln(0.3) + 0.1 * ln(0.9),
            0.9 * ln(0.1) + 0.7 * ln(0.3) + 0.2 * ln(0.8),
        ]
    )


def test_modified_entropy_takes_each_example_s_own_class():
    """The sum of the paper by a loop; indexing all rows with all labels gives something else."""
    found = drawn(6, 0, targets=[0, 1, 2, 3, 1, 0])
    p = found.logits.double().softmax(1).tolist()
    expected = []
    for row, y in zip(p, found.targets.tolist(), strict=True):
        total = -(1 - row[y]) * math.log(row[y])
        for i, value in enumerate(row):
            if i != y:
                total -= value * math.log(1 - value)
        expected.append(-total)
    assert signals(found)["modified_entropy"] == pytest.approx(expected)
    p, labels = np.array(p), found.targets.numpy()
    mixed, logs = p.copy(), np.log(1 - p)
    mixed[:, labels], logs[:, labels] = 1 - p[:, labels], np.log(p)[:, labels]
    assert np.abs((mixed * logs).sum(1) - expected).max() > 0.1


@pytest.mark.parametrize("size", [40.0, 1e4, 1e30])
def test_a_saturated_softmax_stays_finite(size):
    logits = torch.tensor([[size, 0.0, 0.0], [0.0, size, 0.0], [size, size, 0.0], [0.0, 0.0, 0.0]])
    for name, values in signals(scores(logits, [0, 0, 0, 0])).items():
        assert np.isfinite(values).all(), name
        assert values[0] > values[1] or name == "entropy"


def test_confidence_still_ranks_where_the_probability_rounds_to_one():
    found = signals(scores(torch.tensor([[50.0, 0.0], [60.0, 0.0], [-60.0, 0.0]]), [0, 0, 0]))
    assert found["confidence"] == pytest.approx([50, 60, -60])
    assert found["modified_entropy"][1] > found["modified_entropy"][0]


@pytest.fixture(scope="module")
def memorizer():
    """Return a network that has learned random labels, its examples, and others like them."""
    torch.manual_seed(0)
    inputs, labels = torch.randn(240, 12), torch.randint(0, 3, (240,))
    model = nn.Sequential(nn.Linear(12, 128), nn.ReLU(), nn.Linear(128, 3))
    untouched = [p.clone() for p in model.parameters()]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[:80]), labels[:80]).backward()
        optimizer.step()
    sides = [[(inputs[:80], labels[:80])], [(inputs[80:], labels[80:])]]
    learned = [Classification().score(model, side) for side in sides]
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), untouched, strict=True):
            parameter.copy_(value)
    return learned, [Classification().score(model, side) for side in sides]


def test_a_model_that_memorized_is_found_out_and_an_untouched_one_is_not(memorizer):
    learned, untouched = memorizer
    assert learned[0].accuracy == 1
    found, none = membership(*learned), membership(*untouched)
    assert list(found) == list(ATTACKS) == [*THRESHOLDS, *TRAINED]
    for name in ("loss", "confidence", "modified_entropy", *TRAINED):
        assert found[name].auc > 0.9, name
        assert none[name].low < 0.5 < none[name].high, name
    assert (found["loss"].members, found["loss"].non_members) == (80, 160)
    assert found["svc"].members == found["svc"].non_members == 80


def test_the_reading_says_which_direction_is_better(memorizer):
    """Remembered examples lie above one half, forgotten ones below; only trained attackers hold both for a sign."""
    assert "nearer to the oracle's AUC is better, lower is not" in READING
    remembered = membership(drawn(60, 0, margin=3.0), drawn(60, 1))
    forgotten = membership(drawn(60, 0, margin=-3.0), drawn(60, 1))
    for name in ("loss", "confidence", "modified_entropy"):
        assert remembered[name].auc > 0.9
        assert forgotten[name].auc < 0.1
    for name in TRAINED:
        assert min(remembered[name].auc, forgotten[name].auc) > 0.8


def test_thresholds_by_an_independent_library():
    forget, test = drawn(30, 0, margin=1.0), drawn(50, 1)
    truth = np.r_[np.ones(30), np.zeros(50)]
    inside, outside = signals(forget), signals(test)
    found = membership(forget, test)
    for name in THRESHOLDS:
        assert found[name].auc == pytest.approx(roc_auc_score(truth, np.r_[inside[name], outside[name]]))
    assert loss_auc(forget, test) == found["loss"].auc


def test_the_seed_decides_everything_and_nothing_else_moves():
    forget, test = drawn(30, 0, margin=1.0), drawn(90, 1)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = membership(forget, test, 3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    torch.manual_seed(6)
    assert membership(forget, test, 3) == first
    other = membership(forget, test, 4)
    assert [other[name] for name in THRESHOLDS] == [first[name] for name in THRESHOLDS]
    assert all(other[name] != first[name] for name in TRAINED)


def test_classes_that_only_one_side_has_give_nothing_away():
    """Class 1 is easy and in the test data only; class 2 is easy and in the forget data only."""
    forget = drawn(60, 0, targets=[0] * 40 + [2] * 20, margin=[0.0] * 40 + [9.0] * 20)
    test = drawn(140, 1, targets=[0] * 40 + [1] * 100, margin=[0.0] * 40 + [9.0] * 100)
    alone = membership(drawn(60, 0, targets=[0] * 40 + [2] * 20).of(torch.arange(40)), test.of(torch.arange(40)))
    found = membership(forget, test)
    assert (found["loss"].members, found["loss"].non_members) == (40, 40)
    assert {name: found[name].auc for name in THRESHOLDS} == {name: alone[name].auc for name in THRESHOLDS}


def test_unequal_shares_of_classes_give_nothing_away():
    """Class 1 is easy; it is 9 of 10 forget but 1 of 10 test examples, whichever side they are from."""
    margins = [0.0, 6.0]
    forget_classes, test_classes = [0] * 60 + [1] * 540, [0] * 540 + [1] * 60
    forget = drawn(600, 0, targets=forget_classes, margin=[margins[c] for c in forget_classes])
    test = drawn(600, 1, targets=test_classes, margin=[margins[c] for c in test_classes])
    truth = np.r_[np.ones(600), np.zeros(600)]
    naive = roc_auc_score(truth, np.r_[signals(forget)["loss"], signals(test)["loss"]])
    assert naive > 0.85
    found = membership(forget, test)
    for name in ATTACKS:
        assert found[name].auc == pytest.approx(0.5, abs=0.06), name
    assert found["svc"].members == 120
    assert loss_auc(forget, test) == found["loss"].auc


def test_weighted_intervals_cover():
    """Two classes of unequal shares without any signal within them: 0.5 lies inside in 95 % of draws."""
    draw, hits = np.random.default_rng(1), 0
    for _ in range(600):
        forget_targets, test_targets = torch.tensor([0] * 10 + [1] * 40), torch.tensor([0] * 60 + [1] * 20)
        losses = [torch.tensor(draw.normal(t.double() * 2, 1)) for t in (forget_targets, test_targets)]
        sides = [
            ClassScores(loss, t, t, torch.zeros(len(t), 2))
            for loss, t in zip(losses, (forget_targets, test_targets), strict=True)
        ]
        inside, outside, weights, _ = module._comparable(*sides)
        found = roc(-inside.losses.numpy(), -outside.losses.numpy(), weights)
        hits += found.low <= 0.5 <= found.high
    assert hits / 600 >= 0.93


def test_non_members_are_drawn_at_random_as_many_as_members():
    members, others = torch.tensor([0] * 30 + [1] * 5), torch.tensor([0] * 200 + [1] * 3 + [2] * 50)
    quota = torch.tensor([30, 3, 0])
    inside, outside = module._pairs(members, others, quota, 0)
    for picks, targets in ((inside, members), (outside, others)):
        assert len(set(picks.tolist())) == len(picks) == 33
        assert torch.bincount(targets[picks], minlength=3).tolist() == quota.tolist()
    of_class_0 = outside[others[outside] == 0]
    assert 60 < of_class_0.mean() < 140  # the first 30 would have 14.5
    assert of_class_0.max() > 150


def test_the_draw_of_the_trained_attackers_is_capped(monkeypatch):
    monkeypatch.setattr(module, "MOST", 20)
    forget, test = drawn(100, 0, targets=[0, 1] * 50), drawn(300, 1, targets=[0, 1, 1] * 100)
    found = membership(forget, test)
    assert [found[name].members for name in ATTACKS] == [100] * 4 + [20] * 2
    assert [found[name].non_members for name in ATTACKS] == [300] * 4 + [20] * 2


def test_cross_validation_by_hand():
    """Everything is learned from four folds, the scaling too; within the fifth, members are compared with non-members."""
    draw = np.random.default_rng(0)
    members, others = draw.normal(0.5, 2, (25, 2)), draw.normal(0, 2, (25, 2))
    others[0] = 1e3  # would spoil a scaling that saw it
    folds = torch.randperm(25, generator=generator(7, "folds")).numpy() % 5
    aucs = []
    for fold in range(5):
        here = folds == fold
        seen = np.concatenate([members[~here], others[~here]])
        mean, sd = seen.mean(0), seen.std(0)
        fitted = LogisticRegression(max_iter=1000).fit((seen - mean) / sd, np.repeat([1, 0], (~here).sum()))
        outputs = [fitted.decision_function((side[here] - mean) / sd) for side in (members, others)]
        aucs.append(np.mean([[1.0 * (a > b) + 0.5 * (a == b) for b in outputs[1]] for a in outputs[0]]))
    assert module._trained(members, others, 7)["logistic"].auc == pytest.approx(np.mean(aucs))


def test_one_extreme_example_does_not_hide_the_others():
    """Both sides are as sure of themselves, the test side of a wrong class; one forget example is beyond measure."""
    forget, test = drawn(60, 0, margin=3.0), drawn(60, 1, targets=[1] * 60, margin=3.0)
    logits = forget.logits.clone()
    logits[0, 1] = 1e30
    found = membership(scores(logits, forget.targets), scores(test.logits, forget.targets))
    assert abs(found["entropy"].auc - 0.5) < 0.15
    for name in TRAINED:
        assert found[name].auc > 0.8


def test_none_where_nothing_can_be_told():
    diverged = ClassScores(torch.ones(9), torch.full((9,), -1), torch.zeros(9).long(), torch.full((9, 2), math.nan))
    empty = drawn(9, 0).of(torch.zeros(0).long())
    few, other = drawn(4, 0), drawn(9, 0, targets=[1] * 9)
    for forget, test in (
        (diverged, drawn(9, 1)),
        (drawn(9, 1), diverged),
        (few, drawn(50, 1)),
        (drawn(9, 1), other),
        (empty, other),
    ):
        assert membership(forget, test) is None
        assert loss_auc(forget, test) is None
    assert membership(drawn(5, 0), drawn(5, 1)) is not None


def test_logits_are_needed():
    bare = ClassScores(torch.ones(9), torch.zeros(9).long(), torch.zeros(9).long())
    with pytest.raises(RecipeError, match="keep_logits=True"):
        membership(bare, bare)
    assert loss_auc(bare, bare) == 0.5


def test_known_area_of_a_known_shift():
    """Losses N(0, 1) and N(1, 1): the AUC is Φ(1/√2)."""
    draw = torch.Generator().manual_seed(0)
    zero = torch.zeros(4000, dtype=torch.int64)
    sides = [ClassScores(torch.randn(4000, generator=draw) + k, zero, zero) for k in (0, 1)]
    assert loss_auc(*sides) == pytest.approx(norm.cdf(2**-0.5), abs=0.015)


def test_trained_attackers_draw_a_thousand_of_each_side_at_most():
    found = membership(drawn(1100, 0), drawn(1200, 1))
    assert (found["svc"].members, found["svc"].non_members) == (1000, 1000)
    assert (found["loss"].members, found["loss"].non_members) == (1100, 1200)


def test_a_class_with_one_example_on_each_side_takes_part():
    forget, test = drawn(7, 0, targets=[0] * 6 + [1]), drawn(9, 1, targets=[0] * 8 + [1])
    found = membership(forget, test)
    assert (found["loss"].members, found["loss"].non_members) == (7, 9)
    inside, outside = signals(forget)["loss"], signals(test)["loss"]
    weights = [6 / 8] * 8 + [1]
    wins = [[w * ((a > b) + (a == b) / 2) for b, w in zip(outside, weights, strict=True)] for a in inside]
    assert found["loss"].auc == pytest.approx(np.sum(wins) / 7 / 7)
