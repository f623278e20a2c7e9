"""Comparisons in the store: kept whole, tied to weights, and what follows for each feature."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sqlalchemy import func, select, update

from app.errors import Conflict, InvalidRequest, NotFound, StoreError
from app.store.database import reading, writing
from app.store.store import Store
from app.store.tables.comparisons.schema import StoredMatches, StoredRecurrence
from app.store.types.queries import FeatureQuery
from app.store.upkeep.dump import dump
from app.store.upkeep.holdings import holdings
from app.store.upkeep.removal import remove
from tests import comparisons, factories
from tests.same import same


@pytest.fixture
def record(published):
    """`mlp-12` with two other trainings, and with neurons."""
    return comparisons.comparison(
        comparisons.of_view(published),
        comparisons.compared("seed-1"),
        comparisons.compared("seed-2", 20),
        comparisons.compared("neurons", 8, is_neurons=True),
    )


def _recurrences(engine) -> int:
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(StoredRecurrence))


def test_what_was_kept_is_read(store, record):
    store.comparisons.save(record)
    view = store.comparisons.view("seeds")
    assert [view] == store.comparisons.all()
    assert (view.settings, view.dictionaries) == (record.settings, record.dictionaries)
    assert len(view.pairs) == 12
    for pair in record.pairs:
        source, target = pair.figures.source, pair.figures.target
        assert view.pairs[source, target] == pair.figures
        kept = store.comparisons.pair(view, source, target)
        assert same(kept, pair)
    with pytest.raises(NotFound, match=r"dictionaries 0 to 3.* no pair 1 and 1"):
        store.comparisons.pair(view, 1, 1)
    with pytest.raises(NotFound, match="no comparison 'other'"):
        store.comparisons.view("other")


def test_another_of_the_same_name_gives_way_only_when_told(store, record):
    store.comparisons.save(record)
    before = list(dump(store.engine))
    store.comparisons.save(record)
    assert list(dump(store.engine)) == before
    other = dataclasses.replace(record, identity="another")
    with pytest.raises(Conflict, match="another comparison named 'seeds'"):
        store.comparisons.save(other)
    assert list(dump(store.engine)) == before
    store.comparisons.save(other, replace=True)
    assert store.comparisons.view("seeds").identity == "another"


def test_features_say_in_how_many_trainings_they_were_found(store, record, published):
    store.comparisons.save(record)
    view = store.comparisons.view("seeds")
    found = sum(
        (store.comparisons.pair(view, 0, target).correlations.values >= 0.7).astype(int)
        for target in (1, 2)  # neurons are no training
    )
    rows = store.rows(published, range(12))
    assert [rows[i].recurrence.found for i in range(12)] == found.tolist()
    assert {rows[i].recurrence.trainings for i in range(12)} == {2}
    table = store.features(published, FeatureQuery("found", descending=True))
    assert table.trainings == 2
    dead = {3, 7, 11}
    order = sorted(range(12), key=lambda i: (i in dead, -found[i], i))
    assert [row.index for row in table.rows] == order
    kept = store.features(published, FeatureQuery(found=2)).rows
    assert [row.index for row in kept] == np.flatnonzero(found == 2).tolist()
    store.comparisons.remove("seeds")
    assert _recurrences(store.engine) == 0
    for query in (FeatureQuery("found"), FeatureQuery(found=1)):
        with pytest.raises(InvalidRequest, match="not compared with other dictionaries"):
            store.features(published, query)


def test_a_new_harvest_of_the_same_weights_shows_them_at_once(store, record, published):
    store.comparisons.save(record)
    again = factories.sample()
    harvest = dataclasses.replace(again.harvest, settings={"top": 20, "per_band": 6})
    factories.publish(store, dataclasses.replace(again, harvest=harvest))
    now = store.dictionary("demo", "mlp-12")
    assert store.rows(now, [0])[0].recurrence.trainings == 2
    (mine, *others) = store.comparisons.view("seeds").now
    assert (mine.there, mine.harvested, mine.anew) == (True, True, True)
    assert not any(other.there for other in others)


def test_it_outlives_its_dictionaries(store, record, published):
    store.comparisons.save(record)
    remove(store.engine, "demo", "mlp-12")
    assert _recurrences(store.engine) == 0
    assert not store.comparisons.view("seeds").now[0].there
    assert holdings(store.engine).comparisons[0].dictionaries[:2] == (
        "demo/mlp-12",
        "demo/seed-1",
    )
    # The same weights under another name are the same dictionary.
    renamed = factories.sample(dictionary="renamed")
    factories.publish(store, renamed)
    assert store.comparisons.view("seeds").now[0].dictionary == "renamed"
    assert _recurrences(store.engine) == 12


def test_the_twins_of_a_feature(store, record, published):
    store.comparisons.save(record)
    twins = store.comparisons.twins(published, 1)
    assert [twin.other.dictionary for twin in twins] == ["seed-1", "seed-2", "neurons"]
    view = store.comparisons.view("seeds")
    pair = store.comparisons.pair(view, 0, 1)
    assert twins[0].by_correlation == (
        pair.correlations.indices[1],
        pair.correlations.values[1],
    )
    back = store.comparisons.pair(view, 1, 0).correlations.indices[pair.correlations.indices[1]]
    assert twins[0].mutual == (back == 1)
    dead = store.comparisons.twins(published, 3)
    assert {twin.by_correlation for twin in dead} == {None}
    assert None not in {twin.by_cosine for twin in dead}
    # Of two comparisons with the same weights the later one counts.
    later = comparisons.comparison(
        comparisons.of_view(published), comparisons.compared("seed-1"), name="later"
    )
    store.comparisons.save(later)
    assert [twin.comparison for twin in store.comparisons.twins(published, 1)] == [
        "later",
        "seeds",
        "seeds",
    ]


def test_damaged_matches_make_a_sentence(store: Store, record, published):
    store.comparisons.save(record)
    with writing(store.engine) as connection:
        connection.execute(update(StoredMatches).values(matches=b"C\x01\x00garbage"))
    view = store.comparisons.view("seeds")
    with pytest.raises(StoreError, match="is damaged in the store"):
        store.comparisons.pair(view, 0, 1)
