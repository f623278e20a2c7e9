"""Maps on both databases: kept for their weights, replaced, damaged, carried, removed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from app.errors import NotFound, StoreError
from app.store.database import writing
from app.store.schema import StoredMap
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.types.maps import NOWHERE
from app.store.upkeep.bundle import export_bundle, import_bundle
from app.store.upkeep.dump import dump
from app.store.upkeep.holdings import holdings
from app.store.upkeep.removal import remove
from tests import factories

PLACES = np.arange(24, dtype=np.uint16).reshape(12, 2) * 2500
PLACES[3] = NOWHERE
HEADS = np.arange(12, dtype=np.uint16)
ABOUT = {"seed": 0, "method": "umap"}


def test_a_map_is_kept_for_its_weights(store: Store, published: DictionaryView) -> None:
    assert store.maps.of(published) is None
    assert not published.mapped
    before = list(dump(store.engine))
    store.maps.save(published, PLACES, HEADS, ABOUT)
    kept = store.maps.of(store.dictionary("demo", "mlp-12"))
    assert kept is not None
    assert np.array_equal(kept.places, PLACES)
    assert np.array_equal(kept.heads, HEADS)
    assert kept.placed.sum() == 11
    assert dict(kept.record.parameters) == ABOUT
    assert store.dictionary("demo", "mlp-12").mapped
    # The same again gives the same bytes; another one takes its place.
    with_map = list(dump(store.engine))
    assert len(with_map) == len(before) + 1
    store.maps.save(published, PLACES, HEADS, ABOUT)
    assert list(dump(store.engine)) == with_map
    store.maps.save(published, PLACES[::-1], HEADS[:0], ABOUT)
    other = store.maps.of(published)
    assert other is not None
    assert (other.heads.size, other.record.digest == kept.record.digest) == (0, False)
    # Another harvest of the same weights keeps it; other weights do not show it.
    factories.publish(store, replace(factories.sample(), harvest=factories.harvest(seed=5)))
    assert store.dictionary("demo", "mlp-12").mapped
    store.add_dictionary(factories.dictionary(checksum="d" * 64))
    now = store.dictionary("demo", "mlp-12")
    assert (now.mapped, store.maps.of(now)) == (False, None)
    stale = store.maps.record(now)
    assert stale is not None
    assert stale.checksum == published.checksum
    with pytest.raises(NotFound, match="was replaced in the store while its map was made"):
        store.maps.save(published, PLACES, HEADS, ABOUT)


def test_what_fires_how_often_is_read_at_once(store: Store, published: DictionaryView) -> None:
    scales = store.scales(published)
    assert store.maps.firings(published).tolist() == scales.firings.tolist()
    scores = store.rules.scores(published)
    rows = store.rows(published, range(12))
    for index, row in rows.items():
        above = row.rule is not None and row.rule.above
        assert scores[index] == pytest.approx(row.rule.f1 if above and row.rule else -1.0)
    store.add_dictionary(factories.dictionary("bare"))
    bare = store.dictionary("demo", "bare")
    assert store.maps.firings(bare).tolist() == [0] * 12
    assert (store.rules.scores(bare) == -1).all()


def test_a_damaged_map_says_what_to_do(store: Store, published: DictionaryView) -> None:
    store.maps.save(published, PLACES, HEADS, ABOUT)
    short = Store(store.engine)
    for places in (b"", b"nonsense"):
        with writing(store.engine) as connection:
            connection.execute(update(StoredMap).values(places=places))
        with pytest.raises(StoreError, match="Give `featurescope map demo/mlp-12` again"):
            Store(store.engine).maps.of(published)
    short.maps.save(published, PLACES[:7], HEADS[:7], ABOUT)
    with pytest.raises(StoreError, match="is damaged in the store"):
        short.maps.of(published)


def test_a_bundle_carries_it_and_removal_takes_it(
    store: Store, published: DictionaryView, tmp_path: Path
) -> None:
    n_bytes = holdings(store.engine).dictionaries[0].n_bytes
    store.maps.save(published, PLACES, HEADS, ABOUT)
    assert holdings(store.engine).dictionaries[0].n_bytes > n_bytes
    export_bundle(store.engine, tmp_path / "bundle.zip")
    whole = list(dump(store.engine))
    remove(store.engine, "demo", "mlp-12")
    assert not any("umap" in line for line in dump(store.engine))
    remove(store.engine, "demo", None)
    import_bundle(store.engine, tmp_path / "bundle.zip")
    assert list(dump(store.engine)) == whole
    import_bundle(store.engine, tmp_path / "bundle.zip")  # the same again changes nothing
    assert list(dump(store.engine)) == whole
