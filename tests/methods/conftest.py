"""Models small enough for what methods do to them to be written out by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ungrok.core.causal_lm import CausalLM
from ungrok.core.objective import Classification
from ungrok.methods import UNLEARNERS, Material


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
    return lambda value, expected: torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-13)


class Small:
    """A network of 4 inputs and 3 classes, and batches for it."""

    @staticmethod
    def network():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))

    @staticmethod
    def batches(n=12, seed=0, classes=(0, 1, 2)):
        draw = torch.Generator().manual_seed(seed)
        targets = torch.tensor(classes)[torch.arange(n) % len(classes)]
        return [(torch.randn(n, 4, generator=draw), targets)]

    def path(self, kind, start=None, forget=None, retain=None, **settings):
        forget, retain = forget or self.batches(seed=1), retain or self.batches(seed=2)
        method = UNLEARNERS.get(kind)(**settings)
        return method.path(start or self.network(), forget, retain, Classification(), factory=self.network)

    def last(self, kind, *args, **settings):
        """Return the model at the end of the path."""
        *_, step = self.path(kind, *args, **settings)
        return step.model


@pytest.fixture
def small():
    """The network, its batches, and paths from it."""
    return Small()


class Table(nn.Module):
    """A language model of four tokens: the next token's probabilities are a row for the last token."""

    def __init__(self, *rows):
        super().__init__()
        self.table = nn.Parameter(torch.tensor(rows, dtype=torch.float64).log())

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=self.table[input_ids])


class Tokens:
    """After tokens 0 and 1 the live model and the original believe different things; one question, answers of a token or two."""

    uniform = [1 / 4] * 4
    live = ([1 / 8, 1 / 4, 1 / 2, 1 / 8], [1 / 4, 1 / 16, 1 / 4, 7 / 16], uniform, uniform)
    original = ([1 / 8, 1 / 2, 1 / 4, 1 / 8], uniform, uniform, uniform)

    @staticmethod
    def batch(*answer, **others):
        ids = torch.tensor([[0, *answer]])
        labels = torch.tensor([[-100, *answer]])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels, **others}

    def material(self):
        batches = [self.batch(1)]
        return Material(Table(*self.live), Table(*self.original), batches, (), (), CausalLM(), None, None, 0)


@pytest.fixture
def lm():
    """A language model whose probabilities are powers of two, and its original."""
    return Tokens()
