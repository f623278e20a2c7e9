"""Rules in the store: written with a harvest, read one by one, sorted and filtered by."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import func, select, update

from app.errors import InvalidRequest, StoreError
from app.store import database
from app.store.database import writing
from app.store.schema import StoredRule
from app.store.store import Store
from app.store.types.queries import FeatureQuery
from app.store.upkeep.bundle import export_bundle, import_bundle
from app.store.upkeep.dump import dump
from app.store.upkeep.removal import remove
from tests import factories


def _count(engine) -> int:
    with database.reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(StoredRule))


def test_what_was_written_is_read(store, sample, published):
    for record in sample.rules:
        assert store.rules.of_feature(published, record.index) == record
    assert store.rules.of_feature(published, 12) is None


def test_the_table_shows_them_and_sorts_by_them_either_way(store, sample, published):
    f1 = {r.index: r.f1 for r in sample.rules}
    dead = {f.index for f in sample.features if f.firings == 0}
    down = sorted(f1, key=lambda i: (i in dead, -f1[i], i))
    up = sorted(f1, key=lambda i: (i not in dead, f1[i], i))
    for descending, order in ((True, down), (False, up)):
        pages = [
            store.features(published, FeatureQuery("rule", descending, page=page, per_page=5)).rows
            for page in (1, 2, 3)
        ]
        assert [row.index for rows in pages for row in rows] == order
    alive = store.features(published, FeatureQuery("rule", True, alive=True)).rows
    assert [row.index for row in alive] == [i for i in down if i not in dead]
    for row in alive:
        record = sample.rules[row.index]
        if record.predicate is None:
            assert row.rule is None
        else:
            assert row.rule is not None
            assert (row.rule.sentence, row.rule.f1) == (record.sentence, record.f1)
            assert row.rule.above == record.above


def test_the_table_keeps_what_is_above_its_null(store, sample, published):
    wanted = [record.index for record in sample.rules if record.above]
    found = store.features(published, FeatureQuery(above_null=True))
    assert [row.index for row in found.rows] == wanted
    assert found.total == len(wanted)
    best = store.features(published, FeatureQuery("rule", True, above_null=True, per_page=2))
    assert best.pages == -(-len(wanted) // 2)
    assert [row.index for row in best.rows] == sorted(
        wanted, key=lambda i: (-sample.rules[i].f1, i)
    )[:2]


def test_without_rules_nothing_is_sorted_by_them(store, sample):
    factories.publish(store, dataclasses.replace(sample, rules=()))
    view = store.dictionary("demo", "mlp-12")
    assert not store.features(view, FeatureQuery()).knows_rules
    assert store.rules.of_feature(view, 0) is None
    for query in (FeatureQuery("rule"), FeatureQuery(above_null=True)):
        with pytest.raises(InvalidRequest, match="No rules were learnt for demo/mlp-12"):
            store.features(view, query)


def test_rules_are_those_of_all_features(store, sample):
    with pytest.raises(StoreError, match="must be those of all 12 features; these are 11"):
        factories.publish(store, dataclasses.replace(sample, rules=sample.rules[1:]))


def test_a_new_harvest_and_a_removal_take_them_away(engine, store, sample, published):
    assert _count(engine) == 12
    factories.publish(store, dataclasses.replace(sample, rules=sample.rules[::-1]))
    assert store.rules.of_feature(published, 5) == sample.rules[5]
    factories.publish(store, dataclasses.replace(sample, rules=()))
    assert _count(engine) == 0
    factories.publish(store, sample)
    remove(engine, "demo", "mlp-12")
    assert _count(engine) == 0


def test_a_bundle_carries_them(engine, store, published, tmp_path):
    export_bundle(engine, tmp_path / "all.bundle")
    other = database.connect(f"sqlite:///{tmp_path}/other.db")
    database.upgrade(other)
    import_bundle(other, tmp_path / "all.bundle")
    assert list(dump(other)) == list(dump(engine))
    assert Store(other).rules.of_feature(published, 1) == store.rules.of_feature(published, 1)
    other.dispose()


@pytest.mark.parametrize(
    ("column", "text"),
    [("figures", "{"), ("figures", "{}"), ("figures", "[]"), ("predicate", '[[{"token":"x"}]]')],
)
def test_a_damaged_rule_is_a_sentence(engine, store, published, column, text):
    with writing(engine) as connection:
        connection.execute(update(StoredRule).values({column: text}))
    with pytest.raises(StoreError, match="The rule of feature 1 of demo/mlp-12 cannot be read"):
        store.rules.of_feature(published, 1)
