"""What every unlearning method promises, checked on every registered method."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Classification
from ungrok.core.scores import score
from ungrok.unlearn import UNLEARNERS, Iterative

OBJECTIVE = Classification()
NAMES = UNLEARNERS.names()

SETTINGS = {
    "gradient_ascent": {"lr": 0.05},
    "neggrad_plus": {"lr": 0.05, "alpha": 0.3},
    "nabla_tau": {"lr": 0.05},
    "scrub": {"lr": 0.05, "alpha": 0.5, "msteps": 2, "epochs": 3},
    "fisher": {"strengths": (1e-6, 1e-5, 1e-4)},
}
"""Shorter or stronger than the defaults, where these would not show what is to be seen."""

READS = {
    "gradient_ascent": {"forget"},
    "finetune": {"retain"},
    "neggrad_plus": {"forget", "retain"},
    "nabla_tau": {"forget", "retain", "validation"},
    "scrub": {"forget", "retain"},
    "fisher": {"retain"},
}
"""Sets whose content may move the weights."""


def unlearner(name, **changes):
    return UNLEARNERS.get(name)(**SETTINGS.get(name, {}) | changes)


def examples(n, seed):
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 5, generator=draw)
    return inputs, (inputs @ torch.randn(5, 3, generator=torch.Generator().manual_seed(7))).argmax(1)


def in_batches(inputs, targets, size=6):
    return list(zip(inputs.split(size), targets.split(size), strict=True))


ROLES = {"forget": examples(10, 1), "retain": examples(17, 2), "validation": examples(12, 3)}


@pytest.fixture
def data():
    return {role: in_batches(*both) for role, both in ROLES.items()}


def plain():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


def stochastic():
    """Batch normalization and dropout, and submodules in different modes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
    model[1].running_mean.uniform_()
    model[3].eval()
    return model


@pytest.fixture(params=[plain, stochastic])
def model(request):
    return request.param()


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture(params=[name for name in NAMES if issubclass(UNLEARNERS.get(name), Iterative)])
def iterative(request):
    return request.param


def path_of(method, model, data, **inputs):
    given = {"validation": data["validation"], "factory": plain, "base": model, **inputs}
    return method.path(model, data["forget"], data["retain"], OBJECTIVE, **given)


def content(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def walk(method, model, data, **inputs):
    return [content(step.model) for step in path_of(method, model, data, **inputs)]


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def same_path(one, other):
    return len(one) == len(other) and all(map(equal, one, other))


def test_the_model_handed_in_is_not_changed(name, model, data):
    before, modes = content(model), [module.training for module in model.modules()]
    walk(unlearner(name), model, data)
    assert equal(content(model), before)
    assert [module.training for module in model.modules()] == modes
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_weights_do_change(name, model, data):
    """An optimizer that holds the teacher's parameters changes nothing at all."""
    for method in (unlearner(name), UNLEARNERS.get(name)()):
        *_, last = path_of(method, model, data)
        for key, parameter in last.model.named_parameters():
            assert not torch.equal(parameter, model.get_parameter(key)), key


def test_the_same_seed_gives_the_same_bytes(name, model, data):
    paths = []
    for callers in (1, 2):
        torch.manual_seed(callers)
        paths.append(walk(unlearner(name), model, data, seed=4))
    assert same_path(*paths)


def test_another_seed_gives_another_path_where_anything_is_random(name, data):
    model = stochastic()
    model.train()
    assert not same_path(*(walk(unlearner(name), model, data, seed=seed) for seed in (0, 1)))


def loaders(shuffle):
    return {role: DataLoader(TensorDataset(*both), 6, shuffle=shuffle) for role, both in ROLES.items()}


@pytest.mark.parametrize("source", ["list", "loader", "shuffled"])
def test_the_callers_random_state_never_moves(name, data, source):
    given = data if source == "list" else loaders(source == "shuffled")
    before = torch.get_rng_state()
    path = path_of(unlearner(name), stochastic().train(), given)
    torch.set_rng_state(before)
    for _ in path:
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.get_rng_state(), before)


