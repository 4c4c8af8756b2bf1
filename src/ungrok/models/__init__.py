"""Plain ``nn.Module`` factories; no training code."""

from ungrok.models import cnn, language, mlp, outside, resnet, transformer, vgg, vit
from ungrok.models.base import MODELS, Model

__all__ = ["MODELS", "Model", "cnn", "language", "mlp", "outside", "resnet", "transformer", "vgg", "vit"]
