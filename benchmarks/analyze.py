"""Measures of mechanism: the time of one stage of a width-16 ResNet-18, and ratios against naive versions.

python benchmarks/analyze.py stage     local complexity and CKA of one stage on 1,000 images, 2 threads
python benchmarks/analyze.py ratios    against the obvious versions, 1 thread, ROUNDS in turn

Images are noise and weights untrained: neither changes the work.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ungrok.analyze import Subject
from ungrok.analyze.alignment import set_cosines
from ungrok.analyze.cka import CKA
from ungrok.analyze.gradients import gradient_gram
from ungrok.analyze.local_complexity import LocalComplexity, directions, sign_changes
from ungrok.analyze.operators import hessian, parameters, size
from ungrok.analyze.similarity import linear_cka
from ungrok.core.activations import features
from ungrok.core.objective import Classification
from ungrok.models import MODELS

OBJECTIVE = Classification()
ROUNDS = 3


def resnet(seed: int = 0) -> nn.Module:
    """Pre-activation ResNet-18 of width 16 without normalization, for 32x32 images."""
    model = MODELS.get("resnet").model_validate({"width": 16, "norm": "none", "preactivation": True})
    return model.build((3, 32, 32), 10, seed).eval()


def batches(count: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 32, 32, generator=draw)
    targets = torch.randint(10, (count,), generator=draw)
    return list(zip(images.split(250), targets.split(250), strict=True))


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def stage() -> None:
    """Time both measures, all layers, nulls included."""
    torch.set_num_threads(2)
    subject = Subject(resnet(), OBJECTIVE, {"retain": batches(1000, 0)}, {"other": resnet(1)})
    complexity = seconds(lambda: LocalComplexity().measure(subject))
    print(f"local complexity, 20 directions, 1,000 points: {complexity:.1f} s")
    similarity = seconds(lambda: CKA().measure(subject))
    print(f"CKA of all layers, 1,000 points, both estimators with a null of 5 draws: {similarity:.1f} s")
    print(f"together: {complexity + similarity:.1f} s")


@torch.no_grad()
def naive_sign_changes(model: nn.Module, points: Tensor, frame: Tensor, radius: float) -> Tensor:
    """Go point by point and vertex by vertex, keep every pre-activation, compare signs at the end."""
    counts = []
    for point in points:
        rows: list[Tensor] = []
        for v in torch.cat([frame, -frame]):
            kept: list[Tensor] = []
            hooks = [
                m.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0].flatten()))
                for m in model.modules()
                if isinstance(m, nn.ReLU)
            ]
            model((point + radius * v)[None])
            for hook in hooks:
                hook.remove()
            rows.append(torch.cat(kept).sign())
        signs = torch.stack(rows)
        counts.append((signs != signs[:1]).any(dim=0).sum())
    return torch.stack(counts)


def naive_cka(x: Tensor, y: Tensor) -> float:
    """Center Gram matrices by multiplying with H on both sides, and take the traces of products."""
    n = len(x)
    h = torch.eye(n, dtype=torch.float64) - 1 / n
    k, m = (h @ (z.double() @ z.double().T) @ h for z in (x, y))
    return ((k @ m).trace() / ((k @ k).trace() * (m @ m).trace()).sqrt()).item()


def compare(name: str, ours: Callable[[], object], naive: Callable[[], object], unit: float = 1.0) -> None:
    """Print naive over ours, round by round; ``unit`` is how many times more work ours did."""
    ratios = []
    for _ in range(ROUNDS):
        own = seconds(ours) / unit
        ratios.append(seconds(naive) / own)
    print(f"{name}: {statistics.median(ratios):.1f} times faster ({min(ratios):.1f} to {max(ratios):.1f})")


def ratios() -> None:
    """Compare with the obvious versions."""
    torch.set_num_threads(1)
    model, (images, targets) = resnet(), batches(250, 0)[0]
    frame = directions((3, 32, 32), 20, 0)
    compare(
        "local complexity, 4 points, vertex by vertex",
        lambda: sign_changes(model, images[:16], frame, 0.005),
        lambda: naive_sign_changes(model, images[:4], frame, 0.005),
        4,
    )
    rows = features(model, (images, targets), OBJECTIVE)
    narrow, wide = rows["penultimate"].repeat(4, 1), next(iter(rows.values()))
    narrow = narrow + torch.randn_like(narrow)
    other = narrow + torch.randn_like(narrow)
    compare(
        "CKA, 1,000 x 128 features", lambda: linear_cka(narrow, other, unbiased=False), lambda: naive_cka(narrow, other)
    )
    compare("CKA, 250 x 16,384 features", lambda: linear_cka(wide, wide, unbiased=False), lambda: naive_cka(wide, wide))
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10))
    x, y = torch.randn(400, 64), torch.randint(10, (400,))
    compare(
        "Gram matrix of 400 gradients, against a loop",
        lambda: gradient_gram(net, (x, y), OBJECTIVE),
        lambda: loop(net, x, y),
    )
    gram = gradient_gram(net, (x, y), OBJECTIVE)["model"]
    draws = [torch.randperm(400) for _ in range(200)]
    compare(
        "200 draws of a null, Gram matrix against backward passes (10 draws)",
        lambda: set_cosines(gram, [d[:40] for d in draws], [d[40:] for d in draws]),
        lambda: [halves(net, x, y, d) for d in draws[:10]],
        20,
    )
    operator, vector = hessian(net, [(x, y)], OBJECTIVE), torch.randn(size(net), 1, dtype=torch.float64)
    compare(
        "10 products with the Hessian, graph kept against rebuilt",
        lambda: [operator(vector) for _ in range(10)],
        lambda: [hessian(net, [(x, y)], OBJECTIVE)(vector) for _ in range(10)],
    )


def loop(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """One backward pass per example."""
    weights = parameters(net)
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(F.cross_entropy(net(a[None]), b[None]), weights)])
        for a, b in zip(x, y, strict=True)
    ]
    stacked = torch.stack(rows).double()
    return stacked @ stacked.T


def halves(net: nn.Module, x: Tensor, y: Tensor, order: Tensor) -> Tensor:
    """Cosine of the mean gradients of two sets by two backward passes."""
    one, two = (
        torch.cat([g.flatten() for g in torch.autograd.grad(F.cross_entropy(net(x[i]), y[i]), parameters(net))])
        for i in (order[:40], order[40:])
    )
    return F.cosine_similarity(one, two, dim=0)


if __name__ == "__main__":
    {"stage": stage, "ratios": ratios}[sys.argv[1]]()
