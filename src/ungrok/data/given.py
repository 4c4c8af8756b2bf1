"""Data that a user's program gives to :func:`ungrok.api.sweep`: kept once under the hash of their content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.errors import DamagedFile, NotApplicable, RecipeError
from ungrok.core.files import load_tensors, save_tensors
from ungrok.core.weights import content_of
from ungrok.data.base import PROBLEMS, Data, Problem, Split
from ungrok.data.cache import cache_root
from ungrok.data.forget import FORGET_RULES, ForgetRule

SETS = ("train", "validation", "test")
AGAIN = "the same call of ungrok.sweep writes it again"


@dataclass(frozen=True)
class GivenData(Data):
    """Data whose user has said what is to be forgotten.

    Args:
        asked: Sorted int64 indices into ``train`` of the forget examples.

    """

    asked: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))


def keep(data: GivenData) -> str:
    """Write data to the cache, unless they are there, and return the hash of their content."""
    tensors = {"asked": data.asked, "classes": torch.tensor(data.classes)}
    for name in SETS:
        part: Split = getattr(data, name)
        assert isinstance(part.inputs, Tensor)
        tensors |= {f"{name}.inputs": part.inputs, f"{name}.targets": part.targets}
    content = content_of(tensors).hex()
    file = file_of(content)
    if not file.exists():
        save_tensors(file, tensors)
    return content


def file_of(content: str) -> Path:
    """Return the file in which data lie that were given, in a folder that exists."""
    folder = cache_root() / "given"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{content}.safetensors"


def read_kept(content: str, hashed: Callable[[Mapping[str, Tensor]], str]) -> Mapping[str, Tensor]:
    """Return the tensors of data that were given.

    Args:
        content: Hash of the data.
        hashed: Gives the hash of the tensors that are read.

    Raises:
        RecipeError: If they are not there, or damaged; then they are removed.

    """
    file = file_of(content)
    try:
        tensors = load_tensors(file)
    except DamagedFile as error:
        raise RecipeError(f"problem: {error}; {AGAIN}") from None
    if hashed(tensors) != content:
        file.unlink()
        raise RecipeError(f"problem: {file} was damaged and is removed; {AGAIN}")
    return tensors


@PROBLEMS.register
class GivenProblem(Problem):
    """The examples that were given to ``ungrok.sweep``; they lie in the cache under the hash of their content."""

    drawn: ClassVar[bool] = False

    kind: Literal["given"] = "given"
    content: str = Field(
        "", pattern="^([0-9a-f]{64})?$", description="SHA-256 of the examples; written by ungrok.sweep"
    )

    def splits(self) -> tuple[Split, Split, Split, int]:
        """Return the three splits and the number of classes."""
        tensors = self._tensors()
        parts = (Split(tensors[f"{name}.inputs"], tensors[f"{name}.targets"]) for name in SETS)
        return (*parts, int(tensors["classes"]))  # type: ignore[return-value]

    def load(self) -> Data:
        """Return the splits, and what is to be forgotten."""
        data = super().load()
        return GivenData(**vars(data), asked=self._tensors()["asked"])

    def _tensors(self) -> Mapping[str, Tensor]:
        return read_kept(self.content, lambda tensors: content_of(tensors).hex())


@FORGET_RULES.register
class GivenExamples(ForgetRule):
    """The forget examples that were given to ``ungrok.sweep``."""

    kind: Literal["given"] = "given"

    @property
    def drawn(self) -> bool:
        """False: the user has chosen them."""
        return False

    def choose(self, data: Data, draw: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return the indices of what the user asked to forget."""
        asked: Tensor | None = getattr(data, "asked", None)
        if asked is None:
            raise NotApplicable("forget: kind given is for the data of ungrok.sweep, problem kind given or given_text")
        return asked
