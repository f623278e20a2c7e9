import errno
import sqlite3
import threading
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from app.errors import StoreError
from app.store import database, failures
from app.store.columns import escape, unescape
from app.store.store import Store
from app.store.upkeep.dump import dump
from tests import factories


def test_sqlite_is_set_up(sqlite_engine):
    with sqlite_engine.connect() as connection:
        for name, value in (
            ("journal_mode", "wal"),
            ("foreign_keys", 1),
            ("synchronous", 1),
            ("busy_timeout", 2000),
        ):
            assert connection.exec_driver_sql(f"PRAGMA {name}").scalar() == value


@pytest.mark.parametrize(
    "url", ["mysql://localhost/x", "sqlite://", "sqlite:///:memory:", "nothing"]
)
def test_other_addresses_are_refused(url):
    with pytest.raises(StoreError, match="store"):
        database.connect(url)


def test_a_plain_postgres_address_takes_psycopg():
    engine = database.connect("postgresql://someone@localhost/base")
    assert engine.dialect.driver == "psycopg"
    engine.dispose()


def test_an_unreachable_postgres_is_a_sentence_without_the_password():
    engine = database.connect("postgresql+psycopg://someone:secret@127.0.0.1:1/base")
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        database.upgrade(engine)
    assert "secret" not in str(caught.value)
    engine.dispose()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="folder"):
        database.connect(f"sqlite:///{tmp_path}/file/featurescope.db")


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
    engine = database.connect(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(StoreError, match="is no database"):
        database.upgrade(engine)
    engine.dispose()


def test_a_store_without_tables(empty_url):
    engine = database.connect(empty_url)
    with pytest.raises(StoreError, match="another schema"):
        Store(engine).catalogue()
    engine.dispose()


def test_a_locked_database_says_so_and_keeps_its_data(empty_url):
    engine = database.connect(empty_url, busy_seconds=0.2)
    database.upgrade(engine)
    store, sample = Store(engine), factories.sample()
    factories.publish(store, sample)
    before = list(dump(engine))
    with database.writing(engine, alone=True) as other:
        other.execute(text("DELETE FROM effect"))
        with pytest.raises(StoreError, match="locked: another process is writing"):
            factories.publish(store, sample)
        assert list(dump(engine)) == before  # readers do not wait
    factories.publish(store, sample)
    assert list(dump(engine)) == before
    engine.dispose()


def test_a_full_disk_says_so_and_keeps_what_was_published(tmp_path):
    engine = database.connect(f"sqlite:///{tmp_path}/small.db")
    database.upgrade(engine)
    store = Store(engine)
    factories.publish(store, factories.sample())
    before = list(dump(engine))

    def limit(connection, _record, _proxy):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}").close()

    database.event.listen(engine, "checkout", limit)
    with pytest.raises(StoreError, match=r"disk of the store is full\. Make room"):
        factories.publish(store, factories.sample(64, dictionary="large"))
    assert list(dump(engine)) == before
    assert [view.name for view in store.catalogue()] == ["mlp-12"]
    engine.dispose()


def test_a_full_temporary_disk_says_so(store, sample, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.write", full)
    with pytest.raises(StoreError, match="full"):
        factories.publish(store, sample)
    assert store.catalogue() == []


def test_what_drivers_say_becomes_what_to_do():
    class Postgres(psycopg.OperationalError):
        sqlstate = "53100"

    failure = sqlite3.OperationalError("database or disk is full")
    failure.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert failures.explain(failure) == failures.explain(Postgres())
    readonly = sqlite3.OperationalError("attempt to write")
    readonly.sqlite_errorcode = sqlite3.SQLITE_READONLY | (1 << 8)
    assert "right to write" in str(failures.explain(readonly))
    assert failures.explain(sqlite3.IntegrityError("UNIQUE constraint failed")) is None
    assert failures.explain(ValueError("a defect")) is None


def test_a_defect_stays_a_defect(engine):
    with pytest.raises(ValueError, match="mine"), database.writing(engine):
        raise ValueError("mine")


def test_a_read_sees_one_instant(engine):
    store = Store(engine)
    factories.publish(store, factories.sample())
    count = text("SELECT count(*) FROM feature")
    with database.reading(engine) as connection:
        first = connection.scalar(count)
        writer = threading.Thread(
            target=factories.publish, args=(store, factories.sample(16, dictionary="other"))
        )
        writer.start()
        writer.join()
        assert connection.scalar(count) == first == 12
    with database.reading(engine) as connection:
        assert connection.scalar(count) == 28


@pytest.mark.parametrize(
    "name",
    ["", "plain", "nul\x00", "\ud800", "\udfff\udc00", "\ufdd0", "\ufdd00000", "🙂\ufdd0d800"],
)
def test_any_text_is_escaped_and_back(name):
    safe = escape(name)
    safe.encode("utf-8")
    assert "\0" not in safe
    assert unescape(safe) == name


def test_a_pool_that_runs_out_is_said(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'pool.db'}"
    engine = database.connect(url, connections=1, pool_seconds=0.05)
    with (
        engine.connect(),
        pytest.raises(StoreError, match=r"All 1 connections.*FEATURESCOPE_DATABASE_CONNECTIONS"),
        engine.connect(),
    ):
        pass
    engine.dispose()


def test_a_port_that_is_no_number_is_said() -> None:
    with pytest.raises(StoreError, match="port is no number"):
        database.connect("postgresql+psycopg://user@host:port/name")


def test_a_home_that_is_made_here_is_private(tmp_path: Path) -> None:
    database.connect(f"sqlite:///{tmp_path / 'home' / 'a.db'}").dispose()
    assert (tmp_path / "home").stat().st_mode & 0o777 == 0o700
