"""The connection to SQLite or Postgres: how it is made, what schema it has, how it fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from app.errors import StoreError
from app.settings import resource
from app.store.failures import HARVEST_OR_SERVE, failures_explained, translate
from app.store.sqlite import SqliteFile, copy_of

_log = logging.getLogger(__name__)
_LOCK = 0x46656174  # advisory lock of Postgres that one writer at a time holds
CONNECTIONS = 20
POOL_SECONDS = 10.0


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
            # What is asked here takes milliseconds; compiling it first takes longer than that.
            options = f"-c lock_timeout={int(busy_seconds * 1000)} -c jit=off"
            engine = create_engine(
                where, pool_pre_ping=True, connect_args={"options": options}, **pool
            )
        elif where.get_backend_name() == "sqlite" and where.database not in (None, "", ":memory:"):
            file = SqliteFile(Path(str(where.database)))
            engine = create_engine(where, connect_args={"timeout": busy_seconds}, **pool)
            file.listen(engine)
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
    event.listen(engine, "handle_error", translate)
    return engine


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
    if revision is not None and engine.dialect.name == "sqlite":
        _keep_copy(engine, revision)
    _migrate(engine, lambda config: command.upgrade(config, "head"))


def _keep_copy(engine: Engine, revision: str) -> None:
    """Keep a store as it is beside the one that is about to be upgraded."""
    copied = copy_of(engine, f"schema-{revision}")
    _log.warning(
        "The store is of an older version of Featurescope (schema %s) and is upgraded; a copy of "
        "what it was is %s.",
        revision,
        copied,
    )


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
        raise StoreError(f"The database {name} holds no store yet. Run {HARVEST_OR_SERVE}.")
    _refuse_newer(script, revision, engine)
    raise StoreError(
        f"The store {name} was made by an older version of Featurescope (schema {revision}, this "
        f"one needs {head}). Start {HARVEST_OR_SERVE}, which upgrade it; copy it first."
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


logging.getLogger("alembic").setLevel(logging.WARNING)
