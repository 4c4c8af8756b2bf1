"""Checkpoints that a user's program made: read, hashed, and measured as those of a training of this package."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ungrok.core.errors import RecipeError, shown, shown_file
from ungrok.core.files import save_tensors
from ungrok.core.modules import bare
from ungrok.core.weight_files import fitting, read_weights, state_in, step_files
from ungrok.core.weights import content_of
from ungrok.train.loop import Run
from ungrok.train.record import checkpoint_name

Checkpoint = nn.Module | str | Path | Mapping[str, Tensor]
"""A model, a file of weights, or a state dict."""


class Checkpoints:
    """The checkpoints of one training.

    Args:
        key: What messages call them.
        given: By step; or a folder, which :func:`ungrok.core.weight_files.step_files` looks into.

    Raises:
        RecipeError: If there are none, a step is no whole number, or two steps have the same model.

    """

    def __init__(self, key: str, given: Mapping[int, Checkpoint] | str | Path) -> None:
        self.key = key
        if isinstance(given, str | Path):
            given = step_files(Path(given).expanduser(), key)
        if not isinstance(given, Mapping) or not given:
            raise RecipeError(f"{key}: is {shown(given)}; allowed: models or files by step, or a folder of files")
        for step, one in given.items():
            if not isinstance(step, Integral) or isinstance(step, bool) or int(step) < 0:
                raise RecipeError(f"{key}: {shown(step)} is no step; allowed: whole numbers from 0")
            if not isinstance(one, nn.Module | str | Path | Mapping):
                raise RecipeError(
                    f"{key}: step {step} is a {type(one).__name__}; allowed: a model, a file or a state dict"
                )
        self._by_step = {int(step): given[step] for step in sorted(given)}
        live: dict[int, int] = {}
        for step, one in self._by_step.items():
            if id(one) in live and not isinstance(one, str | Path):
                raise RecipeError(
                    f"{key}: steps {live[id(one)]} and {step} are the same object, which holds its latest weights; keep copies"
                )
            live[id(one)] = step

    @property
    def steps(self) -> list[int]:
        """The steps, in ascending order."""
        return list(self._by_step)

    @property
    def model(self) -> nn.Module | None:
        """The first model; None where only weights are given."""
        return next((one for one in self._by_step.values() if isinstance(one, nn.Module)), None)

    @property
    def home(self) -> Path | None:
        """The folder of the first step's file; None where that is no file."""
        first = self._by_step[self.steps[0]]
        return Path(first).expanduser().parent if isinstance(first, str | Path) else None

    def weights(self, step: int, model: nn.Module) -> dict[str, Tensor]:
        """Return the weights at a step as a whole state dict of a model.

        Raises:
            RecipeError: If they cannot be read, or are not those of the model.

        """
        one, where = self._by_step[step], f"{self.key}: step {step}"
        if isinstance(one, nn.Module):
            one = bare(one).state_dict()
        elif isinstance(one, str | Path):
            where = f"{self.key}: {shown_file(one)}"
            one = read_weights(Path(one).expanduser(), self.key)
        return fitting(model, state_in(one, {*model.state_dict()}, where), where)

    def content(self, model: nn.Module) -> str:
        """Return the SHA-256 of all steps and weights, as hexadecimal digits."""
        summed = hashlib.sha256()
        for step in self.steps:
            summed.update(f"{step} ".encode() + content_of(self.weights(step, model)))
        return summed.hexdigest()


_known: dict[str, Checkpoints] = {}


def remember(checkpoints: Checkpoints, model: nn.Module) -> str:
    """Keep checkpoints for a training job of this process, and return the hash of their content, which names them."""
    content = checkpoints.content(model)
    _known[content] = checkpoints
    return content


def record_given(run: Run, content: str, folder: Path) -> dict[str, Any]:
    """Measure checkpoints and keep them under ``folder``, as :meth:`ungrok.train.Run.record` does with those of a training.

    Args:
        run: A fresh one of the same model and data.
        content: What :func:`remember` returned.
        folder: Exists.

    Raises:
        RecipeError: If another process was given them, or if they have changed since.

    """
    if content not in _known:
        raise RecipeError(
            "checkpoints: were given to ungrok.sweep by another process; call that again: what is finished is not done again"
        )
    given, rows = _known[content], []
    if given.content(run.model) != content:
        raise RecipeError(
            "checkpoints: are others than those that were given; another training wrote to the same place"
        )
    for step in given.steps:
        run.model.load_state_dict(given.weights(step, run.model))
        run.step = step
        rows.append(run.measure())
        save_tensors(folder / checkpoint_name(step), run.state())
    return {"status": "completed", "steps": given.steps[-1], "rows": rows, "checkpoints": given.steps}
