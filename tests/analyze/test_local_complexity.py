"""Sign changes against a loop over vertices and units, and against hyperplanes written out."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ungrok.analyze import Subject
from ungrok.analyze.local_complexity import LocalComplexity, directions, sign_changes
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Classification


def draw(seed):
    return torch.Generator().manual_seed(seed)


class Residual(nn.Module):
    """One ReLU module used twice, in place, and functional activations."""

    def __init__(self):
        super().__init__()
        self.conv, self.inner = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.relu, self.head, self.last = nn.ReLU(inplace=True), nn.Linear(48, 6), nn.Linear(6, 2)

    def pre_activations(self, x):
        a = self.conv(x)
        b = self.inner(a.relu())
        c = a.relu() + b.relu()
        d = self.head(c.flatten(1))
        return {"relu": a, "relu#2": b, "root": d}

    def forward(self, x):
        x = self.relu(self.conv(x))
        x = x + self.relu(self.inner(x))
        return self.last(F.gelu(self.head(x.flatten(1))))


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Residual().eval()


def slow(net, points, frame, radius):
    """For every point, vertex and unit in turn."""
    counts = {}
    for point in points:
        signs = {}
        for v in frame:
            for sign in (1, -1):
                for layer, z in net.pre_activations((point + sign * radius * v)[None]).items():
                    signs.setdefault(layer, []).append((z > 0).flatten())
        for layer, rows in signs.items():
            changed = sum(len({bool(row[u]) for row in rows}) == 2 for u in range(len(rows[0])))
            counts.setdefault(layer, []).append(changed)
    return counts


@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_against_the_slow_loop(net, chunk):
    points, frame = torch.randn(5, 2, 4, 4, generator=draw(1)), directions((2, 4, 4), 4, seed=0)
    with torch.no_grad():
        expected = slow(net, points, frame, 0.3)
        found = sign_changes(net, points, frame, 0.3, chunk=chunk)
    assert {layer: changes.tolist() for layer, (changes, _) in found.items()} == expected
    assert {layer: units for layer, (_, units) in found.items()} == {"relu": 48, "relu#2": 48, "root": 6}
    assert sum(expected["relu#2"]) > 0


def test_hyperplanes_by_hand():
    """Units x₁ > b for b = 0, 0.9, 1.1, 2: a step of 1 along the axes crosses those nearer than 1."""
    layer = nn.Linear(2, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.0]]).repeat(4, 1))
        layer.bias.copy_(-torch.tensor([0.0, 0.9, 1.1, 2.0]))
    net = nn.Sequential(layer, nn.ReLU())
    found = sign_changes(net, torch.tensor([[0.0, 7.0], [1.5, -7.0]]), torch.eye(2), 1.0)
    assert found["1"][0].tolist() == [2, 3]
    assert found["1"][1] == 4


@torch.no_grad()
def first_layer_changes(first, points, frame, radius):
    """Count, for an affine first layer, the units with ``z − r·m ≤ 0 < z + r·m``, m the largest ``|(L v_p)_u|`` over p."""
    z, linear = first(points).flatten(1), (first(frame) - first(torch.zeros_like(frame))).flatten(1)
    reach = radius * linear.abs().amax(dim=0)
    return ((z - reach <= 0) & (z + reach > 0)).sum(dim=1), z.shape[1]


def test_first_layer_in_closed_form(net):
    points, frame = torch.randn(40, 2, 4, 4, generator=draw(1)), directions((2, 4, 4), 7, seed=3)
    for radius in (1e-3, 0.1, 1.0):
        expected, units = sign_changes(net, points, frame, radius)["relu"]
        found = first_layer_changes(net.conv, points, frame, radius)
        assert found[1] == units
        assert torch.equal(found[0], expected)


def test_expected_count_of_random_hyperplanes():
    """One direction, w standard normal: |z| ≤ r·|w·v| with z = w·x + b; z and w·v independent: P = 2/π·atan(r/σ)."""
    net = nn.Sequential(nn.Linear(50, 40_000), nn.ReLU())
    with torch.no_grad():
        net[0].weight.normal_(generator=draw(0))
        net[0].bias.zero_()
    frame = directions((50,), 1, seed=0)
    x = torch.randn(1, 50, generator=draw(1))
    x = x - (x @ frame.T) @ frame
    x = 2 * x / x.norm()
    changes, units = sign_changes(net, x, frame, 0.5)["1"]
    expected = 2 / torch.pi * torch.atan(torch.tensor(0.5 / 2))
    assert changes.item() / units == pytest.approx(expected.item(), abs=3 * 0.5 / 200)


def test_directions_are_orthonormal_and_fixed_by_the_seed():
    frame = directions((2, 3, 3), 5, seed=4)
    flat = frame.flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(5), rtol=0, atol=1e-6)
    assert torch.equal(frame, directions((2, 3, 3), 5, seed=4))
    assert not torch.equal(frame, directions((2, 3, 3), 5, seed=5))
    with pytest.raises(RecipeError, match="19 asked in a space of 18"):
        directions((2, 3, 3), 19, seed=0)


class Tokens(nn.Module):
    """Embedding, a transformer block, a classifier."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 8)
        self.up, self.down, self.out = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 3)

    def forward(self, x):
        h = self.embed(x)
        h = h + self.down(F.gelu(self.up(h)))
        return self.out(h.mean(dim=1))


