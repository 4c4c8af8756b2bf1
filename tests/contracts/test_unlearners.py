"""What every unlearning method promises, checked on every registered method that runs on classifiers."""

import copy
import gc
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.objective import Classification
from ungrok.methods import UNLEARNERS, Iterative

OBJECTIVE = Classification()
NAMES = [name for name in UNLEARNERS.names() if "classifier" in UNLEARNERS.get(name).inputs]


@dataclass(frozen=True)
class Case:
    """What is promised of one method.

    Args:
        reads: Sets whose content may move the weights; unsir looks at which classes are in forget, and at nothing else.
        settings: Shorter or stronger than the defaults, where these would not show what is to be seen.
        strong: Changes to these that make a small network forget what it has fitted.
        draws: Whether it draws something; the others follow one path from a model without dropout.
        partial: Whether it leaves whole parameters alone; the last bias drops out of a difference of outputs.
        spares: Whether retained data suffer clearly less than forgotten data.
        plain: The plainest of the models on which it runs.
        only_sgd: Whether its updates are those of plain SGD in eval mode alone, of which it certifies something.

    """

    reads: set[str]
    settings: dict[str, Any] = field(default_factory=dict)
    strong: dict[str, Any] = field(default_factory=dict)
    draws: bool = False
    partial: bool = False
    spares: bool = False
    plain: str = "mlp"
    only_sgd: bool = False


CONVOLUTIONAL = {"ct"}
"""Methods that a model without convolutions makes no sense to; it is refused."""

BOTH, FORGET, RETAIN = {"forget", "retain"}, {"forget"}, {"retain"}
CASES = {
    "amnesiac": Case(BOTH, {"lr": 0.02}, draws=True, spares=True),
    "bad_teacher": Case(BOTH, {"lr": 0.02, "epochs": 4, "share": 1.0}, draws=True, spares=True),
    "boundary_expand": Case(FORGET, {"lr": 0.1, "epochs": 4}, draws=True),
    "boundary_shrink": Case(FORGET, {"lr": 0.1, "epochs": 4, "epsilon": 2.0}),
    "catastrophic_forgetting_k": Case(
        RETAIN, {"epochs": 4}, strong={"lr": 0.5, "epochs": 20, "weight_decay": 0.05}, partial=True
    ),
    "ct": Case(RETAIN, {"lr": 0.05, "epochs": 4}, plain="conv"),
    "delete": Case(FORGET, {"lr": 0.05, "epochs": 4, "weight_decay": 0.01}, spares=True),
    "exact_unlearning_k": Case(RETAIN, {"epochs": 4}, draws=True, partial=True),
    "finetune": Case(RETAIN, {"epochs": 4}, strong={"lr": 0.5, "epochs": 20, "weight_decay": 0.05}),
    "fisher": Case(RETAIN, {"alpha": (1e-06, 1e-05, 0.0001)}, strong={"alpha": 0.01}, draws=True),
    "gradient_ascent": Case(FORGET, {"lr": 0.05}, strong={"epochs": 20}),
    "influence": Case(BOTH, {"alpha": (1.0, 20.0, 200.0)}),
    "jit": Case(FORGET, {"lr": 0.05, "epochs": 5, "draws": 3}, draws=True, partial=True),
    "l1_sparse": Case(RETAIN, {"epochs": 4}, strong={"lr": 0.1, "epochs": 20, "alpha": 0.05}),
    "msg": Case(BOTH, {"lr": 0.05, "epochs": 4, "layers": "all"}, draws=True, plain="conv"),
    "munba": Case(BOTH, {"lr": 0.01}, draws=True, spares=True),
    "nabla_tau": Case(BOTH | {"validation"}, {"lr": 0.05}, strong={"lr": 0.5, "epochs": 20}),
    "neggrad_plus": Case(BOTH, {"lr": 0.05, "alpha": 0.3}, strong={"epochs": 20, "momentum": 0.9}, spares=True),
    "noisy_finetune": Case(
        RETAIN,
        {"lr": 0.05, "weight_decay": 0.0, "gradient_clip": 1.0, "sigma": 0.02, "epochs": 4},
        strong={"sigma": 1.0},
        draws=True,
        only_sgd=True,
    ),
    "output_perturbation": Case(
        RETAIN, {"lr": 0.05, "sigma": 0.1, "epochs": 4}, strong={"sigma": 1.0, "lr": 0.01}, draws=True
    ),
    "random_label": Case(BOTH, {"lr": 0.05, "epochs": 4}, draws=True, spares=True),
    "retrain": Case(RETAIN, {"epochs": 3}, draws=True),
    "rewind_to_delete": Case(set(), {"updates": 6}),
    "salun": Case(BOTH, {"lr": 0.05, "epochs": 4}, draws=True, spares=True),
    "scrub": Case(
        BOTH,
        {"lr": 0.05, "alpha": 0.5, "msteps": 2, "epochs": 3},
        strong={"lr": 0.2, "msteps": 8, "epochs": 8},
        spares=True,
    ),
    "ssd": Case(BOTH, {"alpha": (2.0, 1.0, 0.5)}, strong={"alpha": 0.1, "lam": 0.001}, partial=True),
    "task_vector": Case(
        FORGET, {"alpha": (0.5, 1.0), "lr": 0.01, "epochs": 3}, strong={"alpha": (5.0,), "lr": 0.05, "epochs": 10}
    ),
    "unsir": Case(
        RETAIN,
        {"lr": 0.05, "noise_steps": 3, "noise_batch": 8},
        strong={"lr": 0.02, "noise_batch": 64, "noise_steps": 40, "epochs": 20, "impair_epochs": 4},
        draws=True,
    ),
    "weight_attenuation": Case(RETAIN, {"lr": 0.01, "epochs": 4}),
    "weight_distortion": Case(RETAIN, {"lr": 0.01, "epochs": 4}, strong={"sigma": 1.0}, draws=True),
    "weight_dropout": Case(RETAIN, {"lr": 0.01, "epochs": 4}, strong={"share": 0.8}, draws=True),
}

