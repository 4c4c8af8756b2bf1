"""What ``record.json`` holds, under a version that stands in it and in its schema.

``python -m ungrok.deletion.record`` writes the schema that lies beside this module, as JSON Schema (2020-12).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from ungrok.core.errors import RecipeError, shown_file
from ungrok.core.files import read_json, write_json
from ungrok.core.schema import Schema, explain

VERSION = 2
"""Raised with every change of what the fields are called or mean."""

SCHEMA = Path(__file__).with_name("record.schema.json")

Model = Literal["original", "unlearned", "oracle"]
"""Names of the models that are measured, as :func:`ungrok.api.audit` has them."""

Involved = Literal["original", "unlearned", "oracle", "base", "fresh", "rewound"]
"""These, and those that some methods start from: ``fresh`` is what a factory makes, ``rewound`` the earlier model gone back to."""

ORIGINAL: Final = "original"
UNLEARNED: Final = "unlearned"
ORACLE: Final = "oracle"
BASE: Final = "base"
FRESH: Final = "fresh"
REWOUND: Final = "rewound"

Hash = str
Numbers = dict[str, float | None]
Models = dict[Model, Numbers]


class HashedSet(Schema):
    """A set of examples, by hashes alone."""

    examples: int = Field(ge=1, description="their number")
    sha256: Hash = Field(description="SHA-256 over the hashes of all examples in increasing order")
    batches: Hash = Field(
        description="HMAC-SHA256 of the batches in their order, with all that stands in them, for instance padding and refusals"
    )
    each: list[Hash] | None = Field(
        None, description="HMAC-SHA256 of each example, in increasing order; null but for the examples to forget"
    )


class Asked(Schema):
    """What was to be forgotten, and beside what."""

    keyed: bool = Field(
        description="whether the hashes were made with a key of the user's, which is stored nowhere; otherwise the key is the "
        "checksum of the original's weights"
    )
    forget: HashedSet
    retain: HashedSet
    test: HashedSet
    validation: HashedSet | None = Field(None, description="null where none was given")


class Place(Schema):
    """How the command line was told of model and data; paths as they were given."""

    model: str = Field(description="file or folder of the original")
    data: str = Field(description="module:function that gives the data")
    forget: str | None = Field(None, description="file of indices; null where the data name the examples themselves")


class Weights(Schema):
    """A model, by checksums."""

    weights: Hash = Field(description="SHA-256 over names, types, shapes and values of all weights and buffers")
    structure: Hash = Field(
        description="SHA-256 over the modules by name, class and printed settings, and the names of frozen weights"
    )
    path: str | None = Field(None, description="file or folder of the model; null where none was named")
    files: dict[str, Hash] = Field({}, description="SHA-256 of each file there, by name")


class MadeWith(Schema):
    """Versions and hardware."""

    versions: dict[str, str | None] = Field(description="of Python and packages; null for one that is not installed")
    commit: str | None = Field(description="commit of ungrok, with + where it was changed since; null where unknown")
    platform: str
    processor: str
    device: str = Field(description="type of the device of the original, for instance cpu")
    gpu: str | None = Field(description="name of the graphics processor; null where the model is not on one")
    threads: int = Field(ge=1, description="threads of PyTorch")


class Named(Schema):
    """A method, an attack or an objective."""

    kind: str = Field(description="its name; of an objective that of its class")
    settings: dict[str, Any] = Field(
        description="every setting; of an objective its attributes that are plain values or tensors, these as SHA-256"
    )


class Certified(Schema):
    """What the method certifies of the new model, if ``base`` depends on none of the examples and nobody learns the seed."""

    updates: int = Field(description="length of the path")
    sigma: float = Field(description="standard deviation of the noise on every weight")
    distance: float = Field(description="of two Gaussians that are as hard to tell apart, in standard deviations")
    epsilon: float = Field(description="at delta")
    delta: float


class Outcome(Schema):
    """Membership inference: do forget examples look more like training data than test examples?"""

    auc: float = Field(description="0.5 is the null: they cannot be told apart")
    low: float = Field(description="lower end of its 95 % interval")
    high: float
    tpr_at_0_01: float | None = Field(description="true-positive rate at 1 % false positives; null with too few")
    tpr_at_0_001: float | None
    members: int = Field(description="number of forget examples")
    non_members: int = Field(description="number of test examples")


class Attacked(Schema):
    """The place at which one attack, with one share of the forget examples in the attacker's hands, brings back most."""

    attack: str = Field(description="label of the attack")
    kind: str
    counts: bool = Field(description="false where it brings knowledge along from another model")
    share: float | None = Field(description="share of the forget examples that the attacker holds; null where none can")
    setting: str = Field(description="the strongest setting")
    dose: float = Field(description="where on its path")
    dose_name: str = Field(description="what the path runs over, for instance updates")
    before: float | None = Field(description="UA of the new model before the attack, on the examples held back")
    UA: Numbers = Field(description="by model, at that place, on the examples that the attacker does not hold")
    RA: Numbers
    TA: Numbers
    gap: float | None = Field(description="UA of the new model minus that of the oracle, the null; null without one")


