"""Every deterministic method against a slow version written from its formula in METHODS.md.

A small CNN with batch normalization, fixed batch order, three epochs, float64. The slow versions share no code with the
package: they hold weights in a dict, write losses and SGD out, and take gradients one loss term at a time.
"""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call

from ungrok.core.objective import Classification
from ungrok.unlearn import UNLEARNERS

LR, MOMENTUM, DECAY, EPOCHS = 0.05, 0.9, 1e-2, 3
T, GAMMA, PULL, MSTEPS = 3.0, 0.9, 0.3, 2
ALPHA = 0.6
CLASSES = 4


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    ).double()


def batches(seed, *sizes):
    draw = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, 1, 8, 8, generator=draw, dtype=torch.float64), torch.randint(CLASSES, (n,), generator=draw))
        for n in sizes
    ]


# What the model believes on forget, the opposite on validation: its forget loss then begins below its validation loss.
FORGET = [(x, network()(x).argmax(1)) for x, _ in batches(1, 5, 4)]
RETAIN = batches(2, 8, 8, 6)
VALIDATION = [(x, network()(x).argmin(1)) for x, _ in batches(3, 7, 7)]


class Slow:
    """A model as two dicts, and the losses of METHODS.md."""

    def __init__(self, model, loss, batchnorm):
        self.model = copy.deepcopy(model).train()
        if batchnorm == "eval":
            for module in self.model:
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        self.teacher = copy.deepcopy(model).eval()
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.buffers = {name: b.clone() for name, b in model.named_buffers()}
        self.velocity = {name: torch.zeros_like(p) for name, p in self.weights.items()}
        self.loss = loss

    def logits(self, weights, x):
        return functional_call(self.model, (weights, self.buffers), (x,))

    def per_example(self, weights, batch):
        x, y = batch
        z = self.logits(weights, x)
        out = []
        for row, label in zip(z, y.tolist(), strict=True):
            if self.loss == "mse":
                out.append(sum((row[c] - float(c == label)) ** 2 for c in range(CLASSES)) / CLASSES)
            else:
                out.append(row.exp().sum().log() - row[label])
        return out

    def mean(self, weights, batch):
        values = self.per_example(weights, batch)
        return sum(values) / len(values)

    def divergence(self, weights, batch):
        """T² · mean over examples of Σ_c p·(log p − log q), p the teacher's."""
        with torch.no_grad():
            teacher = self.teacher(batch[0]) / T
        student = self.logits(weights, batch[0]) / T
        total = 0
        for a, b in zip(teacher, student, strict=True):
            p, log_q = a.exp() / a.exp().sum(), b - b.exp().sum().log()
            total = total + (p * (p.log() - log_q)).sum()
        return T**2 * total / len(teacher)

    def update(self, loss_of):
        """Make one SGD update on the sum of weighted terms, ``v ← μ·v + g + λ·θ``, ``θ ← θ − lr·v``."""
        leaves = {name: w.clone().requires_grad_() for name, w in self.weights.items()}
        total = {name: DECAY * w for name, w in self.weights.items()}
        for factor, term in loss_of(leaves):
            for name, g in zip(leaves, torch.autograd.grad(term, list(leaves.values())), strict=True):
                total[name] = total[name] + float(factor) * g
        for name, g in total.items():
            self.velocity[name] = MOMENTUM * self.velocity[name] + g
            self.weights[name] = self.weights[name] - LR * self.velocity[name]


def gradient_ascent(slow):
    for batch in FORGET * EPOCHS:
        slow.update(lambda w, f=batch: [(-1, slow.mean(w, f))])


def finetune(slow):
    for batch in RETAIN * EPOCHS:
        slow.update(lambda w, r=batch: [(1, slow.mean(w, r))])


def neggrad_plus(slow):
    for _ in range(EPOCHS):
        for index, retain in enumerate(RETAIN):
            forget = FORGET[index % len(FORGET)]
            slow.update(lambda w, r=retain, f=forget: [(ALPHA, slow.mean(w, r)), (ALPHA - 1, slow.mean(w, f))])


def nabla_tau(slow):
    total, climbs = EPOCHS * len(RETAIN), []
    for t in range(total):
        alpha, r, f, v = ALPHA * (1 - t / total), RETAIN[t % 3], FORGET[t % 2], VALIDATION[t % 2]

        def terms(w, alpha=alpha, r=r, f=f, v=v):
            target = slow.mean(w, v).detach()
            climb = torch.clamp(target - slow.mean(w, f), min=0) ** 2
            climbs.append(climb.item())
            return [(alpha, climb), (1 - alpha, slow.mean(w, r))]

        slow.update(terms)
    assert max(climbs) > 1e-3


def scrub(slow):
    for epoch in range(1, EPOCHS + 1):
        for batch in FORGET if epoch <= MSTEPS else ():
            slow.update(lambda w, f=batch: [(-1, slow.divergence(w, f))])
        for batch in RETAIN:

            def terms(w, r=batch):
                # One forward pass serves both terms: batch normalization must count it once.
                before = {name: b.clone() for name, b in slow.buffers.items()}
                own = slow.mean(w, r)
                slow.buffers.update(before)
                return [(GAMMA, own), (PULL, slow.divergence(w, r))]

            slow.update(terms)


CASES = {
    gradient_ascent: {},
    finetune: {},
    neggrad_plus: {"alpha": ALPHA},
    nabla_tau: {"alpha": ALPHA},
    scrub: {"gamma": GAMMA, "alpha": PULL, "temperature": T, "msteps": MSTEPS},
}


@pytest.mark.parametrize("batchnorm", ["train", "eval"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(("slow_version", "settings"), CASES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_against_the_slow_version(slow_version, settings, loss, batchnorm):
    model = network()
    slow = Slow(model, loss, batchnorm)
    slow_version(slow)
    method = UNLEARNERS.get(slow_version.__name__)(
        lr=LR, momentum=MOMENTUM, weight_decay=DECAY, epochs=EPOCHS, batchnorm=batchnorm, **settings
    )
    path = method.path(model, FORGET, RETAIN, Classification(loss), validation=VALIDATION)
    *_, last = path
    for name, parameter in last.model.named_parameters():
        assert (parameter - slow.weights[name]).abs().max() <= 1e-10, name
        assert (parameter - model.get_parameter(name)).abs().max() > 1e-4, name
    for name, buffer in last.model.named_buffers():
        assert (buffer.double() - slow.buffers[name].double()).abs().max() <= 1e-10, name
