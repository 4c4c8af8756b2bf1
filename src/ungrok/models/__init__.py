"""Plain ``nn.Module`` factories; no training code."""

from ungrok.models import cnn, mlp, outside, resnet, vgg, vit
from ungrok.models.base import MODELS, Model

__all__ = ["MODELS", "Model", "cnn", "mlp", "outside", "resnet", "vgg", "vit"]
