"""A store as a bundle: the same on both databases, whole or not at all, resumable."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete

from app.errors import InvalidRequest, StoreError
from app.store.database import writing
from app.store.schema import StoredHarvest, StoredPreset
from app.store.store import Store
from app.store.upkeep import bundle as store_bundle
from app.store.upkeep import bundle_file
from app.store.upkeep.bundle import export_bundle, import_bundle
from app.store.upkeep.dump import dump
from tests import comparisons, factories
from tests.app.pretend import circuits, contrasts, experiments, followed, task_circuits
from tests.app.pretend import runs as runs_made


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_file, "PART_BYTES", 4_000)


@pytest.fixture
def full(sqlite_store: Store) -> Engine:
    """A store with something hostile in every table."""
    view = sqlite_store.dictionary("demo", "mlp-12")
    sqlite_store.labels.add(view, 2, "mark \u202e <b>")
    sqlite_store.save_effects(view, 0, {5: factories.effect(0, 5)})
    sqlite_store.save_preset("demo", "é\n", {"edits": [1e-300, None]})
    sqlite_store.add_dictionary(factories.dictionary("bare"))
    sqlite_store.runs.begin(runs_made.record())
    sqlite_store.runs.add_points("first", [runs_made.point(0, fvu=math.nan), runs_made.point(1)])
    sqlite_store.comparisons.save(
        comparisons.comparison(comparisons.of_view(view), comparisons.compared("gone"))
    )
    graph = sqlite_store.graphs.save(circuits.record(circuits.graph(seed=1)))
    sqlite_store.graphs.group("demo", graph.name, "names \u202e <b>", [1, 2])
    sqlite_store.graphs.circuits.save(task_circuits.record())
    sqlite_store.comparisons.moments.save(followed.record())
    sqlite_store.audit.contrasts.save(contrasts.record())
    sqlite_store.audit.experiments.save(experiments.record())
    sqlite_store.progress.report("demo", "bare", "harvesting", 1, 2, 3.0)
    return sqlite_store.engine


def test_it_moves_between_databases_unchanged(
    full: Engine, postgres_engine: Engine, other_sqlite: Engine, tmp_path: Path
) -> None:
    first = export_bundle(full, tmp_path / "a.zip")
    assert import_bundle(postgres_engine, tmp_path / "a.zip") == first
    assert export_bundle(postgres_engine, tmp_path / "b.zip").content == first.content
    import_bundle(other_sqlite, tmp_path / "b.zip")
    export_bundle(other_sqlite, tmp_path / "c.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "c.zip").read_bytes()
    assert list(dump(full)) == list(dump(postgres_engine)) == list(dump(other_sqlite))
    view = Store(postgres_engine).dictionary("demo", "mlp-12")
    assert Store(postgres_engine).feature(view, 0).effects.keys() == {5}


def test_parts_are_small_and_progress_stays_behind(full: Engine, tmp_path: Path) -> None:
    manifest = export_bundle(full, tmp_path / "a.zip")
    assert len(manifest.parts) > 15
    assert max(part.n_bytes for part in manifest.parts if part.rows > 1) < 20_000
    assert "progress" not in manifest.tables
    assert "run_pace" not in manifest.tables


def test_an_empty_store_is_a_bundle_too(
    sqlite_engine: Engine, other_sqlite: Engine, tmp_path: Path
) -> None:
    export_bundle(sqlite_engine, tmp_path / "a.zip")
    import_bundle(other_sqlite, tmp_path / "a.zip")
    assert list(dump(other_sqlite)) == list(dump(sqlite_engine))


class _KilledError(Exception):
    pass


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
@pytest.mark.parametrize("after", [0, 1, 4, 7])
def test_what_was_killed_is_finished(
    full: Engine,
    other_sqlite: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    after: int,
    where: str,
) -> None:
    target = other_sqlite if where == "sqlite" else request.getfixturevalue("postgres_engine")
    export_bundle(full, tmp_path / "a.zip")
    insert, left = store_bundle.bulk_insert, after

    def dying(connection: Any, model: Any, rows: Any) -> None:
        nonlocal left
        if left == 0:
            insert(connection, model, list(rows)[:1])
            raise _KilledError
        left -= 1
        insert(connection, model, rows)

    monkeypatch.setattr(store_bundle, "bulk_insert", dying)
    with pytest.raises(_KilledError):
        import_bundle(target, tmp_path / "a.zip")
    for view in Store(target).catalogue():  # what is published is published whole
        if view.harvest:
            assert len(Store(target).scales(view).firings) == view.d_sae
            Store(target).feature(view, 0)
    monkeypatch.setattr(store_bundle, "bulk_insert", insert)
    import_bundle(target, tmp_path / "a.zip")
    assert list(dump(target)) == list(dump(full))


def test_importing_twice_writes_nothing(
    full: Engine, other_sqlite: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_bundle(full, tmp_path / "a.zip")
    import_bundle(other_sqlite, tmp_path / "a.zip")

    def never(*_: object) -> None:
        raise AssertionError("it was written again")

    monkeypatch.setattr(store_bundle, "bulk_insert", never)
    import_bundle(other_sqlite, tmp_path / "a.zip")


def _add_preset(engine: Engine) -> None:
    Store(engine).save_preset("demo", "mine", {})


def _add_model(engine: Engine) -> None:
    Store(engine).add_model(factories.model("another"))


def _take_harvest(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(delete(StoredHarvest))
        connection.execute(delete(StoredPreset))
    factories.publish(
        Store(engine),
        replace(factories.sample(), harvest=replace(factories.harvest(), seed=7)),
    )


@pytest.mark.parametrize("change", [_add_preset, _add_model, _take_harvest])
def test_a_store_with_something_else_is_left_alone(
    full: Engine, other_sqlite: Engine, tmp_path: Path, change: Callable[[Engine], None]
) -> None:
    export_bundle(full, tmp_path / "a.zip")
    import_bundle(other_sqlite, tmp_path / "a.zip")
    change(other_sqlite)
    before = list(dump(other_sqlite))
    with pytest.raises(InvalidRequest, match="empty store"):
        import_bundle(other_sqlite, tmp_path / "a.zip")
    assert list(dump(other_sqlite)) == before


def _rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The archive with other entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def _manifest(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    def change(entries: dict[str, bytes]) -> None:
        told = json.loads(entries["manifest.json"]) | changes
        entries["manifest.json"] = json.dumps(told).encode()

    return change


def _content(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    """Changes with a checksum that fits."""

    def change(entries: dict[str, bytes]) -> None:
        told = json.loads(entries["manifest.json"]) | changes
        parts = tuple(bundle_file.Part(**part) for part in told["parts"])
        told["content"] = bundle_file.Manifest(told["schema"], told["tables"], parts).content
        entries["manifest.json"] = json.dumps(told).encode()

    return change


def _swap(entries: dict[str, bytes]) -> None:
    data = bytearray(entries["parts/000003.jsonl"])
    data[5] ^= 1
    entries["parts/000003.jsonl"] = bytes(data)


def _owner(table: str, dictionary: int | None) -> Callable[[dict[str, bytes]], None]:
    """The table's parts with another dictionary, all checksums right."""

    def change(entries: dict[str, bytes]) -> None:
        parts = json.loads(entries["manifest.json"])["parts"]
        for part in parts:
            part["dictionary"] = dictionary if part["table"] == table else part["dictionary"]
        _content(parts=parts)(entries)

    return change


