"""Every deterministic method against a slow version written from its formula in METHODS.md.

A small CNN with batch normalization, fixed batch order, three epochs, float64. The slow versions share no code with the
package: they hold weights in a dict, write losses and SGD out, and take gradients one loss term at a time.
"""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import nn
from torch.func import functional_call

from ungrok.core.objective import Classification
from ungrok.core.seeds import derive
from ungrok.methods import UNLEARNERS, Material

LR, MOMENTUM, DECAY, EPOCHS = 0.05, 0.9, 1e-2, 3
T, GAMMA, PULL, MSTEPS = 3.0, 0.9, 0.3, 2
ALPHA, PENALTY, EPSILON, K = 0.6, 0.01, 0.4, 0.3
DRAWS, SIGMA, CLIP = 3, 0.5, 0.7
SHARE, SLOW = 0.3, 0.1
NOISE_LR, NOISE_STEPS, NOISE_BATCH, REPAIR_LR = 0.1, 4, 6, 0.02
CLASSES = 4
DRAW_SEED = 11


def network(seed=0):
    torch.manual_seed(seed)
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
# Whole classes, for the method that can forget nothing else.
FORGET_CLASS = [(x, torch.full_like(y, 3)) for x, y in FORGET]
RETAIN_CLASSES = [(x, y % 3) for x, y in RETAIN]


def draws():
    """Return the generator that the methods are given in these tests."""
    return torch.Generator().manual_seed(DRAW_SEED)


class Slow:
    """A model as two dicts, and the losses of METHODS.md."""

    def __init__(self, model, loss, batchnorm):
        self.model, self.batchnorm = copy.deepcopy(model), batchnorm
        self.restore_mode()
        self.teacher = copy.deepcopy(model).eval()
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.buffers = {name: b.clone() for name, b in model.named_buffers()}
        self.velocity = {name: torch.zeros_like(p) for name, p in self.weights.items()}
        self.mask = dict.fromkeys(self.weights, 1.0)
        self.rate = LR
        self.loss = loss

    def restore_mode(self):
        self.model.train()
        for module in self.model:
            if isinstance(module, nn.BatchNorm2d) and self.batchnorm == "eval":
                module.eval()

    def logits(self, weights, x):
        return functional_call(self.model, (weights, self.buffers), (x,))

    def per_example(self, weights, batch):
        return self.of_logits(self.logits(weights, batch[0]), batch[1])

    def of_logits(self, z, y):
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

    def divergence(self, weights, batch, teacher=None, temperature=T):
        """T² · mean over examples of Σ_c p·(log p − log q), p the teacher's."""
        with torch.no_grad():
            wanted = (teacher or self.teacher)(batch[0]) / temperature
        student = self.logits(weights, batch[0]) / temperature
        total = 0
        for a, b in zip(wanted, student, strict=True):
            p, log_q = a.exp() / a.exp().sum(), b - b.exp().sum().log()
            total = total + (p * (p.log() - log_q)).sum()
        return temperature**2 * total / len(wanted)

    def update(self, loss_of, factors=None):
        """Make one SGD update on the sum of weighted terms, ``v ← μ·v + g + λ·θ``, ``θ ← θ − rate·v``; factors multiply g."""
        leaves = {name: w.clone().requires_grad_() for name, w in self.weights.items()}
        total = {name: DECAY * w for name, w in self.weights.items()}
        for factor, term in loss_of(leaves):
            for name, g in zip(leaves, torch.autograd.grad(term, list(leaves.values())), strict=True):
                total[name] = total[name] + float(factor) * g * (factors or {}).get(name, 1.0)
        for name, g in total.items():
            self.velocity[name] = self.mask[name] * (MOMENTUM * self.velocity[name] + g)
            self.weights[name] = self.weights[name] - self.rate * self.velocity[name]


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
        slow.rate = LR if epoch <= 1 else LR / 10 if epoch <= 2 else LR / 100
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


