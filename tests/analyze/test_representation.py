"""Ranks of known spectra, perfect collapse, cliques; weight norms by hand."""

from math import exp, log

import pytest
import torch
from torch import nn

from ungrok.analyze import Subject
from ungrok.analyze.representation import Representation, WeightNorm, effective_rank, modularity, neural_collapse
from ungrok.analyze.similarity import center
from ungrok.core.objective import Classification


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def orthonormal(n, d):
    return torch.linalg.qr(center(torch.randn(n, d, generator=draw(), dtype=torch.float64))).Q


def test_effective_rank_of_known_singular_values():
    q = orthonormal(30, 4)
    assert effective_rank(q) == pytest.approx(4)
    values = torch.tensor([2.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    entropy = 0.5 * log(2) + 2 * 0.25 * log(4)
    assert effective_rank(q * values + 7) == pytest.approx(exp(entropy), rel=1e-6)


def simplex(classes, width):
    """Vertices of a simplex around the origin: equal norms, cosines −1/(C − 1)."""
    frame = torch.linalg.qr(torch.randn(width, classes, generator=draw(1), dtype=torch.float64)).Q
    return (frame @ (torch.eye(classes).double() - 1 / classes)).T


def collapsed(noise, classes=4, width=6, each=50):
    targets = torch.arange(classes).repeat_interleave(each)
    means = simplex(classes, width)
    rows = means[targets] + noise * torch.randn(len(targets), width, generator=draw(2), dtype=torch.float64)
    return rows + 5, targets, means


def test_all_four_vanish_at_a_simplex():
    rows, targets, means = collapsed(0.0)
    found = neural_collapse(rows, targets, targets, 3 * means)
    assert all(abs(value) < 1e-6 for value in found.values())
    assert set(found) == {"nc1", "nc2_norms", "nc2_angles", "nc3", "nc4"}


def test_nc1_against_the_pseudo_inverse():
    rows, targets, means = collapsed(0.4)
    own = torch.stack([rows[targets == c].mean(0) for c in range(4)])
    within = sum(torch.outer(x - own[t], x - own[t]) for x, t in zip(rows, targets, strict=True)) / len(rows)
    centered = own - own.mean(0)
    between = centered.T @ centered / 4
    expected = (within @ torch.linalg.pinv(between, rtol=1e-9)).trace().item() / 4
    assert neural_collapse(rows, targets, targets, means)["nc1"] == pytest.approx(expected, rel=1e-8)


def test_each_ratio_sees_its_own_departure():
    rows, targets, means = collapsed(0.0)
    stretched = rows.clone()
    stretched[targets == 0] += 2 * means[0]
    assert neural_collapse(stretched, targets, targets, None)["nc2_norms"] > 0.2
    turned = neural_collapse(rows, targets, targets, means.flip(0))
    assert turned["nc3"] > 0.5
    assert neural_collapse(rows, targets, (targets + 1) % 4, means)["nc4"] == 1
    assert neural_collapse(rows, torch.zeros_like(targets), targets, means) == {}


def test_modularity_of_equal_cliques_is_one_minus_one_over_c():
    targets = torch.arange(5).repeat_interleave(8)
    assert modularity(torch.eye(5)[targets] * 3, targets) == pytest.approx(0.8)
    uniform = modularity(torch.randn(40, 30, generator=draw()), targets)
    assert abs(uniform) < 0.05


def test_modularity_against_the_sum_over_pairs():
    rows, targets = torch.randn(12, 3, generator=draw(), dtype=torch.float64), torch.randint(3, (12,), generator=draw())
    own = rows - rows.mean(0)
    a = torch.nn.functional.cosine_similarity(own[:, None], own[None], dim=2).clamp(min=0)
    a[range(12), range(12)] = 0
    k, two_m = a.sum(1), a.sum()
    q = sum((a[i, j] - k[i] * k[j] / two_m) / two_m for i in range(12) for j in range(12) if targets[i] == targets[j])
    assert modularity(rows, targets) == pytest.approx(q.item(), rel=1e-10)


def test_random_features_lie_inside_their_nulls_and_collapsed_ones_outside():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 4))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(6))
        model[0].bias.zero_()

    def read(rows, targets):
        sets = {"forget": [(rows[::4].float(), targets[::4])], "retain": [(rows.float(), targets)]}
        return {(r.measure, r.on): r for r in Representation(draws=20).measure(Subject(model, Classification(), sets))}

    rows, targets, _ = collapsed(0.05)
    near, far = read(rows, targets), read(torch.randn(200, 6, generator=draw(3)), targets)
    both = "forget+retain"
    assert near["nc1", both].value < near["nc1", both].nulls["permuted"].low / 100
    assert near["modularity", both].value > near["modularity", both].nulls["permuted"].high + 0.2
    null = far["modularity", both].nulls["permuted"]
    assert null.low - 0.01 < far["modularity", both].value < null.high + 0.01
    ranks = [r for (name, on), r in far.items() if name == "effective_rank" and on == "retain"]
    assert ranks


def test_shuffled_columns_take_the_correlation_out_of_a_rank():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 4))
    with torch.no_grad():
        model[0].weight.copy_(torch.ones(6, 6))
    rows = torch.randn(80, 6, generator=draw(4))
    sets = {"forget": [(rows[:20], torch.arange(20) % 2)], "retain": [(rows[20:], torch.arange(60) % 2)]}
    found = Representation().measure(Subject(model, Classification(), sets))
    one = next(r for r in found if (r.measure, r.on, r.layer) == ("effective_rank", "retain", "penultimate"))
    assert one.value == pytest.approx(1, abs=1e-3)
    assert one.nulls["shuffled"].low > 5


def test_weight_norms_and_changes_by_hand():
    model, other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with torch.no_grad():
        for m, value in ((model, 2.0), (other, 1.0)):
            for p in m.parameters():
                p.fill_(value)
    found = WeightNorm().measure(Subject(model, Classification(), {}, {"before": other}))
    values = {(r.measure, r.layer): r.value for r in found}
    assert values["weight_norm", "model"] == pytest.approx(2 * 9**0.5)
    assert values["weight_norm", "0"] == pytest.approx(2 * 6**0.5)
    assert values["weight_change", "1"] == pytest.approx(3**0.5)
    assert values["weight_change_relative", "model"] == pytest.approx(1)
