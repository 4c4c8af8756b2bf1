"""Scripts beside the package, which cannot be imported by name."""

from __future__ import annotations

import importlib.util
import sys

import pytest


@pytest.fixture(scope="module")
def script(request):
    """Return the module of the file that a test file calls ``SOURCE``."""
    spec = importlib.util.spec_from_file_location(f"script_{request.module.SOURCE.stem}", request.module.SOURCE)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
        spec.loader.exec_module(module)
        yield module
