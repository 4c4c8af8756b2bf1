"""Checkpoints of a user's program: what is taken for a step, and what its content is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.train.given import Checkpoints, record_given, remember


def linear(seed):
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


def test_models_files_and_state_dicts_are_the_same(tmp_path):
    models = {5: linear(1), 20: linear(2)}
    for step, model in models.items():
        torch.save({"model": model.state_dict(), "step": step}, tmp_path / f"run-{step}.pt")
    forms = [
        models,
        {20: models[20], 5: models[5]},
        {step: model.state_dict() for step, model in models.items()},
        {step: tmp_path / f"run-{step}.pt" for step in models},
        str(tmp_path),
    ]
    given = [Checkpoints("checkpoints", form) for form in forms]
    assert [own.steps for own in given] == [[5, 20]] * 5
    assert len({own.content(linear(0)) for own in given}) == 1
    assert [own.model is models[5] for own in given] == [True, True, False, False, False]
    assert torch.equal(given[3].weights(20, linear(0))["weight"], models[20].weight)


def test_the_content_tells_steps_and_weights():
    every = ({5: linear(1)}, {6: linear(1)}, {5: linear(2)}, {5: linear(1), 6: linear(2)})
    assert len({Checkpoints("k", given).content(linear(0)) for given in every}) == 4


SAME = linear(0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "allowed: models or files by step, or a folder"),
        (3, "is 3; allowed"),
        ({"a": SAME}, "'a' is no step"),
        ({True: SAME}, "True is no step"),
        ({-1: SAME}, "-1 is no step"),
        ({1: 3}, "step 1 is a int; allowed: a model, a file or a state dict"),
        ({1: SAME, 2: SAME}, "steps 1 and 2 are the same object, which holds its latest weights; keep copies"),
    ],
)
def test_what_are_no_checkpoints_is_refused(given, words):
    with pytest.raises(RecipeError, match=f"^oracle: .*{words}"):
        Checkpoints("oracle", given)


def test_weights_of_another_model_are_refused_by_key_and_step():
    with pytest.raises(RecipeError, match=r"checkpoints: step 4 .*weight has shape \(2, 3\); the model has \(2, 9\)"):
        remember(Checkpoints("checkpoints", {4: linear(0)}), nn.Linear(9, 2))


def test_what_another_process_was_given_is_told(tmp_path):
    with pytest.raises(RecipeError, match=r"were given to ungrok.sweep by another process"):
        record_given(None, "0" * 64, tmp_path)


def test_checkpoints_that_changed_after_they_were_given_are_not_measured(tmp_path):
    class Fresh:
        model = linear(0)

    torch.save(linear(1).state_dict(), tmp_path / "run-5.pt")
    content = remember(Checkpoints("checkpoints", str(tmp_path)), Fresh.model)
    torch.save(linear(2).state_dict(), tmp_path / "run-5.pt")
    with pytest.raises(RecipeError, match="are others than those that were given"):
        record_given(Fresh(), content, tmp_path)