CLASSES = 3


def test_the_table_holds_every_method():
    assert set(CASES) == set(NAMES)


def unlearner(name, **changes):
    return UNLEARNERS.get(name)(**CASES[name].settings | changes)


def examples(n, seed, classes):
    """Images around one pattern per class."""
    draw = torch.Generator().manual_seed(seed)
    patterns = torch.randn(CLASSES, 1, 4, 4, generator=torch.Generator().manual_seed(7))
    targets = torch.tensor(classes)[torch.randint(len(classes), (n,), generator=draw)]
    return patterns[targets] + 0.8 * torch.randn(n, 1, 4, 4, generator=draw), targets


def in_batches(inputs, targets, size=6):
    return list(zip(inputs.split(size), targets.split(size), strict=True))


# A whole class is forgotten, since one of the methods can do nothing else.
ROLES = {
    "forget": examples(10, 1, [2]),
    "retain": examples(17, 2, [0, 1]),
    "validation": examples(12, 3, [0, 1, 2]),
}


@pytest.fixture
def data():
    return {role: in_batches(*both) for role, both in ROLES.items()}


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, CLASSES))


def cnn():
    """Batch normalization and dropout, and submodules in different modes."""
    layers = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(64, CLASSES))
    with torch.no_grad():
        model[1].running_mean.uniform_()
    model[3].eval()
    return model


class Transformer(nn.Module):
    """Rows of the image are tokens."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.head(self.block(self.embed(x.squeeze(1))).mean(1))


def conv():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64, CLASSES))


MODELS = {"mlp": mlp, "cnn": cnn, "transformer": Transformer}


def build(kind="mlp"):
    torch.manual_seed(0)
    return {**MODELS, "conv": conv}[kind]()


def plain(name):
    return build(CASES[name].plain)


def factory_of(model):
    """Return a factory of fresh models of the same shape, which draws from the global random state."""
    if isinstance(model, Transformer):
        return Transformer
    return cnn if len(model) > 4 else conv if isinstance(model[0], nn.Conv2d) else mlp


class Rewound:
    """Goes back to a model of smaller weights, and trains it on retained data of its own."""

    updates = 6

    def __init__(self, model):
        self.model = model

    def __call__(self, back):
        model = copy.deepcopy(self.model).train().requires_grad_()
        with torch.no_grad():
            for parameter in {id(p): p for p in model.parameters()}.values():
                parameter.mul_(1 - 0.15 * back)
        optimizer = torch.optim.SGD(model.parameters(), 0.05)
        yield model
        for place in range(back):
            inputs, targets = in_batches(*ROLES["retain"])[place % 3]
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs.to(next(model.parameters()))), targets).backward()
            optimizer.step()
            yield model


@pytest.fixture(params=list(MODELS))
def model(request):
    methods = {request.getfixturevalue(fixture) for fixture in ("name", "iterative") if fixture in request.fixturenames}
    if request.param != "cnn" and methods & CONVOLUTIONAL:
        pytest.skip("has no convolution")
    return build(request.param)


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture(params=[name for name in NAMES if issubclass(UNLEARNERS.get(name), Iterative)])
def iterative(request):
    return request.param


def path_of(method, model, data, **inputs):
    given = {
        "validation": data["validation"],
        "factory": factory_of(model),
        "base": model,
        "rewound": Rewound(model),
        **inputs,
    }
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


def moved(one, other):
    return {key for key, p in one.named_parameters() if not torch.equal(p, other.get_parameter(key))}


def test_weights_do_change(name, model, data):
    """An optimizer that holds the teacher's parameters changes nothing at all."""
    *_, last = path_of(unlearner(name), model, data)
    assert moved(last.model, model)
    if not CASES[name].partial:
        assert moved(last.model, model) == set(dict(model.named_parameters()))