def l1_sparse(slow):
    for epoch in range(EPOCHS):
        alpha = PENALTY * (1 - epoch / EPOCHS)
        for batch in RETAIN:
            slow.update(lambda w, r=batch, a=alpha: [(1, slow.mean(w, r) + a * sum(p.abs().sum() for p in w.values()))])


def random_label(slow):
    draw = draws()
    for _ in range(EPOCHS):
        for x, y in FORGET:
            labels = torch.randint(CLASSES, y.shape, generator=draw)
            slow.update(lambda w, x=x, y=labels: [(1, slow.mean(w, (x, y)))])
        for batch in RETAIN:
            slow.update(lambda w, r=batch: [(1, slow.mean(w, r))])


def salun(slow):
    """The mask by sorting everything; masked entries take no part in gradient, decay or momentum."""
    slow.model.eval()
    total = dict.fromkeys(slow.weights, 0.0)
    for batch in FORGET:
        leaves = {name: w.clone().requires_grad_() for name, w in slow.weights.items()}
        for name, g in zip(leaves, torch.autograd.grad(slow.mean(leaves, batch), list(leaves.values())), strict=True):
            total[name] = total[name] + g
    slow.restore_mode()
    ranked = torch.cat([g.abs().flatten() for g in total.values()]).sort(descending=True).values
    threshold = ranked[math.floor(K * len(ranked)) - 1]
    slow.mask = {name: (g.abs() >= threshold).double() for name, g in total.items()}
    random_label(slow)


def amnesiac(slow):
    draw = draws()
    wrong = [(x, (y + torch.randint(1, CLASSES, y.shape, generator=draw)) % CLASSES) for x, y in FORGET]
    assert all((a != b).all() for (_, a), (_, b) in zip(wrong, FORGET, strict=True))
    for batch in (*wrong, *RETAIN) * EPOCHS:
        slow.update(lambda w, b=batch: [(1, slow.mean(w, b))])


def boundary_shrink(slow, as_pixels=lambda x: x):
    for x, y in FORGET * EPOCHS:
        moved = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(sum(slow.of_logits(slow.teacher(moved), y)), moved)
        labels = slow.teacher(as_pixels(x + EPSILON * g.sign())).argmax(1)
        slow.update(lambda w, x=x, y=labels: [(1, slow.mean(w, (x, y)))])


def boundary_shrink_as_published(slow):
    """Values are -1, -1 + 2/255, …, 1, as of an image of 8 bits."""
    levels = torch.linspace(-1, 1, 256, dtype=torch.float64)
    boundary_shrink(slow, lambda x: levels[(x.unsqueeze(-1) - levels).abs().argmin(-1)])


def boundary_expand(slow):
    draw, bound = draws(), 16**-0.5
    for name, shape in {"row.weight": (1, 16), "row.bias": (1,)}.items():
        slow.weights[name] = torch.empty(shape, dtype=torch.float64)
        slow.weights[name].copy_(torch.empty(shape).uniform_(-bound, bound, generator=draw))
        slow.velocity[name], slow.mask[name] = torch.zeros(shape, dtype=torch.float64), 1.0
    for x, _ in FORGET * EPOCHS:

        def terms(w, x=x):
            body = {name: p for name, p in w.items() if not name.startswith(("row", "7"))}
            h = functional_call(slow.model[:7], (body, slow.buffers), (x,))
            z = torch.cat([h @ w["7.weight"].T + w["7.bias"], h @ w["row.weight"].T + w["row.bias"]], 1)
            return [(1, (z.exp().sum(1).log() - z[:, CLASSES]).mean())]

        slow.update(terms)


def delete(slow):
    for x, y in FORGET * EPOCHS:

        def terms(w, x=x, y=y):
            total = 0
            for a, b, label in zip(slow.teacher(x).detach(), slow.logits(w, x), y.tolist(), strict=True):
                others = [c for c in range(CLASSES) if c != label]
                p, log_q = a[others].exp() / a[others].exp().sum(), b - b.exp().sum().log()
                total = total + (p * (p.log() - log_q[others])).sum()
            return [(1 / len(y), total)]

        slow.update(terms)


