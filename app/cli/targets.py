"""Dictionaries as commands name them: `MODEL/DICTIONARY`."""

from __future__ import annotations

from app.errors import InvalidRequest


def split_target(words: str) -> tuple[str, str]:
    """Names of model and dictionary; neither contains a slash.

    Raises:
        InvalidRequest: it is not of that form.
    """
    model, _, dictionary = words.partition("/")
    if not model or not dictionary or "/" in dictionary:
        raise InvalidRequest(
            f"{words!r} names no dictionary: write MODEL/DICTIONARY as the pages do; "
            "`featurescope list` names them."
        )
    return model, dictionary
