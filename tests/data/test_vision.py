"""Hub data sets: from a mirror, and an error that says what is missing where."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from ungrok.core.errors import RecipeError
from ungrok.data.vision import HUB, Vision

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture
def small(monkeypatch, small_mirror):
    monkeypatch.setenv("UNGROK_DATASETS", str(small_mirror))
    return small_mirror


def pixels(split):
    return split.inputs[slice(None)]


def rows(split):
    return {row.numpy().tobytes() for row in pixels(split)}


def check(data, sizes, shape, classes=10):
    parts = [data.train, data.validation, data.test]
    assert [len(part) for part in parts] == sizes
    for part in parts:
        inputs, targets = part.batch(slice(None))
        assert part.shape == inputs.shape[1:] == shape
        assert pixels(part).dtype == torch.uint8
        assert inputs.dtype == torch.float32
        assert targets.dtype == torch.int64
        assert inputs.min() == 0
        assert inputs.max() == 1
        assert set(targets.tolist()) <= set(range(classes))
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
    assert torch.equal(data.test.batch(slice(None))[0][:, 0], torch.from_numpy(images).float() / 255)
    assert data.test.targets.tolist() == table["label"].tolist()


def test_seed_chooses_and_repeats_the_split(small):
    one, same, other = (Vision(train_size=20, validation_size=10, data_seed=seed).load() for seed in (0, 0, 1))
    assert torch.equal(pixels(one.train), pixels(same.train))
    assert rows(one.train) != rows(other.train)
    assert torch.equal(pixels(one.test), pixels(other.test))


def test_a_part_of_the_test_set_is_drawn_from_all_of_it_and_is_the_same_for_every_seed(small):
    whole = Vision(train_size=10, validation_size=10).load().test
    one, other = (
        Vision(train_size=10, validation_size=10, test_size=12, data_seed=seed).load().test for seed in (0, 1)
    )
    assert torch.equal(pixels(one), pixels(other))
    places = [next(i for i, row in enumerate(pixels(whole)) if torch.equal(row, image)) for image in pixels(one)]
    assert places == sorted(places)
    assert places[-1] >= 12
    assert torch.equal(one.targets, whole.targets[places])


def test_hub_id_and_short_name_are_the_same(small):
    one, other = (
        Vision(dataset=name, train_size=12, validation_size=10).load() for name in ("cifar10", "uoft-cs/cifar10")
    )
    assert torch.equal(pixels(one.train), pixels(other.train))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_size": 50, "validation_size": 20}, "train_size 50, validation_size 20 asked of 60"),
        ({"train_size": 20, "validation_size": 20, "test_size": 21}, "test_size: 21 asked of 20"),
        ({"dataset": "mnits"}, "dataset: 'mnits' is not known; .*mean 'mnist'"),
        ({"train_size": 20, "validation_size": 20, "classes": 9}, "classes: 9 expected, ylecun/mnist train has 10"),
        (
            {"train_size": 20, "validation_size": 20, "normalize": {"mean": [0.5] * 3, "std": [1] * 3}},
            "3 means .* 1 channels",
        ),
        ({"dataset": "svhn"}, "'ufldl-stanford/svhn' cannot be loaded .not under UNGROK_DATASETS=.*hub: "),
    ],
)
def test_what_cannot_be_had_is_a_recipe_error(small, settings, message):
    with pytest.raises(RecipeError, match=message):
        Vision(**settings).load()


def test_a_damaged_mirror_is_not_called_absent(tmp_path, monkeypatch):
    monkeypatch.setenv("UNGROK_DATASETS", str(tmp_path))
    (tmp_path / "ufldl-stanford" / "svhn" / "cropped_digits").mkdir(parents=True)
    (tmp_path / "ufldl-stanford" / "svhn" / "cropped_digits" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecipeError, match=r"problem.dataset: .*ufldl-stanford/svhn cannot be read .*may be damaged"):
        Vision(dataset="svhn").load()


def test_without_a_mirror_the_error_says_so(monkeypatch):
    monkeypatch.delenv("UNGROK_DATASETS", raising=False)
    with pytest.raises(RecipeError, match=r"'ylecun/mnist' cannot be loaded .UNGROK_DATASETS is not set; hub: "):
        Vision().load()


def test_nothing_is_drawn_where_there_is_no_terminal(small, capfd):
    import datasets

    Vision(train_size=20, validation_size=10).load()
    said = capfd.readouterr().err
    assert "%|" not in said
    assert "\r" not in said
    assert not datasets.are_progress_bars_disabled()


def test_a_gated_data_set_tells_where_its_terms_are(monkeypatch):
    import datasets

    def refuse(*_, **__):
        raise datasets.exceptions.DatasetNotFoundError("Dataset 'ILSVRC/imagenet-1k' is a gated dataset on the Hub.")

    monkeypatch.delenv("UNGROK_DATASETS", raising=False)
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    message = r"gated dataset .*accept its terms on https://huggingface.co/datasets/ILSVRC/imagenet-1k .*HF_TOKEN"
    with pytest.raises(RecipeError, match=message):
        Vision(dataset="imagenet1k").load()


def of_mirror(mirror, name):
    if not (mirror / HUB[name].id).is_dir():
        pytest.skip(f"the mirror holds no {HUB[name].id}")
    return HUB[name]


def test_mnist_of_the_mirror(mirror):
    of_mirror(mirror, "mnist")
    data = Vision(train_size=500, validation_size=200).load()
    check(data, [500, 200, 10_000], (1, 28, 28))
    # The first ten labels of the official test file, and the mean brightness of the set.
    assert data.test.targets[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.train.batch(slice(None))[0].mean().item() == pytest.approx(0.1307, abs=0.01)


def test_cifar10_of_the_mirror_has_the_mean_and_deviation_that_everyone_uses(mirror):
    of_mirror(mirror, "cifar10")
    data = Vision(dataset="cifar10", train_size=None, validation_size=5000, normalize="channels").load()
    assert [len(part) for part in (data.train, data.validation, data.test)] == [45_000, 5000, 10_000]
    assert data.train.scale.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-4)
    assert data.train.scale.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=1e-4)
    assert torch.bincount(data.test.targets).tolist() == [1000] * 10


@pytest.mark.parametrize(
    ("name", "sizes", "shape", "classes"),
    [
        ("svhn", (600, 300, 183), (3, 32, 32), 10),
        ("cifar100", (5000, 5000, 2000), (3, 32, 32), 100),
        ("tiny_imagenet", (10_000, 10_000, 2000), (3, 64, 64), 200),
    ],
)
def test_samples_of_the_mirror_decode_as_pillow_does(mirror, name, sizes, shape, classes):
    import pandas as pd

    where = of_mirror(mirror, name)
    data = Vision(dataset=name, train_size=sizes[0], validation_size=sizes[1]).load()
    assert data.classes == classes
    assert data.train.shape == shape
    assert torch.bincount(torch.cat([data.train.targets, data.validation.targets])).min() > 0
    (path,) = (mirror / where.id).rglob(f"{where.test}-*.parquet")
    table = pd.read_parquet(path)
    assert len(data.test) == len(table)
    assert data.test.targets.tolist() == table[where.label].tolist()
    images = [Image.open(io.BytesIO(cell["bytes"])) for cell in table[where.image][:300]]
    expected = np.stack([np.asarray(image.convert("RGB")) for image in images]).transpose(0, 3, 1, 2)
    assert torch.equal(data.test.inputs[:300], torch.from_numpy(expected.copy()))
    if name == "tiny_imagenet":
        assert {image.mode for image in images} == {"RGB", "L"}


def test_a_mirror_whose_name_is_a_pattern_is_refused(small_mirror, tmp_path, monkeypatch):
    (tmp_path / "m[1]").symlink_to(small_mirror)
    monkeypatch.setenv("UNGROK_DATASETS", str(tmp_path / "m[1]"))
    with pytest.raises(RecipeError, match=r"UNGROK_DATASETS: '.*m\[1\]' holds '\['"):
        Vision(train_size=20, validation_size=10).load()
