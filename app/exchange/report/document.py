"""The one way in which a report is written as JSON, so that a signature can hold it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from app.errors import FeaturescopeError

MOST_BYTES = 64 * 2**20
"""Of a report's file; a larger one is not read."""

Path: TypeAlias = tuple[str | int, ...]

# In JSON these stand in strings alone; written so, the text can lie in a page as it is.
_ALIVE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


class ReportError(FeaturescopeError):
    """A file is no report that can be verified: another form or version, changed, too large."""

    exit_code = 2


class ReportDiffers(FeaturescopeError):
    """Figures of a report come out otherwise."""


def canonical(value: Any) -> bytes:
    """Sorted keys, no blanks, UTF-8, numbers as Python writes them; `<`, `>`, `&` and what UTF-8
    cannot carry as escapes.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return _ALIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def digest(value: Any) -> str:
    """SHA-256 of `canonical`, as hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def parsed(data: bytes) -> Any:
    """What `canonical` wrote.

    Raises:
        ReportError: it is no JSON, has a key twice or a number that is none, or is written in
            another way: then no signature can be held against it.
    """
    if len(data) > MOST_BYTES:
        raise ReportError(too_large(len(data)))
    try:
        value = json.loads(data, object_pairs_hook=_once, parse_constant=_none, parse_float=_finite)
        again = canonical(value)
    except (ValueError, RecursionError) as error:
        raise ReportError(
            f"This is no JSON of a report, or it is cut off: {str(error)[:200]}. Ask whoever sent "
            "it for another copy."
        ) from error
    if again != data:
        raise ReportError(
            "This JSON is not written as Featurescope writes reports (sorted keys, no blanks): it "
            "was changed after it was signed. Ask for the file as it was written."
        )
    return value


def too_large(n_bytes: int) -> str:
    """Why a file is not read."""
    return (
        f"The file has {n_bytes / 2**20:,.0f} MiB; a report has at most {MOST_BYTES // 2**20}: "
        "this is none."
    )


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every text, number, truth value and None in nested lists and objects, with its path."""
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from leaves(inside, (*path, key))
    elif isinstance(value, list | tuple):
        for place, inside in enumerate(value):
            yield from leaves(inside, (*path, place))
    else:
        yield path, value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands there twice")
    return values


def _none(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError(f"{word[:20]} is too large a number")
    return number
