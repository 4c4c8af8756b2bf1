"""RMU: directions, distances and where blocks are."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from ungrok.core.causal_lm import CausalLM, run
from ungrok.core.errors import RecipeError
from ungrok.core.precision import autocast
from ungrok.methods.rmu import RMU, block_at, block_of, count_blocks, direction, squared_distance
from ungrok.models.language import Llama


def test_the_direction_has_norm_one_and_no_negative_part():
    u = direction(50, torch.Generator().manual_seed(3))
    drawn = torch.rand(50, generator=torch.Generator().manual_seed(3))
    assert u.norm().item() == pytest.approx(1)
    torch.testing.assert_close(u, drawn / math.sqrt(sum(x * x for x in drawn.tolist())))


def test_squared_distance_is_a_mean_over_dimensions():
    states = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    assert squared_distance(states, torch.tensor([1.0, 0.0])).tolist() == [2.0, 0.5]


@pytest.mark.parametrize(
    ("name", "block"),
    [("model.layers.0.mlp.weight", 1), ("transformer.h.11.ln.bias", 12), ("blocks.2.w", 3), ("embed.weight", None)],
)
def test_blocks_are_counted_from_one(name, block):
    assert block_of(name) == block


class Layers(nn.Module):
    def __init__(self, depth):
        super().__init__()
        self.embed = nn.Linear(1, 1)
        self.layers = nn.ModuleList(nn.Linear(1, 1) for _ in range(depth))


@pytest.mark.parametrize(
    ("settings", "moving"),
    [({}, {1, 2, 3}), ({"layer": 5, "blocks": 2}, {4, 5}), ({"layer": 1}, {1}), ({"blocks": 1}, {3})],
)
def test_blocks_up_to_the_layer_train(settings, moving):
    """Of five the middle one, the third, is the default."""
    model = Layers(5)
    chosen = {id(p) for p in RMU(**settings).trainable(model)}
    assert {block_of(n) for n, p in model.named_parameters() if id(p) in chosen} == moving


def test_a_model_without_blocks():
    with pytest.raises(RecipeError, match="no block was found in the model"):
        count_blocks(nn.Linear(1, 1))


@pytest.mark.parametrize(("depth", "middle"), [(1, 1), (2, 1), (3, 2), (4, 2), (7, 4)])
def test_the_middle_block(depth, middle):
    """Of an even number the earlier of two."""
    model = Layers(depth)
    chosen = {id(p) for p in RMU(blocks=1).trainable(model)}
    assert {block_of(n) for n, p in model.named_parameters() if id(p) in chosen} == {middle}


@pytest.mark.parametrize(("layer", "allowed"), [(2, True), (3, False)])
def test_the_last_block_may_be_steered(layer, allowed):
    material = SimpleNamespace(model=Layers(2), retain=[None])
    if allowed:
        assert RMU(layer=layer).check(material) is None
    else:
        with pytest.raises(RecipeError, match="layer 3 is not in the model; allowed: 1 to 2"):
            RMU(layer=layer).check(material)


TOKENS = {"input_ids": torch.tensor([[3, 5, 7, 9, 2]]), "attention_mask": torch.ones(1, 5, dtype=torch.int64)}
BATCH = TOKENS | {"labels": torch.tensor([[-100, -100, 7, 9, 2]])}


def gpt2():
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=17, n_positions=16, n_embd=8, n_layer=3, n_head=2)).eval()


@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("make", [lambda: Llama(width=8, layers=3, heads=2, hidden=12).build((9,), 17, 0).eval(), gpt2])
def test_what_is_steered_is_the_output_of_a_block(make, layer):
    """The last block's too, which models give only behind their final normalization."""
    model = make()
    method, material = RMU(layer=layer), SimpleNamespace(objective=CausalLM())
    steered = method._states(model, BATCH, material)
    assert not block_at(model, layer)._forward_hooks
    base = model.get_decoder()
    setattr(base, "norm" if hasattr(base, "norm") else "ln_f", nn.Identity())
    states = run(model, BATCH, output_hidden_states=True).hidden_states[layer]
    torch.testing.assert_close(steered, states[0, 1:4])


def test_states_are_computed_in_bfloat16_where_passes_are():
    model = Llama(width=8, layers=3, heads=2, hidden=12).build((9,), 17, 0).eval()
    seen = []
    block_at(model, 1).mlp.down_proj.register_forward_hook(lambda *call: seen.append(call[2].dtype))
    method, objective = RMU(layer=2), CausalLM()
    exact, low = (
        method._states(model, BATCH, SimpleNamespace(objective=each))
        for each in (objective, autocast(objective, torch.device("cpu")))
    )
    assert seen == [torch.float32, torch.bfloat16]
    assert exact.dtype == low.dtype == torch.float32
    assert 0 < (exact - low).abs().max() < 0.02 * exact.abs().max()
