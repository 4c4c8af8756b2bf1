"""A hub mirror of a few generated images, in the hub's own layout, and no way to the real one."""

import numpy as np
import pytest


@pytest.fixture
def offline(monkeypatch, tmp_path_factory):
    """No network, no tables of earlier runs."""
    import datasets
    import huggingface_hub.constants

    for constants in (datasets.config, huggingface_hub.constants):
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="session")
def small_mirror(tmp_path_factory):
    """Write 60 + 20 grey images as ylecun/mnist and 25 + 12 coloured ones as uoft-cs/cifar10."""
    from datasets import ClassLabel, Dataset, Features, Image

    root = tmp_path_factory.mktemp("mirror")
    sets = [
        ("ylecun/mnist", "mnist", "image", (28, 28), 10, {"train": 60, "test": 20}),
        ("uoft-cs/cifar10", "plain_text", "img", (32, 32, 3), 10, {"train": 25, "test": 12}),
    ]
    draw = np.random.default_rng(0)
    for identifier, config, column, shape, classes, counts in sets:
        (root / identifier / config).mkdir(parents=True)
        features = Features({column: Image(), "label": ClassLabel(num_classes=classes)})
        files = []
        for split, count in counts.items():
            pixels = draw.integers(0, 256, (count, *shape), dtype=np.uint8)
            columns = {column: list(pixels), "label": [i % classes for i in range(count)]}
            Dataset.from_dict(columns, features=features).to_parquet(root / identifier / config / f"{split}.parquet")
            files.append(f"  - split: {split}\n    path: {config}/{split}.parquet")
        card = "\n".join(["---", "configs:", f"- config_name: {config}", "  data_files:", *files, "---", ""])
        (root / identifier / "README.md").write_text(card)
    return root
