"""Rescaling that leaves a network's function alone: what changes is the norm of its weights, and nothing else."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from ungrok.core.errors import NotApplicable

NORMALIZATION = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)

EQUAL = 1e-5
"""Largest change of a logit, relative to the largest logit, that counts as none."""


@torch.no_grad()
def rescale(model: nn.Module, factor: float) -> None:
    """Multiply the first layer by ``factor`` and divide the last one by it, in place.

    All biases but the last layer's are multiplied, too. ReLU is positively homogeneous, ``σ(c·z) = c·σ(z)``, so that everything
    between the two layers is multiplied by c, and the logits stay; bit for bit if c is a power of two.
    Source: Dinh et al. 2017 (arXiv 1703.04933).

    Args:
        model: Linear and convolutional layers, with ReLU, pooling and sums between them and no normalization.
            :func:`check_equal` tells whether it was such a model.
        factor: c, positive.

    Raises:
        NotApplicable: If there is normalization, or not at least two linear or convolutional layers.

    """
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | _ConvNd)]
    normalized = [name for name, m in model.named_modules() if isinstance(m, NORMALIZATION)]
    if normalized:
        raise NotApplicable(f"rescaled: takes networks without normalization; {normalized[0]!r} normalizes")
    if len(layers) < 2:
        raise NotApplicable("rescaled: takes a model of at least two linear or convolutional layers")
    for layer in layers[:-1]:
        if layer.bias is not None:
            layer.bias.mul_(factor)
    layers[0].weight.mul_(factor)
    layers[-1].weight.div_(factor)


def change(before: Tensor, after: Tensor) -> float:
    """Return the largest change of a logit relative to the largest logit; nan where any is not finite.

    Args:
        before: Logits, shape (n, classes).
        after: Those of the rescaled model on the same inputs.

    """
    largest = before.abs().max()
    return float((after - before).abs().max() / largest.clamp(min=1e-30))


def check_equal(before: Tensor, after: Tensor) -> float:
    """Return :func:`change`.

    Raises:
        NotApplicable: If it is above ``EQUAL``.

    """
    largest = change(before, after)
    if not largest <= EQUAL:
        raise NotApplicable(f"rescaled: takes networks of ReLU; a logit has changed by {largest:.2g} of the largest")
    return largest
