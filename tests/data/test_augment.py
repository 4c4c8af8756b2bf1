"""The random numbers of the augmentation: what they depend on, and their distribution."""

import pytest
import torch
from pydantic import ValidationError

from ungrok.data.augment import Augment


def test_a_function_of_seed_and_epoch_alone():
    augment, before = Augment(), torch.get_rng_state()
    one = augment.draw(50, 1, 2)
    torch.rand(3)
    assert torch.equal(augment.draw(50, 1, 2), one)
    assert not torch.equal(augment.draw(50, 1, 3), one)
    assert not torch.equal(augment.draw(50, 2, 2), one)
    torch.set_rng_state(before)
    augment.draw(9, 0, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_corner_equally_often_and_half_flipped():
    count = 81 * 400
    drawn = Augment(pad=4).draw(count, 0, 0)
    corners = torch.bincount(drawn[:, 0] * 9 + drawn[:, 1], minlength=81)
    # Chi-square with 80 degrees of freedom: mean 80, deviation 12.6.
    assert ((corners - 400).square() / 400).sum() < 80 + 4 * 12.6
    assert abs(int(drawn[:, 2].sum()) - count / 2) < 4 * count**0.5 / 2
    # The flip does not depend on the corner.
    assert abs(torch.corrcoef(drawn.T.double())[2, :2]).max() < 4 / count**0.5


def test_nothing_to_do_is_the_identity():
    pixels = torch.randint(0, 256, (7, 3, 6, 4), dtype=torch.uint8)
    augment = Augment(pad=0, flip=False)
    assert torch.equal(augment(pixels, augment.draw(7, 0, 0)), pixels)


def test_twice_flipped_is_not_flipped():
    pixels = torch.rand(5, 2, 4, 4)
    drawn = torch.tensor([[0, 0, 1]]).expand(5, 3)
    augment = Augment(pad=0)
    assert torch.equal(augment(augment(pixels, drawn), drawn), pixels)


def test_a_negative_pad_is_an_error():
    with pytest.raises(ValidationError):
        Augment(pad=-1)
