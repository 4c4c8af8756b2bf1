"""Language models: shapes, seeds, left and right padding, adapters, checkpointing, bad input."""

import pytest
import torch

from ungrok.core.causal_lm import CausalLM, run
from ungrok.core.errors import RecipeError
from ungrok.models import MODELS
from ungrok.models.language import Llama, Lora, Pretrained

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
def folder(tmp_path):
    llama(room=32).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_a_local_folder_loads_with_its_weights(folder):
    loaded = MODELS.parse({"kind": "pretrained", "path": folder}).build((12,), V, 0)
    torch.testing.assert_close(run(loaded, batch()).logits, run(llama(room=32), batch()).logits)


def test_what_does_not_fit_a_pretrained_model(folder):
    made = Pretrained(path=folder)
    with pytest.raises(RecipeError, match="the longest example has 40 tokens, the model reads at most 32"):
        made.build((40,), V, 0)
    with pytest.raises(RecipeError, match=f"it has {V + 1} tokens, the model knows {V}"):
        made.build((12,), V + 1, 0)


def test_a_model_that_is_nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        RecipeError, match=r"model.path: .* is neither a folder with a model nor an id that the hub answers to"
    ):
        Pretrained(path=str(tmp_path / "none")).build((12,), V, 0)
