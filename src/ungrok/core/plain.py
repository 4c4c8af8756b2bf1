"""Where YAML enters: text from a file or a command line becomes plain values, within limits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ungrok.core.errors import LONGEST_FILE, LONGEST_REASON, LONGEST_VALUE, RecipeError, clipped, first_line, shown

MOST_BYTES = 1_000_000
"""Size of a file; the longest recipe that is shipped has 4,000 bytes."""
MOST_VALUES = 20_000
"""Values in a document, those that aliases repeat counted each time."""
DEEPEST = 30
"""Levels of values inside values."""
LONGEST_NUMBER = 100
"""Characters of a whole number; what Python makes of longer ones takes long, or is refused by it."""
LONGEST_NAME = 100
"""Bytes in UTF-8 of a name; file systems take 255, and names of files are made of several."""
WHOLE_NUMBERS = range(-(2**63), 2**63)
"""Whole numbers that tables and random generators can hold."""


_UNWRITABLE = re.compile("[\0\ud800-\udfff]")


class _Loader(yaml.SafeLoader):
    """YAML of plain values in which ``1e-3`` is a number, as YAML 1.2 has it, and a date is text.

    Raises ConstructorError, with the line, for all that goes beyond the limits, for a key that stands twice in a mapping,
    and for a value that is not of the type that it is marked with.
    """

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.values = 0
        self.sizes: dict[yaml.Node, int] = {}
        """Number of values in each node that is complete."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Read one value and all that is in it; an alias gives the node that it stands for."""
        is_alias, before = self.check_event(yaml.AliasEvent), self.values
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self.depth += 1
        if self.depth > DEEPEST:
            raise _refused(f"values are nested more than {DEEPEST} deep", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is None:
            return node
        if is_alias and node not in self.sizes:
            raise _refused("an alias stands inside what it stands for", mark)
        self.values += self.sizes[node] if is_alias else 1
        if self.values > MOST_VALUES:
            raise _refused(f"more than {MOST_VALUES:,} values, those that aliases repeat counted each time", mark)
        self.sizes.setdefault(node, self.values - before)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Read a mapping, whose keys must differ."""
        node = super().compose_mapping_node(anchor)
        keys = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refused("a key is a list or mapping", key.start_mark)
            if key.value in keys:
                raise _refused(f"the key {shown(key.value)} stands twice", key.start_mark)
            keys.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make the value of a node."""
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":int") and len(node.value) > LONGEST_NUMBER:
            raise _refused(f"a whole number of {len(node.value):,} characters", node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError):
            kind = node.tag.rpartition(":")[2]
            raise _refused(f"{shown(node.value)} is no value of type {kind}", node.start_mark) from None


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$"), list("-+.0123456789")
)


def _refused(problem: str, mark: Any) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML.

    Args:
        text: One document.
        source: What messages call it, for instance the name of its file.

    Returns:
        None, a truth value, number, text, list or mapping. Values may still be of other types, where the text marks them so;
        :func:`check_plain` finds them.

    Raises:
        RecipeError: If it is not YAML, or goes beyond the limits of this module; the message gives the line.

    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or first_line(error)
        raise RecipeError(
            f"{clipped(source, LONGEST_FILE)}{where}: not valid YAML: {clipped(problem, LONGEST_REASON)}"
        ) from None


def read_yaml(path: Path) -> Any:
    """Return what a file of YAML holds; see :func:`parse_yaml`.

    Raises:
        RecipeError: If it cannot be read, is too large, or is not YAML.

    """
    try:
        size, text = path.stat().st_size, ""
        if size <= MOST_BYTES:
            text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise RecipeError(f"{_name(path)}: cannot be read as UTF-8 text ({first_line(error)})") from None
    if size > MOST_BYTES:
        raise RecipeError(f"{_name(path)}: has {size:,} bytes; allowed: at most {MOST_BYTES:,}")
    return parse_yaml(text, _name(path))


def _name(path: Path) -> str:
    return clipped(str(path), LONGEST_FILE)


def check_plain(content: Any, key: str = "") -> None:
    """Raise RecipeError where content holds what no recipe can.

    Those are keys that are not text; values of other types than YAML 1.2 has; numbers that are not finite; whole numbers
    beyond 64 bits; text with half a surrogate pair or a null character, which neither a file nor a table can hold.
    """
    for where, value in _leaves(content, key):
        if isinstance(value, int) and value not in WHOLE_NUMBERS:
            problem = "whole numbers lie between -2^63 and 2^63 - 1"
        elif isinstance(value, float) and not math.isfinite(value):
            problem = "numbers are finite"
        elif isinstance(value, str) and _UNWRITABLE.search(value):
            problem = "text has no null characters and no halves of surrogate pairs"
        elif not isinstance(value, str | int | float | None):
            problem = "values are text, numbers, true, false, null, lists and mappings"
        else:
            continue
        raise RecipeError(f"{where}: {shown(value)} is not allowed: {problem}")


def _leaves(content: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Yield every value that is no list or mapping, and every key, with the place where it stands."""
    if isinstance(content, dict):
        for name, value in content.items():
            below = f"{key}.{clipped(str(name), LONGEST_VALUE)}" if key else clipped(str(name), LONGEST_VALUE)
            if not isinstance(name, str):
                raise RecipeError(f"{clipped(below, LONGEST_REASON)}: {shown(name)} is not allowed: keys are text")
            yield f"a key of {key}" if key else "a key", name
            yield from _leaves(value, below)
    elif isinstance(content, list | tuple):
        for place, value in enumerate(content):
            yield from _leaves(value, f"{key}.{place}" if key else str(place))
    else:
        yield clipped(key, LONGEST_REASON), content


def check_name(name: str, key: str) -> None:
    """Raise ValueError where a name cannot stand in a table, in the legend of a figure, and in the name of a file.

    Args:
        name: The name.
        key: What messages call it.

    """
    size = len(name.encode(errors="replace"))
    if not name.strip() or not name.isprintable():
        problem = "a name has letters, and none that cannot be printed"
    elif name.startswith("_"):
        problem = "matplotlib leaves out of a legend what starts with an underscore"
    elif size > LONGEST_NAME:
        problem = f"it has {size} bytes in UTF-8; a name has at most {LONGEST_NAME}, so that a file can bear it"
    else:
        return
    raise ValueError(f"{key}: {shown(name)} is not allowed: {problem}")