def test_asking_for_a_path_draws_nothing_from_the_callers_state(name, model):
    given = loaders(shuffle=True)
    before = torch.get_rng_state()
    path_of(unlearner(name), model, given)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loader_gives_the_path_of_a_list(name, data):
    """Up to rounding: slices of a tensor are aligned differently from fresh ones."""
    loaded, listed = (walk(unlearner(name), plain(), given) for given in (loaders(shuffle=False), data))
    for one, other in zip(loaded, listed, strict=True):
        assert all(torch.allclose(one[key], other[key], atol=1e-6) for key in one)


def test_a_shuffled_loader_gives_a_path_that_can_be_repeated(name, model):
    paths = []
    for callers in (1, 2):
        torch.manual_seed(callers)
        paths.append(walk(unlearner(name), model, loaders(shuffle=True)))
    assert same_path(*paths)


def test_frozen_parameters_do_not_move(name, model, data):
    """Neither gradients, nor weight decay, nor momentum, nor noise."""
    frozen = ["0.weight", f"{len(model) - 1}.bias"]
    for key in frozen:
        model.get_parameter(key).requires_grad_(requires_grad=False)
    strong = {"weight_decay": 0.5, "momentum": 0.9} if issubclass(UNLEARNERS.get(name), Iterative) else {}
    *_, last = path_of(unlearner(name, **strong), model, data)
    for key, parameter in last.model.named_parameters():
        assert torch.equal(parameter, model.get_parameter(key)) == (key in frozen), key
        assert parameter.requires_grad == (key not in frozen)


def test_a_model_without_trainable_parameters(name, model, data):
    model.requires_grad_(requires_grad=False)
    with pytest.raises(NotApplicable, match=f"{name}: every parameter of the model is frozen"):
        path_of(unlearner(name), model, data)


def test_observing_does_not_change_the_path(name, model, data):
    alone, observed = walk(unlearner(name), model, data), []
    for step in path_of(unlearner(name), model, data):
        torch.rand(17)
        step.model.eval()
        score(step.model, data["forget"], OBJECTIVE)
        score(step.model, data["retain"], OBJECTIVE, on_losses=lambda losses: losses.sum().backward())
        model.eval()
        observed.append(content(step.model))
    assert same_path(alone, observed)


def test_stopping_early_gives_the_beginning_of_the_path(name, model, data):
    whole, path = walk(unlearner(name), model, data), path_of(unlearner(name), model, data)
    assert equal(content(next(path).model), whole[0])
    assert equal(content(next(path).snapshot()), whole[1])


def test_the_path_ends_at_its_budget(name, model, data):
    path = path_of(unlearner(name), model, data)
    doses = [step.dose for step in path]
    assert doses == sorted(set(doses))
    assert doses[-1] == path.budget
    assert next(path, None) is None


@pytest.mark.parametrize("length", [{"epochs": 2}, {"updates": 1}, {"updates": 11}])
def test_one_update_at_a_time_up_to_the_budget(iterative, model, data, length):
    path = path_of(unlearner(iterative, **{"epochs": None, **length}), model, data)
    updates = [step.updates for step in path]
    assert updates == list(range(1, int(path.budget) + 1))
    assert len(updates) == length.get("updates", len(updates))


def test_the_path_goes_on_where_gradients_are_off(name, model, data):
    expected = walk(unlearner(name), model, data)
    with torch.no_grad():
        assert same_path(walk(unlearner(name), model, data), expected)


def test_tied_weights_stay_tied(name, data):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Linear(5, 3))
    model[2].weight = model[0].weight
    *_, last = path_of(unlearner(name), model, data)
    assert last.model[2].weight is last.model[0].weight
    assert not torch.equal(last.model[0].weight, model[0].weight)


