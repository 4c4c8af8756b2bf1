"""The first screen of a report in words: what did not happen, an answer per claim, and the words that are used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ungrok.core.errors import spoken
from ungrok.report.format import number, plural
from ungrok.report.names import place_name
from ungrok.report.view import View
from ungrok.study.claims import Answer, At, answers, first_things, headline_standings, lasting_sentence, resolved
from ungrok.study.claims.answers import opened
from ungrok.study.claims.lasting import QUESTION
from ungrok.train.stages import stage_name

if TYPE_CHECKING:
    import pandas as pd

STAGES = {
    "pre_grok": "what early stopping on validation accuracy would have kept before the jump",
    "memorized": "the first step at which the training data are memorized",
    "grokked": "the first step from which {signal} holds its level",
    "final": "the last step",
}

CALIBRATE = (
    "ungrok calibrate swaps the two sides within seeds in the raw paths, judges again (rates, rows and medians chosen anew) and counts "
    "how often any word would have been said: it shows whether any choice leaks past the test."
)

RATE = (
    "at the same rate both sides have identical settings; at its own rate each seed and side has the learning rate that suits it best "
    "on validation data. Distance moved is how far the outputs on retained data have changed when the target is reached."
)

ORACLE = (
    "a model retrained without the forget data under the same recipe, at the same step: what forgetting should lead to. Damage beyond "
    "the oracle is what was lost beyond what retraining loses too."
)

LASTING = (
    "forgetting lasts at a place of a path where UA is at or below the target and stays there through a repair: training on retained data "
    "alone, which holds nothing of what was forgotten. What comes back that way was hidden and not forgotten."
)

ATTACK = (
    "something done to a model after unlearning that may bring back what it was to forget, as relearning, quantization or pruning; the oracle "
    "is attacked in the same way. R is the worst gap: the largest UA of the model less that of the oracle under the same attack."
)

EFFECT = (
    "the earlier side against the later one: a ratio (× 2: the earlier side needs twice as much), or a difference in percentage points. "
    "Above × 1 and above 0 agrees with the paper (arXiv 2512.03437)."
)


STANDINGS = (
    ("hidden", "has hidden what it was to forget", "have hidden what they were to forget"),
    ("forgotten", "has forgotten", "have forgotten"),
    ("undecided", "is undecided", "are undecided"),
)
"""By the word for R: what is said of one method and of several; see :func:`ungrok.study.stress.standings`."""


@dataclass(frozen=True)
class Screen:
    """The first screen in words.

    Args:
        first: What did not happen, which a reader must know before anything else.
        answers: One answer per claim that has rows in the headline family.
        durable: Whether forgetting lasts, and what attacks say of it; empty where neither was asked.
        last: How far the words can be trusted.

    """

    first: list[str]
    answers: list[Answer]
    last: list[str]
    durable: Sequence[str] = ()


def first_screen(view: View, looked: str = "") -> Screen:
    """Return the first screen of a study; ``looked`` says how often it was judged before, see :func:`looks`."""
    if not view.recipe.claims.compare:
        return Screen(["Nothing was compared, so there is no verdict."], [], [])
    named = [replace(verdict, method=view.names.method(verdict.method)) for verdict in view.verdicts]
    first = first_things(named, view.recipe, view.results.transitions)
    last = [looked, CALIBRATE] if any(verdict.headline for verdict in named) else []
    durable = [sentence for sentence in (lasts(view), stands(view)) if sentence]
    every = answers(named, view.recipe, view.names.side)
    return Screen(first, every, [sentence for sentence in last if sentence], durable)


def lasts(view: View) -> str:
    """Return the answer to the question whether forgetting lasts, without the question; empty where no path was tried."""
    sentence = lasting_sentence(view.lasts, view.recipe, view.names.side)
    return (sentence or "").removeprefix(QUESTION).strip()


def stands(view: View) -> str:
    """Return what attacks say of the forgetting at the headline's place, side by side; empty where none had an oracle beside it."""
    headline, stress = resolved(view.recipe), view.results.stress
    if stress.empty or headline is None or headline.compare is None:
        return ""
    rows, said = headline_standings(stress, view.recipe), []
    for side in headline.compare:
        own = rows[(rows["arm"] == side.arm) & (rows["stage"] == stage_name(side.stage))]
        own = own[own["forget"] == side.forget] if side.forget else own
        if len(own):
            said.append(f"{opened(side, view.names.side)} {_standing(own)}")
    return f"Under attack, {'; '.join(said)}." if said else ""


