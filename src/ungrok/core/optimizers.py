"""The optimizers of PyTorch that a setting ``optimizer`` of a method or a stress test names."""

from __future__ import annotations

from collections.abc import Callable

import torch

TORCH_OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda p, lr, momentum, wd: torch.optim.SGD(p, lr, momentum=momentum, weight_decay=wd),
    "adam": lambda p, lr, _, wd: torch.optim.Adam(p, lr, weight_decay=wd),
    "adamw": lambda p, lr, _, wd: torch.optim.AdamW(p, lr, weight_decay=wd),
}
"""By name; each takes parameters, learning rate, momentum (which only SGD has) and weight decay."""
