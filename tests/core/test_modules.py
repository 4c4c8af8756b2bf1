"""What stands under a model's wrappers, what it takes, and copies of it."""

import threading
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from ungrok.core.errors import NotApplicable
from ungrok.core.modules import accepted, bare, core, duplicate, named, sharding

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


def compiled(model):
    return torch.compile(model, backend="eager")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda m: m,
        nn.DataParallel,
        compiled,
        lambda m: nn.DataParallel(compiled(m)),
        lambda m: compiled(nn.DataParallel(m)),
    ],
)
def test_the_bare_module_stands_under_any_wrapper(wrap):
    model = nn.Linear(4, 3)
    assert bare(wrap(model)) is model
    assert named(wrap(model)) == accepted(wrap(model)) == {"input"}


class FullyShardedDataParallel(nn.Sequential):
    """Stands for the wrapper of that name, which needs several processes."""


def partitioned():
    """Return a model whose weight looks as DeepSpeed ZeRO-3 leaves it."""
    model = nn.Linear(4, 3)
    model.weight = nn.Parameter(torch.empty(0))
    model.weight.ds_id = 0
    return model


@pytest.fixture
def alone():
    """Be the only process of a group."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def test_what_shards_a_model_is_named(alone):
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import distribute_module

    whole = nn.Sequential(nn.Linear(4, 3))
    assert [sharding(model) for model in (whole, nn.DataParallel(whole), partitioned())] == [
        None,
        None,
        "DeepSpeed ZeRO-3",
    ]
    assert sharding(nn.Sequential(FullyShardedDataParallel(whole))) == "FSDP"
    assert sharding(nn.Sequential(fully_shard(nn.Linear(4, 3), mesh=alone))) == "FSDP"
    assert sharding(nn.Sequential(distribute_module(nn.Linear(4, 3), alone))) == "DTensor"


class Adapted(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def get_base_model(self):
        return self.inner

    def forward(self, **given):
        return self.inner(**given)


def test_a_forward_pass_that_takes_any_name():
    adapted = Adapted(nn.Linear(4, 3))
    assert core(nn.DataParallel(adapted)) is adapted.inner
    assert named(adapted) == {"input"}

    class Any(nn.Module):
        def forward(self, x, **more):
            return x

    assert accepted(Any()) is None
    assert "x" in named(Any())


def old_norm(model, kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(model)


class Keeping(nn.Module):
    """Keeps what it has computed, in the open and inside containers."""

    def __init__(self):
        super().__init__()
        self.layer, self.kept, self.all = nn.Linear(4, 3), None, {}

    def forward(self, x):
        self.kept = self.layer(x)
        self.all["last"] = [self.kept, self.kept * 2]
        return self.kept


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(4, 3),
        Keeping,
        lambda: old_norm(nn.Linear(4, 3), weight_norm),
        lambda: old_norm(nn.Linear(4, 3), spectral_norm),
        lambda: parametrizations.weight_norm(nn.Linear(4, 3)),
        lambda: prune.l1_unstructured(nn.Linear(4, 3), "weight", 0.5),
        lambda: compiled(Keeping()),
    ],
)
def test_a_copy_right_after_a_forward_pass_shares_nothing(make):
    model = make().eval()
    expected = model(X)
    copied = duplicate(model)
    assert type(copied) is type(model)
    torch.testing.assert_close(copied(X), expected)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    torch.testing.assert_close(model(X), expected)


def test_modules_of_torchscript_are_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        scripted = nn.Sequential(torch.jit.script(nn.Linear(2, 3)))
    with pytest.raises(NotApplicable, match="TorchScript"):
        duplicate(scripted)


def test_what_cannot_be_copied_is_named():
    model = nn.Sequential(nn.Linear(4, 3), nn.Module())
    model[1].lock = threading.Lock()
    with pytest.raises(NotApplicable, match=r"^the model cannot be copied: attribute '1.lock', a lock \("):
        duplicate(model)


class Full(nn.Module):
    def __deepcopy__(self, memo):
        raise MemoryError("no room")


def test_a_machine_without_room_is_no_fault_of_the_model():
    with pytest.raises(MemoryError, match="no room"):
        duplicate(nn.Sequential(nn.Linear(4, 3), Full()))
