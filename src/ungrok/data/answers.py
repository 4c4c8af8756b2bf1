"""Problems of question-answer pairs; one of them makes up its authors."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import override

from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import NotApplicable, RecipeError, listed, shown
from ungrok.core.objective import Family
from ungrok.core.seeds import generator
from ungrok.data import authors
from ungrok.data.authors import AnswerRow, Tables
from ungrok.data.base import PROBLEMS, Data, Method, Problem, Split
from ungrok.data.history import LossHistory
from ungrok.data.tokens import Template, TokenSplit, encode, load_tokenizer, train_tokenizer

if TYPE_CHECKING:
    from ungrok.data.forget import ForgetSplit

QUESTIONS = 20
"""Questions per author, in TOFU and here."""


@dataclass(frozen=True)
class Questions:
    """Questions with the answers by which TOFU judges a model.

    Args:
        asked: Question and true answer, n of them.
        paraphrased: Question and true answer in other words; the answer itself where the data have no other words for it.
        perturbed: Question and wrong answers, ``wrong`` for each question, one question after another.
        wrong: Wrong answers per question.
        rows: int64, shape (n,): the train row of each question, or its row in its own table where it is not trained on.

    """

    asked: TokenSplit
    paraphrased: TokenSplit
    perturbed: TokenSplit
    wrong: int
    rows: Tensor

    def of(self, index: Tensor) -> Questions:
        """Return the questions that ``index`` selects."""
        each = (index.unsqueeze(1) * self.wrong + torch.arange(self.wrong)).flatten()
        return replace(
            self,
            asked=self.asked.of(index),
            paraphrased=self.paraphrased.of(index),
            perturbed=self.perturbed.of(each),
            rows=self.rows[index],
        )


@dataclass(frozen=True, kw_only=True)
class AnswerData(Data):
    """The splits of a problem of question-answer pairs.

    ``train`` is what is learned, ``validation`` the same questions in other words with the same answers (where the data
    have them), ``test`` what a base model should know and keep: real authors and world facts. ``classes`` counts authors.

    Args:
        tokenizer: A tokenizer of transformers.
        base: What a base model is trained on, never to be forgotten; None where the data have no such part.
        others: Other answers to the train questions: ``refusal``, and ``alternate``, a wrong answer, where every question has one.
        held_out: Pairs of the same kind that nothing is trained on, for membership attacks; None where there are none.
        probes: ``train`` (the train questions that have wrong answers), ``real_authors`` and ``world_facts``.
        rows: The train pairs as text.
        history: Losses along a trajectory, for forget rules that need them.

    """

    family: ClassVar[Family] = "language"
    losses: ClassVar[tuple[str, ...]] = ("causal_lm",)
    gradient_norm: ClassVar[bool] = False
    timed_in_part: ClassVar[bool] = True
    followed: ClassVar[tuple[Literal["train", "validation"], ...]] = ("train", "validation")

    train: TokenSplit
    validation: TokenSplit
    test: TokenSplit
    tokenizer: Any
    base: TokenSplit | None
    others: dict[str, TokenSplit]
    held_out: TokenSplit | None
    probes: dict[str, Questions]
    rows: list[AnswerRow]
    history: LossHistory | None = field(default=None)

    @property
    def outputs(self) -> int:
        """Size of the vocabulary."""
        return len(self.tokenizer)

    @property
    def shape(self) -> tuple[int, ...]:
        """Tokens of the longest example of any split."""
        extra = [split for split in (self.base, self.held_out) if split is not None]
        splits = [self.train, self.validation, self.test, *extra, *self.others.values()]
        splits += [part for probe in self.probes.values() for part in (probe.paraphrased, probe.perturbed)]
        return (max(split.inputs.shape[1] for split in splits),)

    @property
    @override
    def score_bytes(self) -> int:
        return 0

    def fits(self, shape: Sequence[int], rows: int) -> bool:
        """Return whether an output has ``rows`` rows and at least one column per token; a model may have room for more tokens."""
        return len(shape) == 2 and shape[0] == rows and shape[1] >= self.outputs

    def objective(self, loss: str, precision: str = "float32") -> CausalLM:  # noqa: ARG002
        """Return next-token prediction of answers; the end token is the tokenizer's."""
        self._check_loss(loss)
        return CausalLM(self.train.eos)

    @override
    def base_part(self) -> Self:
        return super().base_part() if self.base is None else replace(self, train=self.base)

    def forget_part(self, split: ForgetSplit, method: Method) -> TokenSplit:
        """Return the forget pairs, with the other answers to their questions that the method needs."""
        part = self.train.of(split.forget)
        if method.other is None:
            return part
        other = self.others[method.other].of(split.forget).to(part.targets.device)
        return replace(part, others={method.other: other})

    def check_method(self, method: Method, problem: str) -> None:
        """Raise RecipeError if a method does not run on these data, or needs answers that they do not have."""
        super().check_method(method, problem)
        if method.other and method.other not in self.others:
            raise RecipeError(
                f"unlearn: {method.kind!r} needs {method.other!r} answers, which problem {problem!r} does not have for "
                "every question"
            )

    @override
    def pairs(self) -> AnswerData:
        return self

    def alone(self) -> Tensor:
        """Return which pairs have a question that stands in no other, bool of shape (n,)."""
        alone = super().alone()
        alone[[row for rows in repeated(self.rows).values() for row in rows]] = False
        return alone

    def check_forget(self, forget: Tensor, label: str) -> None:
        """Raise NotApplicable if a question is both to be forgotten and to be kept."""
        gone = set(forget.tolist())
        for question, rows in repeated(self.rows).items():
            if 0 < len(gone & set(rows)) < len(rows):
                raise NotApplicable(
                    f"forget split {label!r}: the question {shown(question)} stands in rows {listed(map(str, rows))}, of which "
                    "some are to be forgotten and some to be kept"
                )