def test_weights_change_with_the_defaults(name, data):
    # The default threshold of ssd is for forget sets of under a tenth of the data.
    assert bool(moved(list(path_of(UNLEARNERS.get(name)(), plain(name), data))[-1].model, plain(name))) == (
        name != "ssd"
    )


def test_the_same_seed_gives_the_same_bytes(name, model, data):
    paths = []
    for callers in (1, 2):
        torch.manual_seed(callers)
        paths.append(walk(unlearner(name), model, data, seed=4))
    assert same_path(*paths)


def test_another_seed_gives_another_path_where_anything_is_random(name, data):
    assert same_path(*(walk(unlearner(name), plain(name), data, seed=seed) for seed in (0, 1))) == (
        not CASES[name].draws
    )


def test_another_seed_gives_other_dropout(iterative, data):
    assert not same_path(*(walk(unlearner(iterative), build("cnn").train(), data, seed=seed) for seed in (0, 1)))


def loaders(shuffle):
    return {role: DataLoader(TensorDataset(*both), 6, shuffle=shuffle) for role, both in ROLES.items()}


@pytest.mark.parametrize("source", ["list", "loader", "shuffled"])
def test_the_callers_random_state_never_moves(name, data, source):
    given = data if source == "list" else loaders(source == "shuffled")
    before = torch.get_rng_state()
    path = path_of(unlearner(name), build("cnn").train(), given)
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
    loaded, listed = (walk(unlearner(name), plain(name), given) for given in (loaders(shuffle=False), data))
    assert loaded
    for one, other in zip(loaded, listed, strict=True):
        assert all(torch.allclose(one[key], other[key], atol=1e-6) for key in one)


def test_a_shuffled_loader_gives_a_path_that_can_be_repeated(name, model):
    paths = []
    for callers in (1, 2):
        torch.manual_seed(callers)
        paths.append(walk(unlearner(name), model, loaders(shuffle=True)))
    assert same_path(*paths)


def test_a_method_of_convolutions_refuses_models_without_them(data):
    for name in sorted(CONVOLUTIONAL):
        for kind in ("mlp", "transformer"):
            with pytest.raises(NotApplicable, match=f"{name}: the model has no convolution"):
                path_of(unlearner(name), build(kind), data)


FROZEN = {"mlp": ["1.weight", "3.bias"], "cnn": ["0.weight", "5.bias"], "transformer": ["embed.weight", "head.bias"]}


@pytest.mark.parametrize("kind", list(MODELS))
def test_frozen_parameters_do_not_move(name, kind, data):
    """Neither gradients, nor weight decay, nor momentum, nor noise."""
    if kind != "cnn" and name in CONVOLUTIONAL:
        pytest.skip("has no convolution")
    model = build(kind)
    for key in FROZEN[kind]:
        model.get_parameter(key).requires_grad_(requires_grad=False)
    strong = {"weight_decay": 0.5, "momentum": 0.9} if issubclass(UNLEARNERS.get(name), Iterative) else {}
    if CASES[name].only_sgd:
        del strong["momentum"]
    *_, last = path_of(unlearner(name, **strong), model, data)
    assert moved(last.model, model)
    assert not moved(last.model, model) & set(FROZEN[kind])
    assert all(p.requires_grad == (key not in FROZEN[kind]) for key, p in last.model.named_parameters())


