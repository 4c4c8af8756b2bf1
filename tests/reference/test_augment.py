"""Pad-crop and flip of a whole batch against Pillow, one image at a time."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from ungrok.data.augment import Augment


def one_by_one(pixels, drawn, pad):
    """Pad, crop and mirror each image with Pillow."""
    done = []
    for image, (top, left, flip) in zip(pixels, drawn.tolist(), strict=True):
        height, width = image.shape[1:]
        planes = []
        for plane in image.numpy():
            picture = ImageOps.expand(Image.fromarray(plane), pad, fill=0).crop((left, top, left + width, top + height))
            planes.append(np.asarray(ImageOps.mirror(picture) if flip else picture))
        done.append(np.stack(planes))
    return torch.from_numpy(np.stack(done))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 5, 9), (3, 32, 32)])
@pytest.mark.parametrize("augment", [Augment(), Augment(pad=2, flip=False), Augment(pad=0), Augment(pad=9)], ids=str)
def test_batch_equals_one_by_one(shape, augment):
    pixels = torch.randint(1, 256, (40, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    drawn = augment.draw(40, 5, 2)
    assert len(drawn[:, 2].unique()) == (2 if augment.flip else 1)
    found = augment(pixels, drawn)
    assert found.dtype == torch.uint8
    assert torch.equal(found, one_by_one(pixels, drawn, augment.pad))
    assert torch.equal(augment(pixels.to(memory_format=torch.channels_last), drawn), found)
