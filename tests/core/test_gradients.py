"""The diagonal Fisher information against a loop over samples and classes."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune

from ungrok.core import gradients
from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import NotApplicable
from ungrok.core.gradients import diagonal_fisher, squared_gradients
from ungrok.core.objective import Classification
from ungrok.core.seeds import seeded

OBJECTIVE = Classification()


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 3)), 3


def cnn():
    layers = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(32, 4))
    model[1].running_mean.normal_()
    return model, 4


def grouped():
    """Groups, dilation, stride, a wide padding, group and layer normalization, and in-place functions."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=2, stride=2, bias=False),
        nn.GroupNorm(2, 4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 6, (2, 1), groups=2, dilation=(2, 1)),
        nn.LayerNorm([6, 1, 3]),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(18, 3),
    ), 3


class Rows(nn.Module):
    """Rows of the image are tokens: linear layers and a normalization that see each example in several places."""

    def __init__(self, attention):
        super().__init__()
        self.embed, self.norm, self.head = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 3)
        self.block = nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True) if attention else nn.Identity()

    def forward(self, x):
        return self.head(self.block(self.norm(self.embed(x.squeeze(1)).tanh())).mean(1))


def tokens():
    return Rows(attention=False), 3


def transformer():
    return Rows(attention=True), 3


class Transposed(nn.Module):
    """Puts the examples second, where no layer may be read as if they came first."""

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.embed(x.squeeze(1).transpose(0, 1)).tanh().mean(0))


