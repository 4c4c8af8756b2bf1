"""What ``verdicts.json`` holds: a list of verdicts, under a version that stands in the schema and in ``provenance.json``.

``python -m ungrok.study.verdict_file`` writes the schema that lies beside this module, as JSON Schema (2020-12).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, RootModel, ValidationError, model_validator
from pydantic.config import JsonDict

from ungrok.core.errors import RecipeError
from ungrok.core.files import read_json
from ungrok.core.schema import Schema, explain
from ungrok.study.claims import Effect, Wins, Word

VERSION = 2
"""Raised with every change of what the fields are called or mean."""

SCHEMA = Path(__file__).with_name("verdicts.schema.json")

CUT = ", restricted to "
"""What stands in a unit before the dose at which times were cut off."""

RATIO = "log ratio of "
"""How the unit of a log ratio begins."""

WORDS_IN_HEADLINE_ONLY: JsonDict = {
    "if": {"properties": {"headline": {"const": False}}},
    "then": {"properties": {"verdict": {"const": "exploratory"}}},
}


class FiledNote(Schema):
    """Something a reader of a verdict should know."""

    code: str = Field(description="names the kind of note; see docs/verdicts.md")
    text: str = Field(description="the note as a sentence")


class FiledSetting(Schema):
    """Where a claim was read."""

    forget: str = Field(description="label of the forget split; two with an arrow where the sides differ in it")
    method: str = Field(description="label of the method")
    metric: str = Field(description="what was measured, for instance updates or bystander_accuracy")
    at: str = Field(description="where on the path, for instance UA ≤ 0.1")


class FiledWins(Schema):
    """Pairs of paths by which side took fewer updates; shown beside a ratio, and not tested."""

    fewer: int = Field(ge=0, description="pairs in which the later side took fewer")
    more: int = Field(ge=0, description="pairs in which it took more")
    undecided: int = Field(ge=0, description="pairs in which both took as many, or neither reached the target")


class FiledVerdict(Schema):
    """A claim judged for one comparison and setting. A positive effect agrees with the paper (arXiv 2512.03437)."""

    model_config = ConfigDict(json_schema_extra=WORDS_IN_HEADLINE_ONLY)

    claim: str = Field(description="kind of the claim, for instance efficiency")
    reading: str = Field(
        description="how it was read: same_rate, own_rate, distance or lasting for efficiency, for instance; empty where there is one way"
    )
    comparison: str = Field(description="the earlier and the later side, with an arrow between them")
    setting: FiledSetting
    headline: bool = Field(description="whether it belongs to the headline family, in which alone words are given")
    effect: float | None = Field(description="estimate of the difference, in the unit; null where there is none")
    unit: str = Field(
        description="unit of the effect, for instance accuracy or log ratio of updates (natural logarithm)"
    )
    ci_low: float | None = Field(
        description="lower end of the interval, simultaneous over the headline family; null where it has no bound"
    )
    ci_high: float | None = Field(description="its upper end; null where it has no bound")
    n_seeds: int = Field(ge=0, description="number of seeds that the effect comes from")
    p_value: float | None = Field(
        ge=0, le=1, description="two-sided, adjusted over the headline family; null without an effect"
    )
    verdict: Word
    wins: FiledWins | None = Field(
        None, description="where updates or strengths are compared; null elsewhere, and absent in version 1"
    )
    notes: list[FiledNote] = Field(description="what a reader should know, the reason for the word first")

    @model_validator(mode="after")
    def _words_in_headline_only(self) -> FiledVerdict:
        if not self.headline and self.verdict != "exploratory":
            raise ValueError(f"{self.verdict} stands outside the headline family, where only exploratory may")
        return self

    @property
    def measure(self) -> str:
        """The unit without the dose at which times were cut off, so that effects of one unit can be laid on one axis."""
        return self.unit.partition(CUT)[0]

    @property
    def as_effect(self) -> Effect:
        """The effect as the study judged it."""
        unit, _, cut = self.unit.partition(CUT)
        low = -float("inf") if self.ci_low is None else self.ci_low
        high = float("inf") if self.ci_high is None else self.ci_high
        ratio = unit.startswith(RATIO)
        cut_at = float(cut) if cut else None
        return Effect(
            self.effect, (low, high), unit.removeprefix(RATIO), "log ratio" if ratio else "difference", cut_at
        )

    @property
    def as_wins(self) -> Wins | None:
        """The wins as the study counted them."""
        return None if self.wins is None else Wins(**self.wins.to_dict())


class VerdictFile(RootModel[list[FiledVerdict]]):
    """The verdicts of one study, by comparison, method and claim."""


def json_schema() -> dict[str, Any]:
    """Return the schema of ``verdicts.json`` as JSON Schema (2020-12)."""
    made = VerdictFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:ungrok:verdicts:{VERSION}"} | made


def schema_text() -> str:
    """Return what the file of the schema holds."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def read_verdicts(path: Path) -> list[FiledVerdict]:
    """Return the verdicts in a file.

    Raises:
        DamagedFile: If there is no such file, or it is no JSON.
        RecipeError: If it holds something else, for instance what an earlier version of the package wrote.

    """
    content = read_json(path)
    try:
        return VerdictFile.model_validate(content).root
    except ValidationError as error:
        raise RecipeError(f"{path}: is no list of verdicts of version {VERSION} ({explain(error, content)})") from None


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
