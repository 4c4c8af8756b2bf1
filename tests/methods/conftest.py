"""A linear softmax model whose gradients are written out by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ungrok.core.objective import Classification


def softmax(z, temperature=1.0):
    e = (z / temperature - (z / temperature).max(1, keepdim=True).values).exp()
    return e / e.sum(1, keepdim=True)


class Linear:
    """Closed forms for logits z = x·Wᵀ; a gradient of the mean loss is ∂L/∂zᵀ·x / n."""

    def __init__(self, loss):
        self.loss = loss
        self.objective = Classification(loss, "float64")
        draw = torch.Generator().manual_seed(0)
        self.weight = torch.randn(3, 2, generator=draw, dtype=torch.float64)

        def batches(*sizes):
            return [
                (
                    torch.randn(n, 2, generator=draw, dtype=torch.float64),
                    torch.randint(3, (n,), generator=draw),
                )
                for n in sizes
            ]

        self.forget, self.retain, self.validation = batches(4), batches(5, 3), batches(6)

    def model(self):
        made = nn.Linear(2, 3, bias=False).double()
        with torch.no_grad():
            made.weight.copy_(self.weight)
        return made

    def value(self, w, batch):
        """Return the mean loss."""
        x, y = batch
        z, one_hot = x @ w.T, torch.eye(3, dtype=torch.float64)[y]
        if self.loss == "mse":
            return ((z - one_hot) ** 2).sum() / (3 * len(y))
        return -(softmax(z).log() * one_hot).sum() / len(y)

    def gradient(self, w, batch):
        """Return the gradient of the mean loss."""
        x, y = batch
        z, one_hot = x @ w.T, torch.eye(3, dtype=torch.float64)[y]
        by_logit = 2 * (z - one_hot) / 3 if self.loss == "mse" else softmax(z) - one_hot
        return by_logit.T @ x / len(y)

    def divergence(self, w, batch, temperature):
        """Return the gradient of T²·KL(teacher ‖ student): T·(q − p) by logit, averaged over examples."""
        x, y = batch
        p, q = softmax(x @ self.weight.T, temperature), softmax(x @ w.T, temperature)
        return temperature * (q - p).T @ x / len(y)

    def walk(self, method, **inputs):
        """Return the weights and losses after each update."""
        path = method.path(self.model(), self.forget, self.retain, self.objective, **inputs)
        return SimpleNamespace(
            **dict(
                zip(
                    ("weights", "losses"),
                    zip(*[(s.model.weight.detach().clone(), s.loss) for s in path], strict=True),
                    strict=True,
                )
            )
        )


@pytest.fixture(params=["cross_entropy", "mse"])
def linear(request):
    """The model and its closed forms."""
    return Linear(request.param)


@pytest.fixture
def close():
    """Return a comparison to 12 digits."""
    return lambda found, expected: torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
