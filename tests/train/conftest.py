"""Training runs of a few dozen updates."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from ungrok.core.attacks import PGDL2, PGDLinf
from ungrok.core.seeds import seeded
from ungrok.data.base import Data, Split
from ungrok.train.grokfast import GrokfastEMA, GrokfastMA
from ungrok.train.loop import Run, Training
from ungrok.train.optimizers import SGD, AdamW, OrthogradAdamW
from ungrok.train.penalties import JacobianPenalty, SplinePenalty
from ungrok.train.robustness import Robustness
from ungrok.train.sam import SAM


def plain():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def dropout():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))


class FewBits(nn.Sequential):
    """Weights in bfloat16 under inputs and outputs in float32."""

    def forward(self, x):
        return super().forward(x.bfloat16()).float()


def few_bits():
    return FewBits(*plain()).bfloat16()


@dataclass(frozen=True)
class Case:
    """Everything that a run is made from; calling it gives a fresh one."""

    model: object
    training: Training
    data: Data
    seed: int = 3

    def __call__(self, **changes):
        case = replace(self, **changes)
        with seeded(0):
            model = case.model()
        return Run(model, case.data, case.training, case.seed)


def training(optimizer, **settings):
    return Training(optimizer=optimizer, **{"steps": 40, "evaluate_every": 0.3, "checkpoint_every": 0.5, **settings})


CASES = {
    "adamw": (plain, training(AdamW(lr=0.01, weight_decay=0.1), batch_size=8, checkpoint_from=5)),
    "dropout": (dropout, training(AdamW(lr=0.01), batch_size=7, checkpoint_from=5)),
    "sgd": (
        dropout,
        training(SGD(lr=0.05, schedule="cosine", warmup=5, nesterov=True, weight_decay=1e-3), batch_size=8),
    ),
    "no_momentum": (plain, training(SGD(lr=0.05, momentum=0), loss="mse")),
    "orthograd": (plain, training(OrthogradAdamW(lr=0.01, weight_decay=0.1), loss="mse", loss_precision="float64")),
    "sam": (dropout, training(SGD(lr=0.05), batch_size=8, sam=SAM(rho=0.1))),
    "ema": (plain, training(AdamW(lr=0.01), batch_size=8, grokfast=GrokfastEMA(alpha=0.9), loss="stablemax")),
    "ma": (plain, training(AdamW(lr=0.01), batch_size=8, grokfast=GrokfastMA(window=6))),
    "few bits": (few_bits, training(AdamW(lr=1e-3, weight_decay=0.1), batch_size=8, micro_batch=3)),
    "few bits, sam": (few_bits, training(SGD(lr=0.01), batch_size=8, sam=SAM(rho=0.05))),
    "few bits, ma": (few_bits, training(AdamW(lr=1e-3), batch_size=8, grokfast=GrokfastMA(window=6))),
    "jacobian": (dropout, training(AdamW(lr=0.01), batch_size=8, penalty=JacobianPenalty(projections=2))),
    "spline": (
        dropout,
        training(
            AdamW(lr=0.01),
            batch_size=8,
            penalty=SplinePenalty(),
            robustness=Robustness(attacks=(PGDLinf(box=None, steps=2), PGDL2(box=None, steps=2)), examples=5),
        ),
    ),
}


@pytest.fixture(scope="session")
def data():
    """20 + 9 + 11 examples of 4 features in 3 classes."""
    draw = torch.Generator().manual_seed(1)
    parts = [Split(torch.randn(n, 4, generator=draw), torch.randint(3, (n,), generator=draw)) for n in (20, 9, 11)]
    return Data(*parts, 3, torch.zeros(0, dtype=torch.int64))


@pytest.fixture(params=CASES)
def case(request, data):
    """Every kind of run in turn."""
    return Case(*CASES[request.param], data)


@pytest.fixture
def few(data):
    """The run of a model with weights in bfloat16."""
    return Case(*CASES["few bits"], data)


@pytest.fixture
def simple(data):
    """The plain AdamW run."""
    return Case(*CASES["adamw"], data)


@pytest.fixture
def trains_alike(simple):
    """Assert that a training ends at the weights of the plain one, whatever is measured on the way."""

    def check(training):
        runs = [simple(training=training), simple(training=Training(steps=20, batch_size=8))]
        for run in runs:
            run.advance(5)
            run.measure()
            run.advance(10)
        for one, other in zip(*(run.model.parameters() for run in runs), strict=True):
            assert torch.equal(one, other)

    return check
