"""Machine unlearning as a function of when a model's training stopped.

Names are looked up when they are first used, so that a command which trains nothing does not wait for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("ungrok")
    from ungrok._exports import PLACES, places

    module = PLACES.get(name) or (None if name.startswith("_") else places().get(name))
    if module is None:
        raise AttributeError(f"module 'ungrok' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    from ungrok._exports import places

    return [*globals(), "__version__", *places()]