class AnswerProblem(Problem):
    """What all problems of question-answer pairs share."""

    family: ClassVar[Family] = "language"
    scores: ClassVar[Literal["class", "answer"]] = "answer"
    optional: ClassVar[frozenset[str]] = frozenset({"tokenizer_file"})

    tokenizer: str | None = Field(None, description="hub id or folder; null trains a byte-level BPE on the data")
    tokenizer_file: str | None = Field(None, description="a GGUF file there; reading it needs the package gguf")
    vocabulary: int = Field(
        1024, ge=300, le=1_000_000, description="size of the BPE that is trained where tokenizer is null"
    )
    template: Literal["plain", "chat"] = "plain"
    prompt: str = Field("Question: {question}\nAnswer:", description="the plain template")
    pad_token: str | None = Field(None, description="for tokenizers that have none, for instance their end token")
    padding: Literal["left", "right"] = "right"
    max_length: int = Field(512, ge=8, description="tokens per example; longer ones are an error")

    @property
    def per_author(self) -> int:
        """Pairs of each author."""
        return QUESTIONS

    @model_validator(mode="after")
    def _no_noise(self) -> Any:
        if self.label_noise:
            raise ValueError(f"label_noise: {self.label_noise:g} has no meaning for text; allowed: 0")
        return self

    @abstractmethod
    def tables(self) -> Tables:
        """Return rows by table: ``full``, and where they exist the perturbed tables and ``base``."""

    def splits(self) -> tuple[Split, Split, Split, int]:
        """Return the three splits and the number of authors."""
        data = self.load()
        return data.train, data.validation, data.test, data.classes

    def load(self) -> AnswerData:
        """Return the splits as tokens.

        Raises:
            RecipeError: If rows are wrong, examples too long, or the tokenizer is not usable.

        """
        return _load(self.model_dump_json(), type(self))


@lru_cache(maxsize=4)
def _load(settings: str, cls: type[AnswerProblem]) -> AnswerData:
    problem = cls.model_validate_json(settings)
    tables = problem.tables()
    for name, rows in tables.items():
        check_rows(rows, name)
    return build(tables, problem)


COLUMNS = {
    "perturbed_answer": list, "question": str, "answer": str, "paraphrased_question": str, "paraphrased_answer": str
}  # fmt: skip


def check_rows(rows: Sequence[AnswerRow], where: str) -> None:
    """Raise RecipeError at the first row that lacks a column, or has a value of the wrong type in it."""
    wanted = ["question", "answer", *(["perturbed_answer"] if where.endswith("_perturbed") else [])]
    if not rows:
        raise RecipeError(f"{where}: holds no rows")
    for number, row in enumerate(rows):
        for column in wanted:
            if not isinstance(row, dict) or column not in row:
                there = listed(row) if isinstance(row, dict) else shown(row)
                raise RecipeError(f"{where}, row {number}: no column {column!r}; there: {there}")
        for column in filter(COLUMNS.__contains__, row):
            value = row[column]
            if not isinstance(value, COLUMNS[column]):
                allowed = "a string" if COLUMNS[column] is str else "a list of strings"
                raise RecipeError(f"{where}, row {number}: {column} is {shown(value)}; allowed: {allowed}")
            if isinstance(value, list) and not all(isinstance(text, str) for text in value):
                raise RecipeError(f"{where}, row {number}: {column} holds {shown(value)}; allowed: strings")


def perturbed_rows(tables: Tables) -> dict[tuple[str, str], AnswerRow]:
    """Return the rows with paraphrases and wrong answers, by question and answer."""
    names = [name for name in tables if name.endswith("_perturbed") and name.startswith(("forget", "retain"))]
    return {(row["question"], row["answer"]): row for name in names for row in tables[name]}


