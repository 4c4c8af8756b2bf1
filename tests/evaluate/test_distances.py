"""Distances by hand, from probabilities chosen to make them simple."""

import copy
import math

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.scores import ClassScores
from ungrok.evaluate.distances import (
    TokenDistances,
    activation_distance,
    disagreement,
    distances,
    divergence,
    js_divergence,
    relative_forgetting,
    tug_of_war,
    tug_of_war_membership,
    weight_distance,
    zrf,
)
from ungrok.evaluate.roc import AttackOutcome


def scores(rows, targets=None):
    """Return the scores of a model that predicts these probabilities."""
    logits = torch.tensor(rows, dtype=torch.float64).log()
    logits = logits.clamp(min=-1e4)  # probability 0
    return from_logits(logits, targets)


def from_logits(logits, targets=None):
    targets = torch.tensor(targets) if targets else torch.zeros(len(logits), dtype=torch.int64)
    predictions = logits.argmax(1).masked_fill(~logits.isfinite().all(1), -1)
    return ClassScores(torch.ones(len(logits)), predictions, targets, logits)


SURE, HALF, OTHER = [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]


def test_divergence_by_hand():
    """Against the mean (3/4, 1/4): log2(4/3), and log2(2/3)/2 + log2(2)/2."""
    by_hand = (math.log2(4 / 3) + (math.log2(2 / 3) + 1) / 2) / 2
    assert js_divergence(scores([SURE]), scores([HALF])) == pytest.approx(by_hand)
    assert js_divergence(scores([SURE, SURE]), scores([HALF, SURE])) == pytest.approx(by_hand / 2)


def test_disjoint_distributions_are_one_bit_apart():
    assert js_divergence(scores([SURE, OTHER]), scores([OTHER, SURE])) == 1
    assert js_divergence(scores([SURE, HALF]), scores([SURE, HALF])) == 0


def test_zero_probabilities_cost_nothing():
    """A reversed KL would be infinite here, and a mean over classes would halve with twice as many."""
    narrow = js_divergence(scores([SURE]), scores([HALF]))
    wide = js_divergence(scores([[1.0, 0, 0, 0]]), scores([[0.5, 0.5, 0, 0]]))
    assert wide == pytest.approx(narrow)
    far = js_divergence(from_logits(torch.tensor([[3e38, -3e38]])), from_logits(torch.tensor([[-3e38, 3e38]])))
    assert far == 1


def test_divergence_agrees_with_scipy():
    p, q = torch.rand(2, 20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    expected = jensenshannon(p.numpy(), q.numpy(), base=2, axis=1) ** 2
    assert divergence(p, q).numpy() == pytest.approx(expected)


def test_activation_distance_by_hand():
    assert activation_distance(scores([SURE]), scores([OTHER])) == pytest.approx(2**0.5)
    assert activation_distance(scores([SURE, HALF]), scores([HALF, HALF])) == pytest.approx(0.5**0.5 / 2)


def test_disagreement_counts_predictions():
    a = scores([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9]])
    b = scores([[0.6, 0.4], [0.4, 0.6], [0.3, 0.7], [0.1, 0.9]])
    assert disagreement(a, b) == 1 / 4


FUNCTIONS = [disagreement, js_divergence, activation_distance]


@pytest.mark.parametrize("measure", FUNCTIONS)
def test_the_order_of_the_two_models_does_not_matter(measure):
    a, b = (from_logits(torch.randn(9, 4, generator=torch.Generator().manual_seed(s))) for s in (0, 1))
    assert measure(a, b) == measure(b, a)


@pytest.mark.parametrize("measure", FUNCTIONS)
def test_only_the_same_examples_are_compared(measure):
    with pytest.raises(RecipeError, match="not scored on the same examples"):
        measure(scores([SURE, HALF], [0, 1]), scores([SURE, HALF], [1, 0]))
    with pytest.raises(RecipeError, match="not scored on the same examples"):
        measure(scores([SURE]), scores([SURE, SURE]))


@pytest.mark.parametrize("measure", FUNCTIONS)
def test_a_diverged_model_is_at_no_distance(measure):
    bad = from_logits(torch.tensor([[math.nan, 0.0]]))
    assert measure(scores([SURE]), bad) is None
    assert measure(bad, scores([SURE])) is None


def test_scores_without_logits_say_what_is_missing():
    bare = ClassScores(torch.ones(1), torch.zeros(1).long(), torch.zeros(1).long())
    with pytest.raises(RecipeError, match="keep_logits=True"):
        js_divergence(bare, bare)


def test_all_by_measure_and_set():
    a = {"forget": scores([SURE]), "test": scores([HALF]), "retain": scores([SURE])}
    b = {"forget": scores([OTHER]), "test": scores([HALF]), "retain": scores([OTHER])}
    root = pytest.approx(2**0.5)
    assert distances(a, b) == {
        "disagreement_forget": 1, "disagreement_test": 0, "js_divergence_forget": 1, "js_divergence_test": 0,
        "activation_distance_forget": root, "activation_distance_test": 0,
    }  # fmt: skip


def test_zrf_of_equal_and_of_disjoint_models():
    assert zrf(scores([SURE, HALF]), scores([SURE, HALF])) == 1
    assert zrf(scores([SURE, OTHER]), scores([OTHER, SURE])) == 0
    assert zrf(scores([SURE]), from_logits(torch.tensor([[math.inf, 0.0]]))) is None