class Shared(nn.Module):
    """Uses one layer twice."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.inner(self.inner(x.flatten(1)).tanh()))


def transposed():
    return Transposed(), 3


def shared():
    return Shared(), 3


BUILDERS = [mlp, cnn, grouped, tokens, transformer, transposed, shared]
CLOSED = {"mlp", "cnn", "grouped", "tokens"}


@pytest.fixture(params=BUILDERS, ids=lambda builder: builder.__name__)
def case(request):
    torch.manual_seed(0)
    model, outputs = request.param()
    return model.double().eval(), outputs, torch.randn(13, 1, 4, 4, dtype=torch.float64)


def batches(inputs, size=13):
    return iter([(part, torch.zeros(len(part), dtype=torch.int64)) for part in inputs.split(size)])


def slow_fisher(model, inputs):
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in trainable.items()}
    for example in inputs:
        log_p = model(example[None]).log_softmax(1)[0]
        for y in range(len(log_p)):
            gradients = torch.autograd.grad(log_p[y], list(trainable.values()), retain_graph=True)
            for name, gradient in zip(trainable, gradients, strict=True):
                total[name] += log_p[y].exp().detach() * gradient.square()
    return {name: value / len(inputs) for name, value in total.items()}


def slow_squares(model, inputs, targets, objective):
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in trainable.items()}
    for example, target in zip(inputs, targets, strict=True):
        loss = objective.losses(model(example[None]), (example[None], target[None]))[0]
        for name, gradient in zip(trainable, torch.autograd.grad(loss, list(trainable.values())), strict=True):
            total[name] += gradient.square()
    return {name: value / len(inputs) for name, value in total.items()}


def close(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-10, atol=1e-14), name


def test_against_the_slow_loop(case):
    model, outputs, inputs = case
    found, classes = diagonal_fisher(model, batches(inputs), OBJECTIVE)
    assert classes == outputs
    close(found, slow_fisher(model, inputs))
    assert all((value >= 0).all() for value in found.values())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(("size", "chunk"), [(1, 32), (8, 32), (64, 32), (64, 1), (8, 3), (64, 64)])
def test_independent_of_batch_size_and_chunk(case, size, chunk):
    """Public code squares the gradient of a batch mean: importance then shrinks with the batch."""
    model, _, inputs = case
    expected, _ = diagonal_fisher(model, batches(inputs), OBJECTIVE)
    close(diagonal_fisher(model, batches(inputs, size), OBJECTIVE, chunk)[0], expected)


@pytest.mark.parametrize(("room", "unfolded"), [(0, 1 + 2 * 3), (5 * 9 * 9 * 4, 1 + 1 + 3), (2**26, 2)])
def test_patches_are_laid_out_once_where_there_is_room_for_them_and_no_bit_changes(monkeypatch, room, unfolded):
    """Two convolutions and three classes; the patches of the first are 5 examples of 9 numbers at 9 places."""
    model, _ = grouped()
    inputs, calls, unfold = torch.randn(5, 1, 4, 4), [], F.unfold
    expected, _ = diagonal_fisher(model.eval(), batches(inputs), OBJECTIVE)
    monkeypatch.setattr(gradients, "KEPT", room)
    monkeypatch.setattr(F, "unfold", lambda *args: calls.append(1) or unfold(*args))
    found, _ = diagonal_fisher(model, batches(inputs), OBJECTIVE)
    assert len(calls) == unfolded
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_targets_and_loss_are_not_used(case):
    model, outputs, inputs = case
    other = iter([(inputs, torch.full((len(inputs),), outputs - 1))])
    close(
        diagonal_fisher(model, other, Classification("mse"))[0], diagonal_fisher(model, batches(inputs), OBJECTIVE)[0]
    )


def test_frozen_parameters_are_left_out(case):
    model, _, inputs = case
    first = next(iter(dict(model.named_parameters())))
    model.get_parameter(first).requires_grad_(requires_grad=False)
    found, _ = diagonal_fisher(model, batches(inputs), OBJECTIVE)
    assert first not in found
    close(found, slow_fisher(model, inputs))


def test_logistic_regression_by_hand():
    """One weight per class and one input: F = x²·p(1 − p)."""
    model = nn.Linear(1, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.3], [-0.2]]))
    inputs = torch.tensor([[1.5]], dtype=torch.float64)
    p = torch.sigmoid(torch.tensor(0.5 * 1.5, dtype=torch.float64))
    found, _ = diagonal_fisher(model, batches(inputs), OBJECTIVE)
    assert torch.allclose(found["weight"], (1.5**2 * p * (1 - p)).expand(2, 1))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize(("size", "chunk"), [(13, 64), (1, 64), (8, 64), (64, 64), (13, 4)])
def test_squared_gradients_against_the_slow_loop(case, loss, size, chunk):
    """Whatever the batch size: public code squares the gradient of a batch mean."""
    model, outputs, inputs = case
    targets = torch.arange(len(inputs)) % outputs
    parts = zip(inputs.split(size), targets.split(size), strict=True)
    found, count = squared_gradients(model, iter(list(parts)), Classification(loss), chunk)
    assert count == len(inputs)
    close(found, slow_squares(model, inputs, targets, Classification(loss)))


def in_closed_form(model, inputs):
    """Return whether closed forms are used for the losses of these inputs."""
    batch = inputs, torch.zeros(len(inputs)).long()
    squares = gradients._Squares(
        model.eval(), OBJECTIVE, lambda logits, batch: OBJECTIVE.losses(logits, batch).unsqueeze(0)
    )
    return bool(squares.layers) and squares._add_by_layer(batch)


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
def test_closed_forms_are_used_where_they_hold(builder):
    model, _ = builder()
    assert in_closed_form(model, torch.randn(5, 1, 4, 4)) == (builder.__name__ in CLOSED)


def test_tied_weights_are_not_counted_layer_by_layer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16), nn.Linear(16, 3)).double()
    model[3].weight = model[1].weight
    inputs = torch.randn(5, 1, 4, 4, dtype=torch.float64)
    close(diagonal_fisher(model, batches(inputs, 5), OBJECTIVE)[0], slow_fisher(model, inputs))


def test_gradients_may_be_off(case):
    model, _, inputs = case
    with torch.no_grad():
        found, _ = diagonal_fisher(model, batches(inputs), OBJECTIVE)
    close(found, slow_fisher(model, inputs))


def test_a_model_that_branches_on_its_data():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return self.scale * x if x.sum() > 0 else -self.scale * x

    model, inputs = Branching(), torch.tensor([[1.0, 2.0, 3.0], [-4.0, 1.0, 1.0]])
    found, _ = diagonal_fisher(model, iter([(inputs, torch.zeros(2).long())]), OBJECTIVE)
    torch.testing.assert_close(found, slow_fisher(model, inputs))


def test_a_model_that_takes_no_single_example():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False)).eval()
    with pytest.raises(NotApplicable, match=r"cannot be differentiated example by example .Expected more than 1 value"):
        diagonal_fisher(model, iter([(torch.ones(2, 3), torch.zeros(2).long())]), OBJECTIVE)


class Normed(nn.Module):
    """Normalizations of features, shape (n, d), and of rows, shape (n, channels, d)."""

    def __init__(self):
        super().__init__()
        self.embed, self.rows, self.groups = nn.Linear(4, 6), nn.BatchNorm1d(4), nn.GroupNorm(2, 4)
        self.mix, self.flat, self.single = nn.Linear(24, 6), nn.BatchNorm1d(6), nn.GroupNorm(3, 6)
        self.head = nn.Linear(6, 3)
        for layer in (self.rows, self.flat):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)

    def forward(self, x):
        h = self.groups(self.rows(self.embed(x.squeeze(1))).tanh())
        return self.head(self.single(self.flat(self.mix(h.flatten(1))).tanh()))


def of_one_conv(**settings):
    return nn.Sequential(nn.Conv2d(1, 2, 3, **settings), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))


@pytest.mark.parametrize(
    ("build", "closed"),
    [
        (Normed, True),
        (lambda: of_one_conv(padding=1), True),
        (lambda: of_one_conv(padding="same"), False),
        (lambda: of_one_conv(padding=1, padding_mode="circular"), False),
    ],
    ids=["normalizations", "zeros", "same", "circular"],
)
def test_layers_with_and_without_a_closed_form_against_the_slow_loop(build, closed):
    torch.manual_seed(0)
    model, inputs = build().double().eval(), torch.randn(7, 1, 4, 4, dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    assert in_closed_form(model, inputs) == closed
    close(diagonal_fisher(model, batches(inputs, 3), OBJECTIVE)[0], slow_fisher(model, inputs))


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_examples_in_the_second_dimension_are_noticed_however_many_rows_there_are(rows):
    """As many rows as examples look like examples, so that one batch size proves nothing."""
    assert not in_closed_form(Transposed(), torch.randn(rows, 1, rows, 4))
    assert not in_closed_form(Transposed(), torch.randn(5, 1, rows, 4))


def test_statistics_of_the_batch_mix_examples():
    """A batch normalization without running statistics has no gradient of one example."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.BatchNorm1d(5, track_running_stats=False), nn.Linear(5, 3))
    assert not in_closed_form(model, torch.randn(5, 1, 4, 4))


