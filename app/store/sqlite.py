"""The file of a SQLite store: opened, for reading alone where need be, watched, and copied."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from app.errors import StoreError
from app.store.failures import READ_ONLY, failures_explained
from sae_core.files.atomic import atomic_file

_SWITCH_SECONDS = 10.0
_SETTINGS = (
    "synchronous=NORMAL",
    "foreign_keys=ON",
    "journal_size_limit=33554432",  # a publication lets the log grow; later it shrinks to this
)
_STATE = "state"  # of the file when a connection was opened


class SqliteFile:
    """The file of a store, as the connections of one engine see it.

    A file that this user cannot write is opened for reading: its pages can be looked at. One that
    another has taken the place of, such as a copy that was restored, is opened anew.

    Args:
        path: of the file; its folder is made.

    Raises:
        OSError: the folder cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._path.parent.mkdir(0o700, parents=True, exist_ok=True)
        self._opened = False

    def listen(self, engine: Engine) -> None:
        """See to all connections that the engine opens and uses."""
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "connect", self._set_up)
        event.listen(engine, "checkout", self._check)
        event.listen(engine, "begin", _begin)

    def _connect(
        self,
        _dialect: Any,
        _record: ConnectionPoolEntry,
        _given: list[Any],
        options: dict[str, Any],
    ) -> sqlite3.Connection | None:
        """A connection for reading alone; None: one as usual."""
        if self._opened and not self._path.exists():
            raise StoreError(
                f"The store's file {self._path} is gone. Put it back, or stop serving it."
            )
        if not _is_read_only(self._path):
            return None
        opened = self._opened_to_read("mode=ro", options)
        try:
            opened.execute("SELECT count(*) FROM sqlite_master").close()
            return opened
        except sqlite3.OperationalError as error:
            opened.close()
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN or self._unwritten:
                raise
        # Nobody has it open, and the lock file cannot be made: as long as it stays the same file.
        return self._opened_to_read("mode=ro&immutable=1", options)

    @property
    def _unwritten(self) -> bool:
        """Whether the log beside the file holds what the file does not."""
        log = self._path.with_name(f"{self._path.name}-wal")
        return log.exists() and log.stat().st_size > 0

    def _opened_to_read(self, how: str, options: dict[str, Any]) -> sqlite3.Connection:
        address = f"file:{quote(str(self._path))}?{how}"
        opened: sqlite3.Connection = sqlite3.connect(address, uri=True, **options)
        return opened

    def _set_up(self, connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions begin where we say so, reads included
        with failures_explained():
            if not _is_read_only(self._path):
                _write_ahead(connection)
            for setting in _SETTINGS:
                connection.execute(f"PRAGMA {setting}").close()
        self._opened = True
        record.info[_STATE] = self._state()

    def _check(
        self, _connection: sqlite3.Connection, record: ConnectionPoolEntry, _proxy: Any
    ) -> None:
        """Before a connection is used: it has to be one to the file that is there."""
        if record.info.get(_STATE) != self._state():
            raise InvalidatePoolError("another file is in its place")

    def _state(self) -> tuple[int, ...]:
        """What changes when another file takes this one's place; for readers, with each writing."""
        try:
            status = self._path.stat()
        except OSError:
            return ()
        file = (status.st_dev, status.st_ino)
        return (*file, status.st_size, status.st_mtime_ns) if _is_read_only(self._path) else file


def _is_read_only(path: Path) -> bool:
    """SQLite needs the folder, too, for what it has not written into the file yet."""
    return path.exists() and not all(os.access(part, os.W_OK) for part in (path, path.parent))


def _begin(connection: Connection) -> None:
    """A writer takes the lock at once, where waiting helps, and not at its first write."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log. While another process switches, SQLite does not wait."""
    end = time.monotonic() + _SWITCH_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.02)


def copy_of(engine: Engine, what: str) -> Path:
    """A copy of the whole store beside it, named after it and `what`.

    One that is there already is never written over.

    Raises:
        StoreError: the store cannot be written, or there is no room for the copy.
    """
    path = Path(str(engine.url.database)).absolute()
    if _is_read_only(path):
        raise StoreError(READ_ONLY)
    names = (f"{path.name}.{what}", *(f"{path.name}.{what}-{n}" for n in range(2, 1000)))
    target = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    with engine.connect() as connection, atomic_file(target) as draft, failures_explained():
        driver: Any = connection.connection.driver_connection
        with closing(sqlite3.connect(draft)) as copied:
            driver.backup(copied)
    target.chmod(0o600)
    return target
