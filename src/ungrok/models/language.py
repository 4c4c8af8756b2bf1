"""Causal language models: transformers' own classes, from a configuration, a hub id or a folder."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn
from typing_extensions import override

from ungrok.core.errors import NotApplicable, RecipeError, first_line
from ungrok.core.pretrained import open_model
from ungrok.core.schema import Schema
from ungrok.core.weights import remember_given
from ungrok.models.base import MODELS, Model

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Lora(Schema):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685), by peft; all other weights are frozen."""

    rank: int = Field(8, ge=1)
    alpha: int = Field(16, gt=0, description="scale of the adapters times their rank")
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: list[str] | Literal["all-linear"] = Field(
        "all-linear", description="names of the layers that get adapters"
    )


class LanguageModel(Model):
    """What language models share: precision, adapters, gradient checkpointing."""

    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="precision of the weights")
    lora: Lora | None = None
    gradient_checkpointing: bool = Field(
        False, description="recompute activations in the backward pass, to save memory"
    )

    @abstractmethod
    def network(self, length: int, vocabulary: int) -> Any:
        """Return the model of transformers, able to read ``length`` tokens out of ``vocabulary``."""

    def module(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the model for examples of at most ``shape[0]`` tokens and a vocabulary of ``outputs``."""
        if len(shape) != 1:
            raise RecipeError(f"model: kind {self.kind!r} reads tokens, not inputs of shape {shape}")
        network = self.network(shape[0], outputs)
        room = getattr(network.config, "max_position_embeddings", None)
        if room is not None and shape[0] > room:
            raise RecipeError(
                f"model: the longest example has {shape[0]} tokens, the model reads at most {room}; shorten the data, or lower "
                "problem.max_length to find the row"
            )
        if outputs > network.get_input_embeddings().num_embeddings:
            raise RecipeError(
                f"problem.tokenizer: it has {outputs} tokens, the model knows {network.get_input_embeddings().num_embeddings}; "
                "name the tokenizer that belongs to the model"
            )
        network = network.to(PRECISIONS[self.dtype])
        if self.lora:
            network = _adapted(network, self.lora)
        if self.gradient_checkpointing:
            # Older versions of transformers call it gradient_checkpointing_enable.
            enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
            enable({"use_reentrant": False})
            if self.lora:
                network.enable_input_require_grads()
        return network  # type: ignore[no-any-return]


def _adapted(network: Any, settings: Lora) -> Any:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise NotApplicable("model.lora: needs peft; install ungrok[lora]") from None
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.targets,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(network, config)
    except ValueError as error:  # targets name no layer of the model
        raise RecipeError(f"model.lora: {first_line(error)}") from None


@MODELS.register
class Llama(LanguageModel):
    """A small Llama from scratch (``transformers.LlamaForCausalLM``): rotary positions, RMS norm, SwiGLU."""

    kind: Literal["llama"] = "llama"
    width: int = Field(64, ge=8, description="hidden size")
    layers: int = Field(2, ge=1, le=1000)
    heads: int = Field(4, ge=1, description="attention heads")
    hidden: int | None = Field(None, ge=1, description="units of the SwiGLU; four times the width when null")
    room: int = Field(
        512, ge=16, description="tokens that the model can read and write; raised to those of the longest example"
    )
    tied: bool = Field(True, description="one matrix for input and output embeddings")

    def network(self, length: int, vocabulary: int) -> Any:
        """Return a freshly initialized ``LlamaForCausalLM``."""
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=self.width,
            intermediate_size=self.hidden or 4 * self.width,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.heads,
            max_position_embeddings=max(length, self.room),
            tie_word_embeddings=self.tied,
        )
        return LlamaForCausalLM(config)


@MODELS.register
class Pretrained(LanguageModel):
    """Any ``AutoModelForCausalLM``: a hub id, a local folder, or a GGUF file with ``file``; needs the network unless local."""

    kind: Literal["pretrained"] = "pretrained"
    path: str = Field(description="hub id or local folder")
    file: str | None = Field(None, description="a GGUF file there; reading it needs the package gguf")
    revision: str | None = Field(None, description="commit, branch or tag on the hub; pin it for results that last")

    def network(self, length: int, vocabulary: int) -> Any:  # noqa: ARG002
        """Return the model with its weights."""
        return open_model(self.path, self.file, self.revision, PRECISIONS[self.dtype])

    @override
    def build(self, shape: tuple[int, ...], outputs: int, seed: int) -> nn.Module:
        network = super().build(shape, outputs, seed)
        if self.lora:
            remember_given(network)
        return network
