"""What the databases say when they fail, and what a user is told to do about it."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.engine import ExceptionContext

from app.errors import StoreError

HARVEST_OR_SERVE = "`featurescope serve` or `featurescope harvest`"


@contextmanager
def failures_explained() -> Iterator[None]:
    """What the drivers say by themselves, outside of SQLAlchemy, becomes a `StoreError` too."""
    try:
        yield
    except (sqlite3.Error, psycopg.Error, OSError) as error:
        if sentence := explain(error):
            raise StoreError(sentence) from error
        raise


def translate(context: ExceptionContext) -> None:
    """For an engine's `handle_error`: raise the sentence in place of what is no defect."""
    if sentence := explain(context.original_exception):
        raise StoreError(sentence) from context.original_exception


_FULL = "The disk of the store is full. Make room and run it again; what was published is intact."
_LOCKED = (
    "The store is locked: another process is writing to it. Wait until that harvest has ended and "
    "try again; what was published is intact."
)
_DAMAGED = "The store is damaged or is no database. Restore it from a copy, or move it away."
READ_ONLY = "The store cannot be written: give this user the right to write to it."
_NO_SCHEMA = f"The store has another schema. Start {HARVEST_OR_SERVE}, which upgrade it."
_UNREACHABLE = "The database cannot be reached. Start it, or correct FEATURESCOPE_DATABASE_URL."

_SQLITE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_PERM: READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: "The store's file cannot be opened: check its folder and rights.",
    sqlite3.SQLITE_IOERR: "The store's disk fails to read or write. Check it, and its free space.",
}
_POSTGRES = {
    "53100": _FULL,
    "55P03": _LOCKED,
    "40P01": _LOCKED,
    "40001": _LOCKED,
    "XX001": _DAMAGED,
    "25006": READ_ONLY,
    "42501": READ_ONLY,
    "42P01": _NO_SCHEMA,
    "42703": _NO_SCHEMA,
}


def explain(error: BaseException) -> str | None:
    """The sentence for a failure that is no defect: what happened and what to do; else None."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _SQLITE:
            return _SQLITE[code & 0xFF]
        return _NO_SCHEMA if "no such table" in str(error) else None
    if isinstance(error, psycopg.Error):
        state = error.sqlstate or ""
        if state in _POSTGRES:
            return _POSTGRES[state]
        if isinstance(error, psycopg.OperationalError) and state[:2] in (
            "",
            "08",
            "28",
            "3D",
            "57",
        ):
            return f"{_UNREACHABLE} ({str(error).strip().splitlines()[0]})"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return _FULL
    return None
