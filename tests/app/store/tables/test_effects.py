import dataclasses
import time

import numpy as np
import pytest

from app.errors import StoreError
from app.store.database import writing
from app.store.upkeep.dump import dump
from sae_core.harvest.records import ContextEffect
from tests import factories
from tests.same import same


def test_effects_come_back_exactly(store, published):
    kept = {n: factories.effect(0, n, n=1 + n % 6) for n in (1, 5, 9)}
    kept[2] = ContextEffect(
        positions=np.zeros(0, dtype=np.uint16),
        loss_change=np.zeros(0, dtype=np.float32),
        raised_ids=np.zeros((0, 5), dtype=np.int32),
        raised=np.zeros((0, 5), dtype=np.float32),
        lowered_ids=np.zeros((0, 5), dtype=np.int32),
        lowered=np.zeros((0, 5), dtype=np.float32),
    )
    store.save_effects(published, 0, kept)
    assert same(
        dict(sorted(store.effects(published, 0, range(20)).items())), dict(sorted(kept.items()))
    )
    assert store.effects(published, 0, [5, 6]).keys() == {5}
    assert store.effects(published, 0, []) == {}
    assert store.effects(published, 1, [1, 5, 9]) == {}
    assert same(dict(store.feature(published, 0).effects), dict(sorted(kept.items())))
    assert store.feature(published, 1).effects == {}


def test_saving_twice_keeps_the_first(engine, store, published):
    first = factories.effect(0, 1)
    store.save_effects(published, 0, {1: first})
    before = list(dump(engine))
    store.save_effects(published, 0, {1: factories.effect(0, 99)})
    store.save_effects(published, 0, {})
    assert same(store.effects(published, 0, [1])[1], first)
    assert list(dump(engine)) == before


def test_many_at_once(store, published):
    given = [(i, n, factories.effect(i, n)) for i in range(12) for n in range(60)]
    assert store.save_effects_bulk(published, iter(given)) == 720
    for i, n, effect in given[::37]:
        assert same(store.effects(published, i, [n])[n], effect)


def test_effects_of_two_dictionaries_are_apart(store, published):
    factories.publish(store, factories.neurons_sample())
    store.save_effects(published, 0, {1: factories.effect(0, 1)})
    assert store.effects(store.dictionary("demo", "neurons"), 0, [1]) == {}


def test_effects_go_when_another_harvest_is_published(store, sample, published):
    store.save_effects(published, 0, {1: factories.effect(0, 1)})
    factories.publish(store, sample)
    assert store.effects(published, 0, [1]) == {}


def test_effects_computed_for_the_harvest_before_are_neither_kept_nor_shown(
    store, sample, published
):
    other = dataclasses.replace(sample, harvest=factories.harvest(seed=5))
    factories.publish(store, other)
    now = store.dictionary("demo", "mlp-12")
    assert now.digest != published.digest
    assert store.save_effects_bulk(published, [(0, 1, factories.effect(0, 1))]) == 0
    assert store.effects(now, 0, [1]) == {}
    store.save_effects(now, 0, {1: factories.effect(0, 1)})
    assert store.effects(published, 0, [1]) == {}
    assert store.feature(published, 0).effects.keys() == {1}  # a page shows what is true now


def test_a_damaged_effect_is_named(engine, store, published):
    store.save_effects(published, 0, {1: factories.effect(0, 1)})
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE effect SET effect = summary FROM feature")
    with pytest.raises(StoreError, match="ablation of feature 0 of demo/mlp-12 is damaged"):
        store.effects(published, 0, [1])


def test_progress(store):
    store.progress.report("demo", "mlp-12", "reading", 250, 1000, 50.0)
    store.progress.report("demo", "attention", "starting", 0, 0, 0.0)
    waiting, running = store.progress.all()
    assert (waiting.dictionary, waiting.eta_seconds) == ("attention", None)
    assert (running.model, running.phase, running.done, running.total) == (
        *("demo", "reading", 250, 1000),
    )
    assert (running.tokens_per_second, running.eta_seconds) == (50.0, 15.0)
    assert running.age_seconds < 30
    assert not running.stalled
    store.progress.report("demo", "mlp-12", "joining", 1000, 1000, 60.0)
    assert [view.phase for view in store.progress.all()] == ["starting", "joining"]
    store.progress.clear("demo", "mlp-12")
    store.progress.clear("demo", "attention")
    assert store.progress.all() == []


def test_a_killed_harvest_looks_stalled_after_a_minute(store, monkeypatch):
    store.progress.report("demo", "mlp-12", "reading", 1, 2, 1.0)
    later = time.time() + 61
    monkeypatch.setattr("app.store.tables.progress.time.time", lambda: later)
    assert store.progress.all()[0].stalled


def test_progress_that_cannot_be_written_does_not_stop_a_harvest(store, monkeypatch, caplog):
    def locked(*_):
        raise StoreError("The store is locked.")

    monkeypatch.setattr("app.store.tables.progress.writing", locked)
    store.progress.report("demo", "mlp-12", "reading", 1, 2, 1.0)
    assert "Progress was not reported: The store is locked." in caplog.text
