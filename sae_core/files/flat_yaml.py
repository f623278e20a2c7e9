"""The plain part of a YAML file: keys at its margin and their values, without anything that nests.

Settings of dictionaries on the Hub are a few such lines. Whatever else YAML can do is passed over.
"""

from __future__ import annotations

import re
from pathlib import Path

from sae_core.errors import CheckpointError

Scalar = str | int | float | bool | None
_LINE = re.compile(r"([\w.-]+)\s*:(?:\s+(.*))?")
_ITEM = re.compile(r"\s*-\s+(.*)")


def flat_yaml(path: Path) -> dict[str, Scalar | list[Scalar]]:
    """The keys at the margin of a file, with plain values or lists of such.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    values: dict[str, Scalar | list[Scalar]] = {}
    items: list[Scalar] | None = None
    for line in lines:
        if match := _LINE.fullmatch(line.rstrip()):
            items = None
            if match[2]:
                values[match[1]] = plain_value(match[2])
            else:
                values[match[1]] = items = []
        elif items is not None and (match := _ITEM.fullmatch(line.rstrip())):
            items.append(plain_value(match[1]))
    return values


def plain_value(word: str) -> Scalar:
    """A plain value of YAML, in quotes or without, whatever comment follows it."""
    word = word.strip()
    if word[:1] in ("'", '"') and (end := word.find(word[0], 1)) > 0:
        return word[1:end]
    word = re.split(r"\s#", word)[0].strip()
    named = {"true": True, "false": False, "null": None, "~": None}
    if word.lower() in named:
        return named[word.lower()]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
