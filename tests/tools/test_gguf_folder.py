"""tools/gguf_folder.py: the folder holds the model of the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from ungrok.core.pretrained import open_model, open_tokenizer

SOURCE = Path(__file__).parents[2] / "tools" / "gguf_folder.py"


@pytest.fixture
def converted(good, script, tmp_path):
    """Return a folder with a GGUF file alone, and the one that was made of it."""
    bare, made = tmp_path / "bare", tmp_path / "deep" / "made"
    bare.mkdir()
    shutil.copy(good / "m.gguf", bare)
    script.convert(str(bare), "m.gguf", made)
    return bare, made


def test_the_folder_has_the_weights_and_the_tokens_of_the_file(converted):
    bare, made = converted
    one, other = open_model(str(bare), "m.gguf", None, torch.float32), open_model(str(made), None, None, torch.float32)
    ours, theirs = other.state_dict(), one.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    assert "quantization_config" not in json.loads((made / "config.json").read_text())
    text = "the cat sat on the mat"
    assert open_tokenizer(str(made))(text)["input_ids"] == open_tokenizer(str(bare), "m.gguf")(text)["input_ids"]


def test_perplexity_and_continuation_are_those_of_the_logits(converted, script):
    _, made = converted
    model, tokenizer = open_model(str(made), None, None, torch.float32), open_tokenizer(str(made))
    tokens = tokenizer("the cat sat", return_tensors="pt").input_ids
    with torch.no_grad():
        logs = model(tokens).logits.log_softmax(dim=-1)
    likelihood = logs[0, :-1].gather(1, tokens[0, 1:, None]).mean()
    assert script.perplexity(model, tokenizer, "the cat sat") == pytest.approx(float((-likelihood).exp()), rel=1e-5)
    following = tokenizer.decode([*tokens[0].tolist(), int(logs[0, -1].argmax())])
    assert script.continued(model, tokenizer, "the cat sat", 1) == following
