"""Texts that a user's program gives to :func:`ungrok.api.sweep` as tokens: kept once under the hash of their content."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from ungrok.core.causal_lm import IGNORED
from ungrok.core.errors import RecipeError
from ungrok.core.files import save_tensors
from ungrok.core.objective import Family
from ungrok.core.pretrained import open_tokenizer
from ungrok.core.schema import digest
from ungrok.core.weights import content_of
from ungrok.data.answers import AnswerData, Questions
from ungrok.data.authors import AnswerRow
from ungrok.data.base import PROBLEMS, Problem, Split
from ungrok.data.given import AGAIN, SETS, file_of, read_kept
from ungrok.data.tokens import TokenSplit

COLUMNS = ("inputs", "targets", "labels", "lengths")


@dataclass(frozen=True, kw_only=True)
class GivenAnswers(AnswerData):
    """Question-answer pairs, or whole texts, whose user has said what is to be forgotten.

    Args:
        asked: Sorted int64 indices into ``train`` of the forget examples.

    """

    followed: ClassVar[tuple[Literal["train", "validation"], ...]] = ()

    asked: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))


def texts_of(split: TokenSplit, tokenizer: Any) -> list[AnswerRow]:
    """Return question and answer of every example as text; where everything is learned, both are the whole text."""
    answers = split.answers(tokenizer)
    learned = split.labels.ne(IGNORED).sum(dim=1)
    before = (split.lengths - learned).where(learned < split.lengths, split.lengths)
    questions = [row[:end] for row, end in zip(split.inputs.tolist(), before.tolist(), strict=True)]
    asked = tokenizer.batch_decode(questions, skip_special_tokens=True)
    return [{"question": q.strip(), "answer": a} for q, a in zip(asked, answers, strict=True)]


def questions_of(train: TokenSplit) -> dict[str, Questions]:
    """Return the questions that are asked of a model, by the name of their set: those of training, without wrong answers.

    A text that is learned from its first token asks nothing.
    """
    asking = (train.labels.ne(IGNORED).sum(dim=1) < train.lengths).nonzero().squeeze(1)
    asked, none = train.of(asking), train.of(torch.arange(0))
    return {"train": Questions(asked, asked, none, 0, asking)} if len(asking) else {}


def check_tokenizer(tokenizer: Any) -> None:
    """Raise RecipeError unless a tokenizer can be kept, and can write what tokens say."""
    for needed in ("batch_decode", "get_vocab", "save_pretrained"):
        if not callable(getattr(tokenizer, needed, None)):
            raise RecipeError(f"tokenizer: is a {type(tokenizer).__name__}; allowed: a tokenizer of transformers")


def keep(data: GivenAnswers) -> str:
    """Write data and tokenizer to the cache, unless they are there, and return the hash of their content."""
    ends = torch.tensor([data.train.pad, -1 if data.train.eos is None else data.train.eos])
    tensors = {"asked": data.asked, "classes": torch.tensor(data.classes), "ends": ends}
    for name in SETS:
        tensors |= _columns(name, getattr(data, name))
    for name, other in data.others.items():
        tensors |= _columns(f"other.{name}", other)
    content = _content(tensors, data.tokenizer)
    file = file_of(content)
    if not file.exists():
        shutil.rmtree(_folder(content), ignore_errors=True)
        data.tokenizer.save_pretrained(str(_folder(content)))
        save_tensors(file, tensors)
    return content


def _columns(name: str, split: TokenSplit) -> dict[str, Tensor]:
    return {f"{name}.{column}": getattr(split, column) for column in COLUMNS}


def _content(tensors: Mapping[str, Tensor], tokenizer: Any) -> str:
    """Return the hash of data and of the tokenizer's vocabulary, which says what texts they are."""
    known = digest(sorted(map(list, tokenizer.get_vocab().items())))
    return sha256(content_of(tensors) + known.encode()).hexdigest()


def _folder(content: str) -> Path:
    return file_of(content).with_suffix(".tokenizer")


@PROBLEMS.register
class GivenText(Problem):
    """The texts that were given to ``ungrok.sweep``; they lie in the cache as tokens, under the hash of their content."""

    family: ClassVar[Family] = "language"
    scores: ClassVar[Literal["class", "answer"]] = "answer"
    drawn: ClassVar[bool] = False

    kind: Literal["given_text"] = "given_text"
    content: str = Field(
        "", pattern="^([0-9a-f]{64})?$", description="SHA-256 of texts and tokenizer; written by ungrok.sweep"
    )

    def splits(self) -> tuple[Split, Split, Split, int]:
        """Return the three splits and the number of groups."""
        data = self.load()
        return data.train, data.validation, data.test, data.classes

    def load(self) -> GivenAnswers:
        """Return the splits, and what is to be forgotten.

        Raises:
            RecipeError: If they are not in the cache, or damaged.

        """
        folder = _folder(self.content)
        if not folder.is_dir():
            raise RecipeError(f"problem: {folder} is missing; {AGAIN}")
        tokenizer = open_tokenizer(str(folder))
        tensors = read_kept(self.content, lambda tensors: _content(tensors, tokenizer))
        pad, eos = tensors["ends"].tolist()

        def split(name: str) -> TokenSplit:
            inputs, targets, labels, lengths = (tensors[f"{name}.{column}"] for column in COLUMNS)
            return TokenSplit(
                inputs=inputs,
                targets=targets,
                labels=labels,
                lengths=lengths,
                index=torch.arange(len(lengths)),
                side="right",
                pad=pad,
                eos=None if eos < 0 else eos,
            )

        names = {name.split(".")[1] for name in tensors if name.startswith("other.")}
        train, test = split("train"), split("test")
        return GivenAnswers(
            train=train,
            validation=split("validation"),
            test=test,
            classes=int(tensors["classes"]),
            mislabeled=torch.zeros(0, dtype=torch.int64),
            tokenizer=tokenizer,
            base=None,
            others={name: split(f"other.{name}") for name in sorted(names)},
            held_out=test,
            probes=questions_of(train),
            rows=texts_of(train, tokenizer),
            asked=tensors["asked"],
        )
