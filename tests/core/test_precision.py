"""Float32 masters of weights of few bits, and autocast of an objective."""

import copy

import pytest
import torch
from torch import nn

from ungrok.core.objective import Classification
from ungrok.core.precision import Masters, autocast, wide, wide_type

LOW = (torch.bfloat16, torch.float16)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.int8, torch.int8),
    ],
)
def test_wide_brings_few_bits_to_float32_and_leaves_the_rest(dtype, expected):
    x = torch.ones(2, dtype=dtype)
    assert wide_type(dtype) == wide(x).dtype == expected
    assert (wide(x) is x) == (dtype == expected)


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("build", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_updates_below_the_rounding_add_up(dtype, build):
    """400 updates of 1e-5 move a float32 weight by 0.004; a weight of few bits they would never move."""
    draw = torch.Generator().manual_seed(0)
    start = torch.rand(50, generator=draw).to(dtype) + 1
    gradients = torch.randn(400, 50, generator=draw).to(dtype) + 3

    def walk(parameter, masters):
        optimizer = build([parameter], 1e-5)
        for g in gradients:
            parameter.grad = g.to(parameter.dtype)
            with masters.widened():
                optimizer.step()
        return optimizer

    low, reference = nn.Parameter(start.clone()), nn.Parameter(start.float())
    masters = Masters([low])
    memory = low.data_ptr()
    optimizer = walk(low, masters)
    walk(reference, Masters([reference]))
    assert torch.equal(masters.values[0], reference)
    assert torch.equal(low, reference.to(dtype))
    assert not torch.equal(low, start)
    assert (low.dtype, low.grad, low.data_ptr()) == (dtype, None, memory)
    assert all(v.dtype == torch.float32 for v in optimizer.state[low].values() if isinstance(v, torch.Tensor))
    naive = nn.Parameter(start.clone())
    walk(naive, Masters([]))
    assert torch.equal(naive, start)


def test_gradients_of_many_passes_are_added_in_float32():
    """1,000 gradients of 1: a bfloat16 sum stands still at 256."""
    p = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    masters = Masters([p])
    for _ in range(2):  # a block begins at 0
        with masters.gathered():
            for _ in range(1000):
                p.sum().backward()
    with masters.widened():
        assert p.grad.tolist() == [1000.0] * 3
    p.sum().backward()
    assert p.grad.tolist() == [1.0] * 3  # nothing is gathered outside a block
    with masters.widened():
        assert p.grad.tolist() == [1.0] * 3


def test_a_weight_that_something_else_moved_starts_from_there():
    p = nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.bfloat16))
    masters = Masters([p])
    with masters.widened(), torch.no_grad():
        p.add_(1e-4)
    with torch.no_grad():
        p[0] = 3.0
    with masters.widened():
        assert p.tolist() == [3.0, pytest.approx(1.0001, abs=1e-7)]


def test_an_error_inside_leaves_the_precision():
    p = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
    masters = Masters([p])
    with pytest.raises(ValueError, match="inside"), masters.widened():
        raise ValueError("inside")
    with pytest.raises(ValueError, match="inside"), masters.gathered():
        raise ValueError("inside")
    p.sum().backward()
    assert (p.dtype, p.grad.tolist()) == (torch.bfloat16, [1.0, 1.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wide_weights_are_left_alone(dtype):
    p = nn.Parameter(torch.ones(2, dtype=dtype))
    masters, memory = Masters([p]), p.data_ptr()
    with masters.gathered():
        p.sum().backward()
    with masters.widened():
        assert p.grad.tolist() == [1.0, 1.0]
    assert (masters.low, p.data_ptr(), p.grad.tolist()) == ([], memory, [1.0, 1.0])


def test_masters_are_restored():
    p = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    first = Masters([p])
    with first.widened(), torch.no_grad():
        p.add_(1e-4)
    second = Masters([p])
    second.restore([value.clone() for value in first.values])
    with second.widened():
        assert p.item() == pytest.approx(1.0001, abs=1e-7)


def test_channels_last_stays():
    p = nn.Parameter(torch.randn(4, 3, 2, 2).to(torch.bfloat16, memory_format=torch.channels_last))
    masters = Masters([p])
    p.square().sum().backward()
    with masters.widened():
        assert p.is_contiguous(memory_format=torch.channels_last)
        torch.optim.AdamW([p], 0.1, fused=True).step()
    assert p.is_contiguous(memory_format=torch.channels_last)


def test_autocast_runs_the_model_in_bfloat16_and_its_loss_in_float32():
    torch.manual_seed(0)
    objective, model = Classification(), nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
    batch = torch.randn(5, 4), torch.randint(3, (5,))
    types = []
    model[0].register_forward_hook(lambda *args: types.append(args[2].dtype))
    cast = autocast(objective, torch.device("cpu"))
    logits = cast.logits(model, batch)
    assert (types, logits.dtype) == ([torch.bfloat16], torch.float32)
    low = copy.deepcopy(model).bfloat16()
    assert torch.equal(logits, low(batch[0].bfloat16()).float())
    assert torch.equal(cast.losses(logits, batch), objective.losses(logits, batch))
    objective.logits(model, batch)
    assert types[-1] == torch.float32
