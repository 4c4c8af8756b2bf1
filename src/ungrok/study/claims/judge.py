"""From the rows of a study to its verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

import pandas as pd

from ungrok.methods import Unlearner
from ungrok.study.claims.base import Claim, Evidence, Finding, Pairs, every_claim
from ungrok.study.claims.verdicts import Doses, Verdict, Word, decide
from ungrok.study.place import Comparison, Place, comparisons
from ungrok.study.recipe import Recipe
from ungrok.study.statistics import holm
from ungrok.study.track import Track, tracks


def judge(rows: pd.DataFrame, recipe: Recipe, doses: Mapping[str, Doses]) -> list[Verdict]:
    """Return one verdict per claim, comparison and setting.

    Args:
        rows: The rows of a study.
        recipe: Its ``claims`` block says what is compared.
        doses: Per method label, where its paths end and where doses are matched.

    Returns:
        The verdicts, by comparison and claim. P-values are Holm-adjusted over the methods of one claim, metric, comparison,
        forget split and target.

    """
    paths = {(place, seed): track for seed, place, track in tracks(rows)}
    claims, verdicts = every_claim(), []
    for comparison in comparisons(recipe):
        findings: list[Finding] = []
        for unlearner in recipe.unlearn:
            pairs = _paired(paths, recipe.seeds, *comparison.places(unlearner.label))
            findings += _of_method(claims, pairs, unlearner, recipe, doses.get(unlearner.label))
        verdicts += _verdicts(findings, claims, comparison, recipe.claims.alpha)
    return verdicts


def _paired(paths: Mapping[tuple[Place, int], Track], seeds: list[int], left: Place, right: Place) -> Pairs:
    """Return the paths of both places for the seeds that have both."""
    both = [seed for seed in seeds if (left, seed) in paths and (right, seed) in paths]
    return [(paths[left, seed], paths[right, seed]) for seed in both]


def _of_method(
    claims: list[Claim], pairs: Pairs, unlearner: Unlearner, recipe: Recipe, doses: Doses | None
) -> Iterator[Finding]:
    """Yield the findings of every claim on one method; where no seed has both sides, one finding that says so."""
    method = unlearner.label
    if not pairs or doses is None:
        for claim in claims:
            yield from claim.without_pairs(method)
        return
    evidence = Evidence(pairs, method, doses, recipe.claims, unlearner.from_scratch)
    for claim in claims:
        yield from claim.findings(evidence)


def _verdicts(findings: list[Finding], claims: list[Claim], comparison: Comparison, alpha: float) -> list[Verdict]:
    """Adjust p-values within each family and decide."""
    order = [claim.kind for claim in claims]

    def family(finding: Finding) -> tuple[int, str, str]:
        column = finding.claim.column(finding.metric)
        return order.index(finding.claim.kind), column, finding.at.family

    verdicts = []
    for _, group in groupby(sorted(findings, key=family), key=family):
        members = list(group)
        # A method without an estimate stays in the family, or the others' verdicts would depend on it.
        adjusted = holm([finding.estimate.p_value if finding.estimate else 1.0 for finding in members])
        verdicts += [
            _verdict(finding, p_value, comparison, alpha) for finding, p_value in zip(members, adjusted, strict=True)
        ]
    return verdicts


def _verdict(finding: Finding, p_value: float, comparison: Comparison, alpha: float) -> Verdict:
    word: Word = "inconclusive"
    reason = None
    if finding.estimate is not None:
        word, reason = decide(finding.estimate, p_value, finding.margin, alpha)
    return Verdict(
        finding.claim,
        comparison,
        finding.method,
        finding.metric,
        finding.at,
        finding.effect,
        finding.n,
        None if finding.estimate is None else p_value,
        word,
        (*((reason,) if reason else ()), *finding.notes),
    )
