"""What claims have in common: their registry, their order, what stands in the headline, and bounds of unknown values."""

from __future__ import annotations

from typing import ClassVar, Literal

import pandas as pd
import pytest

from ungrok.study.claims import CLAIMS, At, Claim, Effect, Evidence, Finding, every_claim, judge
from ungrok.study.claims.base import bounded, bounded_shares, mean
from ungrok.study.claims.verdicts import Doses
from ungrok.study.recipe_blocks import Claims
from ungrok.study.statistics import sign_flip

NAMES = ["efficiency", "collateral", "stability", "oracle_gap", "paper", "extraction"]


class Point:
    """An entry point that names a claim of somebody else."""

    def load(self):
        return Longer


class Longer(Claim):
    """More updates."""

    kind: Literal["longer"] = "longer"
    statement: ClassVar[str] = "The {later} takes longer."
    advantage: ClassVar[str] = "takes longer"
    title: ClassVar[str] = "length"
    headline: ClassVar[tuple[str, ...]] = ("rows",)

    def findings(self, evidence):
        yield Finding(
            self, evidence.method, "rows", evidence.matched, Effect(1.0, (0.5, 1.5), "rows"), None, 0.0, (), 8
        )


class Plugged:
    """Entry points of which one group has a claim."""

    @staticmethod
    def select(group):
        return [Point()] if group == "ungrok.claims" else []


def test_claims_stand_in_the_order_of_reports():
    assert [claim.kind for claim in every_claim()] == NAMES


def test_every_claim_says_what_reports_need():
    for claim in every_claim():
        assert claim.sentence("second group").endswith(".")
        assert "{" not in claim.sentence()
        assert all(claim.column(name) == name for name in claim.headline)
    assert CLAIMS.get("efficiency")().sentence("second group").startswith("From the second group, fewer updates")
    assert [claim.kind for claim in every_claim() if claim.at_target] == ["efficiency", "collateral", "oracle_gap"]
    assert [claim.kind for claim in every_claim() if claim.family == "language"] == ["extraction"]


def test_a_claim_of_a_plug_in_is_judged_and_stands_last(hand, monkeypatch):
    monkeypatch.setattr(CLAIMS, "_loaded", False)
    monkeypatch.setattr(CLAIMS, "_classes", dict(CLAIMS._classes))
    monkeypatch.setattr("ungrok.core.registry._installed", Plugged)
    assert [claim.kind for claim in every_claim()] == [*NAMES, "longer"]
    rows = pd.DataFrame([row for path in hand.pairs([40] * 8, [20] * 8) for row in path])
    verdicts = judge(rows, hand.recipe(), {"gradient_ascent": Doses(100.0, 50.0)})
    (own,) = [verdict for verdict in verdicts if verdict.claim.kind == "longer"]
    assert (own.effect.value, own.word, str(own.at)) == (1.0, "inconclusive", "update 50")


@pytest.mark.parametrize(
    ("kind", "metric", "at", "headed"),
    [
        ("efficiency", "updates", At.target(0.1), True),
        ("efficiency", "strength", At.target(0.1), True),
        ("efficiency", "updates", At.target(0.5), False),
        ("efficiency", "updates", At("any"), True),
        ("collateral", "RA", At.target(0.1), True),
        ("collateral", "RA share", At.target(0.1), False),
        ("oracle_gap", "gap", At.matched(50.0, one_shot=False), False),
        ("oracle_gap", "gap", At("rewind"), False),
        ("stability", "UA", At.matched(50.0, one_shot=False), True),
        ("paper", "UA", At.matched(1e-6, one_shot=True), True),
        ("paper", "UES", At.matched(50.0, one_shot=False), False),
    ],
)
def test_what_stands_in_the_headline(kind, metric, at, headed):
    assert CLAIMS.parse({"kind": kind}).in_headline(metric, at, 0.1) == headed


def test_an_unknown_value_is_bounded_on_its_own_side():
    known, limits = [(0.5, 0.2)] * 7, [((0.0, 0.4), (0.1, 0.3))] * 8
    estimate = bounded([(None, 0.2), *known], limits, 0.05)
    assert estimate.low == sign_flip([0.0 - 0.2, *[0.3] * 7]).low
    assert estimate.high == sign_flip([0.4 - 0.2, *[0.3] * 7]).high
    estimate = bounded([(0.5, None), *known], limits, 0.05)
    assert estimate.low == sign_flip([0.5 - 0.3, *[0.3] * 7]).low
    assert estimate.high == sign_flip([0.5 - 0.1, *[0.3] * 7]).high
    assert bounded([(None, 0.2), (0.2, None)], limits[:2], 0.05) is None


def test_a_missing_value_counts_as_nothing_in_a_mean():
    assert mean([{"UA": None}, {"UA": 1.0}, {"UA": float("nan")}, {"UA": 0.6}], "UA") == pytest.approx(0.4)


@pytest.mark.parametrize("side", [0, 1])
def test_a_share_that_is_unknown_on_one_side_may_be_anything_from_0_to_1(side):
    known, rest = 0.3, [(0.5, 0.4)] * 7
    pair = (None, known) if side == 0 else (known, None)
    estimate = bounded_shares([pair, *rest], 0.05)
    lowest, highest = (0 - known, 1 - known) if side == 0 else (known - 1, known - 0)
    assert estimate is not None
    assert estimate.low == pytest.approx(sign_flip([lowest, *[0.1] * 7], 0.05).low)
    assert estimate.high == pytest.approx(sign_flip([highest, *[0.1] * 7], 0.05).high)


def test_paths_start_from_the_model_unless_said_otherwise():
    assert not Evidence([], "gradient_ascent", Doses(100.0, 50.0), Claims()).from_scratch
