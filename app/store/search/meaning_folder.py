"""Where the vectors of what is said of a dictionary's features lie, outside of the database."""

from __future__ import annotations

import hashlib
from pathlib import Path

from app.store.types.catalogue import DictionaryView
from app.store.written.texts import subject


def meaning_folder(home: Path, dictionary: DictionaryView) -> Path:
    """By the dictionary's weights, whatever it is called; they can be made again at any time."""
    return home / "meaning" / hashlib.sha256(subject(dictionary).encode()).hexdigest()[:32]
