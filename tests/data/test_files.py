"""Images of the user's own: folders and parquet, class names, and what changes when the files do."""

import os
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ungrok.core.errors import RecipeError
from ungrok.data.files import OwnImages
from ungrok.study.plan import make_plan
from ungrok.study.recipe import Recipe

pytestmark = pytest.mark.usefixtures("offline")

CLASSES = {"cat": 14, "dog": 12, "test": 15}  # a class may be called like a split
SIZES = {"train_size": 11, "validation_size": 10}


def picture(brightness, shape=(6, 7, 3)):
    return Image.fromarray(np.full(shape, brightness, np.uint8))


@pytest.fixture
def folder(tmp_path):
    """Images whose brightness tells class and number."""
    for label, (name, count) in enumerate(CLASSES.items()):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(count):
            picture(50 * label + number).save(tmp_path / "pets" / name / f"{number:03}.png")
    (tmp_path / "pets" / "notes.txt").write_text("not an image")
    return tmp_path / "pets"


@pytest.fixture
def parquet(tmp_path):
    """Write a parquet file; each cell is the path of an image or its bytes."""

    def write(labels, name="pets.parquet", image="image", label="label"):
        cells = []
        for number in range(len(labels)):
            picture(number, (6, 7)).save(tmp_path / "one.png")
            cells.append((tmp_path / "one.png").read_bytes())
        pd.DataFrame({image: cells, label: labels}).to_parquet(tmp_path / name)
        return str(tmp_path / name)

    return write


def everything(data):
    """Return brightness and label of all examples."""
    parts = [data.train, data.validation, data.test]
    pixels = torch.cat([part.inputs[slice(None)] for part in parts])
    assert (pixels == pixels[:, :1, :1, :1]).all()
    return list(zip(pixels[:, 0, 0, 0].tolist(), torch.cat([part.targets for part in parts]).tolist(), strict=True))


def test_folders_are_classes_and_the_test_set_is_drawn_where_there_is_none(folder):
    data = OwnImages(path=str(folder), **SIZES).load()
    assert [len(part) for part in (data.train, data.validation, data.test)] == [11, 10, 20]
    assert data.train.shape == (3, 6, 7)
    assert data.classes == 3
    expected = [(50 * label + number, label) for label, count in enumerate(CLASSES.values()) for number in range(count)]
    assert sorted(everything(data)) == sorted(expected)


def test_sizes_without_a_test_set(folder):
    data = OwnImages(path=str(folder), train_size=None, validation_size=10, test_size=15).load()
    assert [len(part) for part in (data.train, data.validation, data.test)] == [16, 10, 15]
    with pytest.raises(RecipeError, match="test_size: there is no test set; give test_size or train_size"):
        OwnImages(path=str(folder), train_size=None, validation_size=10).load()


def test_a_test_folder_is_numbered_by_the_classes_of_the_training_folder(folder, tmp_path):
    (tmp_path / "held" / "test").mkdir(parents=True)
    (tmp_path / "held" / "dog").mkdir()
    picture(200).save(tmp_path / "held" / "test" / "a.png")
    picture(201).save(tmp_path / "held" / "dog" / "b.png")
    data = OwnImages(path=str(folder), test_path=str(tmp_path / "held"), **SIZES).load()
    assert sorted(zip(data.test.inputs[slice(None)][:, 0, 0, 0].tolist(), data.test.targets.tolist(), strict=True)) == [
        (200, 2),
        (201, 1),
    ]
    (tmp_path / "held" / "cow").mkdir()
    picture(3).save(tmp_path / "held" / "cow" / "c.png")
    with pytest.raises(RecipeError, match=r"problem.label: .*held has a class 'cow' that the training set does not"):
        OwnImages(path=str(folder), test_path=str(tmp_path / "held"), **SIZES).load()


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        ([number % 3 for number in range(40)], [number % 3 for number in range(40)]),
        (["cat" if number % 2 else "ant" for number in range(40)], [number % 2 for number in range(40)]),
    ],
    ids=["integers", "strings"],
)
def test_parquet_with_numbers_or_names(parquet, labels, numbers):
    path = parquet(labels, image="photo", label="animal")
    data = OwnImages(path=path, image="photo", label="animal", **SIZES).load()
    assert data.train.shape == (1, 6, 7)
    assert sorted(everything(data)) == list(enumerate(numbers))


