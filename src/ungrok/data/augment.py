"""Augmentation of whole batches on the device that holds them, without a loop over images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from ungrok.core.schema import Schema
from ungrok.core.seeds import generator


class Augment(Schema):
    """Zero padding, a random crop back to the old size, and a horizontal flip with probability 1/2.

    Applied to training batches only, on the stored pixels: the padding is black, whatever the normalization. As in the
    usual CIFAR recipe (He et al. 2016, arXiv 1512.03385, section 4.2: padding 4, crop 32, flip).
    """

    pad: int = Field(4, ge=0, le=1024, description="black pixels added on each side before the crop")
    flip: bool = Field(True, description="mirror half of the images, chosen at random")

    def draw(self, count: int, seed: int, epoch: int) -> Tensor:
        """Return the random numbers of one epoch, a function of (seed, epoch) alone.

        int64 of shape (count, 3) on the CPU; the columns are the first row of the crop, its first column, and 1 where
        the image is flipped.
        """
        random = generator(seed, "augment", epoch)
        corners = torch.randint(0, 2 * self.pad + 1, (count, 2), generator=random)
        flips = torch.randint(0, 2 if self.flip else 1, (count, 1), generator=random)
        return torch.cat([corners, flips], dim=1)

    def __call__(self, pixels: Tensor, drawn: Tensor) -> Tensor:
        """Return the augmented batch.

        Args:
            pixels: Any dtype, shape (n, channels, height, width).
            drawn: Rows of :meth:`draw`, shape (n, 3), on the same device.

        """
        n, channels, height, width = pixels.shape
        padded = F.pad(pixels, (self.pad,) * 4).contiguous()
        tall, wide = padded.shape[2:]
        # A view of all overlapping runs of `width` pixels in the padded batch: a crop picks runs and copies each whole.
        runs = padded.as_strided((padded.numel() - width + 1, width), (1, 1))
        place = torch.arange(max(n, channels, height), device=pixels.device)
        corners = (place[:n] * (channels * tall) + drawn[:, 0]) * wide + drawn[:, 1]
        starts = corners.view(n, 1, 1) + place[:channels].view(-1, 1) * (tall * wide) + place[:height] * wide
        cropped = runs.index_select(0, starts.flatten()).view_as(pixels)
        if not self.flip:
            return cropped
        return torch.cat([cropped, cropped.flip(3)]).index_select(0, place[:n] + n * drawn[:, 2])
