"""Fixtures that all tests share: a store on each database, with the real migrations."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import Engine, create_engine, make_url, text

from app.store import database
from app.store.columns import Base
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from tests import factories
from tests.factories import Sample
from tests.postgres import postgres
from tests.published import published as published_samples

settings.register_profile("same every time", database=None, deadline=None, derandomize=True)
settings.load_profile("same every time")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a Postgres server, one for all tests."""
    with postgres() as url:
        yield url


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """The address of a database on the server that is dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a new database without tables, once on each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store' / 'featurescope.db'}"
        return
    with new_database(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the schema, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "featurescope.db"
    made = database.connect(f"sqlite:///{path}")
    database.upgrade(made)
    made.dispose()
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> Iterator[str]:
    """A database with the schema, emptied after each test."""
    with new_database(postgres_server) as url:
        made = database.connect(url)
        database.upgrade(made)
        made.dispose()
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A store with the real migrations applied and nothing in it, once on each kind."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "featurescope.db")
        made = database.connect(f"sqlite:///{tmp_path / 'featurescope.db'}", busy_seconds=5)
    else:
        made = database.connect(request.getfixturevalue("migrated_postgres"), busy_seconds=5)
    yield made
    if request.param == "postgres":
        names = ", ".join(f'"{table.name}"' for table in Base.metadata.sorted_tables)
        with database.writing(made) as connection:
            connection.execute(text(f"TRUNCATE {names} CASCADE"))
    made.dispose()


@pytest.fixture
def store(engine: Engine) -> Store:
    """The door to `engine`."""
    return Store(engine)


@pytest.fixture
def sample() -> Sample:
    """A small publication."""
    return factories.sample()


@pytest.fixture
def published(store: Store, sample: Sample) -> DictionaryView:
    """`sample`, published in `store`."""
    factories.publish(store, sample)
    return store.dictionary(sample.model.name, sample.dictionary.name)


@pytest.fixture
def sqlite_engine(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Engine]:
    """A migrated, empty SQLite store, for tests that are not about the database."""
    shutil.copy(migrated_sqlite, tmp_path / "only.db")
    made = database.connect(f"sqlite:///{tmp_path / 'only.db'}", busy_seconds=2)
    yield made
    made.dispose()


@pytest.fixture
def postgres_engine(postgres_server: str) -> Iterator[Engine]:
    """A Postgres store of its own, with nothing in it."""
    with new_database(postgres_server) as url:
        made = database.connect(url)
        database.upgrade(made)
        yield made
        made.dispose()


@pytest.fixture
def other_sqlite(tmp_path: Path) -> Iterator[Engine]:
    """A second SQLite store, with nothing in it."""
    made = database.connect(f"sqlite:///{tmp_path / 'other.db'}")
    database.upgrade(made)
    yield made
    made.dispose()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """A store on SQLite alone with the samples `demo/mlp-12` and `demo/neurons` published."""
    (tmp_path / "only.db").write_bytes(published_samples())
    made = database.connect(f"sqlite:///{tmp_path / 'only.db'}", busy_seconds=2)
    yield Store(made)
    made.dispose()