class Bigram(nn.Module):
    """Logits that depend on the last token alone, and a parameter that nothing depends on."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))
        self.unused = nn.Parameter(torch.ones(2))

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=self.table[input_ids])


def texts(*rows):
    ids = torch.tensor(rows)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


def test_squared_gradients_of_a_language_model_are_those_of_each_example():
    model, objective, batch = Bigram(), CausalLM(), texts([0, 1, 2], [3, 3, 1], [2, 0, 0])
    squares, count = squared_gradients(model, iter([batch]), objective)
    expected = torch.zeros(4, 4)
    for row in batch["input_ids"].tolist():
        example = texts(row)
        loss = objective.losses(objective.logits(model, example), example).sum()
        expected += torch.autograd.grad(loss, model.table)[0].square()
    torch.testing.assert_close(squares["table"], expected / 3)
    assert squares["unused"].tolist() == [0, 0]
    assert count == 3


def test_the_fisher_information_of_a_language_model_is_right_on_average():
    """One predicted token, drawn 1,500 times, against the sum over the vocabulary: Σ_y p_y·(1[y] − p)²."""
    model = Bigram()
    with seeded(0):
        fisher, vocabulary = diagonal_fisher(model, iter([texts(*[[2, 1]] * 1500)]), CausalLM())
    p = model.table[2].softmax(0).detach()
    expected = (p.unsqueeze(1) * (torch.eye(4) - p).square()).sum(dim=0)
    torch.testing.assert_close(fisher["table"][2], expected, rtol=0.15, atol=0.01)
    assert fisher["table"][[0, 1, 3]].abs().sum() == 0
    assert vocabulary == 4


def mean_squares(model, inputs, targets):
    squares, _ = squared_gradients(model, iter([(inputs, targets)]), OBJECTIVE)
    return {name: value.double().sum().item() for name, value in squares.items()}


@pytest.mark.parametrize("change", [lambda layer: None, parametrizations.weight_norm], ids=["by layer", "by example"])
def test_one_example_many_times_gives_what_it_gives_once(change):
    """A sum of 1,200 squares in bfloat16 would stand still at a fraction of it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    change(model[2])
    model.bfloat16().eval()
    x, y = torch.randn(1, 8).bfloat16(), torch.tensor([1])
    once = mean_squares(model, x, y)
    assert all(value > 0 for value in once.values())
    for n in (8, 200, 1200):
        assert mean_squares(model, x.expand(n, -1), y.expand(n)) == pytest.approx(once, rel=0.02)


