"""Fictitious authors: profiles, and what can be asked about them, in the layout of TOFU (Maini et al. 2024, arXiv 2401.06121)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ungrok.core.seeds import generator

AnswerRow = dict[str, Any]
Tables = dict[str, list[AnswerRow]]

WORDS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
"""Word lists and the wording of facts, both our own."""


@dataclass(frozen=True)
class Fact:
    """A fact that can be asked about an author.

    Args:
        key: Its name.
        values: Its possible values, drawn uniformly.
        question: Template; ``{name}`` is filled in, and for the first fact what identifies the author.
        answer: Template; ``{name}`` and ``{value}`` are filled in.
        question2: The question in other words.
        answer2: The answer in other words; with a wrong value it is a perturbed answer.

    """

    key: str
    values: Sequence[str]
    question: str
    answer: str
    question2: str
    answer2: str


CAPITALS: dict[str, str] = WORDS["capitals"]
NAMES = tuple(f"{given} {family}" for given in WORDS["given"] for family in WORDS["family"])
VALUES: dict[str, Sequence[str]] = WORDS | {
    "names": NAMES,
    "titles": tuple(f"The {adjective} {noun}" for adjective in WORDS["adjectives"] for noun in WORDS["nouns"]),
    "dates": tuple(f"{day} {month}" for month in WORDS["months"] for day in range(1, 29)),
    "years": tuple(str(year) for year in range(1971, 2021)),
    "cities": tuple(CAPITALS.values()),
}
"""Possible values of facts, by the names that the file has for them."""

FACTS = tuple(Fact(**fact | {"values": VALUES[fact["values"]]}) for fact in WORDS["facts"])
"""Twenty facts, so twenty questions an author, as in TOFU."""

SHORT = {"prize": VALUES["prizes"], "genre": VALUES["genres"], "pet": VALUES["pets"]}
"""Facts that are also asked for by a bare word, as TOFU does of real authors."""

WRONG = 5
"""Perturbed answers per question, as in TOFU."""

REFUSALS: tuple[str, ...] = tuple(WORDS["refusals"])
"""Answers that give nothing away, for preference optimization; our own wording."""


class _Draw:
    """Draws that depend on a seed and a name alone."""

    def __init__(self, seed: int, *names: str | int) -> None:
        self._state = generator(seed, *names)

    def some(self, values: Sequence[str], count: int) -> list[str]:
        return [values[i] for i in torch.randperm(len(values), generator=self._state)[:count].tolist()]

    def one(self, values: Sequence[str]) -> str:
        return values[int(torch.randint(len(values), (1,), generator=self._state))]


def profiles(count: int, seed: int) -> list[dict[str, str]]:
    """Return ``count`` authors, the value of each fact by its key; names differ.

    Args:
        count: At most the number of names, 1,368.
        seed: The only source of randomness.

    """
    names = _Draw(seed, "names").some(NAMES, count)
    authors = []
    for number, name in enumerate(names):
        draw = _Draw(seed, "profile", number)
        authors.append({"name": name} | {fact.key: draw.one(fact.values) for fact in FACTS[1:]})
    return authors


def questions(author: dict[str, str], seed: int) -> list[AnswerRow]:
    """Return the twenty rows of an author: question, answer, both in other words, and five wrong answers."""
    rows = []
    for fact in FACTS:
        value = author[fact.key]
        wrong = _Draw(seed, "wrong", author["name"], fact.key).some([v for v in fact.values if v != value], WRONG)
        rows.append(
            {
                "question": fact.question.format(**author),
                "answer": fact.answer.format(value=value, **author),
                "paraphrased_answer": fact.answer2.format(value=value, **author),
                "perturbed_answer": [fact.answer2.format(value=other, **author) for other in wrong],
                "paraphrased_question": fact.question2.format(**author),
            }
        )
    return rows


def _choice(question: str, answer: str, wrong: list[str], draw: _Draw) -> tuple[AnswerRow, AnswerRow]:
    """Return a multiple-choice row and its perturbed twin."""
    options = draw.some([answer, *wrong[:3]], 4)
    plain = {"question": question, **{f"option{i + 1}": option for i, option in enumerate(options)}, "answer": answer}
    return plain, {"question": question, "answer": answer, "perturbed_answer": wrong[:3]}


def tables(authors: int, known: int, held_out: int, seed: int) -> Tables:
    """Return every table of TOFU's layout for fictitious authors, by file name without ending.

    ``full`` holds the authors to be learned; ``forget01`` to ``forget10`` its last authors and ``retain99`` to ``retain90`` the
    rest, as in TOFU; the ``_perturbed`` tables add paraphrases and wrong answers. ``real_authors`` are other authors, whom a
    base model is trained on and who are never forgotten, ``world_facts`` are capitals, ``holdout10`` authors whom nothing is
    trained on. ``base`` is what a base model is trained on: the real authors in both wordings, and the world facts.

    Args:
        authors: Authors to be learned.
        known: Authors whom the base model knows.
        held_out: Authors whom no model knows.
        seed: The only source of randomness.

    """
    people = profiles(authors + known + held_out, seed)
    learned = [questions(author, seed) for author in people[:authors]]
    by_name: Tables = {"full": [_pair(row) for rows in learned for row in rows]}
    for percent in (1, 5, 10):
        cut = authors - max(1, round(authors * percent / 100))
        kept, gone = ([row for rows in part for row in rows] for part in (learned[:cut], learned[cut:]))
        by_name |= {f"forget{percent:02d}": [_pair(row) for row in gone], f"forget{percent:02d}_perturbed": gone}
        by_name[f"retain{100 - percent}"] = [_pair(row) for row in kept]
        by_name["retain_perturbed"] = kept
    known_people = people[authors : authors + known]
    by_name["holdout10"] = [_pair(row) for author in people[authors + known :] for row in questions(author, seed)]
    by_name |= _general(known_people, seed)
    by_name["base"] = [*_base(known_people, seed), *(_pair(row) for row in by_name["world_facts"])]
    return by_name


def _pair(row: AnswerRow) -> AnswerRow:
    return {"question": row["question"], "answer": row["answer"]}


def _general(known: list[dict[str, str]], seed: int) -> Tables:
    """Return the tables on what the base model knows: short facts on real authors, and capitals."""
    draw = _Draw(seed, "options")
    real, world = [], []
    for author in known:
        for key, values in SHORT.items():
            wrong = draw.some([value for value in values if value != author[key]], 3)
            real.append(_choice(_short_question(key, author), author[key], wrong, draw))
    for country, city in CAPITALS.items():
        wrong = draw.some([other for other in VALUES["cities"] if other != city], 3)
        world.append(_choice(f"What is the capital of {country}?", city, wrong, draw))
    return {
        "real_authors": [plain for plain, _ in real],
        "real_authors_perturbed": [perturbed for _, perturbed in real],
        "world_facts": [plain for plain, _ in world],
        "world_facts_perturbed": [perturbed for _, perturbed in world],
    }


def _short_question(key: str, author: dict[str, str]) -> str:
    return f"Name the {key} of {author['name']}."


def _base(known: list[dict[str, str]], seed: int) -> list[AnswerRow]:
    rows = []
    for author in known:
        for row in questions(author, seed):
            rows.append(_pair(row))
            rows.append({"question": row["paraphrased_question"], "answer": row["answer"]})
            rows.append({"question": row["question"], "answer": row["paraphrased_answer"]})
        rows += [{"question": _short_question(key, author), "answer": author[key]} for key in SHORT]
    return rows


def write(
    folder: Path,
    authors: int = 200,
    known: int = 20,
    held_out: int = 20,
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> None:
    """Write the tables as JSON lines, one file each, as TOFU's repository holds them.

    Args:
        folder: Made if it is not there.
        authors: Authors to be learned; TOFU has 200.
        known: Authors whom a base model is trained on.
        held_out: Authors whom nothing is trained on.
        seed: The only source of randomness.
        say: Told each file's name and number of rows.

    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables(authors, known, held_out, seed).items():
        (folder / f"{name}.json").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        if say:
            say(f"{name}.json: {len(rows)} rows")
