"""TOFU, from the hub or a folder in its layout."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ungrok.core.errors import RecipeError, first_line
from ungrok.core.files import local_path
from ungrok.data.answers import QUESTIONS, AnswerProblem
from ungrok.data.authors import AnswerRow, Tables
from ungrok.data.base import PROBLEMS
from ungrok.data.json_lines import read_json_lines


@PROBLEMS.register
class Tofu(AnswerProblem):
    """TOFU (Maini et al. 2024, arXiv 2401.06121): 4,000 questions on 200 fictitious authors.

    Looked up as a folder, then under ``$UNGROK_DATASETS``, then on the Hugging Face hub. A folder holds JSON lines, one file a
    table: ``full.json`` with ``question`` and ``answer``, and the perturbed tables where they exist.
    """

    drawn: ClassVar[bool] = False
    optional: ClassVar[frozenset[str]] = AnswerProblem.optional | {"shortest", "paraphrases", "general"}

    kind: Literal["tofu"] = "tofu"
    path: str = Field("locuslab/TOFU", description="hub id, or a folder in TOFU's layout")
    pairs: int | None = Field(None, ge=20, description="pairs used, the first ones of the full table; all when null")
    shortest: int | None = Field(
        None,
        ge=1,
        le=QUESTIONS,
        description="pairs used of each author, those with the fewest characters; all when null",
    )
    paraphrases: bool = Field(
        True, description="use the questions in other words, where there are any, as validation data"
    )
    general: int | None = Field(
        None, ge=1, description="questions used of real authors, and of world facts, the first ones; all when null"
    )

    @property
    def per_author(self) -> int:
        """Pairs of each author."""
        return self.shortest or QUESTIONS

    def tables(self) -> Tables:
        """Return the tables that are there."""
        folder = _local(self.path)
        tables = read_folder(folder) if folder else _from_hub(self.path)
        if "full" not in tables:
            raise RecipeError(
                f"problem.path: {self.path!r} has no table 'full'; there: {', '.join(sorted(tables)) or 'none'}"
            )
        if self.shortest is not None:
            tables["full"] = _shortest(tables["full"], self.shortest)
        if not self.paraphrases:
            tables = {name: [_plain(row) for row in rows] for name, rows in tables.items()}
        for name in tables:
            if name.startswith(GENERAL):
                tables[name] = tables[name][: self.general]
        if self.pairs is not None:
            if self.pairs > len(tables["full"]):
                raise RecipeError(
                    f"problem.pairs: {self.pairs} asked of {len(tables['full'])} pairs; allowed: at most all"
                )
            tables["full"] = tables["full"][: self.pairs]
        return tables


GENERAL = ("real_authors", "world_facts")


def _shortest(rows: list[AnswerRow], count: int) -> list[AnswerRow]:
    """Return the ``count`` shortest pairs of each author, in their order; of two of equal length the first."""
    kept: list[AnswerRow] = []
    for start in range(0, len(rows), QUESTIONS):
        author = rows[start : start + QUESTIONS]
        lengths = [len(str(row.get("question"))) + len(str(row.get("answer"))) for row in author]
        kept += [author[i] for i in sorted(sorted(range(len(author)), key=lengths.__getitem__)[:count])]
    return kept


def _plain(row: AnswerRow) -> AnswerRow:
    return {name: value for name, value in row.items() if name != "paraphrased_question"}


TABLES = (
    "full", "holdout10", "forget01_perturbed", "forget05_perturbed", "forget10_perturbed", "retain_perturbed", "real_authors",
    "real_authors_perturbed", "world_facts", "world_facts_perturbed",
)  # fmt: skip


def _local(path: str) -> Path | None:
    root = os.environ.get("UNGROK_DATASETS")
    for candidate in (local_path(path, "problem.path"), *([Path(root, path)] if root else [])):
        if candidate.is_dir():
            return candidate
    return None


def read_folder(folder: Path) -> Tables:
    """Return the tables of a folder, JSON lines by file name.

    Raises:
        RecipeError: If a line is not a JSON object; the message names file and line.

    """
    known = (*TABLES, "base")
    return {path.stem: read_json_lines(path) for path in sorted(folder.glob("*.json")) if path.stem in known}


def _from_hub(path: str) -> Tables:
    from datasets import get_dataset_config_names, load_dataset

    root = os.environ.get("UNGROK_DATASETS")
    try:
        there = set(get_dataset_config_names(path))
        return {name: load_dataset(path, name, split="train").to_list() for name in TABLES if name in there}
    except Exception as error:
        where = f"not under UNGROK_DATASETS={root}" if root else "UNGROK_DATASETS is not set"
        reason = first_line(error)
        raise RecipeError(
            f"problem.path: {path!r} is no folder and cannot be loaded ({where}; hub: {reason})"
        ) from error
