"""JiT: Lipschitz quotients, and what they flatten."""

import pytest
import torch

from ungrok.methods.jit import lipschitz_quotients


def test_quotients_by_hand():
    """Outputs 5 apart over inputs 2 apart; outputs 1 apart over inputs 13 apart, the inputs being images."""
    outputs, moved_outputs = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [1.0, 2.0]])
    inputs = torch.zeros(2, 1, 2)
    moved = torch.tensor([[[2.0, 0.0]], [[5.0, 12.0]]])
    assert lipschitz_quotients(outputs, moved_outputs, inputs, moved).tolist() == pytest.approx([5 / 2, 1 / 13])


def test_it_flattens_the_function_around_forget_points(small):
    """Unless the perturbed outputs are constants: a pull of one output towards others moves them all alike."""
    inputs = small.batches(seed=1)[0][0]
    noise = 0.5 * torch.randn(200, *inputs.shape, generator=torch.Generator().manual_seed(5))

    def slope(network):
        return ((network(inputs) - network(inputs + noise)).norm(dim=2) / noise.norm(dim=2)).mean().item()

    assert slope(small.last("jit", lr=0.05, epochs=20)) < 0.1 * slope(small.network())
    assert slope(small.last("jit", lr=0.05, epochs=20, stop_gradient=True)) > 0.9 * slope(small.network())
