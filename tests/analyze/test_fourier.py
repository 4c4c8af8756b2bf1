"""A network built from cosines, whose frequencies are known."""

from math import log

import pytest
import torch
from torch import nn

from ungrok.analyze import Subject
from ungrok.analyze.fourier import Fourier, frequency_norms, gini, restrict, sum_power
from ungrok.core.errors import NotApplicable
from ungrok.core.objective import Classification
from ungrok.models.transformer import Transformer

P, KEYS = 11, (2, 5)


class Cosines(nn.Module):
    """Logits Σ_k A·cos(2πk(a + b − c)/p) from one-hot a and b, through a first layer of cosines and sines."""

    def __init__(self, amplitude=3.0, keys=KEYS, memory=0.0):
        super().__init__()
        angle = 2 * torch.pi * torch.tensor(keys)[:, None] * torch.arange(P) / P
        waves = torch.cat([angle.cos(), angle.sin()])
        self.first = nn.Linear(2 * P, 4 * len(keys), bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.block_diag(waves, waves))
        self.amplitude, self.keys, self.waves = amplitude, len(keys), waves
        self.memory = memory * torch.randn(P, P, P, generator=torch.Generator().manual_seed(0))

    def forward(self, x):
        ca, sa, cb, sb = self.first(x).view(len(x), 4, self.keys).unbind(1)
        cosine, sine = ca * cb - sa * sb, sa * cb + ca * sb  # of ω(a + b)
        logits = self.amplitude * torch.cat([cosine, sine], dim=1) @ self.waves
        return logits + self.memory[x[:, :P].argmax(1), x[:, P:].argmax(1)]


def data(operation=lambda a, b: (a + b) % P):
    a, b = torch.cartesian_prod(torch.arange(P), torch.arange(P)).unbind(1)
    x = torch.cat([torch.eye(P)[a], torch.eye(P)[b]], dim=1)
    order = torch.randperm(P * P, generator=torch.Generator().manual_seed(1))
    y = operation(a, b)
    parts = {"forget": order[:20], "retain": order[20:80], "test": order[80:]}
    return {role: [(x[i], y[i])] for role, i in parts.items()}


def read(model, **settings):
    return {(r.measure, r.on): r for r in Fourier(keys=2, **settings).measure(Subject(model, Classification(), data()))}


def test_gini_of_equal_and_of_single_values():
    assert gini(torch.full((8,), 3.0)) == pytest.approx(0)
    assert gini(torch.tensor([0.0, 0, 0, 5])) == pytest.approx(0.75)
    assert gini(torch.tensor([1.0, 3.0])) == pytest.approx(0.25)


def test_all_power_of_the_circuit_is_at_its_frequencies():
    found = read(Cosines())
    assert found["fourier_sum_share", "all"].value == pytest.approx(1)
    assert found["fourier_key_share", "all"].value == pytest.approx(1)
    assert found["fourier_key_share", "all"].nulls["random"].high < 0.1
    for on in "ab":
        gini_of_two_in_five = 1 - 2 / 5
        assert found["fourier_gini", on].value == pytest.approx(gini_of_two_in_five, abs=1e-6)
        assert found["fourier_gini", on].value > found["fourier_gini", on].nulls["random"].high


def test_frequencies_of_the_first_layer():
    norms = frequency_norms(Cosines().first.weight.detach(), P)
    assert (norms[0] > 1e-3).nonzero().flatten().tolist() == [k - 1 for k in KEYS]


def test_the_embedding_of_a_transformer_is_read_where_there_is_no_first_layer():
    """One row per code, shared by both: a cosine and a sine at each key frequency."""
    model = Transformer(width=4, heads=1, layers=1, hidden=4).build((2 * P,), P, 0)
    with torch.no_grad():
        model.embedding.copy_(Cosines().waves.T)
    found = read(model)
    assert found["fourier_gini", "a and b"].value == pytest.approx(1 - 2 / 5, abs=1e-6)
    assert found["fourier_gini", "a and b"].layer == "embedding"
    assert ("fourier_gini", "a") not in found


def test_restricted_loss_is_the_full_one_and_excluded_loss_is_log_p_for_a_pure_circuit():
    found = read(Cosines())
    assert found["restricted_loss", "test"].value == pytest.approx(found["full_loss", "test"].value, rel=1e-5)
    assert found["excluded_loss", "forget+retain"].value == pytest.approx(log(P), rel=1e-5)
    assert ("excluded_loss", "test") not in found


def test_a_memory_beside_the_circuit_is_restricted_away_and_survives_exclusion():
    """Memory noise hurts the full test loss, not the restricted one."""
    pure, noisy = read(Cosines()), read(Cosines(memory=3.0))
    assert noisy["full_loss", "test"].value > 2 * pure["full_loss", "test"].value
    assert noisy["restricted_loss", "test"].value < noisy["full_loss", "test"].value / 2
    assert noisy["fourier_sum_share", "all"].value < 0.9


