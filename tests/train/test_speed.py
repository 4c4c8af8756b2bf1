"""Options for speed change the time, not the loss curve."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ungrok.core.errors import RecipeError
from ungrok.core.seeds import seeded
from ungrok.data.base import Data, Split
from ungrok.train import Trajectory, materialize
from ungrok.train.loop import Run, Training
from ungrok.train.optimizers import SGD, AdamW
from ungrok.train.penalties import JacobianPenalty
from ungrok.train.sam import SAM
from ungrok.train.speed import Speed

STEPS = 30


def network():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(16 * 9, 4),
    )  # fmt: skip


@pytest.fixture(scope="module")
def images():
    """50 + 12 + 12 images of 8 pixels in 4 classes that can be learned."""
    draw = torch.Generator().manual_seed(1)
    parts = []
    for n in (50, 12, 12):
        targets = torch.randint(4, (n,), generator=draw)
        inputs = torch.rand(n, 3, 8, 8, generator=draw) + targets.view(-1, 1, 1, 1) / 4
        parts.append(Split(inputs, targets))
    return Data(*parts, 4, torch.zeros(0, dtype=torch.int64))


def make(images, device="cpu", optimizer=None, **speed):
    with seeded(0):
        model = network().to(device)
    size = 16 if optimizer else 25  # no smaller last batch where it would be compiled for
    training = Training(
        optimizer=optimizer or AdamW(lr=3e-3), steps=STEPS, batch_size=size, checkpoint_from=10, speed=Speed(**speed)
    )
    return Run(model, images.to(torch.device(device)), training, 3)


def losses(run):
    """Return the training loss after every second update."""
    found = []
    for step in range(0, STEPS + 1, 2):
        run.advance(step)
        found.append(run.measure()["train_loss"])
    return torch.tensor(found)


CPU = {
    "channels_last": ({"channels_last": True}, 1e-4),
    "bfloat16": ({"bfloat16": True}, 0.05),
    "compile": ({"compile": True}, 1e-4),
}
GPU = {
    "cuda_graphs": ({"cuda_graphs": True}, 1e-3),
    "compiled graphs": ({"compile": True, "cuda_graphs": True}, 1e-3),
    "all": ({"channels_last": True, "bfloat16": True, "compile": True, "cuda_graphs": True}, 0.05),
}


@pytest.mark.filterwarnings("ignore:.*TF32:UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("case", CPU.values(), ids=CPU)
def test_same_loss_curve(images, case):
    options, tolerance = case
    plain, fast = losses(make(images)), losses(make(images, **options))
    assert plain[-1] < 0.7 * plain[0]
    assert torch.allclose(fast, plain, rtol=tolerance, atol=tolerance * plain[0].item())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("case", [*CPU.values(), *GPU.values()], ids=[*CPU, *GPU])
def test_same_loss_curve_on_a_gpu(images, case):
    options, tolerance = case
    plain, fast = losses(make(images, "cuda")), losses(make(images, "cuda", **options))
    assert torch.allclose(fast, plain, rtol=tolerance, atol=tolerance * plain[0].item())


def test_kernels_and_activations_are_laid_out(images):
    run = make(images, channels_last=True)
    assert run.model[3].weight.is_contiguous(memory_format=torch.channels_last)
    assert not run.model[3].weight.is_contiguous()
    features = run.model[:4](images.train.inputs)
    assert features.is_contiguous(memory_format=torch.channels_last)
    assert not features.is_contiguous()


@pytest.mark.parametrize("optimizer", [AdamW(lr=3e-3, weight_decay=0.1), SGD(lr=0.05)], ids=["adamw", "sgd"])
@pytest.mark.parametrize("speed", [{"channels_last": True}, {"bfloat16": True}], ids=lambda speed: next(iter(speed)))
def test_resumed_bit_exactly(images, tmp_path, optimizer, speed):
    """A fused update reads moments in memory order, whatever order the checkpoint has."""
    run = make(images, optimizer=optimizer, **speed)
    trajectory = Trajectory(tmp_path, run.record(tmp_path))
    for step in (13, STEPS):
        straight = make(images, optimizer=optimizer, **speed)
        straight.advance(step)
        replayed = materialize(make(images, optimizer=optimizer, **speed), trajectory, step)
        for one, other in zip(straight.model.parameters(), replayed.model.parameters(), strict=True):
            assert torch.equal(one, other)


class Syncs(TorchDispatchMode):
    """Counts the operations that would make the host wait for a device."""

    WAITS = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "_unique2")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in self.WAITS:
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def test_no_update_waits_for_the_device(case):
    """Whatever the arm: losses are not read, norms are not compared, nothing is counted on the host."""
    run = case()
    run.advance(1)
    with Syncs() as syncs:
        run.advance(8)
    assert syncs.found == []
    with Syncs() as syncs:
        run.measure()
    assert syncs.found


def test_graphs_need_a_gpu(images):
    with pytest.raises(RecipeError, match=r"trajectory\.speed\.cuda_graphs.*cuda, not cpu"):
        make(images, cuda_graphs=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"penalty": JacobianPenalty(), "speed": Speed(compile=True)},
        {"penalty": JacobianPenalty(), "speed": Speed(cuda_graphs=True)},
        {"sam": SAM(), "speed": Speed(cuda_graphs=True)},
    ],
)
def test_what_does_not_go_together(settings):
    with pytest.raises(ValidationError, match="not with speed"):
        Training(**settings)


def test_scores_are_taken_in_float32_unless_asked_for_in_bfloat16(images):
    exact, low = make(images, bfloat16=True), make(images, bfloat16=True, scores=True)
    assert "scores" not in exact.training.speed.spec()
    assert low.training.speed.spec() == exact.training.speed.spec() | {"scores": True}
    plain, fast = exact.measure(), low.measure()
    float32 = make(images).measure()
    assert plain == float32
    assert 0 < abs(fast["test_loss"] - plain["test_loss"]) < 0.02
    exact.advance(5)
    low.advance(5)
    assert all(torch.equal(a, b) for a, b in zip(exact.model.parameters(), low.model.parameters(), strict=True))
