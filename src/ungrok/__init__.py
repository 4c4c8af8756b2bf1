"""Machine unlearning as a function of when a model's training stopped.

Names are looked up when they are first used, so that a command which trains nothing does not wait for torch.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib import metadata

        return metadata.version("ungrok")
    if not name.startswith("_"):
        from ungrok import _exports

        if name in _exports.PLACES or name in _exports.places():
            value = globals()[name] = _exports.load(name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from ungrok import _exports

    return sorted({*globals(), "__version__", *_exports.places()})
