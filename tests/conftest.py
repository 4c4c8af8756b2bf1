"""What several folders of tests share."""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

gc.disable()  # until all tests are collected


def pytest_collection_finish():
    """Look for garbage again, but not in what is imported and collected by now: it stays to the end."""
    gc.freeze()
    gc.enable()


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


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers.0.self_attn.q_proj": "blk.0.attn_q",
    "model.layers.0.self_attn.k_proj": "blk.0.attn_k",
    "model.layers.0.self_attn.v_proj": "blk.0.attn_v",
    "model.layers.0.self_attn.o_proj": "blk.0.attn_output",
    "model.layers.0.mlp.gate_proj": "blk.0.ffn_gate",
    "model.layers.0.mlp.up_proj": "blk.0.ffn_up",
    "model.layers.0.mlp.down_proj": "blk.0.ffn_down",
    "model.layers.0.input_layernorm": "blk.0.attn_norm",
    "model.layers.0.post_attention_layernorm": "blk.0.ffn_norm",
}
CHAT = "{% for turn in messages %}<{{ turn['role'] }}>{{ turn['content'] }}{% endfor %}"


def write_gguf(path, model, tokenizer):
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, "llama")
    for key, value in (("context_length", 64), ("embedding_length", 32), ("block_count", 1), ("head_count", 2)):
        getattr(writer, f"add_{key}")(value)
    writer.add_feed_forward_length(32)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(300)
    content = json.loads(tokenizer._tokenizer.to_str())["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(content["vocab"], key=content["vocab"].__getitem__))
    writer.add_token_types([1] * len(content["vocab"]))
    writer.add_token_merges([" ".join(pair) for pair in content["merges"]])
    writer.add_eos_token_id(1)
    for name, value in model.state_dict().items():
        writer.add_tensor(f"{GGUF_NAMES[name.removesuffix('.weight')]}.weight", value.numpy().astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """A folder with a small Llama and a tokenizer, each also as GGUF."""
    folder = tmp_path_factory.mktemp("good")
    from transformers import LlamaConfig, LlamaForCausalLM

    from ungrok.data.tokens import train_tokenizer

    tokenizer = train_tokenizer(["the cat sat on the mat"], 300)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=300, max_position_embeddings=64, **sizes))
    model.save_pretrained(folder)
    write_gguf(folder / "m.gguf", model, tokenizer)
    return folder


# Shared runners stall at times; a slow draw is no failure, and CI must not depend on luck.
settings.register_profile("ungrok", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ungrok")

# As the jobs of a study do: for models this small, a second thread costs more than it gives.
torch.set_num_threads(1)