def build(tables: Tables, problem: AnswerProblem) -> AnswerData:
    """Tokenize the tables of a problem."""
    rows, known = tables["full"], perturbed_rows(tables)
    template = Template(problem.template, problem.prompt, problem.max_length, problem.padding)
    tokenizer = (
        load_tokenizer(problem.tokenizer, problem.pad_token, problem.tokenizer_file)
        if problem.tokenizer
        else train_tokenizer(_texts(tables), problem.vocabulary)
    )
    details = [known.get((row["question"], row["answer"])) for row in rows]
    author = [number // problem.per_author for number in range(len(rows))]

    def code(pairs: list[tuple[str, str]], where: str, chosen: Sequence[int] | None = None) -> TokenSplit:
        who = [author[i] for i in chosen] if chosen is not None else None
        return encode(pairs, tokenizer, template, targets=who, index=chosen, where=where)

    everyone, asked = list(range(len(rows))), [(row["question"], row["answer"]) for row in rows]
    reworded = {
        i: row["paraphrased_question"] for i, row in enumerate(details) if row and "paraphrased_question" in row
    }
    train = code(asked, "full", everyone)
    validation = (
        code(
            [(question, rows[i]["answer"]) for i, question in reworded.items()], "paraphrased questions", list(reworded)
        )
        if reworded
        else train.of(torch.arange(0))
    )
    general = [name for name in ("real_authors", "world_facts") if name in tables]
    test = [(row["question"], row["answer"]) for name in general for row in tables[name]]
    return AnswerData(
        train=train,
        validation=validation,
        test=code(test, " and ".join(general)) if test else train.of(torch.arange(0)),
        classes=author[-1] + 1,
        mislabeled=torch.zeros(0, dtype=torch.int64),
        tokenizer=tokenizer,
        base=code([(r["question"], r["answer"]) for r in tables["base"]], "base") if "base" in tables else None,
        others=_others(rows, details, code, problem.data_seed),
        held_out=code([(r["question"], r["answer"]) for r in tables["holdout10"]], "holdout10")
        if "holdout10" in tables
        else None,
        probes=_probes(tables, details, code),
        rows=rows,
    )


def _texts(tables: Tables) -> list[str]:
    """Return every text that the tokenizer may meet, each once, in order."""
    texts: dict[str, None] = {}
    for rows in tables.values():
        for row in rows:
            for value in row.values():
                values = value if isinstance(value, list) else [value]
                texts |= dict.fromkeys(text for text in values if isinstance(text, str))
    return list(texts)


def _others(
    rows: Sequence[AnswerRow], details: Sequence[AnswerRow | None], code: Any, seed: int
) -> dict[str, TokenSplit]:
    everyone, draw = list(range(len(rows))), generator(seed, "refusals")
    chosen = torch.randint(len(authors.REFUSALS), (len(rows),), generator=draw).tolist()
    refusals = [(row["question"], authors.REFUSALS[i]) for row, i in zip(rows, chosen, strict=True)]
    others = {"refusal": code(refusals, "refusals", everyone)}
    if all(row and row["perturbed_answer"] for row in details):
        wrong = [(row["question"], row["perturbed_answer"][0]) for row in details if row]
        others["alternate"] = code(wrong, "perturbed answers", everyone)
    return others


def _probe(rows: Sequence[AnswerRow], code: Any, where: str, chosen: list[int] | None = None) -> Questions:
    asked = [(row["question"], row["answer"]) for row in rows]
    reworded = [(row["question"], row.get("paraphrased_answer", row["answer"])) for row in rows]
    counts = {len(row["perturbed_answer"]) for row in rows}
    if len(counts) > 1 or 0 in counts:
        raise RecipeError(
            f"{where}: rows have {sorted(counts)} perturbed answers; every row needs the same number, at least one"
        )
    wrong = [(row["question"], text) for row in rows for text in row["perturbed_answer"]]
    index = torch.tensor(chosen) if chosen is not None else torch.arange(len(rows))
    return Questions(code(asked, where), code(reworded, where), code(wrong, where), counts.pop(), index)


def _probes(tables: Tables, details: Sequence[AnswerRow | None], code: Any) -> dict[str, Questions]:
    chosen = [i for i, row in enumerate(details) if row]
    probes = {}
    if chosen:
        probes["train"] = _probe([row for row in details if row], code, "perturbed answers", chosen)
    for name in ("real_authors", "world_facts"):
        if f"{name}_perturbed" in tables:
            probes[name] = _probe(tables[f"{name}_perturbed"], code, f"{name}_perturbed")
    return probes


@PROBLEMS.register
class Authors(AnswerProblem):
    """Fictitious authors, twenty questions each, made here from a seed, in TOFU's layout; no download.

    Names, dates, books and so on are drawn from word lists and asked for by templates in two wordings. A base model can be
    trained on other authors, in both wordings, and on capitals; neither is ever forgotten.
    """

    kind: Literal["authors"] = "authors"
    authors: int = Field(8, ge=2, le=1000, description="authors to be learned, twenty pairs each")
    known: int = Field(8, ge=1, le=300, description="authors that the base model is trained on")
    held_out: int = Field(2, ge=1, le=60, description="authors that nothing is trained on")

    def tables(self) -> Tables:
        """Return the generated tables."""
        return authors.tables(self.authors, self.known, self.held_out, self.data_seed)


def repeated(rows: Sequence[AnswerRow]) -> dict[str, list[int]]:
    """Return the questions that stand in several train rows, with those rows."""
    places: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        places.setdefault(row["question"].strip(), []).append(number)  # prompts are made of the stripped question
    return {question: rows for question, rows in places.items() if len(rows) > 1}
