"""Hub data sets: from a mirror, and an error that says what is missing where."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from ungrok.core.errors import RecipeError
from ungrok.data import vision
from ungrok.data.vision import Vision


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path):
    """No network, no cache of earlier runs."""
    import datasets
    import huggingface_hub.constants

    for constants in (datasets.config, huggingface_hub.constants):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    vision._load.cache_clear()
    yield
    vision._load.cache_clear()


@pytest.fixture
def small(monkeypatch, small_mirror):
    monkeypatch.setenv("UNGROK_DATASETS", str(small_mirror))
    return small_mirror


def rows(split):
    return {row.numpy().tobytes() for row in split.inputs}


def check(data, sizes, shape, classes=10):
    parts = [data.train, data.validation, data.test]
    assert [len(part) for part in parts] == sizes
    for part in parts:
        assert part.inputs.shape[1:] == shape
        assert part.inputs.dtype == torch.float32
        assert part.targets.dtype == torch.int64
        assert part.inputs.min() == 0
        assert part.inputs.max() == 1
        assert set(part.targets.tolist()) <= set(range(classes))
    assert data.classes == classes
    assert len(set().union(*map(rows, parts))) == sum(len(rows(part)) for part in parts) == sum(sizes)


@pytest.mark.parametrize(
    ("dataset", "sizes", "shape"), [("mnist", [30, 20, 15], (1, 28, 28)), ("cifar10", [12, 10, 12], (3, 32, 32))]
)
def test_shapes_ranges_and_disjointness(small, dataset, sizes, shape):
    train, validation, test = sizes
    problem = Vision(dataset=dataset, train_size=train, validation_size=validation, test_size=test)
    check(problem.load(), sizes, shape)


def test_pixels_and_labels_are_those_of_the_files(small):
    import pandas as pd

    table = pd.read_parquet(small / "ylecun/mnist/mnist/test.parquet")
    data = Vision(train_size=10, validation_size=10).load()
    images = np.stack([np.asarray(Image.open(io.BytesIO(cell["bytes"]))) for cell in table["image"]])
    assert torch.equal(data.test.inputs[:, 0], torch.from_numpy(images).float() / 255)
    assert data.test.targets.tolist() == table["label"].tolist()


def test_seed_chooses_and_repeats_the_split(small):
    one, same, other = (Vision(train_size=20, validation_size=10, data_seed=seed).load() for seed in (0, 0, 1))
    assert torch.equal(one.train.inputs, same.train.inputs)
    assert rows(one.train) != rows(other.train)
    assert torch.equal(one.test.inputs, other.test.inputs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_size": 50, "validation_size": 20}, "train_size 50, validation_size 20 asked of 60"),
        ({"train_size": 20, "validation_size": 20, "test_size": 21}, "test_size: 21 asked of 20"),
        ({"dataset": "mnits"}, "dataset: 'mnits' is not known; .*mean 'mnist'"),
        ({"dataset": "svhn"}, "'ufldl-stanford/svhn' cannot be loaded .not under UNGROK_DATASETS=.*hub: "),
    ],
)
def test_what_cannot_be_had_is_a_recipe_error(small, settings, message):
    with pytest.raises(RecipeError, match=message):
        Vision(**settings).load()


def test_without_a_mirror_the_error_says_so(monkeypatch):
    monkeypatch.delenv("UNGROK_DATASETS", raising=False)
    with pytest.raises(RecipeError, match=r"'ylecun/mnist' cannot be loaded .UNGROK_DATASETS is not set; hub: "):
        Vision().load()


def test_mnist_of_the_mirror(mirror):
    if not (mirror / "ylecun/mnist").is_dir():
        pytest.skip("the mirror holds no ylecun/mnist")
    data = Vision(train_size=500, validation_size=200, test_size=300).load()
    check(data, [500, 200, 300], (1, 28, 28))
    # The first ten labels of the official test file, and the mean brightness of the set.
    assert data.test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.train.inputs.mean().item() == pytest.approx(0.1307, abs=0.01)
