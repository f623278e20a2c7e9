"""Where the vectors of what is said of a dictionary's features lie, outside of the database."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from app.store.types.catalogue import DictionaryView
from app.store.written.texts import subject


def clear_unused(
    home: Path, before: Iterable[DictionaryView], after: Iterable[DictionaryView]
) -> None:
    """Delete the vectors of dictionaries that were removed, where no other has their weights."""
    used = {meaning_folder(home, view) for view in after}
    for folder in {meaning_folder(home, view) for view in before} - used:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(unfinished_folder(folder), ignore_errors=True)


def unfinished_folder(folder: Path) -> Path:
    """Where a run that has not ended keeps its vectors."""
    return folder.with_name(f"{folder.name}-unfinished")


def meaning_folder(home: Path, dictionary: DictionaryView) -> Path:
    """By the dictionary's weights, whatever it is called; they can be made again at any time."""
    return home / "meaning" / hashlib.sha256(subject(dictionary).encode()).hexdigest()[:32]