def munba(slow):
    """The weights by solving G·α = 1/α numerically; the third retain batch finds no forget batch."""
    draw = draws()
    for _ in range(EPOCHS):
        for r, (x, y) in zip(RETAIN, FORGET, strict=False):
            labels = torch.randint(CLASSES, y.shape, generator=draw)

            def terms(w, r=r, f=(x, labels)):
                both = slow.mean(w, r), slow.mean(w, f)
                flat = torch.stack(
                    [
                        torch.cat([g.flatten() for g in torch.autograd.grad(b, list(w.values()), retain_graph=True)])
                        for b in both
                    ]
                )
                gram = (flat @ flat.T).numpy()
                start = 1 / np.sqrt(np.diag(gram))
                alpha = optimize.root(lambda a: gram @ a - 1 / a, start, tol=1e-14).x
                assert (alpha > 0).all()
                norm = math.sqrt(alpha @ gram @ alpha)
                assert norm == pytest.approx(math.sqrt(2))
                return list(zip(alpha / (norm + 1e-6), both, strict=True))

            slow.update(terms)
        slow.update(lambda w: [(1, slow.mean(w, RETAIN[2]))])


def jit(slow, stop=False):
    """The sum is over the examples of a batch."""
    draw = draws()
    for x, _ in FORGET * EPOCHS:

        def terms(w, x=x):
            clean, total = slow.logits(w, x), 0
            for _ in range(DRAWS):
                noise = SIGMA * torch.randn(x.shape, generator=draw, dtype=x.dtype)
                near = torch.minimum(torch.maximum(x + noise, x.min()), x.max())
                moved = slow.logits(w, near)
                moved = moved.detach() if stop else moved
                for a, b, c, d in zip(clean, moved, near, x, strict=True):
                    total = total + ((a - b) ** 2).sum().sqrt() / ((c - d) ** 2).sum().sqrt()
            return [(1 / DRAWS, total)]

        slow.update(terms)


def jit_as_published(slow):
    jit(slow, stop=True)


def bad_teacher(slow):
    """The next forget batch for each retain batch, across epochs; the student sees both at once."""
    random = network(5).eval()
    for r, f in zip(RETAIN * EPOCHS, FORGET * EPOCHS * 2, strict=False):
        both = (torch.cat([r[0], f[0]]),)

        def teacher(_, r=r, f=f):
            return torch.cat([slow.teacher(r[0]), random(f[0])])

        slow.update(lambda w, both=both, teacher=teacher: [(1, slow.divergence(w, both, teacher))])


def unsir(slow):
    """Adam written out for the noise, whose passes move the running statistics; momentum and rate begin anew at the repair."""
    noise = torch.randn((NOISE_BATCH, 1, 8, 8), generator=draws(), dtype=torch.float64)
    labels, m, v = torch.full((NOISE_BATCH,), 3), 0.0, 0.0
    for t in range(1, NOISE_STEPS + 1):
        noise = noise.detach().requires_grad_()
        gain = slow.mean(slow.weights, (noise, labels))
        (g,) = torch.autograd.grad(-gain + 0.1 * (noise**2).sum() / NOISE_BATCH, noise)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        noise = noise - NOISE_LR * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    for x, y in RETAIN_CLASSES:
        both = torch.cat([x, noise.detach()]), torch.cat([y, labels])
        slow.update(lambda w, b=both: [(1, slow.mean(w, b))])
    slow.rate = REPAIR_LR
    slow.velocity = {name: torch.zeros_like(p) for name, p in slow.weights.items()}
    for batch in RETAIN_CLASSES * (EPOCHS - 1):
        slow.update(lambda w, r=batch: [(1, slow.mean(w, r))])


def weight_attenuation(slow):
    slow.weights = {name: w - SHARE * w for name, w in slow.weights.items()}
    finetune(slow)


def weight_dropout(slow):
    draw = draws()
    for name, w in slow.weights.items():
        u = torch.rand(w.shape, generator=draw, dtype=w.dtype)
        slow.weights[name] = torch.where(u < SHARE, torch.zeros_like(w), w)
    finetune(slow)


