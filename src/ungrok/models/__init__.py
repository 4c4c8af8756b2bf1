"""Plain ``nn.Module`` factories; no training code."""

from ungrok.models.base import MODELS, Model

__all__ = ["MODELS", "Model"]
