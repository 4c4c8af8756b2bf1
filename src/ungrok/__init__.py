"""Machine unlearning as a function of when a model's training stopped."""

from importlib import metadata

__version__ = metadata.version("ungrok")
