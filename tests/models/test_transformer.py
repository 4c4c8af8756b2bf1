"""The transformer of modular arithmetic against a version written with loops over heads and places."""

import math

import pytest
import torch
from pydantic import ValidationError

from ungrok.core.errors import RecipeError
from ungrok.data.arithmetic import Modular
from ungrok.models.transformer import Transformer


def slow(model, x, heads):
    """Return the logits, one example, place and head at a time."""
    out = []
    for row in x.double():
        codes = [model.embedding.double().T @ part for part in row.chunk(2)]
        stream = [c + p for c, p in zip([*codes, torch.zeros_like(codes[0])], model.positions.double(), strict=True)]
        for layer in model.layers:
            mixed = [(layer.mix.weight.double() @ s).chunk(3) for s in stream]
            width = len(stream[0]) // heads
            new = []
            for i in range(3):
                parts = []
                for h in range(heads):
                    cut = slice(h * width, (h + 1) * width)
                    scores = [float(mixed[i][0][cut] @ mixed[j][1][cut]) / math.sqrt(width) for j in range(i + 1)]
                    weights = torch.softmax(torch.tensor(scores, dtype=torch.float64), 0)
                    parts.append(sum(w * mixed[j][2][cut] for j, w in enumerate(weights)))
                new.append(stream[i] + layer.out.weight.double() @ torch.cat(parts))
            up, down = layer.mlp[0], layer.mlp[2]
            stream = [
                s + down.weight.double() @ torch.relu(up.weight.double() @ s + up.bias.double()) + down.bias.double()
                for s in new
            ]
        out.append(model.unembedding.weight.double() @ stream[-1])
    return torch.stack(out)


@pytest.mark.parametrize("layers", [1, 2])
def test_logits_are_those_of_a_loop(layers):
    x = Modular(modulus=7).load().train.inputs[:6]
    model = Transformer(width=8, heads=2, layers=layers, hidden=12).build((14,), 7, 0)
    with torch.no_grad():
        torch.testing.assert_close(model(x).double(), slow(model, x, 2), rtol=1e-4, atol=1e-5)


def test_what_does_not_fit():
    with pytest.raises(RecipeError, match=r"model.tokens: inputs of shape \(15,\) do not hold 2 one-hot codes"):
        Transformer().build((15,), 7, 0)
    with pytest.raises(ValidationError, match="width: 10 is not a multiple of heads 4"):
        Transformer(width=10)