def weight_distortion(slow):
    draw = draws()
    for name, w in slow.weights.items():
        slow.weights[name] = w + SIGMA * torch.randn(w.shape, generator=draw, dtype=w.dtype)
    finetune(slow)


def output_perturbation(slow):
    clip_and_perturb(slow, draws())
    finetune(slow)


def clip_and_perturb(slow, draw):
    """Scale what training moved by one factor for all weights, put every weight into noise, and forget the running statistics."""
    start = network(5)
    moved = {name: w - start.get_parameter(name).detach() for name, w in slow.weights.items()}
    norm = math.sqrt(sum(float(x) ** 2 for w in moved.values() for x in w.flatten()))
    assert norm > CLIP
    for name, w in moved.items():
        noise = torch.randn(w.shape, generator=draw, dtype=w.dtype)
        slow.weights[name] = start.get_parameter(name).detach() + CLIP / norm * w + SIGMA * noise
    slow.buffers = {name: b.clone() for name, b in start.named_buffers()}


def noisy_finetune(slow):
    slow.batchnorm, draw, clipped = "eval", draws(), []
    slow.restore_mode()
    clip_and_perturb(slow, draw)
    for batch in RETAIN * EPOCHS:
        leaves = {name: w.clone().requires_grad_() for name, w in slow.weights.items()}
        gradients = torch.autograd.grad(slow.mean(leaves, batch), list(leaves.values()))
        norm = math.sqrt(sum(float(x) ** 2 for g in gradients for x in g.flatten()))
        clipped.append(norm > CLIP)
        for (name, w), g in zip(slow.weights.items(), gradients, strict=True):
            noise = torch.randn(w.shape, generator=draw, dtype=w.dtype)
            slow.weights[name] = (1 - LR * DECAY) * w - LR * min(1, CLIP / norm) * g + SIGMA * noise
    assert any(clipped)


def ct(slow):
    """Kernel by kernel and pixel by pixel."""
    for name in ("0.weight", "3.weight"):
        kernels = slow.weights[name]
        slow.weights[name] = torch.stack([torch.stack([kernel.T for kernel in row]) for row in kernels])
    for epoch in range(EPOCHS):
        slow.rate = LR * (1 + math.cos(math.pi * epoch / EPOCHS)) / 2
        for batch in RETAIN:
            slow.update(lambda w, r=batch: [(1, slow.mean(w, r))])


def msg(slow):
    """By sorting everything; the factor enters before weight decay and momentum, which are whole."""
    slow.model.eval()
    leaves = {name: slow.weights[name].clone().requires_grad_() for name in ("0.weight", "3.weight")}
    value = sum(slow.mean(slow.weights | leaves, r) for r in RETAIN[:2]) - sum(
        slow.mean(slow.weights | leaves, f) for f in FORGET
    )
    draw, factors = draws(), {}
    for (name, w), g in zip(leaves.items(), torch.autograd.grad(value, list(leaves.values())), strict=True):
        fresh = torch.zeros(w.numel(), dtype=torch.bool)
        fresh[g.abs().flatten().sort().indices[: round(SHARE * w.numel())]] = True
        fresh = fresh.view(w.shape)
        normal = torch.empty(w.shape, dtype=torch.float64).normal_(generator=draw)
        slow.weights[name] = torch.where(fresh, math.sqrt(2 / (w.shape[0] * 9)) * normal, w.detach())
        factors[name] = torch.where(fresh, 1.0, 0.0).double() + torch.where(fresh, 0.0, 1.0).double() * SLOW
    slow.restore_mode()
    for rate in (1 / 2, 1, 1 / 2):
        slow.rate = LR * rate
        for batch in RETAIN:
            slow.update(lambda w, r=batch: [(1, slow.mean(w, r))], factors)


def retrain(slow):
    slow.weights = {name: p.detach().clone() for name, p in network(5).named_parameters()}
    slow.buffers = {name: b.clone() for name, b in network(5).named_buffers()}
    finetune(slow)


