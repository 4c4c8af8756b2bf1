"""What all image problems share: normalization, augmentation, label noise, streaming."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.data.augment import Augment
from ungrok.data.batches import TensorBatches
from ungrok.data.vision import Vision

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture
def small(monkeypatch, small_mirror):
    monkeypatch.setenv("UNGROK_DATASETS", str(small_mirror))
    return small_mirror


def pixels(split):
    return split.inputs[slice(None)]


def test_all_that_is_left_may_be_trained_on(small):
    data = Vision(train_size=None, validation_size=20).load()
    assert (len(data.train), len(data.validation)) == (40, 20)


def test_the_first_classes_alone(small):
    """The mirror's labels are 0 to 9 again and again: 60 and 20 images, of which 18 and 6 are of the first three classes."""
    data = Vision(train_size=None, validation_size=10, first_classes=3).load()
    assert (len(data.train), len(data.validation), len(data.test), data.outputs) == (8, 10, 6, 3)
    assert torch.cat([data.train.targets, data.validation.targets]).bincount().tolist() == [6, 6, 6]
    every = Vision(train_size=None, validation_size=10).load().test
    of_them = every.targets < 3
    assert torch.equal(pixels(data.test), pixels(every)[of_them])
    assert torch.equal(data.test.targets, every.targets[of_them])


def test_more_classes_than_there_are_are_refused(small):
    with pytest.raises(RecipeError, match=r"problem\.first_classes: 11 asked of 10 classes; allowed: at most all"):
        Vision(train_size=None, validation_size=10, first_classes=11).load()


def test_channels_are_standardized_by_the_whole_training_set(small):
    import pandas as pd

    table = pd.read_parquet(small / "uoft-cs/cifar10/plain_text/train.parquet")
    images = np.stack([np.asarray(Image.open(io.BytesIO(cell["bytes"]))) for cell in table["img"]]) / 255
    mean, std = images.mean(axis=(0, 1, 2)), images.std(axis=(0, 1, 2))
    sizes = {"dataset": "cifar10", "train_size": 12, "validation_size": 10}
    plain, channels = (Vision(**sizes, normalize=normalize).load() for normalize in (None, "channels"))
    given = Vision(**sizes, normalize={"mean": mean.tolist(), "std": std.tolist()}).load()
    for name in ("train", "validation", "test"):
        unit = getattr(plain, name).batch(slice(None))[0].double()
        expected = (unit - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        for data in (channels, given):
            assert torch.allclose(getattr(data, name).batch(slice(None))[0].double(), expected, atol=1e-5)


def test_augmentation_is_for_training_batches_only(small):
    data = Vision(train_size=12, validation_size=10, augment={"pad": 2, "flip": False}).load()
    assert data.augment == Augment(pad=2, flip=False)
    assert Vision(train_size=12, validation_size=10).load().augment is None
    assert torch.equal(data.train.batch(slice(None))[0], next(iter(TensorBatches(data.train)))[0])


def test_label_noise_on_images(small):
    clean, noisy = (Vision(train_size=30, validation_size=10, label_noise=share).load() for share in (0, 0.2))
    assert len(noisy.mislabeled) == 6
    assert torch.equal((noisy.train.targets != clean.train.targets).nonzero().squeeze(1), noisy.mislabeled)
    assert torch.equal(pixels(noisy.train), pixels(clean.train))


def test_other_sizes(small):
    data = Vision(dataset="cifar10", train_size=12, validation_size=10, size=8).load()
    assert data.train.shape == (3, 8, 8)


def test_streamed_equals_mapped(small):
    one, other = (Vision(train_size=30, validation_size=10, stream=stream).load() for stream in (None, True))
    for a, b in zip(TensorBatches(one.train, 7, 1), TensorBatches(other.train, 7, 1), strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[1], b[1])


@pytest.mark.parametrize(
    "normalize",
    [
        {"mean": [0.5], "std": []},
        {"mean": [0.5], "std": [0]},
        {"mean": [0.5], "std": [1e-320]},
        {"mean": [1e39], "std": [1]},
        "imagenet",
        {"mean": [1]},
    ],
)
def test_normalization_that_cannot_be(normalize):
    with pytest.raises(ValidationError):
        Vision(normalize=normalize)


def test_the_pool_is_twice_as_large_and_begins_with_the_problems_own_images(small):
    problem = Vision(train_size=20, validation_size=20, data_seed=3)
    pool, own = problem.pool()
    assert (own, len(pool.load().train)) == (20, 40)
    assert torch.equal(pixels(pool.load().train)[:20], pixels(problem.load().train))
    with pytest.raises(NotApplicable, match=r"problem.train_size is null"):
        Vision(train_size=None, validation_size=20).pool()
