"""The base of every part of a recipe: immutable, typed, and closed to unknown keys."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sized
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ungrok.core.errors import LONGEST_VALUE, RecipeError, clipped, listed, nearest, shown

LONGEST_SENTENCE = 225
"""Characters of a message that what a validator says may take."""

UNUSABLE: dict[str, str] = {}
"""Why each kind that a plug-in would add cannot be used; see :class:`ungrok.core.registry.Registry`."""


class Schema(BaseModel):
    """A frozen pydantic model that rejects unknown keys and non-finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    optional: ClassVar[frozenset[str]] = frozenset()
    """Keys added later; left out of the hash at their default, so that older stored jobs stay valid."""
    listed_later: ClassVar[frozenset[str]] = frozenset()
    """Those of them that are left out in lists and mappings of blocks, too; others stand there, since older hashes were made with them."""

    @model_validator(mode="before")
    @classmethod
    def _no_numbers_for_truth(cls, value: Any) -> Any:
        """Refuse true and false where a number is asked for: pydantic takes them for 1 and 0."""
        fields = cls.model_fields
        for key, given in value.items() if isinstance(value, dict) else ():
            if key in fields and _holds_truth(given) and not _takes_truth(fields[key].annotation):
                raise ValueError(f"{key}: {shown(given)} is not allowed: true and false are no numbers")
        return value

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        fields = cls.model_fields
        if isinstance(value, dict):
            for key in value:
                if key not in fields:
                    allowed, near = listed(fields), nearest(str(key), fields)
                    raise ValueError(f"no such key {shown(key)} (value {shown(value[key])}); allowed: {allowed}{near}")
        return value

    def to_dict(self) -> dict[str, Any]:
        """Return the content as plain JSON types, every default included."""
        return self.model_dump(mode="json")

    def spec(self) -> dict[str, Any]:
        """Return the content as plain JSON types for a job to be hashed on, without ``optional`` keys at their default."""
        content = self.to_dict()
        defaults = _defaults(type(self))
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name in defaults and value == defaults[name]:
                del content[name]
            elif isinstance(value, Schema):
                content[name] = value.spec()
            elif isinstance(value, list):
                content[name] = [
                    item._as_listed() if isinstance(item, Schema) else given
                    for item, given in zip(value, content[name], strict=True)
                ]
            elif isinstance(value, dict):
                content[name] |= {key: item._as_listed() for key, item in value.items() if isinstance(item, Schema)}
        return content

    def _as_listed(self) -> dict[str, Any]:
        """Return the content as it is hashed where the block is one of a list."""
        defaults = _defaults(type(self))
        return {
            name: value
            for name, value in self.to_dict().items()
            if name not in self.listed_later or getattr(self, name) != defaults[name]
        }


@cache
def _defaults(block: type[Schema]) -> dict[str, Any]:
    """Return the defaults of the keys that a hash may leave out."""
    return {name: block.model_fields[name].get_default() for name in block.optional | block.listed_later}


def _holds_truth(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_holds_truth, value)))


def _takes_truth(annotation: Any) -> bool:
    """Return whether true may stand where a type is asked for, anywhere inside it."""
    return annotation in (bool, Any) or any(map(_takes_truth, get_args(annotation)))


def canonical(value: Any) -> str:
    """Serialize plain JSON types in one way only, so that equal content gives equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return 24 hexadecimal digits (96 bits) of the SHA-256 of the canonical form of ``value``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:24]


def explain(error: ValidationError, content: Any, prefix: str = "") -> str:
    """Put the first validation error into one sentence: key, value, what is allowed, nearest name."""
    errors = [each for each in error.errors(include_url=False) if not _follows(each)]
    first = errors[0]
    parts: list[str] = [prefix] if prefix else []
    here: Any = content
    chosen: Any = None
    part: Any
    for part in first["loc"]:
        # pydantic puts the chosen union member into the location; the recipe has no such key, or another by that name.
        if isinstance(here, dict) and part == here.get("kind") and here is not chosen:
            chosen = here
        elif (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        ):
            parts.append(clipped(str(part), LONGEST_VALUE))
            here = here[part]
        elif part == first["loc"][-1] and first["type"] == "missing":
            parts.append(str(part))
    key, context = clipped(".".join(parts), 2 * LONGEST_VALUE), first.get("ctx", {})
    allowed = str(context.get("expected_tags") or context.get("expected") or "")
    match first["type"]:
        case "union_tag_invalid" if context["tag"] in UNUSABLE:
            text = f"the plug-in {shown(context['tag'])} cannot be used ({UNUSABLE[context['tag']]})"
            key += ".kind"
        case "union_tag_invalid":
            names = _names(allowed)
            text = (
                f"{shown(context['tag'])} is not known; allowed: {listed(names)}{nearest(str(context['tag']), names)}"
            )
            key += ".kind"
        case "union_tag_not_found":
            text = "is missing; it names what the block is"
            key += ".kind"
        case "missing":
            text = "is missing"
        case "value_error":
            text = clipped(str(context.get("error", first["msg"])), LONGEST_SENTENCE)
        case "model_type":
            text = f"{shown(first['input'])} is not a block of keys, for instance {{key: value}}"
        case "list_type" | "tuple_type":
            text = f"{shown(first['input'])} is not allowed; allowed: a list"
        case "too_short":
            text = f"{shown(first['input'])} is not allowed; allowed: at least {context['min_length']} item{'s' * (context['min_length'] > 1)}"
        case "model_attributes_type":
            text = f"{shown(first['input'])} is not a block of keys, for instance {{kind: ...}}"
        case "literal_error":
            names = _names(allowed)
            text = (
                f"{shown(first['input'])} is not allowed; allowed: {listed(names)}{nearest(str(first['input']), names)}"
            )
        case _:
            text = f"{shown(first['input'])} is not allowed: {first['msg'][0].lower()}{first['msg'][1:]}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{key}: {text}{more}" if key else f"{text}{more}"


def _follows(error: ErrorDetails) -> bool:
    """Return whether a list is called too short only because its items, of which there are enough, are wrong."""
    given = error["input"]
    return error["type"] == "too_short" and isinstance(given, Sized) and len(given) >= error["ctx"]["min_length"]


def _names(allowed: str) -> list[str]:
    """Return what pydantic says is allowed, which it gives as text only: names in quotes, or numbers without."""
    return re.findall(r"'([^']*)'", allowed) or re.split(r", | or ", allowed)


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
    from pydantic_core import ErrorDetails
else:
    ModelMetaclass = type(Schema)  # pydantic gives it no public name


class Explained(ModelMetaclass):
    """Makes a wrong setting of a class that users name in their code one sentence, which begins with its kind."""

    def __call__(cls, *args: Any, **settings: Any) -> Any:
        """Make an instance."""
        try:
            return super().__call__(*args, **settings)
        except ValidationError as error:
            kind = getattr(cls, "model_fields")["kind"].default  # noqa: B009 (mypy does not see it)
            raise RecipeError(f"{kind}: {explain(error, settings)}") from None
