"""Gradients of every kind of model against one backward pass per example, added up in float64."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils import spectral_norm as old_spectral_norm
from torch.nn.utils import weight_norm as old_weight_norm

from ungrok.analyze.gradients import gradient_gram, mean_gradient
from ungrok.core.gradients import diagonal_fisher, squared_gradients
from ungrok.core.objective import Classification

OBJECTIVE = Classification()


def pruned(layer):
    prune.l1_unstructured(layer, "weight", 0.3)
    return layer


CHANGES = {
    "plain": lambda layer: layer,
    "pruned": pruned,
    "old weight norm": old_weight_norm,
    "weight norm": parametrizations.weight_norm,
    "old spectral norm": old_spectral_norm,
    "spectral norm": parametrizations.spectral_norm,
    "frozen": lambda layer: layer.requires_grad_(requires_grad=False),
    "hooked": lambda layer: layer.register_forward_hook(lambda *args: 2 * args[2]) and layer,
}


class Small(nn.Module):
    """A convolution, two hidden layers of the same shape, and a head.

    Args:
        changes: What is done to convolution, first, second and head.
        way: How the hidden layers are used: one after another; the second a copy of the first (``tied``); the first called twice
            (``twice``) or used by ``F.linear`` (``functional``); one of both by each example (``routed``), by each half of an
            example (``halves``); the second never (``unused``).

    """

    def __init__(self, changes, way):
        super().__init__()
        self.way = way
        self.conv, self.norm = CHANGES[changes[0]](nn.Conv2d(1, 2, 3, padding=1)), nn.BatchNorm2d(2)
        self.first, self.second = (CHANGES[change](nn.Linear(16, 16)) for change in changes[1:3])
        self.head = CHANGES[changes[3]](nn.Linear(16, 3))
        if way == "tied":
            self.second = self.first

    def hidden(self, h):
        way = self.way
        if way == "routed":
            goes = h.sum(-1, keepdim=True) > 0
            out = torch.zeros_like(h)
            for expert, mask in ((self.first, goes[..., 0]), (self.second, ~goes[..., 0])):
                if mask.any():
                    out[mask] = expert(h[mask])
            return out
        h = self.first(h).tanh()
        if way == "twice":
            return self.first(h)
        if way == "functional":
            return self.second(h) + F.linear(h, self.first.weight)
        return h if way == "unused" else self.second(h)

    def forward(self, x):
        rows = self.norm(self.conv(x)).tanh().flatten(2)
        if self.way == "halves":
            self.way, out = "routed", None
            try:
                out = self.hidden(rows.flatten(0, 1)).view(len(x), 2, 16).sum(1)
            finally:
                self.way = "halves"
            return self.head(out)
        return self.head(self.hidden(rows.sum(1)).tanh())


def slow(model, inputs, targets, scalars):
    """Return, per trainable parameter, each example's gradients of its scalars, float64, shape (n, k, parameter's shape)."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    rows = {name: [] for name in named}
    for x, y in zip(inputs, targets, strict=True):
        values = scalars(model(x[None])[0], y)
        taken = [torch.autograd.grad(v, list(named.values()), retain_graph=True, allow_unused=True) for v in values]
        for index, (name, p) in enumerate(named.items()):
            parts = [torch.zeros_like(p) if t[index] is None else t[index] for t in taken]
            rows[name].append(torch.stack(parts).double())
    return {name: torch.stack(values) for name, values in rows.items()}


def losses(logits, y):
    return [F.cross_entropy(logits[None], y[None])]


def log_probabilities(logits, _):
    log_p = logits.float().log_softmax(0) if logits.dtype == torch.bfloat16 else logits.log_softmax(0)
    return [(v.detach() / 2).exp() * v for v in log_p]


def close(values, expected, tolerance):
    assert list(values) == list(expected)
    largest = max(value.abs().max() for value in expected.values()) if tolerance > 0.01 else 0.0
    for name, value in expected.items():
        assert values[name].dtype in (torch.float32, torch.float64)
        assert values[name].is_contiguous(memory_format=torch.channels_last) or values[name].is_contiguous()
        off = (values[name].double() - value).abs().max()
        # Where bfloat16 terms cancel in a parameter, what is left is their rounding.
        assert off <= tolerance * value.abs().max() + 0.01 * largest, (name, float(off), float(value.abs().max()))


PRECISIONS = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 0.15}


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("way", ["one by one", "tied", "twice", "functional", "routed", "halves", "unused"])
@given(
    st.just(("plain",) * 4)
    | st.tuples(*[st.sampled_from(list(CHANGES))] * 4).filter(lambda changes: set(changes) != {"frozen"}),
    st.sampled_from(list(PRECISIONS)),
    st.booleans(),
    st.integers(1, 7),
    st.integers(1, 8),
    st.integers(0, 1000),
)
@settings(max_examples=20, derandomize=True, deadline=None)
def test_any_model_gives_what_one_backward_pass_per_example_gives(
    way, changes, precision, channels_last, n, chunk, seed
):
    torch.manual_seed(seed)
    model = Small(changes, way).to(precision).eval()
    if channels_last:
        model.to(memory_format=torch.channels_last)
    inputs, targets = torch.randn(n, 1, 4, 4).to(precision), torch.randint(3, (n,))
    model(inputs)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches, tolerance = [(inputs, targets)], PRECISIONS[precision]

    per_example = slow(model, inputs, targets, losses)
    squares, count = squared_gradients(model, iter(batches), OBJECTIVE, chunk)
    assert count == n
    close(squares, {name: g.square().sum(1).mean(0) for name, g in per_example.items()}, tolerance)
    fisher, outputs = diagonal_fisher(model, iter(batches), OBJECTIVE, chunk)
    assert outputs == 3
    expected = slow(model, inputs, targets, log_probabilities)
    close(fisher, {name: g.square().sum(1).mean(0) for name, g in expected.items()}, tolerance)
    close(mean_gradient(model, batches, OBJECTIVE), {n: g.sum(1).mean(0) for n, g in per_example.items()}, tolerance)
    gram = gradient_gram(model, batches[0], OBJECTIVE, chunk=chunk)["model"]
    flat = torch.cat([g.flatten(1) for g in per_example.values()], dim=1)
    close({"gram": gram}, {"gram": flat @ flat.T}, tolerance)

    model(inputs)  # nothing that a vectorized pass left behind stands in the way
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
