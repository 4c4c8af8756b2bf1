"""What several folders of tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Decode into a folder of this run, not into the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNGROK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def mirror() -> Path:
    """Return the local mirror of the hub, or skip."""
    root = os.environ.get("UNGROK_DATASETS")
    if not root:
        pytest.skip("needs a mirror of the hub under UNGROK_DATASETS")
    return Path(root)


# Shared runners stall at times; a slow draw is no failure, and CI must not depend on luck.
settings.register_profile("ungrok", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ungrok")

# As the jobs of a study do: for models this small, a second thread costs more than it gives.
torch.set_num_threads(1)
