"""A real Lightning Trainer that records its path."""

import logging
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    lightning = pytest.importorskip("pytorch_lightning")

from ungrok.core.errors import RecipeError
from ungrok.integrations.lightning import RecorderCallback
from ungrok.train.recorder import Recorder, checkpoints, load_weights, rows

pytestmark = pytest.mark.filterwarnings("ignore")  # what Lightning has to say of processors and loaders
logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


def loader(seed, count=24):
    X = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return DataLoader(TensorDataset(X, X[:, :3].argmax(1)), batch_size=8)


class Module(lightning.LightningModule):
    def __init__(self, lr=0.05):
        super().__init__()
        self.out, self.lr, self.means = nn.Linear(4, 3), lr, []

    def training_step(self, batch, _):
        logits = self.out(batch[0])
        self.log("train_acc", (logits.argmax(1) == batch[1]).float().mean(), on_step=False, on_epoch=True)
        return nn.functional.cross_entropy(logits, batch[1])

    def validation_step(self, batch, _):
        self.log("val/acc", (self.out(batch[0]).argmax(1) == batch[1]).float().mean())

    def on_train_epoch_end(self):
        self.means.append(self.trainer.callback_metrics["train_acc"].item())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)


def trainer(folder, callback, epochs, **options):
    torch.manual_seed(0)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return lightning.Trainer(
        accelerator="cpu", default_root_dir=folder, max_epochs=epochs, callbacks=[callback], **(quiet | options)
    )


def test_weights_and_both_accuracies_are_recorded(tmp_path):
    callback, module = RecorderCallback(tmp_path / "run"), Module()
    first = module.out.weight.detach().clone()
    done = trainer(tmp_path, callback, 8)
    done.fit(module, loader(0), loader(1))
    assert list(checkpoints(tmp_path / "run")) == [0, 10, 12, 15, 18, 22, 24]
    recorded = rows(tmp_path / "run")
    assert [row["step"] for row in recorded] == [*range(3, 25, 3)]
    assert [row["train_accuracy"] for row in recorded] == module.means
    assert len(set(module.means)) > 3
    hits = [(module.out(X).argmax(1) == y).float().mean() for X, y in loader(1)]
    assert recorded[-1]["validation_accuracy"] == pytest.approx(torch.stack(hits).mean().item())
    for step, weight in ((0, first), (24, module.out.weight)):
        assert torch.equal(load_weights(checkpoints(tmp_path / "run")[step], Module()).out.weight, weight)


def test_in_the_middle_of_an_epoch_training_accuracy_of_an_earlier_step_is_not_taken(tmp_path):
    trainer(tmp_path, RecorderCallback(tmp_path / "run"), 2, val_check_interval=1).fit(Module(), loader(0), loader(1))
    recorded = rows(tmp_path / "run")
    assert [row["step"] for row in recorded if "validation_accuracy" in row] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in recorded if "train_accuracy" in row] == [3, 6]


def test_other_names_are_mapped(tmp_path):
    trainer(tmp_path, RecorderCallback(tmp_path / "run", metrics={"mine": "val/acc"}), 1).fit(
        Module(), loader(0), loader(1)
    )
    assert [set(row) for row in rows(tmp_path / "run")] == [{"step", "train_accuracy", "mine"}]


def test_a_trainer_stops_after_a_sustained_transition(tmp_path):
    rule = {"memorized": 0.6, "grokked": 0.5, "sustained": 2}
    callback = RecorderCallback(Recorder(tmp_path / "run", every=1000, transition=rule, stop=True))
    done = trainer(tmp_path, callback, 200)
    done.fit(Module(lr=0.2), loader(0), loader(1))
    last = rows(tmp_path / "run")[-2:]
    assert done.global_step == last[-1]["step"] < 600
    assert all(row["validation_accuracy"] >= 0.5 for row in last)
    assert list(checkpoints(tmp_path / "run")) == [0, done.global_step]


def test_a_run_that_is_resumed_records_the_same_path(tmp_path):
    for name in ("whole", "resumed"):
        done = trainer(tmp_path, RecorderCallback(tmp_path / name), 4 if name == "resumed" else 8)
        done.fit(Module(), loader(0), loader(1))
    done.save_checkpoint(tmp_path / "at-12.ckpt")
    trainer(tmp_path, RecorderCallback(tmp_path / "resumed"), 8).fit(
        Module(), loader(0), loader(1), ckpt_path=tmp_path / "at-12.ckpt"
    )
    assert rows(tmp_path / "resumed") == rows(tmp_path / "whole")
    assert list(checkpoints(tmp_path / "resumed")) == list(checkpoints(tmp_path / "whole"))


def test_sharded_weights_are_refused_in_every_process(tmp_path):
    callback, wrapped = RecorderCallback(tmp_path / "run"), nn.Sequential(Module())
    wrapped[0].out.weight.ds_id = 0  # as DeepSpeed ZeRO-3 marks it
    for first in (True, False):
        there = SimpleNamespace(is_global_zero=first, global_step=0, strategy=SimpleNamespace(model=wrapped))
        with pytest.raises(
            RecipeError, match=r"model: its weights are in parts, one for each process \(DeepSpeed ZeRO-3\)"
        ):
            callback.on_train_start(there, Module())