def test_a_model_without_trainable_parameters(name, model, data):
    model.requires_grad_(requires_grad=False)
    with pytest.raises(NotApplicable, match=f"{name}: every parameter of the model is frozen"):
        path_of(unlearner(name), model, data)


def test_observing_does_not_change_the_path(name, model, data):
    alone, observed = walk(unlearner(name), model, data), []
    for step in path_of(unlearner(name), model, data):
        torch.rand(17)
        step.model.eval()
        OBJECTIVE.score(step.model, data["forget"])
        OBJECTIVE.score(step.model, data["retain"], on_losses=lambda losses: losses.sum().backward())
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


def tied():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16), nn.Linear(16, CLASSES))
    model[3].weight = model[1].weight
    return model


@pytest.mark.parametrize("name", [n for n in NAMES if not CASES[n].partial and n not in CONVOLUTIONAL])
def test_tied_weights_stay_tied(name, data):
    torch.manual_seed(0)
    model = tied()
    *_, last = path_of(unlearner(name), model, data, factory=tied)
    assert last.model[3].weight is last.model[1].weight
    assert not torch.equal(last.model[1].weight, model[1].weight)


@pytest.mark.parametrize("role", ["forget", "retain", "validation"])
def test_which_data_move_the_weights(name, data, role):
    """Swapped arguments would show: a method must read the sets of its formula, and only those."""
    scaled = {**data, role: [(2 * inputs, targets) for inputs, targets in data[role]]}
    same = same_path(walk(unlearner(name), trained(name, 8), scaled), walk(unlearner(name), trained(name, 8), data))
    assert same == (role not in CASES[name].reads)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x, y: (x + float("nan"), y), "inputs hold NaN or infinity"),
        (lambda x, y: (x[:, :, :3, :3], y), "the model does not take these batches"),
        (lambda x, y: (x, y[1:]), "a batch holds . inputs but . targets"),
        (lambda x, y: (x, y.float()), "allowed: int64 of shape"),
        (lambda x, y: (x, y + 7), "targets hold .; allowed: 0 to 2, the classes of the model"),
    ],
    ids=["nan", "shape", "length", "dtype", "range"],
)
def test_batches_that_cannot_be_learned_from(name, data, spoil, message):
    for role in CASES[name].reads:
        spoiled = {**data, role: [*data[role][:1], spoil(*data[role][1]), *data[role][2:]]}
        if "does not take" in message:
            spoiled[role] = [spoil(*batch) for batch in data[role]]
        with pytest.raises(RecipeError, match=f"{role}: .*{message}"):
            walk(unlearner(name), plain(name), spoiled)


def test_forget_and_retain_that_overlap(name, model, data):
    """The forget loader handed to the retain argument, a shared example in two subsets, a shared index."""
    with pytest.raises(RecipeError, match="forget and retain are the same object"):
        path_of(unlearner(name), model, {**data, "retain": data["forget"]})
    whole = TensorDataset(*(torch.cat([ROLES[role][i] for role in ("forget", "retain")]) for i in (0, 1)))
    subsets = {"forget": Subset(whole, range(10)), "retain": Subset(whole, range(9, 27))}
    given = {**data, **{role: DataLoader(subset, 6) for role, subset in subsets.items()}}
    with pytest.raises(RecipeError, match="forget and retain share 1 examples, for instance index 9"):
        path_of(unlearner(name), model, given)
    indexed = {
        role: [(x, y, torch.arange(len(y)) + first + 6 * i) for i, (x, y) in enumerate(data[role])]
        for role, first in {"forget": 0, "retain": 8}.items()
    }
    with pytest.raises(RecipeError, match="share 2 examples, for instance index 8"):
        path_of(unlearner(name), model, {**data, **indexed})


def test_an_index_in_the_batches_changes_nothing(name, data):
    indexed = {
        role: [(x, y, torch.arange(len(y)) + 100 * first + 6 * i) for i, (x, y) in enumerate(data[role])]
        for first, role in enumerate(data)
    }
    assert same_path(walk(unlearner(name), plain(name), indexed), walk(unlearner(name), plain(name), data))


