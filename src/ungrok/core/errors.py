"""Errors that a user can act on: one short sentence, no traceback needed."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

LONGEST_VALUE, LONGEST_FILE, LONGEST_REASON, LONGEST_LIST = 40, 80, 140, 160
"""Characters of a message that one value, a file, a reason given by another program, and a list of names may take."""


class UngrokError(Exception):
    """Any error whose message is meant for the user as it stands."""


class RecipeError(UngrokError, ValueError):
    """A recipe or an argument holds a value that is not allowed."""


class NotApplicable(UngrokError, ValueError):
    """A method or measure does not apply to the model or data it was given."""


class UngrokWarning(UserWarning):
    """A warning whose message is meant for the user as it stands."""


class UnlearningWarning(UngrokWarning):
    """Unlearning left a model as it was, or broke it."""


class StoreError(UngrokError, OSError):
    """The store cannot be read or written."""


class DamagedFile(StoreError):
    """A stored file does not match its checksum."""


class WorkersLost(UngrokError, RuntimeError):
    """The worker processes of a study, or their scheduler, are gone, and no others could take their place."""


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = LONGEST_VALUE


def shown(value: object) -> str:
    """Return a value as a message shows it: its ``repr``, with the middle left out where it is long."""
    try:
        return clipped(_REPR.repr(value), LONGEST_VALUE)
    except ValueError:  # Python writes no whole numbers of more than some thousand digits
        return f"a {type(value).__name__} too long to be shown"


def shown_file(path: object) -> str:
    """Return a file's name as a message shows it, with its middle left out where it is long."""
    return clipped(repr(str(path)), LONGEST_FILE)


def clipped(text: str, most: int) -> str:
    """Return a text on one line that can be printed, with its middle left out where it has more than ``most`` characters."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
    half = (most - 3) // 2
    return line if len(line) <= most else f"{line[: most - 3 - half]}...{line[-half:]}"


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, and the next where it ends with a colon; its name where it says nothing."""
    line, *more = str(error).strip().splitlines() or [type(error).__name__]
    return clipped(f"{line} {more[0]}" if more and line.endswith(":") else line, LONGEST_REASON)


def spoken(words: Iterable[str]) -> str:
    """Return ``a, b and c``."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def listed(names: Iterable[str]) -> str:
    """Return names with commas between them, and where they are many only the first ones and how many follow."""
    whole, some = [*names], list[str]()
    if len(", ".join(whole)) <= LONGEST_LIST:
        return ", ".join(whole)
    while len(", ".join([*some, clipped(whole[len(some)], LONGEST_VALUE)])) <= LONGEST_LIST:
        some.append(clipped(whole[len(some)], LONGEST_VALUE))
    return f"{', '.join(some)} and {len(whole) - len(some)} others"


def nearest(value: str, allowed: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest allowed name, or an empty string."""
    match = difflib.get_close_matches(value[:LONGEST_REASON], list(allowed), n=1, cutoff=0.5)
    return f" (did you mean {shown(match[0])}?)" if match else ""


def unknown(what: str, value: object, allowed: Iterable[str]) -> RecipeError:
    """Build the error for a name that is not among ``allowed``."""
    names = sorted(allowed)
    return RecipeError(f"{what}: {shown(value)} is not known; allowed: {listed(names)}{nearest(str(value), names)}")
