"""What claims have in common: their registry, their order, what stands in the headline, and how values are read."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
import pytest

from ungrok.study.claims import CLAIMS, At, Claim, Evidence, Finding, Sides, every_claim, judge
from ungrok.study.claims.base import fall, mean, number
from ungrok.study.claims.verdicts import Doses
from ungrok.study.recipe_blocks import Claims
from ungrok.study.track import Track

NAMES = ["efficiency", "collateral", "stability", "oracle_gap", "durability", "paper", "extraction", "beyond_oracle"]


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

    def findings(self, evidence):
        sides = evidence.read(lambda track: float(len(track.rows)))
        yield Finding(self, evidence.method, "rows", evidence.matched, sides, "rows", 0.0)


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
    assert CLAIMS.get("efficiency")().sentence("second group").startswith("From the second group, fewer updates")
    assert [claim.kind for claim in every_claim() if claim.family == "language"] == ["extraction"]


def test_a_claim_of_a_plug_in_is_judged_and_stands_last(hand, monkeypatch):
    monkeypatch.setattr(CLAIMS, "_loaded", False)
    monkeypatch.setattr(CLAIMS, "_classes", dict(CLAIMS._classes))
    monkeypatch.setattr("ungrok.core.registry._installed", Plugged)
    assert [claim.kind for claim in every_claim()] == [*NAMES, "longer"]
    rows = pd.DataFrame([row for path in hand.pairs([40] * 8, [20] * 8) for row in path])
    verdicts = judge(rows, hand.recipe(), {"gradient_ascent": Doses(100.0, 50.0)})
    (own,) = [verdict for verdict in verdicts if verdict.claim.kind == "longer"]
    assert (own.effect.value, own.word, str(own.at), own.n_seeds) == (0.0, "exploratory", "update 50", 8)


@pytest.mark.parametrize(
    ("kind", "metric", "accuracy", "headline"),
    [
        ("collateral", "TA", "TA", "damage"),
        ("collateral", "TA", "bystander_accuracy", None),
        ("collateral", "bystander_accuracy", "bystander_accuracy", "damage"),
        ("collateral", "RA", "TA", None),
        ("collateral", "TA drop", "TA", None),
        ("stability", "TA", "TA", "spread"),
        ("stability", "updates same rate", "TA", None),
        ("oracle_gap", "gap", "TA", "oracle_gap"),
        ("paper", "UA", "TA", None),
        ("extraction", "extraction_forget", "TA", None),
        ("durability", "worst_gap", "TA", "durability"),
        ("durability", "relearn_updates", "TA", "durability"),
    ],
)
def test_what_stands_in_the_headline(kind, metric, accuracy, headline):
    claim = CLAIMS.parse({"kind": kind})
    finding = Finding(claim, "scrub", metric, At.target(0.1), None, "", 0.0)
    assert claim.headline(finding, accuracy) == headline


@pytest.mark.parametrize(("metric", "headline"), [("TA", "price"), ("TA after repair", None), ("RA", None)])
def test_the_price_of_lasting_is_a_row_of_its_own(metric, headline):
    claim = CLAIMS.parse({"kind": "collateral"})
    finding = Finding(claim, "scrub", metric, At.target(0.1), None, "", 0.0, reading="lasting")
    assert claim.headline(finding, "TA") == headline
    assert CLAIMS.parse({"kind": "efficiency"}).headline(replace(finding, metric="updates"), "TA") == "lasting"


def test_sides_are_compared_where_both_are_known():
    sides = Sides(np.array([1.0, np.nan, 3.0]), np.array([0.5, 2.0, np.nan]))
    assert (sides.n, sides.both.tolist(), sides.differences[0]) == (1, [True, False, False], 0.5)
    assert np.isnan(sides.differences[1:]).all()


def test_values_stand_at_the_place_of_their_seed(hand):
    paths = [Track(pd.DataFrame(hand.path(0, stage, 30, ta=ta))) for stage, ta in (("pre_grok", 0.5), ("grokked", 0.7))]
    evidence = Evidence({2: (paths[0], paths[1])}, 4, "gradient_ascent", Doses(100.0, 50.0), Claims())
    sides = evidence.read(lambda track: number(track.end, "TA"))
    assert (sides.left[2], sides.right[2], sides.n) == (0.5, 0.7, 1)
    assert not evidence.from_scratch
    assert not evidence.self_stopping


def test_a_missing_value_does_not_count_in_a_mean():
    assert mean([math.nan, 1.0, 0.6]) == pytest.approx(0.8)
    assert math.isnan(mean([math.nan]))


def test_a_fall_is_from_the_start(hand):
    track = Track(pd.DataFrame(hand.path(0, "pre_grok", 30, ta=0.5)))
    assert fall(track, track.end, "TA") == pytest.approx(0.4)
    assert fall(track, None, "TA") is None
