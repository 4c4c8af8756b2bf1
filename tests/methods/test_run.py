"""The library in one call."""

import copy
import inspect
import pickle
import pydoc
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm
from torch.utils.data import DataLoader, Dataset

import ungrok
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Classification
from ungrok.methods.finetune import Finetune
from ungrok.models.resnet import ResNet

BATCHES = [(torch.randn(6, 4, generator=torch.Generator().manual_seed(i)), torch.arange(6) % 3) for i in range(4)]
SETS = {"forget": BATCHES[:2], "retain": BATCHES[2:]}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


def content(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("training", [True, False])
def test_modes_on_return_are_those_on_entry(model, training):
    model.train(training)
    model[2].train(not training)
    modes = [module.training for module in model.modules()]
    before = content(model)
    unlearned = ungrok.unlearn(model, **SETS, method="scrub", lr=0.05, epochs=2)
    assert [module.training for module in unlearned.modules()] == modes
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in content(model).items())
    assert not torch.equal(unlearned[0].weight, model[0].weight)
    assert all(p.grad is None for p in unlearned.parameters())


def test_it_is_the_end_of_the_path(model):
    *_, last = ungrok.unlearning_path(model, **SETS, method="neggrad_plus", lr=0.05, epochs=2, seed=3)
    unlearned = ungrok.unlearn(model, **SETS, method="neggrad_plus", lr=0.05, epochs=2, seed=3)
    assert last.updates == 4
    assert all(torch.equal(value, content(last.model)[name]) for name, value in content(unlearned).items())


def test_a_step_tells_updates_model_and_loss(model):
    """Gradient ascent minimizes minus the loss of the batch, at the weights before the update."""
    objective, expected = Classification(), copy.deepcopy(model).train()
    step = next(ungrok.unlearning_path(model, **SETS, method="gradient_ascent"))
    assert (step.updates, step.dose) == (1, 1)
    assert step.loss == pytest.approx(-objective.losses(expected(BATCHES[0][0]), BATCHES[0]).mean().item())
    assert step.model is not model


def test_a_configured_method_is_as_good_as_its_name(model):
    one = ungrok.unlearn(model, **SETS, method=Finetune(lr=0.1, epochs=1))
    other = ungrok.unlearn(model, **SETS, method="finetune", lr=0.1, epochs=1)
    assert torch.equal(one[0].weight, other[0].weight)
    with pytest.raises(RecipeError, match="lr: give settings together with a method's name"):
        ungrok.unlearn(model, **SETS, method=Finetune(), lr=0.1)


def test_a_one_shot_method_ends_at_its_largest_strength(model):
    several = ungrok.unlearn(model, **SETS, method="fisher", alpha=(1e-4, 1e-6))
    one = ungrok.unlearn(model, **SETS, method="fisher", alpha=1e-4)
    assert torch.equal(several[0].weight, one[0].weight)


def test_the_order_of_batches_is_the_callers(model):
    a, b = (ungrok.unlearn(model, forget=f, method="gradient_ascent") for f in (BATCHES[:2], BATCHES[1::-1]))
    assert not torch.equal(a[0].weight, b[0].weight)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "scurb"}, r"'scurb' is not known.*did you mean 'scrub'"),
        ({"method": "scrub", "tempreature": 2}, r"scrub: no such key 'tempreature'.*did you mean 'temperature'"),
        ({"method": "scrub", "lr": -1}, r"scrub: lr: -1 is not allowed"),
        (
            {"method": "scrub", "optimizer": "sdg"},
            r"'sdg' is not allowed; allowed: sgd, adam, adamw.*did you mean 'sgd'",
        ),
        ({"method": "scrub", "epochs": 2, "updates": 3}, "give either epochs or updates"),
        ({"method": "nabla_tau"}, "nabla_tau needs validation="),
        ({"method": "bad_teacher"}, "bad_teacher needs factory="),
        ({"method": "finetune", "retain": None}, "finetune needs retain="),
        ({"method": "scrub", "forget": []}, "forget: holds no batches"),
        ({"method": "scrub", "objective": "mse"}, "objective: is a str"),
        ({"method": "task_vector", "base": "x"}, "base: is a str"),
        ({"method": "task_vector", "base": nn.Linear(4, 3).double()}, "base: has other parameters than the model"),
    ],
)
def test_mistakes_are_one_sentence(model, settings, message):
    with pytest.raises(RecipeError, match=message) as caught:
        ungrok.unlearn(model, **SETS | settings)
    assert "\n" not in str(caught.value)