def test_a_folder_of_parquet_files(parquet, tmp_path):
    parquet([0] * 20, "a.parquet")
    parquet([1] * 20, "b.parquet")
    data = OwnImages(path=str(tmp_path), **SIZES).load()
    assert sorted(everything(data)) == sorted([(n, 0) for n in range(20)] + [(n, 1) for n in range(20)])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, -1] * 20, r"problem.label: .* holds the labels -1, 1; allowed: 0 to 1, each of them"),
        ([1, 2, 3, 1] * 10, r"problem.label: .* holds the labels 1, 2, 3; allowed: 0 to 2, each of them"),
        ([0, 3_000_000] * 20, r"problem.label: .* holds the labels 0, 3000000; allowed: 0 to 1, each of them"),
        (list(range(0, 80, 2)), r"problem.label: .* holds the labels 0, 2, 4, 6, 8, …; allowed: 0 to 39, each of them"),
        (np.array([0, 2**63] * 20, np.uint64), r"holds the label 9223372036854775808, which no int64 holds"),
        ([7] * 40, r"has a single class"),
        ([0.5] * 40, r"problem.label: 'label' holds (float64|double); allowed: class labels, strings, integers"),
        (["a", None] * 20, r"problem.label: image 1 of .* has no label"),
    ],
)
def test_labels_that_are_none(parquet, labels, message):
    with pytest.raises(RecipeError, match=message):
        OwnImages(path=parquet(labels), **SIZES).load()


def test_labels_of_test_images_are_among_those_of_training_images(parquet):
    train, test = parquet([0, 1] * 20), parquet([0, 2] * 6, "test.parquet")
    with pytest.raises(RecipeError, match=r"problem.label: .*test.parquet holds the label 2; allowed: 0 to 1"):
        OwnImages(path=train, test_path=test, **SIZES).load()


@pytest.mark.parametrize(
    ("deep", "named"), [(["cat/monday", "cat/tuesday", "dog/monday"], "cat/monday"), (["cat", "dog/old"], "dog/old")]
)
def test_folders_in_folders_are_refused(tmp_path, deep, named):
    """Is ``cat/monday`` a cat, a Monday, or a part of the data? Whoever has such folders can tell."""
    for folder in deep:
        (tmp_path / "pets" / folder).mkdir(parents=True)
        for number in range(12):
            picture(number).save(tmp_path / "pets" / folder / f"{number}.png")
    with pytest.raises(
        RecipeError,
        match=f"problem.path: '.*pets' has images in {named}; allowed: one folder per class, its images right in it",
    ):
        OwnImages(path=str(tmp_path / "pets"), **SIZES).load()


def test_images_beside_the_folders_and_folders_without_images_are_refused(folder):
    picture(3).save(folder / "one.png")
    with pytest.raises(RecipeError, match=r"pets' has images in \.; allowed: one folder per class"):
        OwnImages(path=str(folder), **SIZES).load()
    (folder / "one.png").unlink()
    (folder / "__cow").mkdir()  # a name that the package datasets passes over
    picture(3).save(folder / "__cow" / "one.png")
    with pytest.raises(RecipeError, match=r"pets' has a folder '__cow' in which no images were found"):
        OwnImages(path=str(folder), **SIZES).load()


@pytest.mark.parametrize("name", ["pets[v2]", "pets*", "p?ts", "{a,b}", "[!x]", "#1", "a b", "über", "x/../pets[1]"])
def test_a_path_is_never_a_pattern(folder, parquet, name):
    """The same images under another name are the same data."""
    expected = everything(OwnImages(path=str(folder), **SIZES).load())
    (folder.parent / "x").mkdir()
    moved = folder.rename(folder.parent / name)
    assert everything(OwnImages(path=str(moved), **SIZES).load()) == expected
    table = parquet([0, 1] * 20)
    (moved.parent / "tables").mkdir()
    os.rename(table, moved.parent / "tables" / f"{moved.name}.parquet")
    moved.rename(moved.with_name("aside"))
    (moved.parent / "tables").rename(moved)
    for path in (moved, moved / f"{moved.name}.parquet"):
        assert sorted(everything(OwnImages(path=str(path), **SIZES).load())) == [(i, i % 2) for i in range(40)]


def test_a_path_that_cannot_be_named_to_the_package_datasets_is_refused(folder):
    moved = folder.rename(folder.with_name("a::b"))
    with pytest.raises(RecipeError, match=r"problem.path: '.*a::b' holds '::'"):
        OwnImages(path=str(moved), **SIZES).load()


def test_all_images_are_used_unless_a_size_is_given(folder, tmp_path):
    """More than the thousand that is the default of the data sets of the hub."""
    for number in range(1100):
        picture(number % 50).save(folder / "cat" / f"more-{number}.png")
    test = tmp_path / "held"
    for name in ("cat", "dog"):
        (test / name).mkdir(parents=True)
        picture(3).save(test / name / "one.png")
    data = OwnImages(path=str(folder), test_path=str(test), validation_size=10).load()
    assert len(data.train) == 1100 + sum(CLASSES.values()) - 10


