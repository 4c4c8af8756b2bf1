"""The base of every part of a recipe: immutable, typed, and closed to unknown keys."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from ungrok.core.errors import nearest


class Schema(BaseModel):
    """A frozen pydantic model that rejects unknown keys and non-finite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

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


def canonical(value: Any) -> str:
    """Serialize plain JSON types in one way only, so that equal content has equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return 24 hexadecimal digits (96 bits) of the SHA-256 of the canonical text of ``value``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:24]
