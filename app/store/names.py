"""Names of models, dictionaries, trainings and sweeps: parts of addresses."""

from __future__ import annotations

import re

from app.errors import InvalidRequest

_NAME = re.compile(r"[\w][\w .+@=,-]*")


def check_name(name: str, where: str = "with --name or --model-name") -> None:
    """Refuse a name that an address cannot hold.

    Args:
        name: of a model, a dictionary, a training or a sweep.
        where: how another one is given, for the sentence.

    Raises:
        InvalidRequest: it is such a one.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} cannot be part of an address: name it in letters, digits, '.', '_', "
            f"'-' and blanks, {where}."
        )