class Sentence(Schema):
    """One sentence on what remains."""

    code: str = Field(description="names the kind of sentence; see docs/delete.md")
    text: str


class DeletionRecord(Schema):
    """One deletion: what was asked, how it was done, what was measured, what remains. Accuracies are shares from 0 to 1."""

    version: Literal[2] = 2
    date: str = Field(description="UTC; two equal calls differ in it alone, and therefore in the seal")
    asked: Asked
    place: Place | None = Field(None, description="null where it was made in Python")
    method: Named
    attacks: list[Named] = Field(description="what was tried to bring the examples back")
    objective: Named
    certified: Certified | None = Field(None, description="null for a method that certifies nothing")
    tokenizer: Hash | None = Field(None, description="SHA-256 of its vocabulary; null where none was given")
    seed: int
    made_with: MadeWith
    models: dict[Involved, Weights]
    accuracies: Models = Field(description="UA, RA and TA by model; null where it has diverged")
    memorization: Models = Field(description="of language models: extraction strength and probability")
    distances: Models = Field(description="from the new model to the others; see ungrok.audit")
    membership: dict[Model, dict[str, Outcome] | None] = Field(
        description="by model and attack; null where the model has diverged or there are too few examples"
    )
    stress: list[Attacked] = Field(description="what attacks brought back")
    remains: list[Sentence] = Field(description="residual risk: sentences that follow from the numbers")
    seal: Hash = Field(
        "",
        description="HMAC-SHA256 of all else in this record, under the key of the hashes; finds changes by whoever lacks the key",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for name in (ORIGINAL, UNLEARNED):
            if name not in self.models or not {"UA", "RA", "TA"} <= self.accuracies.get(name, {}).keys():
                raise ValueError(f"models and accuracies: {name!r} is missing, or one of its accuracies UA, RA and TA")
        if any(
            UNLEARNED not in values for attacked in self.stress for values in (attacked.UA, attacked.RA, attacked.TA)
        ):
            raise ValueError(f"stress: {UNLEARNED!r} is missing in UA, RA or TA of an attack")
        return self

    def __str__(self) -> str:
        rows = [f"{'':>10}  " + " ".join(f"{name:>6}" for name in ("UA", "RA", "TA"))]
        for name, values in self.accuracies.items():
            cells = ("     -" if value is None else f"{value:6.3f}" for value in values.values())
            rows.append(f"{name:>10}  " + " ".join(cells))
        return "\n".join([*rows, *(sentence.text for sentence in self.remains)])


def json_schema() -> dict[str, Any]:
    """Return the schema of a record as JSON Schema (2020-12)."""
    made = DeletionRecord.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:ungrok:deletion:{VERSION}"} | made


def schema_text() -> str:
    """Return what the file of the schema holds."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def write_record(path: Path, record: DeletionRecord) -> None:
    """Write a record as JSON, atomically."""
    write_json(path, record.to_dict())


def read_record(path: Path) -> DeletionRecord:
    """Return the record in a file.

    Raises:
        DamagedFile: If there is no such file, or it is no JSON.
        RecipeError: If it holds something else than a record of this version.

    """
    content = read_json(path)
    try:
        return DeletionRecord.model_validate(content)
    except ValidationError as error:
        raise RecipeError(
            f"{shown_file(path)} is no deletion record of version {VERSION} ({explain(error, content)})"
        ) from None


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
