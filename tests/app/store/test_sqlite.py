"""The file of a store that cannot be written, that another takes the place of, or that is old."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import StoreError
from app.settings import Settings
from app.store import database
from app.store.store import open_store
from app.store.upkeep.dump import dump
from tests import factories

FILE = "featurescope.db"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with a published dictionary."""
    with open_store(Settings(home=tmp_path / "home")) as store:
        factories.publish(store, factories.sample())
    return tmp_path / "home"


@pytest.fixture
def closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, for somebody who may not write there; root may anyway, so it is pretended."""
    access = os.access

    def denied(path: Path, mode: int) -> bool:
        return access(path, mode) and not (mode & os.W_OK and Path(path).is_relative_to(home))

    monkeypatch.setattr(os, "access", denied)
    return home


def _bytes(home: Path) -> dict[str, bytes]:
    """What lies there, aside from what SQLite keeps beside an open file."""
    beside = (f"{FILE}-wal", f"{FILE}-shm")
    return {path.name: path.read_bytes() for path in home.iterdir() if path.name not in beside}


def _dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize("lock", [True, False], ids=["", "nor can a lock be made"])
def test_a_store_that_cannot_be_written_is_read(closed: Path, lock: bool) -> None:
    if not lock:  # as on a medium that cannot be written; root would make the file elsewhere
        (closed / f"{FILE}-shm").mkdir()
    before = _bytes(closed)
    with open_store(Settings(home=closed)) as store:
        (view,) = store.catalogue()
        assert store.feature(view, 3).record.index == 3
        writes: tuple[Callable[[], object], ...] = (
            lambda: store.save_preset("demo", "mine", {}),
            lambda: store.labels.add(view, 3, "mine"),
            lambda: store.comments.add(view, 3, "mine"),
            lambda: store.lists.put("starred", view, 3),
            lambda: store.save_effects(view, 3, {1: factories.effect(3, 1)}),
            lambda: factories.publish(store, factories.sample(16, dictionary="other")),
        )
        for write in writes:
            with pytest.raises(StoreError, match="cannot be written: give this user the right"):
                write()
    assert _bytes(closed) == before


def test_what_others_write_into_it_is_read(home: Path, request: pytest.FixtureRequest) -> None:
    with open_store(Settings(home=home)) as writer:
        request.getfixturevalue("closed")
        reader = open_store(Settings(home=home))
        assert len(reader.catalogue()) == 1
        request.getfixturevalue("monkeypatch").undo()
        factories.publish(writer, factories.sample(16, dictionary="other"))
    assert len(reader.catalogue()) == 2
    reader.close()


def test_a_store_of_an_older_version_that_cannot_be_written(
    home: Path, request: pytest.FixtureRequest
) -> None:
    engine = database.connect(Settings(home=home).url)
    database.downgrade(engine, "0003")
    engine.dispose()
    closed = request.getfixturevalue("closed")
    before = _bytes(closed)
    with pytest.raises(StoreError, match="cannot be written"):
        open_store(Settings(home=closed))
    assert _bytes(closed) == before


def test_a_file_that_takes_its_place_is_read(home: Path, tmp_path: Path) -> None:
    other = Settings(home=tmp_path / "other")
    with open_store(other) as store:
        factories.publish(store, factories.sample(16, dictionary="restored"))
    with open_store(Settings(home=home)) as store:
        (view,) = store.catalogue()
        store.vocabulary(view.model_id)
        (tmp_path / "other" / FILE).replace(home / FILE)
        assert [view.name for view in store.catalogue()] == ["restored"]
        assert store.save_preset("demo", "mine", {})
        (home / FILE).rename(home / "away")
        with pytest.raises(StoreError, match=r"featurescope\.db is gone\. Put it back"):
            store.catalogue()
        (home / "away").rename(home / FILE)
        assert [view.name for view in store.catalogue()] == ["restored"]


def test_a_copy_is_kept_of_what_is_upgraded(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(home=home)
    engine = database.connect(settings.url)
    database.downgrade(engine, "0003")
    engine.dispose()
    older = home / "older"
    shutil.copy(home / FILE, older)
    for name in (f"{FILE}.schema-0003", f"{FILE}.schema-0003-2"):
        shutil.copy(older, home / FILE)
        open_store(settings).close()
        assert f"a copy of what it was is {home / name}" in caplog.text
        with (
            closing(sqlite3.connect(home / name)) as copied,
            closing(sqlite3.connect(older)) as was,
        ):
            assert list(copied.iterdump()) == list(was.iterdump())
        assert (home / name).stat().st_mode & 0o777 == 0o600
    before = _bytes(home)
    open_store(settings).close()
    assert _bytes(home).keys() == before.keys()


def test_an_upgrade_without_room_for_the_copy_changes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=home)
    engine = database.connect(settings.url)
    database.downgrade(engine, "0003")
    engine.dispose()
    before = _bytes(home)

    def full(*_: object) -> None:
        raise StoreError("full")

    monkeypatch.setattr(database, "copy_of", full)
    with pytest.raises(StoreError, match="full"):
        open_store(settings)
    monkeypatch.undo()
    assert _bytes(home) == before
    with pytest.raises(StoreError, match="older version"):
        open_store(settings, upgrade=False)
    with open_store(settings) as store:
        assert list(dump(store.engine))
