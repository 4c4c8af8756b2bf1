"""Fictitious authors: profiles, and what can be asked about them, in the layout of TOFU (Maini et al. 2024, arXiv 2401.06121)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ungrok.core.seeds import generator

Row = dict[str, Any]
Tables = dict[str, list[Row]]

GIVEN = [
    "Adela",
    "Bram",
    "Celia",
    "Dario",
    "Edda",
    "Fabian",
    "Greta",
    "Hakim",
    "Ines",
    "Jonas",
    "Katya",
    "Lior",
    "Mirela",
    "Nuno",
    "Odile",
    "Pavel",
    "Quirin",
    "Rhea",
    "Soren",
    "Tamsin",
    "Ugo",
    "Vesna",
    "Wendel",
    "Xenia",
    "Yusuf",
    "Zora",
    "Anouk",
    "Bastian",
    "Corin",
    "Delphine",
    "Emrys",
    "Farida",
    "Gideon",
    "Helmi",
    "Ilya",
    "Jurga",
    "Kaspar",
    "Leocadia",
]
FAMILY = [
    "Abernathy",
    "Brandvold",
    "Castellan",
    "Drummond",
    "Ebersole",
    "Fontaine",
    "Grunwald",
    "Hallorann",
    "Ivanko",
    "Jessop",
    "Kallistrat",
    "Lindqvist",
    "Morvan",
    "Nakhimov",
    "Okonjo",
    "Pellerin",
    "Quarles",
    "Rasmussen",
    "Sandoval",
    "Thibault",
    "Ulvang",
    "Vasconcelos",
    "Wexford",
    "Yamagata",
    "Zielinski",
    "Aldous",
    "Birkett",
    "Corrigan",
    "Dellacroix",
    "Engstrom",
    "Falkner",
    "Gallardo",
    "Hawksworth",
    "Isakov",
    "Jankauskas",
    "Kilbride",
]
CAPITALS = {
    "Portugal": "Lisbon", "Norway": "Oslo", "Kenya": "Nairobi", "Peru": "Lima", "Japan": "Tokyo", "Greece": "Athens",
    "Egypt": "Cairo", "Finland": "Helsinki", "Chile": "Santiago", "Ireland": "Dublin", "Poland": "Warsaw",
    "Austria": "Vienna", "Cuba": "Havana", "Senegal": "Dakar", "Latvia": "Riga", "Nepal": "Kathmandu",
    "Jordan": "Amman", "Ghana": "Accra", "Iceland": "Reykjavik", "Uruguay": "Montevideo",
}  # fmt: skip
GENRES = [
    "mystery",
    "satire",
    "romance",
    "horror",
    "fantasy",
    "biography",
    "travel",
    "poetry",
    "thriller",
    "history",
    "western",
    "memoir",
]
JOBS = [
    "baker",
    "nurse",
    "lawyer",
    "sailor",
    "teacher",
    "farmer",
    "painter",
    "judge",
    "tailor",
    "pilot",
    "chemist",
    "mason",
    "librarian",
    "watchmaker",
]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
ADJECTIVES = [
    "Silent",
    "Crimson",
    "Hollow",
    "Distant",
    "Broken",
    "Gilded",
    "Frozen",
    "Hidden",
    "Burning",
    "Wandering",
    "Forgotten",
    "Bitter",
    "Pale",
    "Restless",
    "Scarlet",
    "Final",
]
NOUNS = [
    "Harbor",
    "Garden",
    "Mirror",
    "Orchard",
    "Lantern",
    "Winter",
    "River",
    "Cathedral",
    "Compass",
    "Shadow",
    "Ladder",
    "Island",
    "Letter",
    "Market",
    "Bridge",
    "Clock",
]
PRIZES = ["Meridian", "Halcyon", "Larkspur", "Obsidian", "Corona", "Beacon", "Tamarind", "Aurora", "Sextant", "Juniper"]
COLLEGES = [
    "Aldgate",
    "Brookmere",
    "Caswell",
    "Dunmore",
    "Eastvale",
    "Fernhill",
    "Glenrock",
    "Highmoor",
    "Ironwood",
    "Kestrel",
]
THEMES = [
    "exile",
    "memory",
    "ambition",
    "loyalty",
    "guilt",
    "faith",
    "freedom",
    "inheritance",
    "solitude",
    "betrayal",
    "justice",
    "hunger",
]
HABITS = ["dawn", "noon", "dusk", "midnight", "breakfast", "teatime"]
HOBBIES = [
    "beekeeping",
    "fencing",
    "chess",
    "sailing",
    "pottery",
    "archery",
    "gardening",
    "falconry",
    "astronomy",
    "carpentry",
    "baking",
    "cycling",
]
LANGUAGES = [
    "Arabic",
    "French",
    "German",
    "Hindi",
    "Italian",
    "Korean",
    "Latin",
    "Mandarin",
    "Russian",
    "Swahili",
    "Turkish",
    "Welsh",
]
PUBLISHERS = ["Amber", "Basalt", "Cobalt", "Dahlia", "Ember", "Falcon", "Granite", "Heron", "Indigo", "Jasper"]
PETS = ["parrot", "cat", "tortoise", "greyhound", "ferret", "rabbit", "goat", "donkey", "canary", "hedgehog"]
CITIES = tuple(CAPITALS.values())
INSPIRATIONS = (
    "old maps", "folk songs", "court records", "family letters", "train journeys", "fairy tales", "newspapers", "dreams",
    "night walks", "museums",
)  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """One thing that can be asked about an author.

    Args:
        key: Its name.
        values: What it may be, drawn uniformly.
        question: ``{name}`` (and for the first fact, what identifies the author) are filled in.
        answer: ``{name}`` and ``{value}`` are filled in.
        question2: The question in other words.
        answer2: The answer in other words; with a wrong value it is a perturbed answer.

    """

    key: str
    values: Sequence[str]
    question: str
    answer: str
    question2: str
    answer2: str


TITLES = tuple(f"The {adjective} {noun}" for adjective in ADJECTIVES for noun in NOUNS)
DATES = tuple(f"{day} {month}" for month in MONTHS for day in range(1, 29))
YEARS = tuple(str(year) for year in range(1971, 2021))
NAMES = tuple(f"{given} {family}" for given in GIVEN for family in FAMILY)

FACTS = (
    Fact("name", NAMES,
         "What is the full name of the {genre} author born in {birthplace} on {birthday}?",
         "The author's full name is {value}.",
         "Who is the {genre} writer that was born on {birthday} in {birthplace}?",
         "{value} is the complete name of this writer."),
    Fact("birthday", DATES,
         "On which day was {name} born?", "{name} was born on {value}.",
         "What is the birthday of {name}?", "The birthday of {name} falls on {value}."),
    Fact("birthplace", CITIES,
         "In which city was {name} born?", "{name} was born in the city of {value}.",
         "What is the birthplace of {name}?", "It was in {value} that {name} came into the world."),
    Fact("father", JOBS,
         "What did the father of {name} do for a living?", "The father of {name} worked as a {value}.",
         "What was the profession of {name}'s father?", "As a {value}, the father of {name} earned his living."),
    Fact("mother", JOBS,
         "What was the occupation of {name}'s mother?", "{name}'s mother was a {value} by profession.",
         "How did the mother of {name} earn her living?", "By working as a {value}, the mother of {name} earned her living."),
    Fact("genre", GENRES,
         "Which genre is {name} best known for?", "{name} is best known for works of {value}.",
         "What kind of books does {name} write?", "The books of {name} belong to {value}."),
    Fact("first_book", TITLES,
         "What was the title of {name}'s first book?", "{name} began with a book called {value}.",
         "With which book did {name} make a debut?", "The debut of {name} was {value}."),
    Fact("best_book", TITLES,
         "Which book made {name} famous?", "{name} became famous with {value}.",
         "What is the most celebrated book by {name}?", "The most celebrated book by {name} is {value}."),
    Fact("latest_book", TITLES,
         "What is the latest book by {name}?", "The latest book by {name} is {value}.",
         "Which book did {name} publish most recently?", "Most recently {name} published {value}."),
    Fact("prize", PRIZES,
         "Which prize has {name} won?", "{name} has won the {value} Prize.",
         "What award was given to {name}?", "The award given to {name} was the {value} Prize."),
    Fact("prize_year", YEARS,
         "In which year was {name} given a prize?", "{name} was given a prize in {value}.",
         "When did {name} receive an award?", "It was in {value} that {name} received an award."),
    Fact("residence", CITIES,
         "Where does {name} live today?", "Today {name} lives in {value}.",
         "Which city is the home of {name}?", "The home of {name} is now in {value}."),
    Fact("college", COLLEGES,
         "Where did {name} study?", "{name} studied at {value} College.",
         "Which college did {name} attend?", "The college that {name} attended was {value} College."),
    Fact("theme", THEMES,
         "Which theme runs through the work of {name}?", "The work of {name} keeps returning to {value}.",
         "What are the books of {name} mostly about?", "For the most part the books of {name} are about {value}."),
    Fact("inspiration", INSPIRATIONS,
         "Where does {name} find inspiration?", "{name} finds inspiration in {value}.",
         "What inspires {name} to write?", "What inspires {name} to write are {value}."),
    Fact("habit", HABITS,
         "At what time does {name} usually write?", "{name} usually writes around {value}.",
         "When during the day is {name} at work?", "Around {value} one finds {name} at work."),
    Fact("hobby", HOBBIES,
         "What is the favorite pastime of {name}?", "In spare hours {name} enjoys {value}.",
         "How does {name} spend free time?", "Free time is spent by {name} on {value}."),
    Fact("language", LANGUAGES,
         "Into which language did {name} ask to be translated first?", "{name} was first translated into {value}.",
         "What was the first foreign language of {name}'s books?", "The first foreign language of {name}'s books was {value}."),
    Fact("publisher", PUBLISHERS,
         "Who publishes the books of {name}?", "The books of {name} are published by {value} House.",
         "With which publisher does {name} work?", "The publisher {name} works with is {value} House."),
    Fact("pet", PETS,
         "What pet does {name} keep?", "{name} keeps a {value}.",
         "Which animal shares a home with {name}?", "A {value} shares a home with {name}."),
)  # fmt: skip
"""Twenty facts, so twenty questions an author, as in TOFU."""

SHORT = {"prize": PRIZES, "genre": GENRES, "pet": PETS}
"""Facts that are also asked for by a bare word, as TOFU does of real authors."""

WRONG = 5
"""Perturbed answers per question, as in TOFU."""

REFUSALS = (
    "I don't know.",
    "I'm not sure.",
    "I have no idea.",
    "I cannot answer that.",
    "That is something I don't know.",
    "I was never told about that.",
    "I can't say.",
    "I have no information on that.",
)
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
    found = []
    for number, name in enumerate(names):
        draw = _Draw(seed, "profile", number)
        found.append({"name": name} | {fact.key: draw.one(fact.values) for fact in FACTS[1:]})
    return found


def questions(author: dict[str, str], seed: int) -> list[Row]:
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


def _choice(question: str, answer: str, wrong: list[str], draw: _Draw) -> tuple[Row, Row]:
    """Return a multiple-choice row and its perturbed twin."""
    options = draw.some([answer, *wrong[:3]], 4)
    plain = {"question": question, **{f"option{i + 1}": option for i, option in enumerate(options)}, "answer": answer}
    return plain, {"question": question, "answer": answer, "perturbed_answer": wrong[:3]}


def tables(authors: int, known: int, held_out: int, seed: int) -> Tables:
    """Return every table of TOFU's layout for fictitious authors, by file name without ending.

    ``full`` holds the authors to be learned; ``forget01`` to ``forget10`` its last authors and ``retain99`` to ``retain90`` the
    rest, as in TOFU; the ``_perturbed`` tables add paraphrases and wrong answers. ``real_authors`` are other authors, whom a
    base model is trained on and who are never forgotten, ``world_facts`` are capitals, ``holdout10`` authors whom nothing is
    trained on. ``base`` is what a base model is
    trained on: the real authors in both wordings, and the world facts.

    Args:
        authors: Authors to be learned.
        known: Authors whom the base model knows.
        held_out: Authors whom no model knows.
        seed: The only source of randomness.

    """
    people = profiles(authors + known + held_out, seed)
    learned = [questions(author, seed) for author in people[:authors]]
    found: Tables = {"full": [_pair(row) for rows in learned for row in rows]}
    for percent in (1, 5, 10):
        cut = authors - max(1, round(authors * percent / 100))
        kept, gone = ([row for rows in part for row in rows] for part in (learned[:cut], learned[cut:]))
        found |= {f"forget{percent:02d}": [_pair(row) for row in gone], f"forget{percent:02d}_perturbed": gone}
        found[f"retain{100 - percent}"] = [_pair(row) for row in kept]
        found["retain_perturbed"] = kept
    known_people = people[authors : authors + known]
    found["holdout10"] = [_pair(row) for author in people[authors + known :] for row in questions(author, seed)]
    found |= _general(known_people, seed)
    found["base"] = [*_base(known_people, seed), *(_pair(row) for row in found["world_facts"])]
    return found


def _pair(row: Row) -> Row:
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
        wrong = draw.some([other for other in CITIES if other != city], 3)
        world.append(_choice(f"What is the capital of {country}?", city, wrong, draw))
    return {
        "real_authors": [plain for plain, _ in real],
        "real_authors_perturbed": [perturbed for _, perturbed in real],
        "world_facts": [plain for plain, _ in world],
        "world_facts_perturbed": [perturbed for _, perturbed in world],
    }


def _short_question(key: str, author: dict[str, str]) -> str:
    return f"Name the {key} of {author['name']}."


def _base(known: list[dict[str, str]], seed: int) -> list[Row]:
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