def test_pruned_weights_have_the_gradients_that_one_backward_pass_per_example_gives():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    for layer in (model[0], model[2]):
        prune.l1_unstructured(layer, "weight", 0.3)
    inputs, targets = torch.randn(20, 6), torch.arange(20) % 3
    squares, _ = squared_gradients(model.eval(), iter([(inputs, targets)]), OBJECTIVE)
    torch.testing.assert_close(squares, slow_squares(model, inputs, targets, OBJECTIVE))
    for name in ("0", "2"):
        mask = model.get_buffer(f"{name}.weight_mask").bool()
        assert squares[f"{name}.weight_orig"][mask].sum() > 0.01
        assert squares[f"{name}.weight_orig"][~mask].sum() == 0


def test_gradient_counts_what_a_value_does_not_depend_on_as_0():
    used, unused, low = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(1).bfloat16())
    taken = gradients.gradient((used.square().sum() * 3 + low.float().sum()), [used, unused, low])
    assert [g.tolist() for g in taken] == [[6.0, 6.0], [0.0] * 3, [1.0]]
    assert [g.dtype for g in taken] == [torch.float32] * 3
    assert [g.tolist() for g in gradients.gradient(torch.tensor(2.0), [used, low])] == [[0.0, 0.0], [0.0]]


def test_a_module_with_two_names_keeps_its_parameters():
    """torch.func.functional_call would leave a copy in the place of a parameter, which nothing trains."""
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    model.append(model[0])
    weight = model[0].weight
    doubled = gradients.with_parameters(model, {"0.weight": 2 * weight.detach()})
    x = torch.randn(2, 3)
    expected = F.linear(F.linear(x, 2 * weight, model[0].bias).tanh(), 2 * weight, model[0].bias)
    torch.testing.assert_close(doubled(x), expected)
    assert model[0].weight is model[2].weight is weight


def test_tensors_that_modules_hold_are_put_back():
    class Keeps(nn.Linear):
        def forward(self, x):
            self.last = x * 2
            return super().forward(x)

    model = Keeps(3, 2)
    first = model(torch.ones(1, 3)) is not None and model.last
    with gradients.attributes_kept(model):
        model(torch.zeros(1, 3))
        model.other = torch.ones(1)
    assert model.last is first
    assert not hasattr(model, "other")


def test_the_weights_of_pruned_layers_have_known_squares():
    """Masks are no parameters of a layer; the sums were computed by one backward pass for each example."""
    torch.manual_seed(0)
    inputs, targets = torch.randn(40, 6), torch.randint(0, 3, (40,))
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    for layer in (model[0], model[2]):
        prune.l1_unstructured(layer, "weight", 0.3)
    squares, count = squared_gradients(model.eval(), iter([(inputs, targets)]), Classification())
    assert count == 40
    sums = [float(squares[f"{layer}.weight_orig"].sum()) for layer in (0, 2)]
    assert sums == pytest.approx([0.31627, 1.69056], abs=1e-5)
