"""Fewer examples are measured between the ends of a training, always the same; the training does not depend on it."""

import math

import pytest
import torch
from pydantic import ValidationError

from ungrok.core.scores import evaluating
from ungrok.train.loop import Training
from ungrok.train.measured import Measured, Parts

FEW = Measured(train=7, validation=4)


def few(**settings):
    return Training(steps=20, batch_size=8, evaluate=FEW, **settings)


def test_between_the_ends_the_drawn_examples_are_measured_and_at_both_ends_all(simple, tmp_path):
    own, whole = simple(training=few()), simple(training=Training(steps=20, batch_size=8))
    rows, every = (
        run.record(tmp_path / str(i)) for i, run in enumerate((own, whole)) if not (tmp_path / str(i)).mkdir()
    )
    assert [row["step"] for row in rows["rows"]] == [row["step"] for row in every["rows"]]
    for row, full in zip(rows["rows"], every["rows"], strict=True):
        same = {name for name in full if row[name] == full[name]}
        assert same >= {"step", "epoch", "weight_norm", "test_loss", "test_accuracy"}
        assert {"train_loss" in same, "gradient_norm" in same, "validation_loss" in same} == {full["step"] in (0, 20)}


def test_a_row_is_that_of_the_drawn_examples(simple):
    run = simple(training=few())
    run.advance(5)
    row = run.measure()
    for name, count in (("train", 7), ("validation", 4)):
        part = FEW.part(name, getattr(run.data, name))
        assert len(part) == count
        with evaluating(run.model), torch.no_grad():
            logits = run.model(part.inputs)
        assert row[f"{name}_accuracy"] == (logits.argmax(1) == part.targets).double().mean().item()
        assert row[f"{name}_loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, part.targets).item())
    part, parameters = FEW.part("train", run.data.train), list(run.model.parameters())
    with evaluating(run.model):
        loss = torch.nn.functional.cross_entropy(run.model(part.inputs), part.targets)
    gradients = torch.autograd.grad(loss, parameters)
    assert row["gradient_norm"] == pytest.approx(math.sqrt(sum(g.square().sum().item() for g in gradients)), rel=1e-5)


def test_examples_are_drawn_in_their_order_and_depend_on_the_name_alone(data):
    part = FEW.part("train", data.train)
    places = [int((data.train.inputs == row).all(1).nonzero()) for row in part.inputs]
    assert places == sorted(set(places))
    assert places != list(range(7))
    assert torch.equal(part.inputs, Measured(train=7).part("train", data.train).inputs)
    renamed = Measured(validation=7).part("validation", data.train)
    assert not torch.equal(part.inputs, renamed.inputs)
    assert FEW.part("test", data.test) is data.test
    assert Measured(train=20).part("train", data.train) is data.train


def test_a_training_does_not_depend_on_what_is_measured(trains_alike):
    trains_alike(few())


def test_of_classes_that_are_left_examples_are_drawn(simple):
    run = simple(training=few())
    run.measure_on(torch.tensor([0, 1]))
    run.advance(3)
    part = FEW.part("validation", run.data.validation)
    assert set(part.targets.tolist()) <= {0, 1}
    with evaluating(run.model), torch.no_grad():
        right = (run.model(part.inputs).argmax(1) == part.targets).double().mean().item()
    assert run.measure()["validation_accuracy"] == right


def test_a_split_that_is_followed_is_measured_whole(simple):
    run = simple(training=few())
    run.followed = {"train"}
    run.advance(5)
    run.measure()
    assert run.examples["train"].shape == (20,)


def test_left_out_of_the_hash_where_absent():
    assert "evaluate" not in Training().spec()
    assert few().spec()["evaluate"] == {"train": 7, "validation": 4, "test": None}
    with pytest.raises(ValidationError, match="train"):
        Measured(train=0)


def test_each_split_is_drawn_once_and_again_where_it_is_another(data):
    parts, other = Parts(FEW), data.train.of(torch.arange(10))
    first = parts.of("train", data.train)
    assert parts.of("train", data.train) is first
    assert torch.equal(first.inputs, FEW.part("train", data.train).inputs)
    assert parts.of("test", data.test) is data.test
    assert torch.equal(parts.of("train", other).inputs, FEW.part("train", other).inputs)
