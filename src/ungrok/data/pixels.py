"""From stored uint8 pixels to what a model takes, batch by batch on the device that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Scale:
    """Pixels 0 to 255 as float32: divided by 255, then standardized channel by channel where a mean is given.

    Args:
        mean: Of each channel, in units of the full range; empty: the result stays in [0, 1].
        std: Of each channel, in the same units.

    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return float32 of the shape of ``pixels``, uint8 of shape (n, channels, height, width)."""
        unit = pixels.float().div_(255)
        if not self.mean:
            return unit
        return unit.sub_(_column(self.mean, pixels.device)).div_(_column(self.std, pixels.device))


@lru_cache(maxsize=16)
def _column(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return one value per channel, shape (channels, 1, 1); kept on the device, so that no batch waits for a copy."""
    return torch.tensor(values, device=device).view(-1, 1, 1)
