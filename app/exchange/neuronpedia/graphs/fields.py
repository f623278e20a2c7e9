"""Values of a foreign file, each refused with a sentence where it is not what it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.errors import InvalidRequest

LARGEST = 1e30
LONGEST = 10_000  # characters of a token or name
MOST_TOKENS = 100_000


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """An object."""
    if not isinstance(value, Mapping):
        raise wrong(f"{what} is no object")
    return value


def listed(value: Any, what: str, most: int = MOST_TOKENS) -> list[Any]:
    """A list that is not too long."""
    if not isinstance(value, list):
        raise wrong(f"What stands as {what} is no list")
    if len(value) > most:
        raise wrong(f"It has {len(value):,} {what}; up to {most:,} are read")
    return value


def text_of(value: Any, what: str, longest: int = LONGEST) -> str:
    """A text that is not too long."""
    if not isinstance(value, str) or len(value) > longest:
        raise wrong(f"{what} is no text of up to {longest:,} characters")
    return value


def whole(value: Any, what: str, below: int) -> int:
    """A number from 0, written as one or, as layers are, as text."""
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdecimal():
        value = int(value)
    if type(value) is not int or not 0 <= value < below:
        raise wrong(f"{what} is no number from 0 to {below - 1:,}")
    return value


def number(value: Any, what: str) -> float:
    """A finite number that is not too large."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise wrong(f"{what} is no number up to {LARGEST:g}")
    return float(value)


def wrong(what: str) -> InvalidRequest:
    """The error that says what cannot be read."""
    return InvalidRequest(f"This graph cannot be read. {what[:1].upper()}{what[1:]}.")
