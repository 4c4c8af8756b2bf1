"""Training on stored images: augmented runs resume bit for bit, wherever the images lie."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ungrok.core.seeds import derive, seeded
from ungrok.data.augment import Augment
from ungrok.data.base import Data, Split
from ungrok.data.batches import TensorBatches
from ungrok.data.pixels import Scale
from ungrok.data.stored import Stored
from ungrok.train import Trajectory, materialize
from ungrok.train.loop import Run, Training
from ungrok.train.optimizers import SGD

TRAINING = Training(optimizer=SGD(lr=0.05), steps=30, batch_size=8, checkpoint_from=5)


@pytest.fixture(params=["resident", "mapped", "streamed", "full batch"])
def case(request):
    """Build a fresh run on 20 + 6 + 6 colored images."""
    draw = torch.Generator().manual_seed(2)
    parts = []
    for count in (20, 6, 6):
        pixels = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=draw)
        inputs = Stored(pixels, torch.arange(count), stream=request.param == "streamed")
        kept = inputs if request.param in ("mapped", "streamed") else pixels
        parts.append(Split(kept, torch.randint(3, (count,), generator=draw), Scale((0.5,) * 3, (0.25,) * 3)))
    data = Data(*parts, 3, torch.zeros(0, dtype=torch.int64), Augment(pad=2))
    training = TRAINING.model_copy(update={"batch_size": None}) if request.param == "full batch" else TRAINING

    def run(data=data):
        with seeded(0):
            model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))
        return Run(model, data, training, 3)

    run.data, run.training = data, training
    return run


def weights(run):
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


def test_equal_to_a_bare_loop_over_augmented_batches(case):
    run, bare = case(), case().model
    run.advance(12)
    optimizer = torch.optim.SGD(bare.parameters(), 0.05, momentum=0.9)
    data = case.data
    pixels = data.train.inputs[slice(None)]
    step = 0
    for epoch in range(12):
        drawn = data.augment.draw(20, derive(3, "augment"), epoch)
        size = case.training.batch_size
        shuffle = derive(3, "order") if size else None
        order = torch.cat([y for _, y in TensorBatches(Split(pixels, torch.arange(20)), size, shuffle).epoch(epoch)])
        for part in torch.arange(20).split(size or 20):
            if step == 12:
                break
            inputs = data.augment(pixels[order[part]], drawn[part]).float().div(255).sub(0.5).div(0.25)
            optimizer.zero_grad()
            nn.functional.cross_entropy(bare(inputs), data.train.targets[order[part]]).backward()
            optimizer.step()
            step += 1
    assert torch.equal(weights(run), torch.cat([p.detach().flatten() for p in bare.parameters()]))


def test_in_pieces_at_once_and_materialized(case, tmp_path):
    straight, pieces = case(), case()
    straight.advance(17)
    for stop in (1, 2, 9, 17):
        pieces.advance(stop)
        pieces.measure()
    assert torch.equal(weights(straight), weights(pieces))
    trajectory = Trajectory(tmp_path, case().record(tmp_path))
    assert torch.equal(weights(materialize(case(), trajectory, 17)), weights(straight))


def test_augmentation_changes_training_and_no_measure(case):
    plain, augmented = case(replace(case.data, augment=None)), case()
    assert plain.measure() == augmented.measure()
    plain.advance(3)
    augmented.advance(3)
    assert not torch.equal(weights(plain), weights(augmented))