@pytest.mark.parametrize("name", sorted(n for n in NAMES if CASES[n].reads >= BOTH and n != "influence"))
def test_overlap_that_shows_only_on_reading(name, data):
    class Stream:
        def __init__(self, batches):
            self.batches = batches

        def __iter__(self):
            return iter(self.batches)

        def __len__(self):
            return len(self.batches)

    given = {
        role: Stream([(x, y, torch.arange(len(y)) + 6 * i) for i, (x, y) in enumerate(data[role])])
        for role in ("forget", "retain")
    }
    with pytest.raises(RecipeError, match="forget and retain share"):
        walk(unlearner(name), plain(name), {**data, **given})


def trained(name, updates):
    model = plain(name)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    everything = [torch.cat([ROLES[role][i] for role in ("forget", "retain")]) for i in (0, 1)]
    for _ in range(updates):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(everything[0]), everything[1]).backward()
        optimizer.step()
    return model


def test_the_forget_loss_rises(name, data):
    model = trained(name, 8)
    before = OBJECTIVE.score(model, data["forget"]).loss
    *_, last = path_of(unlearner(name, **CASES[name].strong), model, data)
    assert OBJECTIVE.score(last.model, data["forget"]).loss > before + 0.05


@pytest.mark.parametrize("name", [n for n in NAMES if CASES[n].spares])
def test_retained_data_suffer_less(name, data):
    model = trained(name, 8)
    before = {role: OBJECTIVE.score(model, data[role]).loss for role in ("forget", "retain")}
    *_, last = path_of(unlearner(name), model, data)
    rise = {role: OBJECTIVE.score(last.model, data[role]).loss - before[role] for role in before}
    assert rise["forget"] > 1.5 * rise["retain"]


def test_memory_does_not_grow(iterative, data):
    alive = []
    for step in path_of(unlearner(iterative, updates=43, epochs=None), build("cnn"), data):
        if step.updates in (12, 42):  # a multiple of every period of the batches apart
            gc.collect()
            alive.append(sum(t.numel() for t in gc.get_objects() if type(t) in (torch.Tensor, nn.Parameter)))
    assert alive[0] == alive[1]


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
    full = {
        "retain": Unread(),
        "validation": Unread(),
        "factory": factory_of(model),
        "base": model,
        "rewound": Rewound(model),
    }
    for need in method.needs:
        given = {**full, need: None}
        with pytest.raises(RecipeError, match=f"{name} needs {need}="):
            method.path(model, Unread(), given.pop("retain"), OBJECTIVE, **given)
    optional = {role: data.get(role, full[role]) for role in method.needs}
    retain = optional.pop("retain", None)
    assert next(method.path(model, data["forget"], retain, OBJECTIVE, **optional)).model is not model


WHOLE = [
    n
    for n in NAMES
    if issubclass(UNLEARNERS.get(n), Iterative) and (not CASES[n].partial or n == "jit") and n != "retrain"
]


@pytest.mark.parametrize("iterative", WHOLE)
@pytest.mark.parametrize("batchnorm", ["train", "eval"])
def test_batch_normalization_moves_only_in_training_mode(iterative, data, batchnorm):
    if CASES[iterative].only_sgd and batchnorm == "train":
        with pytest.raises(RecipeError, match="batchnorm"):
            unlearner(iterative, batchnorm=batchnorm)
        return
    model = build("cnn")
    *_, last = path_of(unlearner(iterative, batchnorm=batchnorm), model, data)
    for key, value in last.model.named_buffers():
        assert torch.equal(value, model.get_buffer(key)) == (batchnorm == "eval"), key
    assert not torch.equal(last.model[1].weight, model[1].weight)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimizer(iterative, data, optimizer):
    if CASES[iterative].only_sgd and optimizer != "sgd":
        with pytest.raises(RecipeError, match="optimizer"):
            unlearner(iterative, optimizer=optimizer)
        return
    walks = [walk(unlearner(iterative, optimizer=optimizer, lr=0.01), plain(iterative), data) for _ in range(2)]
    assert same_path(*walks)
    assert all(torch.isfinite(value).all() for value in walks[0][-1].values())
    assert not equal(walks[0][-1], content(plain(iterative)))


def test_settings_round_trip_and_reject_what_they_do_not_know(name):
    cls = UNLEARNERS.get(name)
    method = unlearner(name)
    assert cls.model_validate(method.to_dict()) == method
    assert method.kind == method.label == name
    with pytest.raises(ValueError, match="no such key 'learning_rate'"):
        cls(learning_rate=0.1)


