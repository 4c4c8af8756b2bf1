"""Ranks of known spectra, perfect collapse, cliques; weight norms by hand."""

from math import exp, isnan, log

import pytest
import torch
from torch import nn

from ungrok.analyze import Subject
from ungrok.analyze.representation import (
    Representation,
    WeightNorm,
    _columns_shuffled,
    effective_rank,
    modularity,
    neural_collapse,
)
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


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_no_rank_or_ratio_depends_on_the_unit_of_the_features(scale):
    assert effective_rank(scale * orthonormal(30, 4)) == pytest.approx(4)
    rows, targets, means = collapsed(0.4)
    one, other = (neural_collapse(x, targets, targets, means) for x in (rows, scale * rows))
    assert other == pytest.approx(one, rel=1e-6)
    assert modularity(scale * rows, targets) == pytest.approx(modularity(rows, targets), rel=1e-9)


def test_constant_rows_have_no_rank_and_opposite_ones_no_communities():
    assert isnan(effective_rank(torch.ones(5, 3, dtype=torch.float64)))
    assert isnan(modularity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), torch.tensor([0, 1])))


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_ratios_against_their_formulas(classes):
    rows = torch.randn(40, 7, generator=draw(classes), dtype=torch.float64)
    targets, predictions = torch.arange(40) % classes, torch.randint(classes, (40,), generator=draw(9))
    weight = torch.randn(classes, 7, generator=draw(8), dtype=torch.float64)
    means = [rows[targets == c].mean(0) for c in range(classes)]
    centered = [mean - sum(means) / classes for mean in means]
    norms = [c.norm().item() for c in centered]
    average = sum(norms) / classes
    spread = (sum((n - average) ** 2 for n in norms) / classes) ** 0.5
    cosines = [
        (centered[i] @ centered[j]).item() / (norms[i] * norms[j])
        for i in range(classes)
        for j in range(classes)
        if i != j
    ]
    matrix = torch.stack(centered)
    nearest = [min(range(classes), key=lambda c: (row - means[c]).norm().item()) for row in rows]
    measured = neural_collapse(rows, targets, predictions, weight)
    assert measured["nc2_norms"] == pytest.approx(spread / average)
    assert measured["nc2_angles"] == pytest.approx(sum(abs(c + 1 / (classes - 1)) for c in cosines) / len(cosines))
    assert measured["nc3"] == pytest.approx((weight / weight.norm() - matrix / matrix.norm()).norm().item())
    wrong = [a != b for a, b in zip(nearest, predictions.tolist(), strict=True)]
    assert measured["nc4"] == pytest.approx(sum(wrong) / 40)


def test_columns_are_shuffled_each_on_its_own():
    x = torch.arange(60.0).view(20, 3)
    shuffled = _columns_shuffled(x, draw())
    assert torch.equal(shuffled.sort(dim=0).values, x)
    assert not torch.equal(shuffled[:, 0] + 1, shuffled[:, 1])


def test_ratios_are_read_against_the_last_layer_and_nulls_stand_where_they_can_be_drawn():
    """Two layers take as many inputs as there are penultimate features; the last one classifies."""
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 4))
    rows, targets, _ = collapsed(0.3)
    sets = {"forget": [(rows[::4].float(), targets[::4])], "retain": [(rows[1::4].float(), targets[1::4])]}
    sets["retain"] += [(rows[2::4].float(), targets[2::4])]
    readings = Representation(draws=2).measure(Subject(model, Classification(), sets))
    x = torch.cat([part for batches in sets.values() for part, _ in batches])
    y = torch.cat([part for batches in sets.values() for _, part in batches])
    with torch.no_grad():
        expected = neural_collapse(model[0](x), y, model(x).argmax(1), model[1].weight)
    measured = {r.measure: r.value for r in readings if r.measure.startswith("nc")}
    assert measured == pytest.approx(expected, rel=1e-4)
    nulls = {r.on: set(r.nulls) for r in readings if r.measure == "effective_rank"}
    assert nulls == {"forget": {"shuffled", "retain_subset"}, "retain": {"shuffled"}}
    swapped = {"forget": sets["retain"], "retain": sets["retain"]}
    equal = Representation(draws=2).measure(Subject(model, Classification(), swapped))
    assert {frozenset(r.nulls) for r in equal if r.measure == "effective_rank"} == {frozenset({"shuffled"})}


@pytest.mark.parametrize(("count", "measured"), [(1, set()), (2, {"logits", "penultimate"})])
def test_two_rows_are_the_fewest_that_have_a_rank(count, measured):
    model, rows = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4)), torch.randn(8, 6, generator=draw())
    sets = {"forget": [(rows[:count], torch.zeros(count).long())], "retain": [(rows[2:], torch.arange(6) % 4)]}
    readings = Representation(draws=1).measure(Subject(model, Classification(), sets))
    assert {r.layer for r in readings if (r.measure, r.on) == ("effective_rank", "forget")} == measured


def test_changes_from_a_small_from_no_and_from_another_model():
    def filled(value, width=1):
        model = nn.Linear(2, width, bias=False)
        nn.init.constant_(model.weight, value)
        return model

    references = {
        "small": filled(0.1),
        "none": filled(0.0),
        "wider": filled(1.0, 3),
        "deeper": nn.Sequential(filled(1.0)),
    }
    readings = WeightNorm().measure(Subject(filled(0.3), Classification(), {}, references))
    values = {(r.measure, r.on): r.value for r in readings if r.layer == "model"}
    assert values["weight_change", "small"] == pytest.approx(0.2 * 2**0.5)
    assert values["weight_change_relative", "small"] == pytest.approx(2)
    assert values["weight_change", "none"] == pytest.approx(0.3 * 2**0.5)
    assert values["weight_change_relative", "none"] is None
    assert {on for _, on in values} == {"", "small", "none"}
