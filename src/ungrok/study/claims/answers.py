"""From the headline family to sentences: one per claim, in natural units, with its word and what would overturn it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ungrok.core.errors import spoken
from ungrok.study.claims.amounts import amount, interval, natural, size
from ungrok.study.claims.base import Claim, every_claim
from ungrok.study.claims.headline import resolved
from ungrok.study.claims.verdicts import Verdict
from ungrok.study.inference import FEWEST
from ungrok.study.names import Names
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import Level
from ungrok.study.units import Units, units_of
from ungrok.train.stages import stage_name, step_of

AnswerWord = Literal["supported", "refuted", "mixed", "inconclusive", "exploratory"]


@dataclass(frozen=True)
class Wording:
    """How a sentence says one kind of row: ``needs 5.5 times`` + ``more updates`` + ``at the same rate``.

    Args:
        verb: For one method.
        verbs: For several.
        better: What agrees with the claim.
        worse: The opposite.
        tail: What follows.

    """

    verb: str
    verbs: str
    better: str
    worse: str
    tail: str


WORDINGS = {
    ("efficiency", "same_rate"): Wording("needs", "need", "fewer updates", "more updates", "at the same rate"),
    ("efficiency", "own_rate"): Wording("needs", "need", "fewer updates", "more updates", "at its own rate"),
    ("efficiency", "distance"): Wording("moves", "move", "less far", "farther", "on retained data to get there"),
    ("efficiency", "lasting"): Wording("needs", "need", "fewer updates", "more updates", "until forgetting lasts"),
    ("collateral", ""): Wording("does", "do", "less damage", "more damage", "beyond what retraining does too"),
    ("collateral", "lasting"): Wording("pays", "pay", "less", "more", "for forgetting that lasts"),
    ("durability", "relearning"): Wording("needs", "need", "more updates", "fewer updates", "to be relearned beyond the oracle's"),
    ("durability", "attacks"): Wording("gives", "give", "less", "more", "back beyond the oracle under the worst attack"),
    ("stability", ""): Wording("spreads", "spread", "less", "more", "over seeds"),
    ("extraction", "forget"): Wording("leaves", "leave", "less", "more", "to extract of forgotten pairs beyond the oracle after as many updates"),
    ("extraction", "retain"): Wording("loses", "lose", "less", "more", "of what can be extracted of other pairs beyond what retraining loses too"),
    ("beyond_oracle", ""): Wording("leaves", "leave", "less", "more", "beyond the oracle after as many updates"),
    ("oracle_gap", ""): Wording("ends", "end", "nearer to retraining", "farther from retraining", "compared with its start"),
}  # fmt: skip
STRENGTHS = {"fewer updates": "less strength", "more updates": "more strength", "at the same rate": ""}
"""What is said of one-shot methods instead."""


@dataclass(frozen=True)
class Answer:
    """What the headline family says of one claim.

    Args:
        claim: The claim.
        word: ``mixed`` where rows of both directions were found, or where readings disagree.
        sentence: The answer in natural units.
        overturned_by: What would change the word.

    """

    claim: Claim
    word: AnswerWord
    sentence: str
    overturned_by: str


def answers(verdicts: Sequence[Verdict], recipe: Recipe) -> list[Answer]:
    """Return an answer per claim and comparison that have rows in the headline family, in the order of reports.

    Args:
        verdicts: The verdicts of the study.
        recipe: Its recipe.

    """
    headline, names = resolved(recipe), Names(recipe)
    if headline is None:
        return []
    family, every = [verdict for verdict in verdicts if verdict.headline], []
    for claim, pair in itertools.product(every_claim(), headline.pairs):
        own = [verdict for verdict in family if (verdict.claim.kind, verdict.comparison.sides) == (claim.kind, pair)]
        readings = list(dict.fromkeys(verdict.reading for verdict in own))
        if not own:
            continue
        groups = [[verdict for verdict in own if verdict.reading == reading] for reading in readings]
        words = [_word(group) for group in groups]
        parts = "; ".join(_phrase(group) for group in groups)
        rate = ". The rate decides" if _turned(dict(zip(readings, words, strict=True))) else ""
        sentence = f"{_opened(names.compared(*pair))}, {parts}; {_seeds(own, units_of(recipe))}{rate}."
        every.append(Answer(claim, _together(words), sentence, _overturned(own, readings)))
    return every


def _opened(text: str) -> str:
    return text[0].upper() + text[1:]


def _word(rows: Sequence[Verdict]) -> AnswerWord:
    return _together([row.word for row in rows])


def _together(words: Sequence[AnswerWord]) -> AnswerWord:
    """Return one word for several: mixed where both directions are among them."""
    some = set(words)
    if "mixed" in some or {"supported", "refuted"} <= some:
        return "mixed"
    return next((word for word in ("supported", "refuted", "inconclusive") if word in some), "exploratory")


def _turned(words: dict[str, AnswerWord]) -> bool:
    """Return whether a side's own rate turns what is said at the same rate."""
    return {words.get("same_rate"), words.get("own_rate")} == {"supported", "refuted"}