def _standing(rows: pd.DataFrame) -> str:
    """Return how many methods have hidden, and how many forgotten, with the mean worst gap and the floor."""
    counts, methods = rows["word"].value_counts(), rows["method"].nunique()
    of = f" of {plural(methods, 'method')}" if methods == len(rows) else f" of {plural(len(rows), 'setting')}"
    parts: list[str] = []
    for word, one, several in STANDINGS:
        if word in counts.index:
            parts.append(f"{counts[word]}{'' if parts else of} {one if counts[word] == 1 else several}")
    floors = rows["floor"].dropna()
    floor = f" (two oracles differ by {floors.mean():.2f})" if len(floors) else ""
    return f"{spoken(parts)}: the worst gap to the oracle is {rows['gap'].mean():.2f} on average{floor}"


def looks(alpha: float, number_of_look: int, seeds_before: Sequence[Sequence[int]]) -> str:
    """Return the sentence on looking again: adding seeds is free, so every look spends a part of alpha.

    Args:
        alpha: What this look may spend.
        number_of_look: Which look it is, counted from 1; 0 where it spends nothing.
        seeds_before: The sets of seeds at which the study was judged before.

    """
    counts = [str(len(seeds)) for seeds in seeds_before]
    before = f"This study was judged before with {spoken(counts)} seeds. " if counts else ""
    if not number_of_look:
        return f"{before}This look spends no alpha, for it says no word.".strip()
    which = f"look {number_of_look}" if number_of_look > 1 else "the first look"
    return (
        f"{before}At {which}, any false word in the headline family has a chance of at most {number(alpha)}; later looks, with more "
        "seeds, spend half of what is left each."
    )


def words(view: View) -> Iterator[tuple[str, str]]:
    """Yield the words that the page uses, with their meaning."""
    claims, headline = view.recipe.claims, resolved(view.recipe)
    known = [
        f"{view.names.stage(stage)} ({stage}): {STAGES[stage].format(signal=view.signal)}"
        for stage in view.stages
        if stage in STAGES
    ]
    known += [
        f"{name}: {view.recipe.controls[name].described()}" for name in view.stages if name in view.recipe.controls
    ]
    yield "stage", f"a place on a training run. {'; '.join(known)}.".replace("run. .", "run.")
    targets = [place_name(At.target(target)) for target in claims.targets]
    primary = ""
    if headline is not None and headline.target is not None:
        primary = f"; {place_name(At.target(headline.target))} in the headline"
    yield (
        "target",
        (
            f"a level to which UA must fall, here {spoken(targets)}{primary}. A path that ends above "
            "it has not reached it, and counts with all the updates it was given; net wins are the pairs in which the later side needs fewer, "
            "minus those in which it needs more."
        ),
    )
    yield "rate", RATE
    yield "oracle", ORACLE
    doses = [
        f"{view.names.method(method)} {number(view.doses[method].matched)} of {number(view.doses[method].end)}"
        for method in view.methods
    ]
    yield (
        "dose",
        (
            "how far along an unlearning path: updates, or the strength of a one-shot method. At the matched dose both sides have had the "
            f"same{': ' + ', '.join(doses) if doses else ''}. Rewinding picks the place where UA is nearest to validation accuracy on the same classes."
        ),
    )
    if len(view.results.lasting):
        yield "lasting", LASTING
    if len(view.results.stress):
        yield "attack", ATTACK
    yield "effect", EFFECT
    yield (
        "word",
        (
            f"supported or refuted where the interval leaves out no difference. The rows of the headline family are tested together by "
            f"swapping the sides of whole seeds, so that any false word among them has a chance of at most {claims.alpha:g}; words speak of "
            "sides, not of means. Refuted also where the effect is too small to matter. Rows outside the family are exploratory, and so is "
            "everything with fewer than six seeds: an effect and its interval, no word."
        ),
    )
