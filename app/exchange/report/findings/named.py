"""Names and texts as findings hold them."""

from __future__ import annotations

import numpy as np

from app.errors import InvalidRequest
from app.store.store import Store
from app.store.types.catalogue import DictionaryView


def feature_named(store: Store, words: str) -> tuple[DictionaryView, int]:
    """A feature as `--feature` names it.

    Raises:
        InvalidRequest: it is not of the form MODEL/DICTIONARY/12.
        NotFound: there is no such dictionary.
    """
    parts = words.split("/")
    if len(parts) != 3 or not all(parts) or not (parts[2].isascii() and parts[2].isdigit()):
        raise InvalidRequest(
            f"{words!r:.200} names no feature: write MODEL/DICTIONARY/12, as its page's address "
            "does after /d/."
        )
    return store.dictionary(parts[0], parts[1]), int(parts[2][:10])


def model_named(words: str, what: str) -> tuple[str, str]:
    """A model and something of it, as `--graph` names it: MODEL/NAME.

    Raises:
        InvalidRequest: it is not of that form.
    """
    model, _, name = words.partition("/")
    if not model or not name or "/" in name:
        raise InvalidRequest(
            f"{words!r:.200} names no {what}: write MODEL/NAME, as its page's address does after "
            f"/m/ and /{what}/."
        )
    return model, name


def plain_text(text: str) -> str:
    """A text that UTF-8 can carry: halves of surrogate pairs as U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def short(value: np.float32) -> float:
    """A float32 as the shortest decimal that means it."""
    return float(str(value))
