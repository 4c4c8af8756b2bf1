"""Which pages of the documentation run as tests, and how."""

from importlib.util import find_spec

import pytest

collect_ignore = [] if find_spec("pytorch_lightning") else ["lightning.md"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let pass what Lightning has to say of processors, loaders and the libraries that it uses."""
    for item in items:
        if item.path.name == "lightning.md":
            item.add_marker(pytest.mark.filterwarnings("ignore"))
