"""Presets, and the rows of single features, on both databases."""

from __future__ import annotations

import pytest

from app.errors import Conflict, InvalidRequest, NotFound
from app.store.store import Store
from app.store.tables.presets import LONGEST_NAME, LONGEST_SETTINGS
from app.store.types.catalogue import DictionaryView
from app.store.types.queries import FeatureQuery
from app.store.upkeep.dump import dump
from tests import factories


def test_presets_are_kept_replaced_and_forgotten(store: Store, published: DictionaryView) -> None:
    assert store.presets("demo") == []
    assert store.save_preset("demo", "é\x00 \ud800", {"b": 1, "a": [0.5]})
    assert store.save_preset("demo", "A", {"x": 1})
    assert not store.save_preset("demo", "A", {"x": 2})
    with pytest.raises(Conflict, match="has a preset 'A' with other settings"):
        store.save_preset("demo", "A", {"x": 1}, replace=False)
    assert not store.save_preset("demo", "A", {"x": 2}, replace=False)
    kept = [(view.name, view.settings) for view in store.presets("demo")]
    assert kept == [("A", {"x": 2}), ("é\x00 \ud800", {"a": [0.5], "b": 1})]
    store.delete_preset("demo", "A")
    with pytest.raises(NotFound, match="no preset 'A'"):
        store.delete_preset("demo", "A")
    assert [view.name for view in store.presets("demo")] == ["é\x00 \ud800"]
    assert store.presets("other") == []


def test_presets_that_cannot_be(store: Store, published: DictionaryView) -> None:
    with pytest.raises(InvalidRequest, match="needs a name"):
        store.save_preset("demo", "  ", {})
    with pytest.raises(InvalidRequest, match="at most 100 characters; this one has 101"):
        store.save_preset("demo", "x" * (LONGEST_NAME + 1), {})
    for dots in (".", "..", " .. "):
        with pytest.raises(InvalidRequest, match=r"cannot be called '\.\.?': addresses"):
            store.save_preset("demo", dots, {})
    assert store.save_preset("demo", "...", {})
    assert store.save_preset("demo", "x", {"prompt": "y" * (LONGEST_SETTINGS - 13)})
    with pytest.raises(InvalidRequest, match=r"at most 32,768 bytes.*takes 32,769: shorten"):
        store.save_preset("demo", "x", {"prompt": "y" * (LONGEST_SETTINGS - 12)})
    with pytest.raises(NotFound, match="no model 'other'"):
        store.save_preset("other", "x", {})


def test_there_is_an_end_to_presets(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.tables.presets.MOST", 2)
    sqlite_store.save_preset("demo", "a", {})
    sqlite_store.save_preset("demo", "b", {})
    with pytest.raises(InvalidRequest, match="has 2 presets"):
        sqlite_store.save_preset("demo", "c", {})
    assert not sqlite_store.save_preset("demo", "b", {"x": 1})


def test_presets_outlive_a_harvest_and_are_in_the_dump(
    store: Store, published: DictionaryView
) -> None:
    store.save_preset("demo", "kept", {"x": 1})
    factories.publish(store, factories.sample())
    assert [view.name for view in store.presets("demo")] == ["kept"]
    assert '"kept"' in "".join(dump(store.engine))


def test_rows_are_those_of_the_table(store: Store, published: DictionaryView) -> None:
    table = {row.index: row for row in store.features(published, FeatureQuery()).rows}
    rows = store.rows(published, [7, 2, 2, 99, -1, 2**70])
    assert rows.keys() == {2, 7}
    for index, row in rows.items():
        assert (row.maximum, row.label) == (table[index].maximum, table[index].label)
        assert row.raised.ids.tolist() == table[index].raised.ids.tolist()
    assert store.rows(published, []) == {}