def catastrophic_forgetting_k(slow):
    slow.model.eval()
    slow.mask = {name: float(name.startswith("7")) for name in slow.weights}
    finetune(slow)


def exact_unlearning_k(slow):
    for name in ("7.weight", "7.bias"):
        slow.weights[name] = network(5).get_parameter(name).detach().clone()
    catastrophic_forgetting_k(slow)


CASES = {
    gradient_ascent: {},
    finetune: {},
    neggrad_plus: {"alpha": ALPHA},
    nabla_tau: {"alpha": ALPHA},
    scrub: {"gamma": GAMMA, "alpha": PULL, "temperature": T, "msteps": MSTEPS, "lr_decay_epochs": (1, 2)},
    l1_sparse: {"alpha": PENALTY},
    random_label: {},
    salun: {"k": K},
    amnesiac: {"optimizer": "sgd"},
    boundary_shrink: {"epsilon": EPSILON},
    boundary_shrink_as_published: {"epsilon": EPSILON, "bounds": (-1, 1)},
    boundary_expand: {},
    delete: {},
    munba: {},
    jit: {"draws": DRAWS, "sigma": SIGMA},
    jit_as_published: {"draws": DRAWS, "sigma": SIGMA, "stop_gradient": True},
    bad_teacher: {"optimizer": "sgd", "temperature": T, "share": 1.0},
    unsir: {
        "optimizer": "sgd",
        "repair_lr": REPAIR_LR,
        "noise_lr": NOISE_LR,
        "noise_steps": NOISE_STEPS,
        "noise_batch": NOISE_BATCH,
    },
    weight_attenuation: {"optimizer": "sgd", "share": SHARE},
    weight_dropout: {"optimizer": "sgd", "share": SHARE},
    weight_distortion: {"optimizer": "sgd", "sigma": SIGMA},
    output_perturbation: {"clip": CLIP, "sigma": SIGMA},
    noisy_finetune: {"clip": CLIP, "sigma": SIGMA, "gradient_clip": CLIP, "momentum": 0.0, "batchnorm": "eval"},
    ct: {},
    msg: {"share": SHARE, "slow": SLOW},
    retrain: {},
    catastrophic_forgetting_k: {},
    exact_unlearning_k: {},
}
PARTIAL = {"salun", "catastrophic_forgetting_k", "exact_unlearning_k", "jit"}


def sets(name):
    return (FORGET_CLASS, RETAIN_CLASSES) if name == "unsir" else (FORGET, RETAIN)


@pytest.fixture
def known_draws(monkeypatch):
    monkeypatch.setattr(Material, "generator", lambda *_: draws())


