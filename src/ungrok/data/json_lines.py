"""The one reader of JSON lines: a file of rows, one JSON object a line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ungrok.core.errors import RecipeError

JsonRow = dict[str, Any]


def read_json_lines(path: Path) -> list[JsonRow]:
    """Return the rows of a file of JSON lines in UTF-8, as https://jsonlines.org has it.

    Lines end with a line feed, with or without a carriage return, and nothing else ends one: strings may hold U+2028, which
    ``str.splitlines`` takes for the end of a line. A byte order mark and blank lines are passed over. Columns keep the types that they have in JSON.

    Raises:
        RecipeError: If the file cannot be read, or a line is no JSON object, gives a key twice, or holds what JSON or UTF-8
            does not have: NaN, a number beyond the range of floats, half of a surrogate pair. The message names the line.

    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _row(line.decode())
        except UnicodeDecodeError as error:
            raise RecipeError(f"{path}, line {number}: not UTF-8 (byte {error.start + 1})") from None
        except RecursionError:
            raise RecipeError(f"{path}, line {number}: nested too deep") from None
        except json.JSONDecodeError as error:
            raise RecipeError(f"{path}, line {number}: not JSON ({error.msg}, column {error.colno})") from None
        except ValueError as error:
            raise RecipeError(f"{path}, line {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            start = line.strip()[:40].decode(errors="replace")
            raise RecipeError(f"{path}, line {number}: a row is an object with a key a column, not {start!r}")
        rows.append(row)
    return rows


def _row(line: str) -> Any:
    row = json.loads(
        line, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
    )
    if "\\u" in line and any("\ud800" <= sign <= "\udfff" for sign in json.dumps(row, ensure_ascii=False)):
        raise ValueError("it holds half of a surrogate pair")
    return row


def _object(pairs: list[tuple[str, Any]]) -> JsonRow:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise ValueError(f"the key {twice[:40]!r} stands there twice")
    return content


def _no_constant(text: str) -> Any:
    raise ValueError(f"it holds {text}")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python refuses thousands of digits
        raise ValueError(f"it holds an integer of {len(text)} digits") from None
