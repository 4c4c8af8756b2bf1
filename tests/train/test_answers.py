"""Training on question-answer pairs: parts of batches, losses of single examples, resuming, generation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ungrok.core.causal_lm import CausalLM, run
from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors
from ungrok.data.answers import Authors
from ungrok.data.digits import Digits
from ungrok.models.language import Llama
from ungrok.train import Trajectory, materialize
from ungrok.train.answers import generate, loss_history
from ungrok.train.loop import Run, Training
from ungrok.train.record import EXAMPLES, PROGRESS

SETTINGS = {
    "optimizer": {"kind": "adamw", "lr": 3e-3},
    "steps": 12,
    "batch_size": 8,
    "loss": "causal_lm",
    "evaluate_steps": 4,
}


@pytest.fixture(scope="module")
def data():
    whole = Authors(authors=2, known=1, held_out=1, vocabulary=400, prompt="Q: {question} A:").load()
    keep = torch.arange(24)
    return replace(whole, train=whole.train.of(keep), validation=whole.validation.of(keep[:10]))


def fresh(data, **changes):
    model = Llama(width=16, layers=1, heads=2, hidden=16).build(data.shape, data.outputs, 0)
    return Run(model, data, Training.model_validate(SETTINGS | changes), 5)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_training_does_not_depend_on_micro_batches(data, size):
    whole, parts = fresh(data), fresh(data, micro_batch=size)
    for each in (whole, parts):
        each.advance(6)
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_one_forward_pass_over_each_split_is_all_a_measurement_costs(data):
    each, seen = fresh(data), []
    each.model.register_forward_hook(lambda _m, _a, kwargs, _o: seen.append(len(kwargs["input_ids"])), with_kwargs=True)
    each.measure()
    assert sum(seen) == len(data.train) + len(data.validation) + len(data.test)


def test_the_losses_of_examples_are_those_of_a_loop_in_the_order_of_the_split(data):
    each = fresh(data)
    each.advance(3)
    row = each.measure()
    objective, split = CausalLM(data.train.eos), data.train
    slow = []
    for i in range(len(split)):
        batch = split.batch(torch.tensor([i]))
        slow.append(float(objective.losses(objective.logits(each.model, batch), batch).detach()))
    torch.testing.assert_close(each.examples["train"], torch.tensor(slow), rtol=1e-5, atol=1e-5)
    assert row["train_loss"] == pytest.approx(np.mean(slow), rel=1e-5)
    assert "gradient_norm" not in row


def stop_at_8(data, folder):
    class Stop(Exception):
        pass

    def stop(step):
        if step == 8:
            raise Stop

    with pytest.raises(Stop):
        fresh(data).record(folder, save_after=0, tick=stop)


def test_a_run_that_was_stopped_goes_on_where_it_was(data, tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "stopped"
    whole.mkdir()
    folder.mkdir()
    expected = fresh(data).record(whole)

    stop_at_8(data, folder)
    assert (folder / PROGRESS).exists()
    assert fresh(data).record(folder) == expected
    assert [row["step"] for row in expected["rows"]] == [0, 4, 8, 12]
    found = [load_tensors(each / EXAMPLES) for each in (whole, folder)]
    assert found[0]["train"].shape == (4, 24)
    assert all(torch.equal(found[0][name], found[1][name]) for name in ("train", "validation"))
    history = loss_history(Trajectory(folder, expected), data, 3)
    assert history.steps.tolist() == [0, 4, 8, 12]
    assert np.isnan(history.paraphrase[:, 10:]).all()
    assert np.isfinite(history.paraphrase[:, :10]).all()
    assert history.at(7) == 1
    model = materialize(fresh(data), Trajectory(folder, expected), 8)
    assert model.measure() == expected["rows"][2]


def test_damaged_losses_are_made_again(data, tmp_path):
    stop_at_8(data, tmp_path)
    (tmp_path / EXAMPLES).write_bytes(b"broken")
    rows = fresh(data).record(tmp_path)["rows"]
    assert [row["step"] for row in rows] == [0, 4, 8, 12]
    assert load_tensors(tmp_path / EXAMPLES)["train"].shape == (4, 24)


def test_scores_come_in_the_order_of_the_split(data):
    each = fresh(data)
    each.advance(10)
    objective = CausalLM(data.train.eos)
    order = torch.randperm(24)
    torch.testing.assert_close(
        data.train.of(order).score(each.model, objective).losses, data.train.score(each.model, objective).losses[order]
    )
    assert len(data.train.of(order[:0]).score(each.model, objective)) == 0


def slow_greedy(model, split, i, new_tokens):
    """Choose one token at a time, the whole prefix read again for each."""
    n = int(split.labels[i].eq(-100).int().cumprod(0).sum())
    tokens, made = split.inputs[i, :n].tolist(), []
    with torch.no_grad():
        for _ in range(new_tokens):
            ids = torch.tensor([tokens])
            best = int(run(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}).logits[0, -1].argmax())
            if best == split.eos:
                break
            tokens.append(best)
            made.append(best)
    return made


def test_generation_is_greedy_and_the_cache_changes_nothing(data):
    each = fresh(data, steps=40)
    each.advance(40)
    each.model.eval()
    texts = generate(each.model, data.train, data.tokenizer, 12)
    for i in (0, 5, 11, 23):
        expected = data.tokenizer.decode(slow_greedy(each.model, data.train, i, 12), skip_special_tokens=True).strip()
        assert texts[i] == expected


def test_losses_and_problems_that_do_not_go_together(data):
    with pytest.raises(
        RecipeError, match=r"trajectory.loss: 'cross_entropy' does not fit this problem; allowed: causal_lm"
    ):
        Training().objective(data)
    with pytest.raises(
        RecipeError, match=r"trajectory.loss: 'causal_lm' does not fit this problem; allowed: cross_entropy"
    ):
        Training(loss="causal_lm").objective(Digits().load())
    with pytest.raises(ValueError, match=r"loss: 'causal_lm' does not go with penalty"):
        Training(loss="causal_lm", speed={"compile": True})
