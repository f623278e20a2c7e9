"""Names of models, dictionaries, trainings, lists and graphs: parts of addresses."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from app.errors import InvalidRequest

_NAME = re.compile(r"[\w][\w .+@=,-]*")
_UNFIT = re.compile(r"[^\w]+")


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


def free_name(title: str, names: Collection[str], empty: str) -> str:
    """A part of addresses that says what a title says.

    Args:
        title: any text of one line.
        names: that others have.
        empty: what it is called where the title has no letter and no digit.
    """
    plain = unicodedata.normalize("NFKC", title).lower()
    base = _UNFIT.sub("-", plain).strip("-_")[:60] or empty
    if base not in names:
        return base
    return next(f"{base}-{n}" for n in range(2, 100_000) if f"{base}-{n}" not in names)