def test_unlearn_is_a_plain_function():
    """Help, inspect and pickle work on it."""
    assert inspect.isfunction(ungrok.unlearn)
    assert pickle.loads(pickle.dumps(ungrok.unlearn)) is ungrok.unlearn
    assert list(inspect.signature(ungrok.unlearn).parameters)[:3] == ["model", "forget", "retain"]
    assert "Return a new model" in pydoc.render_doc(ungrok.unlearn)


def test_the_seed_is_0_unless_given(model):
    ends = [
        ungrok.unlearn(model, **SETS, method="fisher", alpha=1e-4, **given)
        for given in ({}, {"seed": 0}, {"seed": 1}, {"seed": -1})
    ]
    assert [torch.equal(ends[0][0].weight, end[0].weight) for end in ends] == [True, True, False, False]


def test_mistakes_with_a_class_are_one_sentence(model):
    with pytest.raises(RecipeError, match=r"^scrub: no such key 'lrr'.*did you mean 'lr'\?\)$"):
        ungrok.SCRUB(lrr=1)
    with pytest.raises(
        RecipeError, match=r"method: <class .*SCRUB'> is neither a name nor .*; give for instance SCRUB\(\)$"
    ):
        ungrok.unlearn(model, method=ungrok.SCRUB, **{key: SETS[key] for key in ("forget", "retain")})
    with pytest.raises(TypeError, match=r"^unlearn\(\) missing a required argument: 'model'$"):
        ungrok.unlearn()


def fitted(seed=0):
    """Return a small ResNet that knows its forget and retain sets by heart."""
    torch.manual_seed(seed)
    network = ResNet(width=4).build((3, 8, 8), 3, seed)
    draw = torch.Generator().manual_seed(seed)
    sets = {role: [(torch.randn(12, 3, 8, 8, generator=draw), torch.arange(12) % 3)] for role in ("forget", "retain")}
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        sum(nn.functional.cross_entropy(network(x), y) for x, y in (sets["forget"][0], sets["retain"][0])).backward()
        optimizer.step()
    return network.eval(), sets


def test_a_model_that_is_left_as_it_was_is_a_warning():
    network, sets = fitted()
    with pytest.warns(
        ungrok.UnlearningWarning, match="^ssd left the model as it was: it changed no prediction"
    ) as caught:
        end = ungrok.unlearn(network, **sets, method="ssd", alpha=1e6)
    assert str(caught[0].message).endswith("on the forget set (accuracy 1.000 before and after) and no weight at all")
    assert all(torch.equal(p, network.get_parameter(name)) for name, p in end.named_parameters())
    with pytest.warns(ungrok.UnlearningWarning, match="^gradient_ascent left .*1.000 before and after") as caught:
        end = ungrok.unlearn(network, **sets, method="gradient_ascent", batchnorm="eval")
    largest = max(float((p - network.get_parameter(n)).detach().abs().max()) for n, p in end.named_parameters())
    assert f"no weight by more than {largest:.1e}" in str(caught[0].message)
    assert largest > 0


def test_a_path_warns_where_it_ends_and_only_there(model):
    path = ungrok.unlearning_path(model, **SETS, method="gradient_ascent", lr=1e-9, epochs=1, batchnorm="eval")
    steps = [next(path), next(path)]
    assert steps[-1].updates == path.budget == 2
    with pytest.warns(ungrok.UnlearningWarning, match="gradient_ascent left the model as it was"):
        assert next(path, None) is None


@pytest.mark.parametrize("way", ["argument", "context"])
def test_forward_passes_may_run_in_bfloat16(model, way):
    """Weights are float32 still, and end near those of float32 passes, but not on them."""
    types = []
    watched = copy.deepcopy(model)
    watched[3].register_forward_hook(lambda *args: types.append(args[2].dtype))
    settings = {"method": "neggrad_plus", "lr": 0.05, "epochs": 2}
    with torch.autocast("cpu", torch.bfloat16, enabled=way == "context"):
        low = ungrok.unlearn(watched, **SETS, **settings, bfloat16=way == "argument")
    exact = ungrok.unlearn(model, **SETS, **settings)
    assert torch.bfloat16 in types
    moved = (exact[0].weight - model[0].weight).norm()
    assert low[0].weight.dtype == torch.float32
    assert 0 < (low[0].weight - exact[0].weight).norm() < 0.1 * moved


