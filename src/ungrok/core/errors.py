"""Errors that a user can act on: one short sentence, no traceback needed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UngrokError(Exception):
    """Any error whose message is meant for the user as it stands."""


class RecipeError(UngrokError, ValueError):
    """A recipe or an argument holds a value that is not allowed."""


class NotApplicable(UngrokError, ValueError):
    """A method or measure does not apply to the model or data it was given."""


class UnlearningWarning(UserWarning):
    """Unlearning left a model as it was."""


class StoreError(UngrokError, OSError):
    """The store cannot be read or written."""


class DamagedFile(StoreError):
    """A stored file does not match its checksum."""


class WorkersLost(UngrokError, RuntimeError):
    """The worker processes of a study, or their scheduler, are gone, and no others could take their place."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def nearest(value: str, allowed: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest allowed name, or an empty string."""
    match = difflib.get_close_matches(value, list(allowed), n=1, cutoff=0.5)
    return f" (did you mean {match[0]!r}?)" if match else ""


def unknown(what: str, value: object, allowed: Iterable[str]) -> RecipeError:
    """Build the error for a name that is not among ``allowed``."""
    names = sorted(allowed)
    return RecipeError(f"{what}: {value!r} is not known; allowed: {', '.join(names)}{nearest(str(value), names)}")
