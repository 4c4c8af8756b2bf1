"""Readings of curvature against dense matrices."""

import pytest
import torch
from torch import nn

from ungrok.analyze import Subject
from ungrok.analyze.base import joined
from ungrok.analyze.curvature import Curvature
from ungrok.analyze.krylov import hutch_plus_plus
from ungrok.analyze.operators import flat, gauss_newton, hessian, parameters, size
from ungrok.core.gradients import diagonal_fisher
from ungrok.core.objective import Classification


def spectrum(model, made, objective):
    return torch.linalg.eigvalsh(hessian(model, made, objective)(torch.eye(size(model)).double()))


def read(analysis, subject):
    return {(r.measure, r.on): r for r in analysis.measure(subject)}


@pytest.fixture(params=["cross_entropy", "mse"])
def both(request):
    """A network small enough for dense matrices: 47 parameters, 6 examples to forget and 11 to retain."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3)).double()
    x = torch.randn(17, 4, dtype=torch.float64)
    made = list(zip(x.split(6), torch.randint(3, (17,)).split(6), strict=True))
    return Subject(model, Classification(request.param), {"forget": made[:1], "retain": made[1:]})


def test_eigenvalues_and_traces_are_those_of_the_dense_hessian(both):
    full = size(both.model)
    settings = {"steps": full, "products": 3 * full, "probes": 3, "chunk": 4}
    found = read(Curvature(**settings), both)
    for on, roles in (("forget", ["forget"]), ("retain", ["retain"]), ("forget+retain", ["forget", "retain"])):
        made = [batch for role in roles for batch in both.sets[role]]
        values = spectrum(both.model, made, both.objective)
        for rank in (1, 2, 3):
            assert found[f"hessian_eigenvalue_{rank}", on].value == pytest.approx(values[-rank].item(), rel=1e-7)
            assert found[f"hessian_eigenvalue_{rank}_residual", on].value < 1e-7
        assert found["hessian_smallest", on].value == pytest.approx(values[0].item(), rel=1e-6, abs=1e-9)
        assert found["hessian_trace", on].value == pytest.approx(values.sum().item(), rel=1e-7)
        fisher, _ = diagonal_fisher(both.model, iter(made), both.objective)
        trace = sum(v.sum().item() for v in fisher.values())
        assert found["fisher_trace", on].value == pytest.approx(trace, rel=1e-9)
        if both.objective.loss == "cross_entropy":
            assert found["ggn_trace", on].value == pytest.approx(trace, rel=1e-7)


def test_traces_have_errors_from_their_probes(both):
    analysis = Curvature(steps=5, products=9, probes=0, draws=0)
    found = read(analysis, both)
    made = [*both.sets["forget"], *both.sets["retain"]]
    trace = hutch_plus_plus(hessian(both.model, made, both.objective), size(both.model), 9, both.seed)
    assert found["hessian_trace", "forget+retain"].value == pytest.approx(trace.value)
    assert found["hessian_trace_error", "forget+retain"].value == pytest.approx(trace.error)
    errors = {measure for measure, _ in found if measure.endswith("_error")}
    assert errors == {"hessian_trace_error", "adaptive_trace_error", "ggn_trace_error"}
    assert errors <= analysis.beside()


@pytest.mark.parametrize(("activation", "equal"), [(nn.ReLU, True), (nn.Tanh, False)])
def test_the_trace_is_that_of_gauss_newton_where_layers_are_linear_and_relu(both, activation, equal):
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 5), activation(), nn.Linear(5, 4), activation(), nn.Linear(4, 3)).double()
    made, eye = both.sets["retain"], torch.eye(size(model)).double()
    traces = [product(model, made, both.objective)(eye).trace().item() for product in (hessian, gauss_newton)]
    assert (traces[0] == pytest.approx(traces[1], rel=1e-9)) == equal


def test_adaptive_curvature_is_that_of_the_rescaled_matrix(both):
    full, made = size(both.model), [*both.sets["forget"], *both.sets["retain"]]
    found = read(Curvature(steps=full, products=3 * full, probes=0), both)
    d = flat(parameters(both.model)).abs().diag()
    dense = d @ hessian(both.model, made, both.objective)(torch.eye(full).double()) @ d
    values = torch.linalg.eigvalsh(dense)
    assert found["adaptive_eigenvalue", "forget+retain"].value == pytest.approx(values[-1].item(), rel=1e-7)
    assert found["adaptive_trace", "forget+retain"].value == pytest.approx(values.sum().item(), rel=1e-7)


def test_shares_beyond_each_power_of_ten_are_those_of_the_dense_hessian(both):
    """With enough probes the quadrature counts eigenvalues; every probe is exact for its own measure."""
    p = size(both.model)
    found = read(Curvature(steps=p, products=6, probes=60, draws=0, adaptive=False), both)
    values = spectrum(both.model, [b for role in ("forget", "retain") for b in both.sets[role]], both.objective)
    for power in (-3, -2, -1):
        above = (values > 10.0**power).double().mean().item()
        below = (values < -(10.0**power)).double().mean().item()
        assert found[f"hessian_above_1e{power}", "forget+retain"].value == pytest.approx(above, abs=0.04)
        assert found[f"hessian_below_-1e{power}", "forget+retain"].value == pytest.approx(below, abs=0.04)


def test_null_is_drawn_from_retain_with_the_size_of_forget(both):
    found = read(Curvature(steps=20, products=9, probes=0, draws=4), both)
    null = found["hessian_eigenvalue_1", "forget"].nulls["retain_subset"]
    x, y = joined(both.objective, both.sets["retain"])
    values = [spectrum(both.model, [(x[i], y[i])], both.objective)[-1].item() for i in torch.randperm(11)[:6][None]]
    assert null.draws == 4
    assert 0.2 * min(values) < null.low <= null.high < 5 * max(values)
    assert found["hessian_eigenvalue_1", "retain"].nulls == {}


@pytest.mark.parametrize(("value", "above"), [(0.095, 0.0), (0.105, 1.0)])
def test_a_decade_begins_at_its_power_of_ten(value, above):
    """One weight with L(w) = ±value·w²/2 has the Hessian ±value."""

    class Parabola(Classification):
        sign = 1

        def losses(self, logits, batch):
            return self.sign * value * logits.square().sum(dim=1) / 2

    one = [(torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.int64))]
    for side, sign in (("above_1e", 1), ("below_-1e", -1)):
        objective = Parabola()
        objective.sign = sign
        subject = Subject(nn.Linear(1, 1, bias=False).double(), objective, {"forget": one, "retain": one * 2})
        found = read(Curvature(steps=2, products=3, probes=2, draws=0, adaptive=False), subject)
        assert found[f"hessian_{side}-1", "forget+retain"].value == pytest.approx(above)
        assert found[f"hessian_{side}-2", "forget+retain"].value == pytest.approx(1.0)


def test_eigenvalues_are_counted_beyond_a_millionth_to_a_hundred(both):
    found = read(Curvature(steps=5, products=3, probes=1, draws=0, adaptive=False), both)
    names = {name for name, _ in found if name.startswith(("hessian_above", "hessian_below"))}
    powers = (-6, -5, -4, -3, -2, -1, 0, 1, 2)
    assert names == {f"hessian_{side}1e{power}" for side in ("above_", "below_-") for power in powers}
    assert found["hessian_above_1e-6", "forget"].unit == "1"


def test_there_is_no_null_where_retain_is_not_larger(both):
    sets = {"forget": both.sets["retain"], "retain": both.sets["forget"]}
    equal = {"forget": both.sets["forget"], "retain": both.sets["forget"]}
    for swapped in (sets, equal):
        subject = Subject(both.model, both.objective, swapped)
        found = read(Curvature(steps=5, products=3, probes=0, draws=2, adaptive=False), subject)
        assert all(reading.nulls == {} for reading in found.values())
