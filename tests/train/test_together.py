"""Runs trained as one against runs trained one at a time."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ungrok.core.seeds import seeded
from ungrok.data.base import Data, Split
from ungrok.models.cnn import CNN
from ungrok.models.mlp import MLP
from ungrok.train.grokfast import GrokfastEMA
from ungrok.train.loop import Run, Training
from ungrok.train.optimizers import SGD, Adam, AdamW, OrthogradAdamW
from ungrok.train.record import PROGRESS, record_all
from ungrok.train.sam import SAM
from ungrok.train.speed import Speed
from ungrok.train.together import advance_together, faster_together, stackable

MODELS = {"mlp": MLP(width=20), "cnn": CNN(channels=(6, 8), hidden=(10,))}
TRAININGS = {
    "adamw": Training(optimizer=AdamW(lr=3e-3, weight_decay=0.3, warmup=4), steps=25, batch_size=16, loss="mse"),
    "sgd": Training(optimizer=SGD(lr=0.05, weight_decay=1e-3, schedule="cosine"), steps=25, batch_size=16),
    "adam": Training(optimizer=Adam(lr=3e-3, weight_decay=0.01), steps=25, batch_size=16),
    "full batch": Training(optimizer=AdamW(), steps=25, loss="stablemax", loss_precision="float64"),
}


@pytest.fixture(scope="module")
def images():
    draw = torch.Generator().manual_seed(1)
    parts = [
        Split(torch.rand(n, 3, 8, 8, generator=draw), torch.randint(4, (n,), generator=draw)) for n in (50, 12, 12)
    ]
    return Data(*parts, 4, torch.zeros(0, dtype=torch.int64))


def make(images, model, training, seeds=(0, 1, 2)):
    return [Run(model.build((3, 8, 8), 4, seed), images, training, seed) for seed in seeds]


def close(one, other, **tolerance):
    tolerance = tolerance or {"rtol": 1e-3, "atol": 1e-5}
    ours, theirs = one.state(), other.state()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.allclose(value.double(), theirs[name].double(), **tolerance), name


@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_equal_to_one_at_a_time(images, model, training):
    """Weights, moments and step, after uneven stretches across epochs; seeds stay apart."""
    stacked, single = make(images, model, training), make(images, model, training)
    assert stackable(stacked)
    for stop in (1, 2, 9, 25):
        advance_together(stacked, stop)
    for one, other in zip(stacked, single, strict=True):
        other.advance(25)
        close(one, other)
    assert not torch.allclose(*(next(run.model.parameters()) for run in stacked[:2]))


def test_in_float64_the_rounding_is_all_that_differs(images):
    double = replace(images, train=Split(images.train.inputs.double(), images.train.targets))
    runs = [[*make(double, MODELS["mlp"], TRAININGS["sgd"])] for _ in range(2)]
    for group in runs:
        for run in group:
            run.model.double()
            run.optimizer = run.training.optimizer.build(run.model.parameters())
    advance_together(runs[0], 25)
    for one, other in zip(*runs, strict=True):
        other.advance(25)
        close(one, other, rtol=1e-10, atol=1e-12)


def test_a_single_run_goes_on_from_where_the_stack_left_it(images):
    stacked, single = (make(images, MODELS["cnn"], TRAININGS["adamw"]) for _ in range(2))
    advance_together(stacked, 10)
    stacked[1].advance(20)
    single[1].advance(20)
    close(stacked[1], single[1])


def test_records_are_those_of_single_runs(images, tmp_path):
    """Same grids, same checkpoints, metrics equal but for rounding; a stack that was killed goes on, run by run."""
    training = TRAININGS["sgd"].model_copy(update={"checkpoint_from": 5})
    folders = [tmp_path / str(i) for i in range(6)]
    for folder in folders:
        folder.mkdir()
    expected = [run.record(folder) for run, folder in zip(make(images, MODELS["mlp"], training), folders, strict=False)]

    class Killed(Exception):
        pass

    def kill(step):
        if step >= 12:
            raise Killed

    with pytest.raises(Killed):
        record_all(make(images, MODELS["mlp"], training), folders[3:], advance_together, tick=kill)
    (folders[3] / PROGRESS).unlink()  # this one starts from nothing, the others from step 10
    found = record_all(make(images, MODELS["mlp"], training), folders[3:], advance_together)
    for one, other, folder, alone in zip(found, expected, folders[3:], folders[:3], strict=True):
        assert {**one, "rows": None} == {**other, "rows": None}
        files = sorted(file.name for file in folder.iterdir())
        assert files == sorted(file.name for file in alone.iterdir())
        assert len(files) > 1
        for mine, theirs in zip(one["rows"], other["rows"], strict=True):
            assert mine["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
            assert mine["step"] == theirs["step"]


def test_one_that_diverges_leaves_the_others(images, tmp_path):
    runs = make(images, MODELS["mlp"], TRAININGS["sgd"])
    with torch.no_grad():
        next(runs[1].model.parameters()).mul_(1e30)
    for i in range(3):
        (tmp_path / str(i)).mkdir()
    found = record_all(runs, [tmp_path / str(i) for i in range(3)], advance_together)
    assert [result["status"] for result in found] == ["completed", "diverged", "completed"]
    assert found[0]["steps"] == 25


class Norm(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))


class Drop(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.Linear(192, 4))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": OrthogradAdamW()},
        {"sam": SAM()},
        {"grokfast": GrokfastEMA()},
        {"speed": Speed(compile=True)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_cannot_be_stacked(images, change):
    training = TRAININGS["sgd"].model_copy(update=change)
    assert not stackable(make(images, MODELS["mlp"], training))


@pytest.mark.parametrize("network", [Norm, Drop])
def test_models_that_cannot_be_stacked(images, network):
    with seeded(0):
        runs = [Run(network(), images, TRAININGS["sgd"], seed) for seed in (0, 1)]
    assert not stackable(runs)


def test_runs_that_do_not_match_cannot_be_stacked(images):
    fewer = replace(images, train=images.train.of(torch.arange(40)))
    mixed = [make(data, MODELS["mlp"], TRAININGS["sgd"])[0] for data in (images, fewer)]
    assert not stackable(mixed)
    assert not stackable([make(images, MODELS["mlp"], TRAININGS[name])[0] for name in ("sgd", "adamw")])


def test_never_chosen_on_a_cpu(images):
    def broken():
        raise AssertionError("no stopwatch on a CPU")

    assert not faster_together(make(images, MODELS["mlp"], TRAININGS["sgd"]), broken)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("times", "chosen"), [((0, 2, 2, 3), True), ((0, 1, 1, 3), False)])
def test_chosen_by_the_clock_on_a_gpu(images, times, chosen):
    clock = iter(times)
    runs = [
        Run(MODELS["mlp"].build((3, 8, 8), 4, s).cuda(), images.to(torch.device("cuda")), TRAININGS["sgd"], s)
        for s in (0, 1)
    ]
    before = [p.clone() for p in runs[0].model.parameters()]
    assert faster_together(runs, lambda: next(clock)) == chosen
    assert all(torch.equal(a, b) for a, b in zip(before, runs[0].model.parameters(), strict=True))
