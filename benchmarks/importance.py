"""Importances and masks against the loops they replace.

python benchmarks/importance.py [ROUNDS]

Fisher information and squared gradients (the importance of ssd) of 128 examples, on the MLP of the digits recipe and on a
CNN for 32x32 images: against one backward pass per example on batches of one, and against one backward pass per example
through the retained graph of a batch of 64. SalUn's mask on 11 million weights: against ranking by two sorts, as published, and
against one sort. One thread; ratios are taken round by round.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ungrok.core.gradients import diagonal_fisher, squared_gradients
from ungrok.core.objective import Classification
from ungrok.methods.salun import saliency_mask
from ungrok.models.cnn import CNN
from ungrok.models.mlp import MLP

OBJECTIVE = Classification()
EXAMPLES, GROUP = 128, 64
MODELS = {
    "MLP": (MLP(width=200, depth=3), (1, 8, 8)),
    "CNN": (CNN(channels=(16, 32), stride=2, hidden=(64,)), (3, 32, 32)),
}


def rows(model: nn.Module, inputs: Tensor, targets: Tensor, fisher: bool) -> list[Tensor]:
    """Return the scalars whose gradients are squared, example by example."""
    logits = model(inputs)
    if not fisher:
        return list(OBJECTIVE.losses(logits, (inputs, targets)))
    log_p = logits.log_softmax(1)
    return list(((log_p.detach() / 2).exp() * log_p).flatten())


def loop(model: nn.Module, inputs: Tensor, targets: Tensor, fisher: bool, group: int) -> list[Tensor]:
    parameters = list(model.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    for x, y in zip(inputs.split(group), targets.split(group), strict=True):
        for row in rows(model, x, y, fisher):
            for sum_, g in zip(total, torch.autograd.grad(row, parameters, retain_graph=True), strict=True):
                sum_ += g.square()
    return [t / len(inputs) for t in total]


def ours(model: nn.Module, inputs: Tensor, targets: Tensor, fisher: bool) -> list[Tensor]:
    measure = diagonal_fisher if fisher else squared_gradients
    return list(measure(model, iter([(inputs, targets)]), OBJECTIVE)[0].values())


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def compare(name: str, rounds: int, quick: Callable[[], object], *slow: tuple[str, Callable[[], object]]) -> None:
    quick()
    for label, action in slow:
        ratios = sorted(seconds(action) / seconds(quick) for _ in range(rounds))
        print(f"{name}: {label} / ours: median {statistics.median(ratios):.1f}, {ratios[0]:.1f} to {ratios[-1]:.1f}")


def double_sort(magnitude: Tensor) -> Tensor:
    return torch.argsort(torch.argsort(-magnitude)) < len(magnitude) // 2


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for name, (build, shape) in MODELS.items():
        model = build.build(shape, 10, 0).eval()
        x, y = torch.randn(EXAMPLES, *shape), torch.randint(10, (EXAMPLES,))
        for what, fisher in {"squared gradients": False, "Fisher": True}.items():
            one, retained = (loop(model, x, y, fisher, group) for group in (1, GROUP))
            for a, b, c in zip(ours(model, x, y, fisher), one, retained, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-7)
                torch.testing.assert_close(a, c, rtol=1e-3, atol=1e-7)
            compare(
                f"{what}, {name}",
                rounds,
                lambda m=model, f=fisher, x=x, y=y: ours(m, x, y, f),
                ("batches of one", lambda m=model, f=fisher, x=x, y=y: loop(m, x, y, f, 1)),
                ("retained graph", lambda m=model, f=fisher, x=x, y=y: loop(m, x, y, f, GROUP)),
            )
    weights = torch.randn(11_173_962)
    compare(
        "SalUn's mask, 11 million weights",
        rounds,
        lambda: saliency_mask({"w": weights}, 0.5),
        ("two sorts", lambda: double_sort(weights.abs())),
        ("one sort", lambda: weights.abs() >= weights.abs().sort().values[len(weights) // 2]),
    )


if __name__ == "__main__":
    main()