def test_a_copy_of_the_model_gives_the_same_path(name, model, data):
    assert same_path(walk(unlearner(name), copy.deepcopy(model), data), walk(unlearner(name), model, data))


def settings(chosen):
    """Return (method, setting) of all methods' settings that ``chosen`` accepts by name and description."""
    return [
        (name, field)
        for name in UNLEARNERS.names()
        for field, about in UNLEARNERS.get(name).model_fields.items()
        if chosen(field, about.description or "")
    ]


@pytest.mark.parametrize(("name", "rate"), settings(lambda field, _: field.endswith("lr")))
def test_a_rate_is_positive(name, rate):
    cls = UNLEARNERS.get(name)
    assert getattr(cls.model_validate({rate: 1e-9}), rate) == 1e-9
    with pytest.raises(RecipeError, match=rate):
        cls(**{rate: 0})


@pytest.mark.parametrize(("name", "weight"), settings(lambda _, description: "weight of the" in description))
def test_the_weight_of_a_term_may_be_zero_and_not_less(name, weight):
    cls = UNLEARNERS.get(name)
    assert getattr(cls.model_validate({weight: 0}), weight) == 0
    with pytest.raises(RecipeError, match=weight):
        cls(**{weight: -1e-9})


def test_weights_of_few_bits_follow_the_path_of_float32_weights(name, data):
    """At a low rate most updates are below the rounding of bfloat16; rounded one by one they would be lost or biased."""
    low = plain(name).bfloat16()
    few = {role: [(x.bfloat16(), y) for x, y in batches] for role, batches in data.items()}
    wide = {role: [(x.float(), y) for x, y in batches] for role, batches in few.items()}
    settings = {}
    if issubclass(
        UNLEARNERS.get(name), Iterative
    ):  # by SGD: Adam's updates do not shrink where gradients are mere rounding
        lr = CASES[name].settings.get("lr", 0.05) / 20
        settings = {"lr": lr, "optimizer": "sgd", "momentum": 0.0, "epochs": None, "updates": 200}
    torch.manual_seed(1)
    random = factory_of(low)().bfloat16()
    ends = []
    for model, sets in ((low, few), (copy.deepcopy(low).float(), wide)):
        *_, last = path_of(
            unlearner(name, **settings),
            model,
            sets,
            factory=lambda m=model: copy.deepcopy(random).to(next(m.parameters())),
        )
        ends.append(last.model)
    assert all(p.dtype == torch.bfloat16 for p in ends[0].parameters())
    start, mine, exact = (
        torch.cat([p.detach().float().flatten() for p in model.parameters()]) for model in (low, *ends)
    )
    assert (exact - start).norm() > 0
    rounding = start.norm() / 2**9
    assert (mine - exact).norm() <= 0.1 * (exact - start).norm() + rounding


class Spare(nn.Module):
    """A network with an expert that no example reaches, and a parameter that nothing uses."""

    def __init__(self):
        super().__init__()
        self.body, self.expert = nn.Sequential(nn.Flatten(), nn.Linear(16, 8)), nn.Linear(8, 8)
        self.head, self.unused = nn.Linear(8, CLASSES), nn.Parameter(torch.ones(3))

    def forward(self, x):
        h = self.body(x).relu()
        reached = h.sum(1) < 0
        if reached.any():
            h = h.index_put((reached,), self.expert(h[reached]))
        return self.head(h)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in CONVOLUTIONAL])
def test_parameters_that_no_example_reaches_have_the_gradient_0(name, data):
    torch.manual_seed(0)
    model = Spare()
    given = {"validation": data["validation"], "factory": Spare, "base": model, "rewound": Rewound(model)}
    *_, last = unlearner(name).path(model, data["forget"], data["retain"], OBJECTIVE, **given)
    assert "head.weight" in moved(last.model, model)
    assert all(torch.isfinite(p).all() for p in last.model.parameters())
    everywhere = (
        "fisher",
        "l1_sparse",
        "noisy_finetune",
        "output_perturbation",
        "rewind_to_delete",
        "weight_attenuation",
        "weight_distortion",
        "weight_dropout",
    )
    if name not in everywhere:  # noise, a penalty, and other places to begin reach every parameter
        assert "unused" not in moved(last.model, model)
