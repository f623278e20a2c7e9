"""The connection to SQLite or Postgres: how it is made, what schema it has, how it fails."""

from __future__ import annotations

import errno
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from app.errors import StoreError
from app.settings import resource

_log = logging.getLogger(__name__)
_LOCK = 0x46656174  # advisory lock of Postgres that one writer at a time holds
_SWITCH_SECONDS = 10.0
CONNECTIONS = 20
POOL_SECONDS = 10.0
_SQLITE_SETTINGS = (
    "synchronous=NORMAL",
    "foreign_keys=ON",
    "journal_size_limit=33554432",  # a publication lets the log grow; later it shrinks to this
)
_HARVEST_OR_SERVE = "`featurescope serve` or `featurescope harvest`"


class Connections(QueuePool):
    """The connections of one process, of which there is a bounded number."""

    def connect(self) -> PoolProxiedConnection:
        """One of them.

        Raises:
            StoreError: all stayed in use for too long.
        """
        try:
            return super().connect()
        except PoolTimeout as error:
            raise StoreError(
                f"All {self.size()} connections to the store are in use; try again in a moment, or "
                "allow more with FEATURESCOPE_DATABASE_CONNECTIONS."
            ) from error


def connect(
    url: str | URL,
    busy_seconds: float = 10.0,
    connections: int = CONNECTIONS,
    pool_seconds: float = POOL_SECONDS,
) -> Engine:
    """An engine for `sqlite:///…` or `postgresql+psycopg://…`.

    Args:
        url: where the store is; SQLite's folder is made.
        busy_seconds: how long a statement waits for another writer.
        connections: open at once, at most.
        pool_seconds: how long is waited for one of them.

    Raises:
        StoreError: the address makes no sense, or its folder cannot be made.
    """
    pool: dict[str, Any] = {
        "poolclass": Connections,
        "pool_size": connections,
        "max_overflow": 0,
        "pool_timeout": pool_seconds,
    }
    try:
        where = make_url(url)
        if where.drivername in ("postgres", "postgresql"):
            where = where.set(drivername="postgresql+psycopg")
        if where.drivername == "postgresql+psycopg":
            wait = f"-c lock_timeout={int(busy_seconds * 1000)}"
            engine = create_engine(
                where, pool_pre_ping=True, connect_args={"options": wait}, **pool
            )
        elif where.get_backend_name() == "sqlite" and where.database not in (None, "", ":memory:"):
            Path(str(where.database)).parent.mkdir(0o700, parents=True, exist_ok=True)
            engine = create_engine(where, connect_args={"timeout": busy_seconds}, **pool)
            event.listen(engine, "connect", _set_up_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        else:
            raise StoreError(
                f"The store cannot be at {where.drivername}. Give `sqlite:///path/to/file` or "
                "`postgresql+psycopg://user@host/database`."
            )
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(f"The address of the store makes no sense: {error}.") from error
    except ValueError as error:
        raise StoreError(
            "The address of the store makes no sense: its port is no number."
        ) from error
    except OSError as error:
        raise StoreError(f"The folder of the store cannot be made: {error}.") from error
    event.listen(engine, "handle_error", _translate)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # transactions begin where we say so, reads included
    with failures_explained():
        _write_ahead(connection)
        for setting in _SQLITE_SETTINGS:
            connection.execute(f"PRAGMA {setting}").close()


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


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the lock at once, where waiting helps, and not at its first write."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction whose statements all see the same instant."""
    postgres = engine.dialect.name == "postgresql"
    options = {"isolation_level": "REPEATABLE READ"} if postgres else {}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine, alone: bool = False) -> Iterator[Connection]:
    """A transaction that writes; `alone`: no other one that asks for this runs beside it."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if alone and engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield connection


def tidy(engine: Engine, *tables: str) -> None:
    """After much was written: nothing that a reader sees, only how fast it is read.

    Postgres measures the tables and marks what all may see; its own autovacuum would come a minute
    later. A failure changes nothing, so it is only noted.
    """
    if engine.dialect.name != "postgresql":
        return
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in tables:
                connection.exec_driver_sql(f'VACUUM (ANALYZE) "{table}"')
    except StoreError as error:
        _log.warning("The store was not tidied: %s", error)


def compact(engine: Engine) -> None:
    """After much was deleted: the store's room goes back to the disk.

    SQLite writes its file anew without the gaps, Postgres lets `tidy` mark them as free. It changes
    nothing of what is stored, so a failure (a full disk, another writer) is only noted.
    """
    if engine.dialect.name == "postgresql":
        tidy(engine, "feature", "window", "effect")
        return
    try:
        # no transaction: SQLite compacts outside of any
        with engine.connect() as connection, failures_explained():
            driver: Any = connection.connection.driver_connection
            driver.execute("VACUUM").close()
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    except StoreError as error:
        _log.warning("The store's file was not made smaller: %s", error)


def newest_schema() -> str:
    """The revision of the schema that this version works with."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def knows_schema(revision: str) -> bool:
    """Whether a revision is this version's or an older one."""
    script = ScriptDirectory.from_config(_config())
    return revision in {step.revision for step in script.walk_revisions()}


