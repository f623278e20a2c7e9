"""Names of models and dictionaries: parts of addresses."""

from __future__ import annotations

import re

from app.errors import InvalidRequest

_NAME = re.compile(r"[\w][\w .+@=,-]*")


def check_name(name: str) -> None:
    """Refuse a name that an address cannot hold.

    Raises:
        InvalidRequest: it is such a one.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} cannot be part of an address: name it in letters, digits, '.', '_', "
            "'-' and blanks, with --name or --model-name."
        )
