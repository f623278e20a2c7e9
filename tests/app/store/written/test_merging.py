"""What people wrote moves between stores in bundles, and is put together there."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from app.errors import InvalidRequest
from app.store.annotations import TABLES
from app.store.store import Store
from app.store.types.annotations import ContextKey
from app.store.types.explanations import Explanation, ScoredLabel
from app.store.upkeep.bundle import export_bundle, import_bundle
from app.store.upkeep.bundle_file import Manifest, Part
from app.store.upkeep.dump import dump
from app.store.written.lists import STARRED
from tests import factories


@pytest.fixture
def written(sqlite_store: Store) -> Store:
    """A store in which people have written."""
    view = sqlite_store.dictionary("demo", "mlp-12")
    label = sqlite_store.labels.add(view, 2, "</b> \u202e one", "n\n\u2028", "Ada")
    sqlite_store.labels.edit(view, 2, label.id, 1, "two")
    sqlite_store.labels.vote(view, 2, label.id, "Bob", -1)
    sqlite_store.labels.add(sqlite_store.dictionary("demo", "neurons"), 3, "a neuron")
    sqlite_store.comments.add(view, 2, "hm", "Ada", ContextKey("c" * 64, 32, 7), "a.py:1")
    sqlite_store.lists.put(STARRED, view, 2, "why")
    score = ScoredLabel("detection", 0.75, 0.5, 0.875, 40, None, 0.25, {"nulls": [0.5]})
    sqlite_store.explanations.save(
        view, Explanation("e", 2, "maxima", "small", "</b> one", "", {"seed": 0}, (score,))
    )
    return sqlite_store


def said(store: Store) -> Any:
    """All that people wrote on the feature 2 of demo/mlp-12, and the lists."""
    view = store.dictionary("demo", "mlp-12")
    labels = store.labels.of(view, 2)
    histories = [store.labels.history(view, 2, label.id) for label in labels]
    lists = [store.lists.contents(one.name) for one in store.lists.all()]
    explained = store.explanations.of(view, 2)
    shown = store.feature(view, 2).label
    return labels, histories, store.comments.of(view, 2), explained, lists, shown


def test_sqlite_to_postgres_to_sqlite(
    written: Store, postgres_engine: Engine, other_sqlite: Engine, tmp_path: Path
) -> None:
    export_bundle(written.engine, tmp_path / "a.zip")
    import_bundle(postgres_engine, tmp_path / "a.zip")
    export_bundle(postgres_engine, tmp_path / "b.zip")
    import_bundle(other_sqlite, tmp_path / "b.zip")
    export_bundle(other_sqlite, tmp_path / "c.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "c.zip").read_bytes()
    assert said(written) == said(Store(postgres_engine)) == said(Store(other_sqlite))
    assert list(dump(written.engine)) == list(dump(other_sqlite))


@pytest.mark.parametrize("where", ["sqlite", "postgres"])
def test_two_stores_are_put_together(
    written: Store,
    other_sqlite: Engine,
    tmp_path: Path,
    where: str,
    request: pytest.FixtureRequest,
) -> None:
    target = other_sqlite if where == "sqlite" else request.getfixturevalue("postgres_engine")
    export_bundle(written.engine, tmp_path / "first.zip")
    import_bundle(target, tmp_path / "first.zip")
    theirs = Store(target)
    view, their_view = (s.dictionary("demo", "mlp-12") for s in (written, theirs))
    [label] = written.labels.of(view, 2)
    # both go on by themselves
    written.labels.edit(view, 2, label.id, 2, "ours")
    written.labels.add(view, 5, "only here")
    written.lists.create("Quotes")
    theirs.labels.edit(their_view, 2, label.id, 2, "theirs")
    theirs.labels.add(their_view, 2, "another of theirs")
    theirs.labels.add(their_view, 6, "only there")
    theirs.labels.vote(their_view, 2, label.id, "Bob", 1)
    theirs.lists.put(STARRED, their_view, 7)
    theirs.lists.put(theirs.lists.create("Quotes").name, their_view, 8)
    export_bundle(target, tmp_path / "theirs.zip")
    import_bundle(written.engine, tmp_path / "theirs.zip")
    import_bundle(written.engine, tmp_path / "theirs.zip")  # again: nothing changes
    assert written.labels.texts(view, range(12)) == {
        2: "theirs",
        5: "only here",
        6: "only there",
    }
    [best, other] = written.labels.of(view, 2)
    assert (best.score, other.text) == (1, "another of theirs")
    texts = [version.text for version in written.labels.history(view, 2, label.id)]
    assert sorted(texts[:2]) == ["ours", "theirs"]
    assert texts[2] == "two"
    assert [item.index for item in written.lists.contents(STARRED)[1]] == [2, 7]
    assert {one.name: one.size for one in written.lists.all()} == {
        STARRED: 2,
        "quotes": 0,
        "quotes-2": 1,
    }
    export_bundle(written.engine, tmp_path / "back.zip")
    import_bundle(target, tmp_path / "back.zip")
    assert said(theirs)[:4] == said(written)[:4]


def test_labels_alone_go_into_any_store(
    written: Store, other_sqlite: Engine, tmp_path: Path
) -> None:
    export_bundle(written.engine, tmp_path / "a.zip")
    store = Store(other_sqlite)
    factories.publish(store, factories.sample(dictionary="another name"))
    with pytest.raises(InvalidRequest, match="empty store"):
        import_bundle(other_sqlite, tmp_path / "a.zip")
    assert store.labels.texts(store.dictionary("demo", "another name"), [2]) == {}
    import_bundle(other_sqlite, tmp_path / "a.zip", only_written=True)
    view = store.dictionary("demo", "another name")
    assert store.labels.texts(view, [2]) == {2: "two"}
    factories.publish(store, factories.neurons_sample())  # its labels have waited for it
    assert store.labels.texts(store.dictionary("demo", "neurons"), [3]) == {3: "a neuron"}


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("text", "a\0b", "NUL or half a character"),
        ("author", "\ud800", "NUL or half a character"),
        ("version", "one", "no whole number"),
        ("changed", "soon", "makes no sense"),
    ],
)
def test_rows_that_nobody_wrote(
    written: Store,
    other_sqlite: Engine,
    tmp_path: Path,
    column: str,
    value: str,
    sentence: str,
) -> None:
    path = tmp_path / "a.zip"
    export_bundle(written.engine, path)
    _change(path, column, value)
    with pytest.raises(InvalidRequest, match=sentence):
        import_bundle(other_sqlite, path)
    assert Store(other_sqlite).catalogue() == []


def test_a_kind_and_a_time_that_nobody_knows_are_shown(
    written: Store, other_sqlite: Engine, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    export_bundle(written.engine, path)
    _change(path, "kind", "oracle")
    import_bundle(other_sqlite, path)
    store = Store(other_sqlite)
    [label] = store.labels.of(store.dictionary("demo", "mlp-12"), 2)
    assert label.kind == "import"


def test_every_table_that_people_write_into_is_in_a_bundle(written: Store, tmp_path: Path) -> None:
    assert set(export_bundle(written.engine, tmp_path / "a.zip").tables) >= TABLES


def _change(path: Path, column: str, value: Any) -> None:
    """Another value in the labels of a bundle, whose checksums fit it again."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(entries["manifest.json"])
    for part in manifest["parts"]:
        if part["table"] == "label":
            column_at = manifest["tables"]["label"].index(column)
            rows = [json.loads(line) for line in entries[part["name"]].decode().splitlines()]
            for row in rows:
                row[column_at] = value
            data = "\n".join([*map(json.dumps, rows), ""]).encode()
            entries[part["name"]] = data
            part |= {"n_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    parts = tuple(Part(**part) for part in manifest["parts"])
    manifest["content"] = Manifest(manifest["schema"], manifest["tables"], parts).content
    entries["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