def upgrade(engine: Engine) -> None:
    """Bring the schema up to this version's; an empty database gets all of it.

    Raises:
        StoreError: a newer version of Featurescope made the database.
    """
    with engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory.from_config(_config())
    if revision == script.get_current_head():
        return
    _refuse_newer(script, revision, engine)
    _migrate(engine, lambda config: command.upgrade(config, "head"))


def downgrade(engine: Engine, revision: str) -> None:
    """Take the schema back to a revision, or to nothing with `base`.

    Raises:
        StoreError: there is no such revision, or none such below the one that the store has.
    """
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory.from_config(_config())
    _refuse_newer(script, current, engine)
    try:
        _migrate(engine, lambda config: command.downgrade(config, revision))
    except (CommandError, AssertionError) as error:  # the latter where `revision` is empty
        known = ", ".join(step.revision for step in script.walk_revisions())
        raise StoreError(
            f"The store {_place(engine)} (schema {current or 'base'}) cannot be taken back to "
            f"{revision!r} ({error}). Give `base`, or an earlier one of {known}."
        ) from error


def check_revision(engine: Engine) -> None:
    """Refuse a database whose schema is not this version's.

    Raises:
        StoreError: it is empty, older or newer; the sentence says what to do.
    """
    with engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory.from_config(_config())
    head = script.get_current_head()
    if revision == head:
        return
    name = _place(engine)
    if revision is None:
        raise StoreError(f"The database {name} holds no store yet. Run {_HARVEST_OR_SERVE}.")
    _refuse_newer(script, revision, engine)
    raise StoreError(
        f"The store {name} was made by an older version of Featurescope (schema {revision}, this "
        f"one needs {head}). Start {_HARVEST_OR_SERVE}, which upgrade it; copy it first."
    )


def _refuse_newer(script: ScriptDirectory, revision: str | None, engine: Engine) -> None:
    known = {step.revision for step in script.walk_revisions()}
    if revision is not None and revision not in known:
        raise StoreError(
            f"The store {_place(engine)} was made by a newer version of Featurescope (schema "
            f"{revision} is unknown here). Install that version, or choose another database with "
            "FEATURESCOPE_DATABASE_URL."
        )


def _place(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resource("migrations")).replace("%", "%%"))
    return config


def _migrate(engine: Engine, run: Callable[[Config], None]) -> None:
    """All steps in one transaction, on the connection that `migrations/env.py` finds.

    SQLite changes a table by copying it, which would cascade into the tables that refer to it, so
    its foreign keys sleep meanwhile and are checked before the commit.
    """
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect().execution_options(writes=True) as connection:
        driver: Any = connection.connection.driver_connection
        try:
            if sqlite:
                driver.execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                if not sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
                config = _config()
                config.attributes["connection"] = connection
                run(config)
                if sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise StoreError("The upgrade would break the store, so it was left as it was.")
        finally:
            if sqlite:
                driver.execute("PRAGMA foreign_keys=ON")


@contextmanager
def failures_explained() -> Iterator[None]:
    """What the drivers say by themselves, outside of SQLAlchemy, becomes a `StoreError` too."""
    try:
        yield
    except (sqlite3.Error, psycopg.Error, OSError) as error:
        if sentence := explain(error):
            raise StoreError(sentence) from error
        raise


def _translate(context: ExceptionContext) -> None:
    if sentence := explain(context.original_exception):
        raise StoreError(sentence) from context.original_exception


_FULL = "The disk of the store is full. Make room and run it again; what was published is intact."
_LOCKED = (
    "The store is locked: another process is writing to it. Wait until that harvest has ended and "
    "try again; what was published is intact."
)
_DAMAGED = "The store is damaged or is no database. Restore it from a copy, or move it away."
_READ_ONLY = "The store cannot be written: give this user the right to write to it."
_NO_SCHEMA = f"The store has another schema. Start {_HARVEST_OR_SERVE}, which upgrade it."
_UNREACHABLE = "The database cannot be reached. Start it, or correct FEATURESCOPE_DATABASE_URL."

_SQLITE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: "The store's file cannot be opened: check its folder and rights.",
    sqlite3.SQLITE_IOERR: "The store's disk fails to read or write. Check it, and its free space.",
}
_POSTGRES = {
    "53100": _FULL,
    "55P03": _LOCKED,
    "40P01": _LOCKED,
    "40001": _LOCKED,
    "XX001": _DAMAGED,
    "25006": _READ_ONLY,
    "42501": _READ_ONLY,
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


logging.getLogger("alembic").setLevel(logging.WARNING)
