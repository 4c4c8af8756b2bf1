"""Learning rates by hand, and beside the schedule of transformers."""

from types import SimpleNamespace

import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from ungrok.methods import UNLEARNERS
from ungrok.methods.finetune import Finetune
from ungrok.methods.gradient_ascent import GradientAscent
from ungrok.methods.npo import NPO
from ungrok.methods.scheduled import Epochs, Scheduled

MATERIAL = SimpleNamespace(forget=[0, 1, 2, 3], retain=[0])


def rates(method, updates):
    return [method.rate(MATERIAL, update) for update in range(1, updates + 1)]


def test_by_default_the_rate_stays_once_it_has_risen():
    assert rates(NPO(lr=1.0, updates=8), 8) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert rates(GradientAscent(lr=1.0, updates=3), 3) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(("warmup_epochs", "updates"), [(1.0, 8), (0.0, 5), (0.5, 20), (1.0, 5)])
def test_linear_decay_is_that_of_transformers(warmup_epochs, updates):
    """After the warm-up, which begins here with its first step instead of a rate of 0."""
    warmup = int(4 * warmup_epochs)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, updates)
    public = []
    for _ in range(updates):
        public.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    ours = rates(NPO(lr=0.1, warmup_epochs=warmup_epochs, updates=updates, schedule="linear"), updates)
    assert ours[warmup:] == pytest.approx(public[warmup:])
    assert ours[:warmup] == pytest.approx([*public[1:warmup], 0.1][:warmup])


def test_a_path_that_is_all_warmup_does_not_fall():
    assert rates(NPO(lr=1.0, updates=3, schedule="linear"), 3) == [0.25, 0.5, 0.75]


def test_a_warmup_between_two_updates_never_passes_the_rate():
    assert max(rates(NPO(lr=1.0, warmup_epochs=0.3, updates=4, schedule="linear"), 4)) == 1.0


@pytest.mark.parametrize("name", [n for n in UNLEARNERS.names() if issubclass(UNLEARNERS.get(n), Scheduled)])
def test_the_setting_does_not_change_the_key_of_a_job_at_its_default(name):
    cls = UNLEARNERS.get(name)
    assert "schedule" not in cls().spec()
    assert cls(schedule="linear").spec()["schedule"] == "linear"


@pytest.mark.parametrize(
    ("settings", "total", "epochs"), [({"epochs": 2}, 2, [1, 1, 1, 2, 2, 2]), ({"updates": 4}, 2, [1, 1, 1, 2])]
)
def test_epochs_are_counted_from_one_and_the_last_may_be_cut_short(settings, total, epochs):
    cut = Epochs.of(Finetune(**settings), SimpleNamespace(retain=[0, 1, 2]))
    assert (cut.updates, cut.total) == (3, total)
    assert [cut.at(update) for update in range(1, len(epochs) + 1)] == epochs