def test_a_model_that_diverges_is_a_warning(model):
    with pytest.warns(ungrok.UnlearningWarning, match=r"^scrub has diverged: 0.weight holds NaN or infinity; a lower"):
        ungrok.unlearn(model, **SETS, method="scrub", lr=1e30, epochs=1)


def pruned(layer):
    prune.l1_unstructured(layer, "weight", 0.5)
    return layer


def one_layer_twice():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(4, 3))


def one_weight_twice():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 3))
    model[2].weight = model[0].weight
    return model


def layers(change):
    return lambda: nn.Sequential(change(nn.Linear(4, 6)), nn.Tanh(), change(nn.Linear(6, 3)))


UNUSUAL = {
    "pruned": layers(pruned),
    "old weight norm": layers(weight_norm),
    "new weight norm": layers(parametrizations.weight_norm),
    "old spectral norm": layers(spectral_norm),
    "new spectral norm": layers(parametrizations.spectral_norm),
    "one layer twice": one_layer_twice,
    "one weight twice": one_weight_twice,
}
METHODS = {
    "scrub": {"lr": 0.1},
    "salun": {"lr": 0.1},
    "influence": {},
    "fisher": {"alpha": 1e-3},
    "ssd": {"alpha": 0.5},
    "retrain": {"lr": 0.1, "epochs": 1},
}


def made(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNUSUAL[kind]()


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", UNUSUAL)
def test_weights_that_follow_from_others_or_stand_twice(kind, method):
    model, other = made(kind).train(), made(kind)
    model(SETS["retain"][0][0])  # a forward pass in training mode leaves tensors with a graph behind
    before = {name: value.detach().clone() for name, value in model.state_dict().items()}
    predicted, storages = model.eval()(SETS["forget"][0][0]), {p.data_ptr() for p in model.parameters()}
    end = ungrok.unlearn(model, **SETS, method=method, factory=lambda: other, **METHODS[method])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(SETS["forget"][0][0]), predicted)
    assert {p.data_ptr() for p in model.parameters()} == storages
    assert storages.isdisjoint(p.data_ptr() for p in end.parameters())
    assert not torch.allclose(end.eval()(SETS["forget"][0][0]), predicted, atol=1e-4)
    assert len(list(end.parameters())) == len(list(model.parameters()))
    if kind == "pruned":
        for mine, theirs in ((end[0], model[0]), (end[2], model[2])):
            assert torch.equal(mine.weight == 0, theirs.weight_mask == 0)
            assert torch.equal(mine.weight, mine.weight_orig * mine.weight_mask)
    if kind == "old weight norm":
        new = ungrok.unlearn(
            made("new weight norm"), **SETS, method=method, factory=lambda: made("new weight norm"), **METHODS[method]
        )
        torch.testing.assert_close(end(SETS["forget"][0][0]), new(SETS["forget"][0][0]), rtol=1e-4, atol=1e-4)
    if kind == "one weight twice":
        assert end[0].weight is end[2].weight


def test_layers_with_sparse_gradients_are_refused_before_any_work():
    model = nn.Sequential(nn.Embedding(10, 4, sparse=True), nn.Flatten(), nn.Linear(12, 3))
    tokens = [(torch.arange(12).view(4, 3) % 10, torch.tensor([0, 1, 2, 0]))]
    with pytest.raises(
        NotApplicable, match=r"^scrub: the gradients of 0 are sparse; set its attribute sparse to False"
    ):
        ungrok.unlearn(model, forget=tokens, retain=tokens[:], method="scrub")


def test_data_sets_may_draw_from_python_and_numpy(model):
    """The seed decides what they draw, and the caller's random states stay."""

    class Noisy(Dataset):
        def __len__(self):
            return 6

        def __getitem__(self, i):
            x, y = BATCHES[0]
            return x[i] + random.random() + float(np.random.rand()), y[i]  # noqa: NPY002

    def end(seed):
        forget = DataLoader(Noisy(), batch_size=3)
        ended = ungrok.unlearn(model, forget=forget, method="gradient_ascent", lr=0.1, epochs=2, seed=seed)
        return ended[0].weight

    before = random.getstate(), np.random.get_state()[1:3]  # noqa: NPY002
    first, again, other = end(0), end(0), end(1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert random.getstate() == before[0]
    np.testing.assert_equal(np.random.get_state()[1:3], before[1])  # noqa: NPY002