def test_restrict_and_exclude_add_up():
    """To the logits plus one constant part, which both keep."""
    logits = torch.randn(P, P, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    keys = torch.tensor(KEYS)
    both = restrict(logits, keys) + restrict(logits, keys, exclude=True)
    torch.testing.assert_close(both, logits + logits.mean(dim=(0, 1)))


def test_power_against_projections_written_out():
    logits = torch.randn(P, P, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = torch.meshgrid(torch.arange(P), torch.arange(P), indexing="ij")
    varying = (logits - logits.mean(dim=(0, 1))).square().sum()
    for k, found in enumerate(sum_power(logits)[0].tolist(), start=1):
        angle = 2 * torch.pi * k * (a + b).double() / P
        waves = torch.stack([angle.cos(), angle.sin()]) * (2 / P**2) ** 0.5
        inner = torch.einsum("wab,abc->wc", waves, logits)
        assert found == pytest.approx((inner.square().sum() / varying).item(), rel=1e-9)


def test_named_frequencies_are_used():
    found = read(Cosines(), frequencies=(1, 3))
    assert found["fourier_key_share", "all"].value == pytest.approx(0, abs=1e-9)
    assert found["restricted_loss", "test"].value == pytest.approx(log(P), rel=1e-4)


def test_other_problems_are_refused():
    sets = data(lambda a, b: (a * b) % P)
    with pytest.raises(NotApplicable, match="mod 11"):
        Fourier().measure(Subject(Cosines(), Classification(), sets))
    sets = {role: [(torch.rand_like(x), y)] for role, [(x, y)] in data().items()}
    with pytest.raises(NotApplicable, match="one-hot"):
        Fourier().measure(Subject(Cosines(), Classification(), sets))


def changed(change):
    """Return the data with the codes of every batch changed in place."""
    sets = data()
    for ((x, _),) in sets.values():
        change(x)
    return sets


def soften(x):
    x[0] *= 0.6
    x[0, (x[0, :P].argmax() + 1) % P] = 0.4
    x[0, P + (x[0, P:].argmax() + 1) % P] = 0.4


def double(half):
    def change(x):
        x[0, half * P + P - 1 if x[0, half * P + P - 1] == 0 else half * P] = 1

    return change


@pytest.mark.parametrize("change", [soften, double(0), double(1)], ids=["soft codes", "two in a", "two in b"])
def test_codes_that_are_not_one_hot_are_refused(change):
    """Their largest entries may still give the right sum."""
    with pytest.raises(NotApplicable, match="one-hot"):
        Fourier().measure(Subject(Cosines(), Classification(), changed(change)))


def test_an_even_modulus_is_refused():
    a, b = torch.cartesian_prod(torch.arange(4), torch.arange(4)).unbind(1)
    batch = [(torch.cat([torch.eye(4)[a], torch.eye(4)[b]], dim=1), (a + b) % 4)]
    sets = dict.fromkeys(("forget", "retain", "test"), batch)
    with pytest.raises(NotApplicable, match="odd modulus"):
        Fourier().measure(Subject(nn.Linear(8, 4), Classification(), sets))


class Prefaced(Cosines):
    """With parameters before the first layer that are no codes of numbers."""

    def __init__(self):
        super().__init__()
        first = self.first
        del self.first
        self.vector, self.square = nn.Parameter(torch.ones(P)), nn.Parameter(torch.ones(3, 3))
        self.first = first


def test_the_first_layer_is_the_first_matrix_of_the_right_width():
    readings = read(Prefaced())
    assert readings["fourier_gini", "a"].layer == "first"
    assert readings["fourier_gini", "b"].value == pytest.approx(1 - 2 / 5, abs=1e-6)


def test_every_frequency_has_its_share():
    for p in (3, 5, 11):
        logits = torch.randn(p, p, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(p))
        assert len(sum_power(logits)[0]) == (p - 1) // 2


def test_losses_of_parts_of_the_logits_by_hand():
    """Of every set the mean over its own examples, from the table of logits of all pairs."""
    model, sets = Cosines(memory=1.0), data()
    readings = read(model)
    a, b = torch.cartesian_prod(torch.arange(P), torch.arange(P)).unbind(1)
    with torch.no_grad():
        grid = model(torch.cat([torch.eye(P)[a], torch.eye(P)[b]], dim=1)).view(P, P, P).double()
    keys = torch.tensor(KEYS)
    tables = {"full": grid, "restricted": restrict(grid, keys), "excluded": restrict(grid, keys, exclude=True)}
    for name, on in (
        ("full", "test"),
        ("restricted", "test"),
        ("full", "forget+retain"),
        ("excluded", "forget+retain"),
    ):
        losses = []
        for role in on.split("+"):
            ((x, y),) = sets[role]
            rows = tables[name][x[:, :P].argmax(1), x[:, P:].argmax(1)]
            losses.append(nn.functional.cross_entropy(rows, y, reduction="none"))
        assert readings[f"{name}_loss", on].value == pytest.approx(torch.cat(losses).mean().item(), rel=1e-5)
        assert readings[f"{name}_loss", on].examples == len(torch.cat(losses))