def test_moving_an_embedding_equals_moving_the_input_of_the_rest():
    torch.manual_seed(0)
    net, tokens = Tokens().eval(), torch.randint(7, (6, 5), generator=draw(0))
    frame = directions((5, 8), 3, seed=0)
    found, units = sign_changes(net, tokens, frame, 0.5, at="embed", chunk=4)["root"]
    rest = nn.Sequential(net.up, nn.GELU())
    expected = sign_changes(rest, net.embed(tokens).detach(), frame, 0.5)["1"]
    assert units == expected[1] == 80
    assert torch.equal(found, expected[0])
    with pytest.raises(NotApplicable, match="int64"):
        sign_changes(net, tokens, frame, 0.5)


def test_a_network_without_activations_is_refused():
    with pytest.raises(NotApplicable, match="no activation"):
        sign_changes(nn.Linear(3, 2), torch.randn(2, 3), directions((3,), 2, 0), 0.1)


def test_readings_name_the_set_they_were_taken_on():
    """Forget points on the boundary of the only unit, retain points far from it, test points half and half."""
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0.0]]))

    def at(*values):
        return [(torch.tensor([[v, 0.0] for v in values]), torch.zeros(len(values), dtype=torch.int64))]

    sets = {"forget": at(0.0, 0.0), "retain": at(9.0, 9.0, -9.0), "test": at(0.0, 9.0)}
    found = LocalComplexity(directions=2, radius=0.5).measure(Subject(net, Classification(), sets))
    values = {r.on: r.value for r in found if r.measure == "local_complexity" and r.layer == "model"}
    assert values == {"forget": 1, "retain": 0, "test": 0.5}
    pooled = next(r for r in found if r.on == "forget").nulls["pooled"]
    assert pooled.low == 0
    assert pooled.median in (0, 0.5)


def test_the_fraction_is_of_all_units(net):
    points = torch.randn(5, 2, 4, 4, generator=draw(1))
    sets = {"forget": [(points, torch.zeros(5, dtype=torch.int64))], "retain": [(points, torch.zeros(5).long())]}
    found = LocalComplexity(directions=4, radius=0.3).measure(Subject(net, Classification(), sets))
    pairs = {(r.layer, r.measure): r.value for r in found if r.on == "forget"}
    for layer, units in (("relu", 48), ("root", 6), ("model", 102)):
        share = pairs[layer, "local_complexity"] / units
        assert pairs[layer, "local_complexity_fraction"] == pytest.approx(share)
    assert pairs["model", "local_complexity"] == pytest.approx(
        sum(pairs[layer, "local_complexity"] for layer in ("relu", "relu#2", "root"))
    )


@pytest.mark.parametrize(("at", "changes"), [(1.0, 1), (-1.0, 0), (0.99, 1), (-0.99, 1), (1.01, 0)])
def test_zero_is_not_active(at, changes):
    """The unit x₁, moved by 1 along the axes: 0 at a vertex is inactive, and so differs from what is above it only."""
    net = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU())
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 0.0]]))
    assert sign_changes(net, torch.tensor([[at, 5.0]]), torch.eye(2), 1.0)["1"][0].tolist() == [changes]


def test_as_many_directions_as_dimensions():
    frame = directions((3,), 3, seed=0)
    torch.testing.assert_close(frame @ frame.T, torch.eye(3), rtol=0, atol=1e-6)
    with pytest.raises(RecipeError, match="4 asked in a space of 3"):
        directions((3,), 4, seed=0)


def test_the_null_of_a_fraction_is_a_fraction(net):
    points = torch.randn(12, 2, 4, 4, generator=draw(1))
    sets = {
        role: [(part, torch.zeros(6).long())] for role, part in zip(("forget", "retain"), points.split(6), strict=True)
    }
    readings = LocalComplexity(directions=4, radius=0.3).measure(Subject(net, Classification(), sets))
    by_name = {(r.measure, r.layer): r for r in readings if r.on == "forget"}
    count, share = (by_name[name, "relu"].nulls["pooled"] for name in ("local_complexity", "local_complexity_fraction"))
    assert (share.low, share.median, share.high) == pytest.approx((count.low / 48, count.median / 48, count.high / 48))
    assert count.low < count.high