class Tied(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.embed = nn.Parameter(torch.tensor(a))
        self.head = self.embed
        self.bias = nn.Parameter(torch.tensor(b))
        self.register_buffer("mean", torch.tensor([7.0 * b[0]]))


def test_weight_distance_counts_tied_weights_once_and_no_buffers():
    assert weight_distance(Tied([0.0, 0.0], [0.0]), Tied([2.0, 3.0], [6.0])) == 7  # 4 + 9 + 36
    assert weight_distance(Tied([1.0], [2.0]), Tied([1.0], [2.0])) == 0


def test_weight_distance_is_summed_in_float64():
    """A float32 sum of squares loses the small ones beside 10⁸."""
    a, b = nn.Linear(3, 1, bias=False), nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        a.weight.copy_(torch.tensor([[1e4, 1.0, 1.0]]))
        b.weight.zero_()
    assert weight_distance(a, b) == pytest.approx((1e8 + 2) ** 0.5, rel=1e-14)


def test_a_model_that_has_diverged_is_at_no_weight_distance():
    a = nn.Linear(2, 1)
    b = copy.deepcopy(a)
    nn.init.constant_(b.weight, math.nan)
    assert weight_distance(a, b) is None


def test_models_of_different_shape():
    with pytest.raises(RecipeError, match=r"weight has the shapes \(2, 3\) and \(4, 3\)"):
        weight_distance(nn.Linear(3, 2, bias=False), nn.Linear(3, 4, bias=False))
    with pytest.raises(RecipeError, match=r"bias has the shapes none and \(2,\)"):
        weight_distance(nn.Linear(3, 2, bias=False), nn.Linear(3, 2))


def point(ua, ra, ta):
    return {"UA": ua, "RA": ra, "TA": ta}


def attack(auc):
    return {"loss": AttackOutcome(auc, 0, 1, None, None, 5, 5)}


def test_tug_of_war_by_hand():
    model, oracle = point(0.5, 0.9, 0.8), point(0.2, 1.0, 0.9)
    assert tug_of_war(model, oracle) == tug_of_war(oracle, model) == pytest.approx(0.7 * 0.9 * 0.9)
    assert tug_of_war(oracle, oracle) == 1
    assert tug_of_war(point(1.0, 1.0, 1.0), point(0.0, 1.0, 1.0)) == 0
    assert tug_of_war(point(None, 1.0, 1.0), oracle) is None


def test_tug_of_war_with_membership_in_the_place_of_ua():
    model, oracle = point(0.5, 0.9, 0.8), point(0.2, 1.0, 0.9)
    found = tug_of_war_membership(model, oracle, attack(0.75), attack(0.5))
    assert found == pytest.approx(0.75 * 0.9 * 0.9)
    assert tug_of_war_membership(model, oracle, None, attack(0.5)) is None
    assert tug_of_war_membership(model, oracle, attack(0.5), None) is None


@pytest.mark.parametrize(
    ("start", "now", "share"),
    [
        (0.8, 0.2, 0.75),
        (0.8, 0.8, 0),
        (0.8, 0.0, 1),
        (0.5, 0.75, -0.5),
        (0.0, 0.0, None),
        (None, 0.1, None),
        (1.0, None, None),
    ],
)
def test_relative_forgetting(start, now, share):
    assert relative_forgetting(start, now) == (None if share is None else pytest.approx(share))


def test_distances_of_tokens_do_not_depend_on_the_batches():
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(600, 5, generator=draw) for _ in range(2))
    whole, parts = TokenDistances(), TokenDistances()
    whole.add(a, b)  # more rows than are compared at once
    for left, right in zip(a.split(7), b.split(7), strict=True):
        parts.add(left, right)
    assert whole.means() == pytest.approx(parts.means(), rel=1e-9)
    target = torch.zeros(600, dtype=torch.int64)
    sides = [ClassScores(torch.ones(600), logits.argmax(1), target, logits) for logits in (a, b)]
    assert whole.means() == pytest.approx({measure.__name__: measure(*sides) for measure in FUNCTIONS}, rel=1e-9)


def test_distances_of_tokens_where_there_are_none_or_a_model_has_diverged():
    assert set(TokenDistances().means().values()) == {None}
    broken = TokenDistances()
    broken.add(torch.full((2, 3), math.nan), torch.zeros(2, 3))
    assert set(broken.means().values()) == {None}


def test_divergences_lie_between_nothing_and_one_bit_in_spite_of_rounding():
    draw = torch.Generator().manual_seed(0)
    p = torch.rand(4000, 7, generator=draw, dtype=torch.float64)
    p = p / p.sum(dim=1, keepdim=True)
    near = p * (1 + 1e-8 * torch.rand(4000, 7, generator=draw, dtype=torch.float64))
    near = near / near.sum(dim=1, keepdim=True)
    assert (divergence(p, near) >= 0).all()
    none = torch.zeros_like(p)
    assert (divergence(torch.cat([p, none], dim=1), torch.cat([none, p], dim=1)) <= 1).all()


@pytest.mark.parametrize("measure", FUNCTIONS)
def test_no_examples_are_at_no_distance(measure):
    nothing = scores([SURE]).of(torch.zeros(0, dtype=torch.int64))
    assert measure(nothing, nothing) is None


def test_distances_of_a_single_token():
    one = TokenDistances()
    one.add(torch.tensor([SURE]).log().clamp(min=-1e4), torch.tensor([OTHER]).log().clamp(min=-1e4))
    assert one.means() == {"disagreement": 1, "js_divergence": 1, "activation_distance": pytest.approx(2**0.5)}


def test_a_parameter_that_only_the_first_model_has():
    with pytest.raises(RecipeError, match=r"bias has the shapes \(2,\) and none"):
        weight_distance(nn.Linear(3, 2), nn.Linear(3, 2, bias=False))


def test_a_model_that_knew_everything_can_forget():
    assert relative_forgetting(1.0, 0.25) == 0.75
    assert tug_of_war(point(0.5, 0.5, 0.5), point(0.5, None, 0.5)) is None
