"""Analyses of layers refuse what keeps no examples apart before any work."""

import pytest
import torch
from torch import nn

from ungrok.analyze.base import Subject
from ungrok.analyze.layers import OfLayers
from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import NotApplicable


class Pooled(nn.Module):
    """A language model with an activation after a mean over tokens."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 4), nn.Linear(4, 5)

    def forward(self, input_ids, attention_mask):
        seen = self.embed(input_ids)
        return self.head(seen + torch.relu(seen.mean(1)).unsqueeze(1))


class Every(OfLayers):
    kind: str = "every"

    def readings(self, subject):
        return iter(())


def test_a_layer_without_tokens_is_refused_unless_layers_are_left_out():
    ids = torch.tensor([[1, 2, 3], [3, 2, 1]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
    subject = Subject(Pooled(), CausalLM(), {"forget": [batch], "retain": [batch]})
    with pytest.raises(NotApplicable, match=r"every: a layer gives shape \(2, 4\).*; layers: false leaves such layers"):
        Every().measure(subject)
    assert Every(layers=False).measure(subject) == []
