"""Automata in the store: the same back, counted, moved in bundles, gone with their harvest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update

from app.errors import NotFound, StoreError
from app.store.database import reading, writing
from app.store.search.automata.schema import StoredAutomata, StoredStepTrial
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.upkeep.bundle import export_bundle, import_bundle
from app.store.upkeep.dump import dump
from app.store.upkeep.holdings import holdings
from app.store.upkeep.removal import remove
from tests import factories
from tests.app.pretend.automata import MINED, TRIED


def fill(store: Store) -> DictionaryView:
    """Both tables get a row of demo/mlp-12."""
    view = store.dictionary("demo", "mlp-12")
    store.search.automata.save(view, MINED)
    store.search.automata.save_trial(view, TRIED)
    return view


def rows(engine: Engine) -> list[int | None]:
    with reading(engine) as connection:
        return [
            connection.scalar(select(func.count()).select_from(kind))
            for kind in (StoredAutomata, StoredStepTrial)
        ]


@pytest.mark.usefixtures("published")
def test_the_same_comes_back_until_another_harvest(store: Store) -> None:
    before = holdings(store.engine).dictionaries[0].n_bytes
    view = fill(store)
    kept = store.search.automata.of(view)
    assert kept is not None
    assert kept.parameters == MINED.parameters
    # NaN is no equal of itself, so that texts are compared.
    assert repr(kept.automata) == repr(MINED.automata)
    assert store.search.automata.trials(view) == {(1, 2): TRIED}
    assert holdings(store.engine).dictionaries[0].n_bytes > before
    other = replace(view, digest="0" * 64)
    assert (store.search.automata.of(other), store.search.automata.trials(other)) == (None, {})
    with pytest.raises(NotFound, match="harvested again"):
        store.search.automata.save(other, MINED)


@pytest.mark.usefixtures("published")
def test_they_go_with_their_dictionary_and_leave_the_rest(store: Store) -> None:
    factories.publish(store, factories.neurons_sample())
    fill(store)
    assert any('"automata' in line for line in dump(store.engine))
    assert any('"step_trial' in line for line in dump(store.engine))
    remove(store.engine, "demo", "neurons")
    assert rows(store.engine) == [1, 1]
    remove(store.engine, "demo", "mlp-12")
    assert rows(store.engine) == [0, 0]


def test_a_bundle_carries_both_tables(
    sqlite_store: Store, postgres_engine: Engine, other_sqlite: Engine, tmp_path: Path
) -> None:
    fill(sqlite_store)
    export_bundle(sqlite_store.engine, tmp_path / "a.zip")
    for engine in (postgres_engine, other_sqlite):
        import_bundle(engine, tmp_path / "a.zip")
        assert rows(engine) == [1, 1]
        assert list(dump(engine)) == list(dump(sqlite_store.engine))


@pytest.mark.usefixtures("published")
def test_what_is_damaged_is_a_sentence(store: Store) -> None:
    view = fill(store)
    for content in ("{", "{}", "[]", '{"parameters": {}, "automata": [{}]}'):
        with writing(store.engine) as connection:
            connection.execute(update(StoredAutomata).values(content=content))
            connection.execute(update(StoredStepTrial).values(content=content))
        with pytest.raises(StoreError, match="automata of demo/mlp-12 are damaged"):
            store.search.automata.of(view)
        with pytest.raises(StoreError, match="check of the step 1 to 2 of demo/mlp-12 is damaged"):
            store.search.automata.trials(view)