def test_corrupt_images_take_their_labels_with_them(folder):
    (folder / "cat" / "001.png").write_bytes(b"nothing")
    with pytest.raises(RecipeError, match=r"image 1 \(.*/pets/cat/001.png\) cannot be decoded"):
        OwnImages(path=str(folder), **SIZES).load()
    problem = OwnImages(path=str(folder), skip_corrupt=True, **SIZES)
    found = everything(problem.load())
    assert len(found) == sum(CLASSES.values()) - 1
    for _ in range(2):  # those decoded before are named again
        (warning,) = problem.warnings()
        assert re.fullmatch(r".*pets: 1 corrupt image left out: image 1 \(.*/pets/cat/001.png\)\.", warning)
    assert all(brightness // 50 == label for brightness, label in found)


def test_a_single_class_is_an_error(folder, tmp_path):
    """The images themselves in the folder, or one folder of them: there is nothing to tell apart."""
    with pytest.raises(RecipeError, match=r"cat has a single class; allowed: 2 or more .*one folder a class"):
        OwnImages(path=str(folder / "cat"), **SIZES).load()
    (tmp_path / "one").mkdir()
    (folder / "cat").rename(tmp_path / "one" / "cat")
    with pytest.raises(RecipeError, match=r"one has a single class"):
        OwnImages(path=str(tmp_path / "one"), label_noise=0.5, **SIZES).load()


@pytest.mark.parametrize("mode", ["RGBA", "L"])
def test_one_image_of_another_mode(folder, mode):
    picture(3).convert(mode).save(folder / "dog" / "000.png")
    with pytest.raises(RecipeError, match=r"image 14 \(.*dog/000.png\)"):
        OwnImages(path=str(folder), **SIZES).load()
    assert OwnImages(path=str(folder), mode="RGB", **SIZES).load().train.shape == (3, 6, 7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "/nowhere/at/all"}, r"problem.path: '/nowhere/at/all' does not exist"),
        ({"test_path": "nowhere"}, r"problem.test_path: 'nowhere' does not exist .looked for /"),
        ({"classes": 4}, r"problem.classes: 4 expected, .*pets has 3"),
        ({"content": "0" * 24}, r"problem.content: 0{24} expected, the files under .* give \w{24}"),
    ],
)
def test_what_is_wrong_is_named(folder, settings, message):
    with pytest.raises(RecipeError, match=message):
        OwnImages(**{"path": str(folder), **SIZES, **settings}).load()


def test_a_folder_without_images(tmp_path):
    with pytest.raises(RecipeError, match=r"problem.path: .* cannot be read as imagefolder"):
        OwnImages(path=str(tmp_path)).load()


def test_a_column_that_is_not_there(parquet):
    path = parquet([0, 1] * 20)
    with pytest.raises(RecipeError, match=r"problem.image: .* no column 'imag'; it has image, label .*mean 'image'"):
        OwnImages(path=path, image="imag", **SIZES).load()


def test_other_files_are_other_data(folder):
    problem = OwnImages(path=str(folder), **SIZES)
    pinned = problem.pinned()
    assert problem.pinned() == pinned
    assert sorted(everything(pinned.load())) == sorted(everything(problem.load()))
    picture(249).save(folder / "cat" / "000.png")
    os.utime(folder / "cat" / "000.png", (1, 1))
    changed = problem.pinned()
    assert changed.content != pinned.content
    with pytest.raises(RecipeError, match=f"problem.content: {pinned.content} expected"):
        pinned.load()
    (folder / "cat" / "000.png").rename(folder / "dog" / "999.png")
    assert problem.pinned().content not in (pinned.content, changed.content)


def test_jobs_are_keyed_by_the_content(folder):
    recipe = Recipe.model_validate(
        {
            "name": "own",
            "seeds": [0],
            "problem": {"kind": "images", "path": str(folder), **SIZES},
            "model": {"kind": "mlp"},
            "forget": [{"kind": "random", "size": 2}],
            "unlearn": [{"kind": "gradient_ascent", "updates": 2}],
        }
    )
    before, same = make_plan(recipe).jobs.keys(), make_plan(recipe).jobs.keys()
    assert before == same
    picture(249).save(folder / "cat" / "000.png")
    os.utime(folder / "cat" / "000.png", (1, 1))
    assert before.isdisjoint(make_plan(recipe).jobs.keys())