@pytest.mark.parametrize("batchnorm", ["train", "eval"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(("slow_version", "settings"), CASES.items(), ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.usefixtures("known_draws")
def test_against_the_slow_version(slow_version, settings, loss, batchnorm):
    model, name = network(), slow_version.__name__.removesuffix("_as_published")
    slow = Slow(model, loss, batchnorm)
    slow_version(slow)
    rates = {"lr": LR, "momentum": MOMENTUM, "weight_decay": DECAY, "epochs": EPOCHS, "batchnorm": batchnorm}
    path = UNLEARNERS.get(name)(**rates | settings).path(
        model, *sets(name), Classification(loss), validation=VALIDATION, factory=lambda: network(5), base=network(5)
    )
    *_, last = path
    for key, parameter in last.model.named_parameters():
        assert (parameter - slow.weights[key]).abs().max() <= 1e-10, key
        if name not in PARTIAL:
            assert (parameter - model.get_parameter(key)).abs().max() > 1e-4, key
    for key, buffer in last.model.named_buffers():
        assert (buffer.double() - slow.buffers[key].double()).abs().max() <= 1e-10, key


def per_example_gradients(model, examples, loss):
    slow, rows = Slow(model, loss, "eval"), []
    for x, y in examples:
        model.zero_grad()
        slow.of_logits(model(x[None]), y[None])[0].backward()
        rows.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    model.zero_grad()
    return torch.stack(rows)


def examples_of(batches):
    return [(x, y) for xs, ys in batches for x, y in zip(xs, ys, strict=True)]


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_influence_against_the_rank_one_recursion(loss):
    """Singh & Alistarh 2020, equation 8: H⁻¹ ← H⁻¹ − H⁻¹ggᵀH⁻¹/(m + gᵀH⁻¹g), on the dense matrix."""
    model, damping, alpha = network().eval(), 0.3, 2.0
    f, r = (per_example_gradients(model, examples_of(part), loss) for part in (FORGET, RETAIN))
    total = len(f) + len(r)
    v = f.sum(0) / total - len(f) / (total * len(r)) * r.sum(0)
    inverse, first = torch.eye(r.shape[1], dtype=torch.float64) / damping, 0
    for batch in RETAIN:
        g = r[first : first + len(batch[1])].mean(0)
        first += len(batch[1])
        inverse = inverse - torch.outer(inverse @ g, inverse @ g) / (len(RETAIN) + g @ inverse @ g)
    expected = flat(model) + alpha * inverse @ v
    method = UNLEARNERS.get("influence")(alpha=alpha, damping=damping)
    *_, last = method.path(model, FORGET, RETAIN, Classification(loss))
    assert (flat(last.model) - expected).abs().max() <= 1e-10
    # No multiple of one gradient: the published recursion stays collinear with the first.
    moved = flat(last.model) - flat(model)
    for g in (*f, *r):
        assert abs(torch.cosine_similarity(moved, g, dim=0)) < 0.99


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("chunk", [1, 8, 64])
def test_ssd_against_a_loop_over_examples(loss, chunk):
    model = network().eval()
    f, r = (per_example_gradients(model, examples_of(part), loss) for part in (FORGET, RETAIN))
    importance, whole = (f**2).mean(0), (torch.cat([f, r]) ** 2).mean(0)
    expected, alpha, lam = flat(model).clone(), 1.2, 0.7
    for i in range(len(expected)):
        if importance[i] > alpha * whole[i]:
            expected[i] *= min(lam * whole[i] / importance[i], 1)
    assert 0 < (expected != flat(model)).sum() < len(expected)
    *_, last = UNLEARNERS.get("ssd")(alpha=alpha, lam=lam, chunk=chunk).path(
        model, FORGET, RETAIN, Classification(loss)
    )
    assert (flat(last.model) - expected).abs().max() <= 1e-10


@pytest.mark.parametrize("size", [1, 8, 64])
def test_fisher_against_a_loop_over_examples_and_classes(size):
    """The noise of Golatkar et al. with its clamps, means and factors written out; the path's own draw."""
    model, alpha, examples = network().eval(), 1e-4, examples_of(RETAIN)
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for x, _ in examples:
        log_p = model(x[None]).log_softmax(1)[0]
        for c in range(CLASSES):
            gradients = torch.autograd.grad(log_p[c], list(model.parameters()), retain_graph=True)
            for value, g in zip(total.values(), gradients, strict=True):
                value += log_p[c].exp().detach() * g**2 / len(examples)
    draw, expected = torch.Generator().manual_seed(derive(0, "fisher")), []
    for (name, value), parameter in zip(total.items(), model.parameters(), strict=True):
        last = name.startswith("7") or len(value) == CLASSES  # four channels are taken for four classes, as published
        variance = torch.clamp(1 / (value + 1e-8), max=1e2 if last else 1e3)
        if value.ndim > 1:
            variance = variance.mean(1, keepdim=True).expand_as(value)
        if last or value.ndim == 1:
            variance = 10 * variance
        expected.append(
            parameter.detach() + (alpha * variance).sqrt() * torch.randn(value.shape, generator=draw, dtype=value.dtype)
        )
    inputs, targets = (torch.stack(part) for part in zip(*examples, strict=True))
    retain = list(zip(inputs.split(size), targets.split(size), strict=True))
    *_, last = UNLEARNERS.get("fisher")(alpha=alpha).path(model, FORGET, retain, Classification())
    for found, value in zip(last.model.parameters(), expected, strict=True):
        assert (found - value).abs().max() <= 1e-10
