"""The first screen of a report in words: what did not happen, an answer per claim, and the words that are used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ungrok.core.errors import spoken
from ungrok.report.format import number
from ungrok.report.view import View
from ungrok.study.claims import QUESTION, Answer, At, answers, durable_of, first_things, place_name, resolved
from ungrok.study.exposure_checks import check_sentences
from ungrok.study.privacy import QUESTION as PRIVACY
from ungrok.study.recipe_audit import family_alpha
from ungrok.study.units import units_of

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
    "is attacked in the same way. R is the worst gap: the largest UA of the model less that of the oracle under the same attack, walks "
    "to other models apart."
)

PAIR = (
    "two seeds that share their data, groups and forget sets, with the roles of the groups swapped: what one shows early the other shows late. "
    "So every example is its own control, and the two are one observation."
)

EFFECT = (
    "the earlier side against the later one: a ratio (× 2: the earlier side needs twice as much), or a difference in percentage points. "
    "Above × 1 and above 0 agrees with the paper (arXiv 2512.03437)."
)


@dataclass(frozen=True)
class Screen:
    """The first screen in words.

    Args:
        first: What did not happen, which a reader must know before anything else.
        answers: One answer per claim that has rows in the headline family.
        last: How far the words can be trusted.
        asked: Further questions, whether forgetting lasts and whether it is more private, each with the sentences that answer it.

    """

    first: list[str]
    answers: list[Answer]
    last: list[str]
    asked: Sequence[tuple[str, Sequence[str]]] = ()


def first_screen(view: View, looked: str = "") -> Screen:
    """Return the first screen of a study; ``looked`` says how often it was judged before, see :func:`looks`."""
    if not view.recipe.claims.compare:
        return Screen(["Nothing was compared, so there is no verdict."], [], [])
    named = view.names.called(view.verdicts)
    results = view.results
    first = [*first_things(named, view.recipe, results.transitions), *check_sentences(view.recipe, results)]
    last = [looked, CALIBRATE] if any(verdict.headline for verdict in named) else []
    durable = durable_of(view.lasts, view.recipe, results.stress).sentences
    every = answers(named, view.recipe)
    asked = [(QUESTION, durable), (PRIVACY, privacy_sentences(view.audit))]
    return Screen(first, every, [sentence for sentence in last if sentence], [one for one in asked if one[1]])


def privacy_sentences(audit: Mapping[str, Any]) -> list[str]:
    """Return what an audit answers to whether a grokked model forgets more privately; nothing where it was not asked."""
    if "privacy" not in audit:
        return []
    answer = audit["privacy"]["answer"]
    return [f"{answer['verdict'][0].upper()}{answer['verdict'][1:]}. {answer['text']}"]


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
    units = units_of(view.recipe)
    if units.paired:
        yield "swapped pair", PAIR
    yield (
        "word",
        (
            f"supported or refuted where the interval leaves out no difference. The rows of the headline family are tested together by "
            f"swapping the sides of whole {units.noun}, so that any false word among them has a chance of at most {family_alpha(view.recipe):g}; words speak of "
            "sides, not of means. Refuted also where the effect is too small to matter. Rows outside the family are exploratory, and so is "
            f"everything with fewer than six {units.noun}: an effect and its interval, no word."
        ),
    )
