"""From the rows of a study to its verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import betaincinv

from ungrok.methods import Unlearner
from ungrok.study.claims.base import Claim, Evidence, Finding, Pairs, Sides, every_claim
from ungrok.study.claims.headline import judged, judges, rates_repaired, resolved
from ungrok.study.claims.notes import Note
from ungrok.study.claims.verdicts import At, Doses, Effect, Verdict, Word, decide
from ungrok.study.inference import FEWEST, Differences, PairedRow, Spreads, family
from ungrok.study.place import Comparison, Place, comparisons
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import Headline
from ungrok.study.search import grid_of
from ungrok.study.statistics import FEWEST_FOR_SPREAD, Estimate
from ungrok.study.stress import attacked
from ungrok.study.track import Track, repaired, replicates, tracks
from ungrok.study.units import Units, units_of

Paths = Mapping[tuple[Place, int], Track]
"""The paths of a study by place and seed."""


def judge(
    rows: pd.DataFrame,
    recipe: Recipe,
    doses: Mapping[str, Doses],
    alpha: float | None = None,
    *,
    exploratory: bool = False,
    stress: pd.DataFrame | None = None,
    lasting: pd.DataFrame | None = None,
    paths: Paths | None = None,
) -> list[Verdict]:
    """Return one verdict per claim, reading, comparison and setting.

    Args:
        rows: The rows of a study.
        recipe: Its ``claims`` block says what is compared.
        doses: Per method label, where its paths end and where doses are matched.
        alpha: Level of the headline family; the recipe's when None.
        exploratory: Whether the headline family was fixed only after results existed, so that no word is given.
        stress: The study's table of attacks after unlearning; None, or empty, where there were none.
        lasting: Its table of places that were tried for whether forgetting lasts; the same.
        paths: The paths of the first draw and walk in ``rows``, where they are known.

    Returns:
        The verdicts, by comparison, method and claim.

    """
    return judge_paths(all_paths_of(rows, stress, lasting, paths), recipe, doses, alpha, exploratory=exploratory)


def paths_of(rows: pd.DataFrame, stress: pd.DataFrame | None = None, lasting: pd.DataFrame | None = None) -> Paths:
    """Return the paths in the rows of a study, with what the other tables say of them; see :func:`judge`."""
    return told_of({(place, seed): track for seed, place, track in tracks(rows)}, stress, lasting)


def told_of(paths: Paths, stress: pd.DataFrame | None = None, lasting: pd.DataFrame | None = None) -> Paths:
    """Return paths with what the tables of attacks and of tried places say of them; see :func:`judge`."""
    hit = {} if stress is None or stress.empty else attacked(stress)
    tried = {} if lasting is None or lasting.empty else repaired(lasting)
    if not (hit or tried):
        return paths
    return {
        (place, seed): replace(track, attacked=hit.get((seed, place), {}), repaired=tried.get((seed, place), ()))
        for (place, seed), track in paths.items()
    }


def all_paths_of(
    rows: pd.DataFrame,
    stress: pd.DataFrame | None = None,
    lasting: pd.DataFrame | None = None,
    paths: Paths | None = None,
) -> list[Paths]:
    """Return the paths in the rows of a study, once per draw of forget splits and walk; see :func:`judge_paths`.

    The other tables and ``paths`` speak of the first draw and walk alone; see :func:`judge`.
    """
    first, *others = [part for _, _, part in replicates(rows)]
    return [told_of(paths, stress, lasting) if paths else paths_of(first, stress, lasting), *map(paths_of, others)]


def judge_paths(
    every_draw: Sequence[Paths],
    recipe: Recipe,
    doses: Mapping[str, Doses],
    alpha: float | None = None,
    *,
    exploratory: bool = False,
    headline_only: bool = False,
) -> list[Verdict]:
    """Return the verdicts on paths.

    Args:
        every_draw: The paths of a study, once per forget draw and unlearning seed; values are averaged over them within a seed.
        recipe: As for :func:`judge`.
        doses: As for :func:`judge`.
        alpha: As for :func:`judge`.
        exploratory: As for :func:`judge`.
        headline_only: Whether the verdicts outside the headline family are left out.

    """
    headline = resolved(recipe)
    every = [list(_questions(paths, recipe, doses, headline)) for paths in every_draw]
    units = units_of(recipe)
    questions = [_by_unit(_averaged(group), units) for group in _alike(every)]
    family_of = [question for question in questions if question.member]
    rest = [] if headline_only else [question for question in questions if not question.member]
    level = recipe.claims.alpha if alpha is None else alpha
    judged_rows = _family(family_of, units, level, exploratory=exploratory)
    alone = {id(question): _alone(question, len(units), recipe.claims.alpha) for question in rest}
    together = {id(question): verdict for question, verdict in zip(family_of, judged_rows, strict=True)}
    verdicts = together | alone
    return [verdicts[id(question)] for question in questions if id(question) in verdicts]


@dataclass(frozen=True)
class _Question:
    """A finding on a comparison.

    Args:
        comparison: What is compared.
        finding: The values.
        member: Whether it belongs to the headline family.
        units: Places of the seeds that have paths from both sides; later the units of inference of which all seeds do.

    """

    comparison: Comparison
    finding: Finding
    member: bool
    units: frozenset[int]


def _questions(
    paths: Paths, recipe: Recipe, doses: Mapping[str, Doses], headline: Headline | None
) -> Iterator[_Question]:
    """Yield every finding of every claim, by comparison and method."""
    claims, labels = every_claim(), sorted({place.method for place, _ in paths})
    for comparison in comparisons(recipe):
        for unlearner in recipe.unlearn:
            evidence = _evidence(paths, labels, recipe, doses, comparison, unlearner)
            for finding, claim in _of_method(claims, evidence, unlearner.label):
                member = evidence is not None and _is_member(finding, claim, evidence, unlearner, comparison, headline)
                yield _Question(comparison, finding, member, frozenset(evidence.pairs if evidence else ()))


def _evidence(
    paths: Paths,
    labels: Sequence[str],
    recipe: Recipe,
    doses: Mapping[str, Doses],
    comparison: Comparison,
    unlearner: Unlearner,
) -> Evidence | None:
    """Return the evidence on a method; None where no seed has both sides."""

    def paired(label: str) -> Pairs:
        left, right = comparison.places(label)
        return {
            place: (paths[left, seed], paths[right, seed])
            for place, seed in enumerate(recipe.seeds)
            if (left, seed) in paths and (right, seed) in paths
        }

    label = unlearner.label
    pairs = paired(label)
    if not pairs or label not in doses:
        return None
    searched = label in recipe.searched()
    rates = {rate: paired(name) for rate, name in grid_of(labels, label).items()} if searched else {}
    return Evidence(
        pairs, len(recipe.seeds), label, doses[label], recipe.claims, rates,
        damage=0.0 if recipe.search is None else recipe.search.damage,
        from_scratch=unlearner.from_scratch, self_stopping=unlearner.self_stopping,
        repaired=rates_repaired(recipe, label), units=units_of(recipe), exposed=recipe.trajectory.exposure is not None,
    )  # fmt: skip


def _of_method(claims: list[Claim], evidence: Evidence | None, method: str) -> Iterator[tuple[Finding, Claim]]:
    for claim in claims:
        for finding in claim.without_pairs(method) if evidence is None else claim.findings(evidence):
            yield finding, claim


def _is_member(
    finding: Finding,
    claim: Claim,
    evidence: Evidence,
    unlearner: Unlearner,
    comparison: Comparison,
    headline: Headline | None,
) -> bool:
    """Return whether a finding belongs to the headline family."""
    if headline is None or not judges(headline, comparison):
        return False
    at = At("end") if unlearner.self_stopping else At.target(headline.target)  # type: ignore[arg-type]
    accuracy = "bystander_accuracy" if evidence.has("bystander_accuracy") else "TA"
    metric = claim.headline(finding, accuracy) if finding.at == claim.headline_place(at, evidence, finding) else None
    allowed = judged(unlearner, searched=bool(evidence.rates))
    return metric is not None and metric in (headline.metrics or []) and metric in allowed


def _alike(every: Sequence[Sequence[_Question]]) -> list[list[_Question]]:
    """Return the findings of all replicates that answer the same question, in the order of the first."""
    groups: dict[tuple[object, ...], list[_Question]] = {}
    for questions in every:
        for question in questions:
            at = (question.comparison, *question.finding.key)
            groups.setdefault(at, []).append(question)
    return list(groups.values())


def _averaged(draws: list[_Question]) -> _Question:
    """Return one finding whose values are the means over the replicates of each seed that have both sides."""
    first = draws[0]
    known = [question.finding.sides for question in draws if question.finding.sides is not None]
    if len(draws) == 1 or not known:
        return first
    cuts = [question.finding.cut_at for question in draws if question.finding.cut_at is not None]
    conditions = [question.finding.also for question in draws if question.finding.also is not None]
    also = _mean(conditions) if conditions else None
    return replace(
        first, finding=replace(first.finding, sides=_mean(known), cut_at=cuts[0] if cuts else None, also=also)
    )


def _by_unit(question: _Question, units: Units) -> _Question:
    """Return a finding whose values are means over the seeds of each unit: what one seed alone would say is no observation of its own."""
    if not units.paired:
        return question

    def means(sides: Sides | None) -> Sides | None:
        return sides and Sides(units.means(sides.left), units.means(sides.right))

    finding = replace(question.finding, sides=means(question.finding.sides), also=means(question.finding.also))
    return replace(question, finding=_known(finding), units=units.whole(question.units))


def _known(finding: Finding) -> Finding:
    """Return a finding without its values where too few units have them for its test."""
    sides = finding.sides
    if sides is None:
        return finding
    if finding.compares == "spreads":
        spread = [np.ptp(side[sides.both]) > 0 for side in (sides.left, sides.right)] if sides.n else []
        return finding if sides.n >= FEWEST_FOR_SPREAD and all(spread) else replace(finding, sides=None)
    return finding if sides.n else replace(finding, sides=None)


def _mean(draws: list[Sides]) -> Sides:
    """Return, for each seed, the means over the draws that have both sides."""
    both = np.stack([sides.both for sides in draws])
    left, right = (
        np.where(both, np.stack([getattr(sides, side) for sides in draws]), 0.0).sum(axis=0) for side in ("left", "right")
    )  # fmt: skip
    count = np.where(both.any(axis=0), both.sum(axis=0), np.nan)
    return Sides(left / count, right / count)


def _row(finding: Finding) -> PairedRow | None:
    if finding.sides is None:
        return None
    if finding.compares == "spreads":
        return Spreads(finding.sides.left, finding.sides.right)
    return Differences(finding.sides.differences)


def _family(questions: list[_Question], units: Units, alpha: float, *, exploratory: bool) -> list[Verdict]:
    """Judge the headline family: rows at identical settings of a search after the others, conditions of rows with them."""
    rows = [_row(question.finding) for question in questions]
    also = [
        None if (sides := question.finding.also) is None else Differences(sides.differences) for question in questions
    ]
    last = [
        question.finding.identical
        for question, row in zip(questions * 2, (*rows, *also), strict=True)
        if row is not None
    ]
    tested = iter(family([row for row in (*rows, *also) if row is not None], len(units), alpha, last))
    estimates, conditions = ([None if row is None else next(tested) for row in some] for some in (rows, also))
    there = len(frozenset().union(*(question.units for question in questions)))
    silent = Note("few_seeds", {"seeds": there, "unit": units.noun}) if there < FEWEST else None
    silent = Note("looked_otherwise") if exploratory else silent
    verdicts = []
    for question, estimate, condition in zip(questions, estimates, conditions, strict=True):
        word, reason = _word(question.finding, estimate, alpha)
        if condition is not None and reason is None and not _holds(condition, word):
            word, reason = "inconclusive", question.finding.otherwise
        if silent:
            word, reason = "exploratory", silent
        lacking = len(units) - len(question.units)
        values = {"count": lacking, "seeds": len(units), "unit": units.noun}
        missing = (Note("seeds_missing", values),) if lacking else ()
        verdicts.append(_verdict(question, estimate, word, (*((reason,) if reason else ()), *missing)))
    return verdicts


def _holds(condition: Estimate, word: Word) -> bool:
    """Return whether a condition points the way of a word."""
    return condition.low > 0 if word == "supported" else condition.high < 0


def _word(finding: Finding, estimate: Estimate | None, alpha: float) -> tuple[Word, Note | None]:
    if estimate is None:
        return "inconclusive", None
    if finding.barred:
        return "inconclusive", finding.barred
    larger = _share_beyond(finding, alpha) if finding.accuracy else None
    return decide(estimate, finding.margin, bounds_only=finding.cut_at is not None, larger=larger)


def _share_beyond(finding: Finding, alpha: float) -> float:
    """Return the upper bound, at level 1 − alpha/2, of the share of seeds that differ by more than the margin.

    Clopper & Pearson 1934, Biometrika 26:404.
    """
    assert finding.sides is not None
    beyond = int((np.abs(finding.sides.differences[finding.sides.both]) > finding.margin).sum())
    n = finding.sides.n
    return 1.0 if beyond == n else float(betaincinv(beyond + 1, n - beyond, 1 - alpha / 2))


def _alone(question: _Question, units: int, alpha: float) -> Verdict:
    """Judge a row outside the headline family: an effect with its own interval, and no word."""
    row = _row(question.finding)
    estimate = None if row is None else family([row], units, alpha)[0]
    barred = question.finding.barred
    return _verdict(question, estimate, "exploratory", (barred,) if barred else ())


def _verdict(question: _Question, estimate: Estimate | None, word: Word, reasons: tuple[Note, ...]) -> Verdict:
    finding = question.finding
    return Verdict(
        claim=finding.claim,
        reading=finding.reading,
        comparison=question.comparison,
        method=finding.method,
        metric=finding.metric,
        at=finding.at,
        headline=question.member,
        effect=Effect.of(estimate, finding.unit, finding.scale, finding.cut_at),
        n_seeds=0 if estimate is None else estimate.n,
        p_value=None if estimate is None else estimate.p_value,
        word=word,
        notes=(*reasons, *finding.notes),
        wins=finding.wins,
    )
