"""Contrasts of two sets of texts. Reached as `Store.audit.contrasts`."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import Engine, RowMapping, delete

from app.errors import NotFound, StoreError
from app.store.database import writing
from app.store.tables.catalogue import canonical
from app.store.written.audit.contrasts.records import (
    ContrastLine,
    ContrastRecord,
    ContrastView,
    TextSet,
)
from app.store.written.audit.contrasts.schema import StoredTextContrast
from app.store.written.kept_once import kept_once, newest_first, row_asked, row_named
from app.store.written.texts import checked_line
from sae_core.audit.contrast.sets import contrast_of
from sae_core.errors import ContrastError

MOST_CONTRASTS = 1_000
LONGEST_TITLE = 200
_TABLE = StoredTextContrast.__table__
_LINE = (
    StoredTextContrast.name,
    StoredTextContrast.title,
    StoredTextContrast.model,
    StoredTextContrast.dictionary,
    StoredTextContrast.created,
)


class TextContrasts:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[ContrastLine]:
        """All contrasts, the newest first."""
        return [
            ContrastLine(**row) for row in newest_first(self._engine, StoredTextContrast, _LINE)
        ]

    def view(self, name: str) -> ContrastView:
        """One contrast.

        Raises:
            NotFound: there is none of that name.
            StoreError: it is damaged.
        """
        if (row := row_named(self._engine, StoredTextContrast, [_TABLE], name)) is None:
            raise _unknown(name)
        return _view(row)

    def asked(self, question: str) -> ContrastView | None:
        """The contrast that answers a question, by the SHA-256 of all that decides it."""
        row = row_asked(self._engine, StoredTextContrast, [_TABLE], question)
        return None if row is None else _view(row)

    def save(self, record: ContrastRecord) -> ContrastView:
        """Keep a contrast; the very same is kept once.

        Raises:
            InvalidRequest: its title is too long, or there are too many contrasts.
        """
        title = checked_line(record.title, "a title", LONGEST_TITLE) or "contrast"
        details = canonical(_details(record))
        content = f"{record.model}\n{record.dictionary}\n{details}"
        key = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
        with writing(self._engine, alone=True) as connection:
            name = kept_once(
                *(connection, StoredTextContrast, key, MOST_CONTRASTS, "forget --contrast NAME"),
                model=record.model,
                dictionary=record.dictionary,
                checksum=record.checksum,
                question=record.question,
                title=title,
                details=details,
            )
        return self.view(name)

    def forget(self, name: str) -> None:
        """Take a contrast out of the store.

        Raises:
            NotFound: there is no such contrast.
        """
        here = StoredTextContrast.name == name
        with writing(self._engine, alone=True) as connection:
            if connection.execute(delete(StoredTextContrast).where(here)).rowcount == 0:
                raise _unknown(name)


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no contrast {name!r:.80}. /contrast names all that there are.")


def _details(record: ContrastRecord) -> dict[str, Any]:
    return {
        "first": record.first.as_json(),
        "second": record.second.as_json(),
        "settings": record.settings,
        "contrast": record.contrast.as_json(),
    }


def _view(row: RowMapping) -> ContrastView:
    names = ("model", "dictionary", "checksum", "question", "title")
    try:
        details = json.loads(row["details"])
        record = ContrastRecord(
            **{name: row[name] for name in names},
            first=_set(details["first"]),
            second=_set(details["second"]),
            settings=details["settings"],
            contrast=contrast_of(details["contrast"]),
        )
    except (ContrastError, ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"The contrast {row['name']} is damaged. Restore the database from a copy, or ask anew."
        ) from error
    return ContrastView(row["name"], record, row["created"])


def _set(value: dict[str, Any]) -> TextSet:
    name, texts = str(value["name"]), tuple(map(str, value["texts"]))
    return TextSet(name, texts, tuple(map(str, value.get("groups", ()))))