def _phrase(rows: Sequence[Verdict]) -> str:
    """Return what the rows of one claim and reading say."""
    wording = _wording(rows[0])
    if len(rows) == 1:
        return _single(rows[0], wording)
    known = [row for row in rows if row.effect.value is not None]
    counts = {"better": 0, "worse": 0, "alike": 0}
    for row in rows:
        if row.word == "supported":
            counts["better"] += 1
        elif row.word == "refuted":
            counts["alike" if row.no_difference else "worse"] += 1
    n, open_rows = len(rows), len(rows) - sum(counts.values())
    settings, median = _settings(rows), _median(known, wording)
    if open_rows == n:
        question = f"whether they {wording.verbs} {wording.better} or {wording.worse} {_plural(wording.tail)}"
        if not known:
            reasons = dict.fromkeys(row.notes[0].short for row in rows if row.notes)
            return f"for none of {settings} can it be said {question}" + (f" ({'; '.join(reasons)})" if reasons else "")
        return f"for all {settings} it is open {question}{median}"
    said: list[str] = []
    for count, text in ((counts["worse"], wording.worse), (counts["better"], wording.better)):
        if count:
            verb, tail = (wording.verb, wording.tail) if count == 1 else (wording.verbs, _plural(wording.tail))
            said.append(f"{count} {text}" if said else f"{count} of {settings} {verb} {text} {tail}")
    if counts["alike"]:
        said.append(f"{counts['alike']} {'does' if counts['alike'] == 1 else 'do'} not differ")
    if open_rows:
        said.append(f"{open_rows} {'is' if open_rows == 1 else 'are'} open")
    return f"{spoken(said)}{median}"


def _plural(tail: str) -> str:
    """Return what follows the verb of one method as it follows that of several."""
    return tail.replace("its own rate", "their own rates").replace("its start", "their start")


def _settings(rows: Sequence[Verdict]) -> str:
    methods = len({row.method for row in rows})
    return f"{methods} methods" if methods == len(rows) else f"{len(rows)} settings"


def _wording(row: Verdict) -> Wording:
    return WORDINGS.get((row.claim.kind, row.reading), Wording("has", "have", "more", "less", ""))


def _worded(row: Verdict) -> tuple[str, str, str]:
    """Return what agrees with the claim, the opposite, and what follows."""
    wording = _wording(row)
    better, worse, tail = (
        STRENGTHS.get(text, text) if row.metric == "strength" else text
        for text in (wording.better, wording.worse, wording.tail)
    )
    return better, worse, tail


def _single(row: Verdict, wording: Wording) -> str:
    better, worse, tail = _worded(row)
    if row.effect.value is None:
        reason = f" ({row.notes[0].short})" if row.notes else ""
        return f"it cannot be said whether {row.method} {wording.verb} {better} or {worse} {tail}".rstrip() + reason
    if row.directional:
        direction = better if row.effect.value > 0 else worse
        return f"{row.method} {wording.verb} {natural(row.effect)} {direction} {tail} {interval(row.effect)}".replace(
            "  ", " "
        )
    said = f"({amount(row.effect, row.effect.value, better, worse)} {interval(row.effect)})"
    if row.no_difference:
        return f"{row.method} does not differ {tail} {said}".replace("  ", " ")
    question = f"whether {row.method} {wording.verb} {better} or {worse} {tail}".rstrip()
    return f"{question} is open {said}"


def _median(known: Sequence[Verdict], wording: Wording) -> str:
    """Return the median effect over rows of one unit, in natural units."""
    values = [row.effect.value for row in known if row.effect.value is not None]
    if not values:
        return ""
    return f" (median {amount(known[0].effect, float(np.median(values)), wording.better, wording.worse)})"


def _seeds(rows: Sequence[Verdict], units: Units) -> str:
    counts, every = {row.n_seeds for row in rows if row.n_seeds}, units.counted(len(units))
    if not counts:
        return f"0 of {every}"
    if counts == {len(units)}:
        return every
    least, most = min(counts), max(counts)
    return f"{least} of {every}" if least == most else f"{least} to {most} of {every}"


def _counted(seeds: int) -> str:
    return f"{seeds} seed{'' if seeds == 1 else 's'}"