def _bomb(entries: dict[str, bytes]) -> None:
    entries["parts/000003.jsonl"] = b"0" * (1 << 24)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_swap, "checksum of parts/000003.jsonl"),
        (_bomb, "not as large as its manifest says"),
        (lambda e: e.pop("parts/000001.jsonl"), "not those that its manifest names"),
        (lambda e: e.update({"../../evil": b"x"}), "not those that its manifest names"),
        (lambda e: e.pop("manifest.json"), "no manifest"),
        (lambda e: e.update({"manifest.json": b"[" * 99999}), "manifest cannot be read"),
        (_manifest(format="another"), "another format"),
        (_manifest(version=2), "has version 2"),
        (_manifest(parts=[]), "checksum of its contents"),
        (_manifest(tables=3), "manifest cannot be read"),
        (_owner("model", 1), "contradicts itself in model"),
        (_owner("feature", None), "contradicts itself in feature"),
        (_owner("feature", 1 << 70), "manifest cannot be read"),
        (_content(schema="9999"), "newer version"),
        (_content(schema="0001"), "older version"),
        (_content(tables={"model": ["id"]}), "newer version"),
    ],
)
def test_a_bundle_that_is_not_right_is_refused(
    full: Engine,
    other_sqlite: Engine,
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], None],
    sentence: str,
) -> None:
    path = tmp_path / "a.zip"
    export_bundle(full, path)
    _rewritten(path, change)
    before = list(dump(other_sqlite))
    with pytest.raises(InvalidRequest, match=sentence):
        import_bundle(other_sqlite, path)
    assert list(dump(other_sqlite)) == before


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999])
def test_a_truncated_bundle_is_refused(
    full: Engine, other_sqlite: Engine, tmp_path: Path, share: float
) -> None:
    path = tmp_path / "a.zip"
    export_bundle(full, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    before = list(dump(other_sqlite))
    with pytest.raises(InvalidRequest, match="damaged or incomplete"):
        import_bundle(other_sqlite, path)
    assert list(dump(other_sqlite)) == before


@pytest.mark.parametrize(
    "line",
    [
        b'[1e400, "x"]',
        b"[]",
        b"{}",
        b'["name", 3]',
        b"[" * 5000,
        b"[99999999999999999999999999]",
    ],
)
def test_rows_that_make_no_sense_are_refused(
    full: Engine, other_sqlite: Engine, tmp_path: Path, line: bytes
) -> None:
    """A forger can get every checksum right."""
    path = tmp_path / "a.zip"
    export_bundle(full, path)

    def forge(entries: dict[str, bytes]) -> None:
        told = json.loads(entries["manifest.json"])
        first = told["parts"][0]
        first |= {
            "rows": 1,
            "n_bytes": len(line) + 1,
            "sha256": bundle_file.hashlib.sha256(line + b"\n").hexdigest(),
        }
        entries[first["name"]] = line + b"\n"
        entries["manifest.json"] = json.dumps(told).encode()
        _content()(entries)

    _rewritten(path, forge)
    with pytest.raises(InvalidRequest, match="not made by Featurescope"):
        import_bundle(other_sqlite, path)


def test_a_bundle_that_would_unpack_to_far_more_than_it_is_is_refused(
    full: Engine, other_sqlite: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.zip"
    export_bundle(full, path)
    monkeypatch.setattr("sae_core.files.unpacking.ALWAYS", 0)
    import_bundle(other_sqlite, path)
    monkeypatch.setattr("sae_core.files.unpacking.RATIO", 1)
    with pytest.raises(InvalidRequest, match="far more than a store of its size"):
        import_bundle(other_sqlite, path)


def test_a_full_disk_leaves_nothing(
    full: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(InvalidRequest, match="exists already"):
        export_bundle(full, tmp_path / "a.zip")

    def full_disk(*_: object) -> str:
        raise StoreError("The disk of the store is full.")

    monkeypatch.setattr(store_bundle, "newest_schema", full_disk)
    with pytest.raises(StoreError):
        export_bundle(full, tmp_path / "b.zip")
    assert {path.name for path in tmp_path.iterdir() if "zip" in path.name} == {"a.zip"}
