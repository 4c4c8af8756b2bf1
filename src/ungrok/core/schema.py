"""The base of every part of a recipe: immutable, typed, and closed to unknown keys."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from ungrok.core.errors import nearest


class Schema(BaseModel):
    """A frozen pydantic model that rejects unknown keys and non-finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    optional: ClassVar[frozenset[str]] = frozenset()
    """Keys added later; left out of the hash at their default, so that older stored jobs stay valid."""

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value:
                if key not in cls.model_fields:
                    allowed = ", ".join(cls.model_fields)
                    raise ValueError(
                        f"no such key {key!r} (value {value[key]!r}); allowed: {allowed}{nearest(str(key), cls.model_fields)}"
                    )
        return value

    def to_dict(self) -> dict[str, Any]:
        """Return the content as plain JSON types, every default included."""
        return self.model_dump(mode="json")

    def spec(self) -> dict[str, Any]:
        """Return the content as plain JSON types for a job to be hashed on, without ``optional`` keys at their default."""
        content = self.to_dict()
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name in self.optional and value == field.get_default():
                del content[name]
            elif isinstance(value, Schema):
                content[name] = value.spec()
        return content


def canonical(value: Any) -> str:
    """Serialize plain JSON types in one way only, so that equal content gives equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return 24 hexadecimal digits (96 bits) of the SHA-256 of the canonical form of ``value``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:24]


def explain(error: ValidationError, content: Any, prefix: str = "") -> str:
    """Put the first validation error into one sentence: key, value, what is allowed, nearest name."""
    errors = error.errors(include_url=False)
    first = errors[0]
    parts: list[str] = [prefix] if prefix else []
    here: Any = content
    part: Any
    for part in first["loc"]:
        # pydantic puts the chosen union member into the location; the recipe has no such key.
        if (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        ):
            parts.append(str(part))
            here = here[part]
        elif part == first["loc"][-1] and first["type"] == "missing":
            parts.append(str(part))
    key, context = ".".join(parts), first.get("ctx", {})
    allowed = str(context.get("expected_tags") or context.get("expected") or "")
    match first["type"]:
        case "union_tag_invalid":
            names = [name.strip().strip("'") for name in allowed.split(",")]
            text = f"{context['tag']!r} is not known; allowed: {', '.join(names)}{nearest(context['tag'], names)}"
            key += ".kind"
        case "union_tag_not_found":
            text = "is missing; it names what the block is"
            key += ".kind"
        case "missing":
            text = "is missing"
        case "value_error":
            text = str(context.get("error", first["msg"]))
        case "model_attributes_type" | "model_type":
            text = f"{first['input']!r} is not a block of keys, for instance {{kind: ...}}"
        case "literal_error":
            names = [name.strip(" '") for name in re.split(r",| or ", allowed)]
            text = (
                f"{first['input']!r} is not allowed; allowed: {', '.join(names)}{nearest(str(first['input']), names)}"
            )
        case _:
            text = f"{first['input']!r} is not allowed: {first['msg'][0].lower()}{first['msg'][1:]}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{key}: {text}{more}" if key else f"{text}{more}"