def _overturned(rows: Sequence[Verdict], readings: Sequence[str]) -> str:
    """Return what would change the word."""
    decided = [row for row in rows if row.directional]
    known = [row for row in rows if row.effect.value is not None and all(map(math.isfinite, row.effect.interval))]
    said = []
    if decided:

        def nearest(row: Verdict) -> float:
            return min(abs(end) for end in row.effect.interval)

        weakest = min(decided, key=nearest)
        better, worse, _ = _worded(weakest)
        toward = 1 if weakest.word == "supported" else -1
        end = amount(weakest.effect, toward * nearest(weakest), better, worse)
        said.append(
            f"Of the rows with a word, {weakest.method} is nearest to none: its interval ends at {end}; a word falls where it "
            "reaches no difference."
        )
    elif known:
        widest = max(known, key=lambda row: row.effect.interval[1] - row.effect.interval[0])
        half = (widest.effect.interval[1] - widest.effect.interval[0]) / 2
        said.append(
            f"The intervals reach up to {size(widest.effect, half)} to either side; more seeds would narrow them."
        )
    elif any(row.effect.value is not None for row in rows):
        said.append("No interval has a bound on both sides: only more seeds would give one.")
    if "same_rate" in readings and "own_rate" not in readings:
        said.append("No learning rate was searched: another rate may turn this (lr: auto).")
    return " ".join(said)


def first_things(verdicts: Sequence[Verdict], recipe: Recipe, transitions: pd.DataFrame) -> list[str]:
    """Return what did not happen, which a reader must know before anything else.

    Args:
        verdicts: The verdicts of the study.
        recipe: Its recipe.
        transitions: Columns arm, seed and status, one row per trajectory.

    """
    return [
        *_transitions(recipe, transitions),
        *_without_oracle(recipe),
        *_seed_counts(verdicts, recipe),
        *_targets(verdicts),
    ]


def _without_oracle(recipe: Recipe) -> Iterator[str]:
    """Yield that nobody retrained without the forget data, where that is so."""
    given = recipe.given or []
    lacking = sum(run.oracle is None for run in given)
    if lacking:
        whose = "" if lacking == len(given) else f" for {lacking} of {len(given)} seeds"
        yield f"No retraining was given{whose}: how near unlearning comes to it, and what is lost beyond it, is not known."


def _transitions(recipe: Recipe, transitions: pd.DataFrame) -> Iterator[str]:
    headline = resolved(recipe)
    if _local(recipe) or not _about_transitions(recipe):
        return
    arms = {side.arm for side in headline.compare} if headline and headline.compare else set(transitions["arm"])
    for arm in sorted(arms):
        statuses = list(transitions.loc[transitions["arm"] == arm, "status"])
        never = sum(status != "grokked" for status in statuses)
        of = "" if len(arms) == 1 else f" of arm {arm}"
        if never and never == len(statuses):
            every = "the one seed" if never == 1 else f"{never} of {_counted(never)}"
            yield f"Nothing transitioned in {every}{of}."
        elif never:
            yield f"{never} of {_counted(len(statuses))}{of} never transitioned; where a stage needs the transition they are in no row."


def _about_transitions(recipe: Recipe) -> bool:
    """Return whether a side of the headline is a stage that lies where training memorizes or groks."""
    headline = resolved(recipe)
    stages = (
        {stage_name(side.stage) for side in headline.compare}
        if headline and headline.compare
        else {*recipe.all_stages()}
    )
    apart = {name for name, control in recipe.controls.items() if isinstance(control, Level)}
    return not all(stage == "final" or stage in apart or step_of(stage) is not None for stage in stages)


def _local(recipe: Recipe) -> bool:
    """Return whether what is compared are parts of the data that were learned at their own times, whatever the model did as a whole."""
    headline = resolved(recipe)
    named = {side.forget for side in headline.compare} if headline and headline.compare else {None}
    rules = [rule for rule in recipe.forget if None in named or rule.label in named]
    return bool(rules) and all(
        (rule.from_trajectory and not rule.from_shadows) or rule.group_draw() is not None for rule in rules
    )


def _seed_counts(verdicts: Sequence[Verdict], recipe: Recipe) -> Iterator[str]:
    family = [verdict for verdict in verdicts if verdict.headline]
    if len(recipe.seeds) == 1:
        yield "One seed cannot decide anything."
    elif any(verdict.noted("few_seeds") for verdict in family):
        there = units_of(recipe).counted(max(verdict.n_seeds for verdict in family))
        yield f"{there} cannot decide anything: under {FEWEST} every row is exploratory."
    if any(verdict.noted("looked_otherwise") for verdict in family):
        yield "Another headline family was judged on these results before, so every row of this one is exploratory."


def _targets(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield which methods reached their target nowhere, and for which no seed has both stages."""
    nowhere: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.headline and verdict.noted("all_censored") and verdict.reading == "same_rate":
            nowhere.setdefault(str(verdict.at), []).append(verdict.method)
    for at, methods in nowhere.items():
        yield f"No path of {spoken(dict.fromkeys(methods))} reached {at} from either side."
    unpaired = dict.fromkeys(verdict.method for verdict in verdicts if verdict.noted("no_pairs"))
    if unpaired:
        yield f"No seed has both stages for {spoken(unpaired)}."