@pytest.mark.parametrize("role", ["forget", "retain", "validation"])
def test_which_data_move_the_weights(name, data, role):
    """Swapped arguments would show: a method must read the sets of its formula, and only those."""
    poisoned = {**data, role: [(inputs + float("nan"), targets) for inputs, targets in data[role]]}
    healthy = all(torch.isfinite(value).all() for value in walk(unlearner(name), plain(), poisoned)[-1].values())
    assert healthy == (role not in READS[name])
    if healthy:
        assert same_path(walk(unlearner(name), plain(), poisoned), walk(unlearner(name), plain(), data))


@pytest.mark.parametrize("name", ["gradient_ascent", "neggrad_plus", "scrub"])
def test_the_forget_loss_rises_above_the_retain_loss(name, data):
    model = plain()
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    everything = [torch.cat([ROLES[role][i] for role in ("forget", "retain")]) for i in (0, 1)]
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(everything[0]), everything[1]).backward()
        optimizer.step()
    before = {role: score(model, data[role], OBJECTIVE).loss for role in data}
    changes = {"msteps": 8, "epochs": 8} if name == "scrub" else {"epochs": 6}
    *_, last = path_of(unlearner(name, weight_decay=0, **changes), model, data)
    rise = {role: score(last.model, data[role], OBJECTIVE).loss - before[role] for role in data}
    assert rise["forget"] > 0.1
    assert rise["forget"] > 1.5 * rise["retain"]


@pytest.mark.parametrize("role", ["forget", "retain", "validation"])
@pytest.mark.parametrize(("given", "message"), [(iter, "only once"), (lambda batches: batches[:0], "holds no batches")])
def test_sets_that_cannot_be_used(name, model, data, role, given, message):
    with pytest.raises(RecipeError, match=f"{role}: .*{message}"):
        path_of(unlearner(name), model, {**data, role: given(data[role])})


def test_inputs_that_are_needed_and_missing(name, model, data):
    """Refused when the path is asked for, before any batch is read or anything copied."""

    class Unread:
        def __iter__(self):
            raise AssertionError("read before the inputs were checked")

    method = unlearner(name)
    full = {"retain": Unread(), "validation": Unread(), "factory": plain, "base": model}
    for need in method.needs:
        given = {**full, need: None}
        with pytest.raises(RecipeError, match=f"{name} needs {need}="):
            method.path(model, Unread(), given.pop("retain"), OBJECTIVE, **given)
    optional = {role: data.get(role, full[role]) for role in method.needs}
    retain = optional.pop("retain", None)
    assert next(method.path(model, data["forget"], retain, OBJECTIVE, **optional)).model is not model


@pytest.mark.parametrize("batchnorm", ["train", "eval"])
def test_batch_normalization_moves_only_in_training_mode(iterative, data, batchnorm):
    model = stochastic()
    *_, last = path_of(unlearner(iterative, batchnorm=batchnorm), model, data)
    for key, value in last.model.named_buffers():
        assert torch.equal(value, model.get_buffer(key)) == (batchnorm == "eval"), key
    assert not torch.equal(last.model[1].weight, model[1].weight)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimizer(iterative, data, optimizer):
    walks = [walk(unlearner(iterative, optimizer=optimizer, lr=0.01), plain(), data) for _ in range(2)]
    assert same_path(*walks)
    assert all(torch.isfinite(value).all() for value in walks[0][-1].values())
    assert not equal(walks[0][-1], content(plain()))


def test_settings_round_trip_and_reject_what_they_do_not_know(name):
    cls = UNLEARNERS.get(name)
    method = unlearner(name)
    assert cls.model_validate(method.to_dict()) == method
    assert method.kind == method.label == name
    with pytest.raises(ValueError, match="no such key 'learning_rate'"):
        cls(learning_rate=0.1)


def test_a_copy_of_the_model_gives_the_same_path(name, model, data):
    assert same_path(walk(unlearner(name), copy.deepcopy(model), data), walk(unlearner(name), model, data))
