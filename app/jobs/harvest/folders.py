"""Folders of harvests that have not ended: whose, how large, whether one still runs."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from app.errors import InvalidRequest
from sae_core.files.atomic import atomic_file

HARVESTS = "harvests"
LOCK = "lock"
_NOTE = "harvest.json"
_NAME = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class UnfinishedHarvest:
    """Such a folder.

    Attributes:
        folder: where it lies.
        title: `model/dictionary`; empty where an older version did not note it.
        n_bytes: of its files.
        running: whether a process works in it now.
    """

    folder: Path
    title: str
    n_bytes: int
    running: bool


def note_harvest(folder: Path, model: str, dictionary: str) -> None:
    """Write down whose harvest a folder holds; its name is only a checksum."""
    with atomic_file(folder / _NOTE) as draft:
        draft.write_text(json.dumps({"model": model, "dictionary": dictionary}))


def unfinished_harvests(home: Path) -> list[UnfinishedHarvest]:
    """The harvests below the home folder that have begun and not ended, by title."""
    root = home / HARVESTS
    if not root.is_dir():
        return []
    unfinished = [
        UnfinishedHarvest(folder, _title(folder), _size(folder), _is_running(folder))
        for folder in root.iterdir()
        if _NAME.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink()
    ]
    return sorted(unfinished, key=lambda harvest: (harvest.title, harvest.folder.name))


def remove_harvest(harvest: UnfinishedHarvest) -> None:
    """Delete the folder of a harvest that nobody works on.

    Raises:
        InvalidRequest: somebody does.
    """
    try:
        with FileLock(harvest.folder / LOCK, timeout=0):
            shutil.rmtree(harvest.folder, ignore_errors=True)
    except Timeout as error:
        raise InvalidRequest(
            f"{harvest.title or harvest.folder.name} is being harvested right now: stop that "
            "process first, or wait for it."
        ) from error


def _title(folder: Path) -> str:
    try:
        noted = json.loads((folder / _NOTE).read_text())
        return f"{noted['model']}/{noted['dictionary']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _is_running(folder: Path) -> bool:
    if not (folder / LOCK).exists():
        return False
    try:
        with FileLock(folder / LOCK, timeout=0):
            return False
    except Timeout:
        return True
