"""The smallest weights become zero, over all layers together."""

import torch
from torch import nn

from ungrok.audits import Setting
from ungrok.audits.prune import Prune, ranks


def test_ranks_by_hand():
    weights = {"a": torch.tensor([[3.0, -1.0]]), "b": torch.tensor([[0.5], [-2.0], [1.0]])}
    found = ranks(weights)
    assert found["a"].tolist() == [[4, 1]]
    assert found["b"].tolist() == [[0], [3], [2]]


def model():
    made = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    with torch.no_grad():
        made[0].weight.copy_(torch.tensor([[1.0, -2.0], [0.1, 4.0]]))
        made[1].weight.copy_(torch.tensor([[-0.2, 3.0]]))
    return made


def test_by_hand(given):
    paths = {
        step.dose: (step.model[0].weight.tolist(), step.model[1].weight.tolist())
        for step in Prune(shares=(0.5, 0.2, 0.0)).path(model(), given, Setting())
    }
    whole = ([[1.0, -2.0], [0.1, 4.0]], [[-0.20000000298023224, 3.0]])
    assert list(paths) == [0, 0.2, 0.5] or list(paths) == [0, 0.0, 0.2, 0.5]
    assert torch.allclose(torch.tensor(paths[0][0]), torch.tensor(whole[0]))
    assert paths[0.2][0][1][0] == 0  # round(0.2 · 6) = 1
    assert paths[0.2][1][0][0] != 0
    assert paths[0.5] == ([[0.0, -2.0], [0.0, 4.0]], [[0.0, 3.0]])


def test_a_share_of_0_moves_nothing_and_no_bias_is_ever_zero(given):
    first, none, most = [
        {name: value.clone() for name, value in step.model.state_dict().items()}
        for step in Prune(shares=(0.0, 0.9)).path(model(), given, Setting())
    ]
    assert all(torch.equal(first[name], value) for name, value in none.items())
    assert torch.equal(most["0.bias"], first["0.bias"])
    assert sum(int((most[f"{layer}.weight"] == 0).sum()) for layer in (0, 1)) == 5


def test_ties_are_cut_where_the_count_says(given):
    made = nn.Linear(4, 1)
    with torch.no_grad():
        made.weight.fill_(1.0)
    counts = [int((step.model.weight == 0).sum()) for step in Prune(shares=(0.25, 0.5)).path(made, given, Setting())]
    assert counts == [0, 1, 2]
