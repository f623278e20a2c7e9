"""Where effects land, and the table filtered by what features fire on."""

import dataclasses
from itertools import product

import pytest

from app.errors import InvalidRequest, StoreError
from app.store.types.queries import SORTS, FeatureQuery, TokenPattern
from app.store.upkeep.dump import dump
from tests import factories
from tests.same import same


def landings(sample):
    return {f.index: factories.landing(f.index, not f.firings) for f in sample.features}


def test_they_come_back_exactly_and_again_with_the_same_bytes(engine, store, sample, published):
    assert not store.has_landings(published)
    assert store.feature(published, 2).landing is None
    assert store.save_landings(published, landings(sample))
    assert store.has_landings(published)
    for index, landing in landings(sample).items():
        assert same(store.feature(published, index).landing, landing)
        assert same(store.rows(published, [index])[index].landing, landing)
    before = list(dump(engine))
    assert store.save_landings(published, dict(reversed(landings(sample).items())))
    assert list(dump(engine)) == before


def test_they_go_with_the_harvest(store, sample, published):
    store.save_landings(published, landings(sample))
    other = dataclasses.replace(
        sample, harvest=dataclasses.replace(sample.harvest, settings={"top": 7})
    )
    factories.publish(store, other)
    now = store.dictionary(published.model, published.name)
    assert not store.has_landings(now)
    assert not store.save_landings(published, landings(sample))  # of the harvest before
    assert not store.has_landings(now)


def test_some_alone_are_refused(store, sample, published):
    some = landings(sample)
    some.popitem()
    with pytest.raises(StoreError, match="all 12 features; these are of 11"):
        store.save_landings(published, some)
    with pytest.raises(InvalidRequest, match="--ablate"):
        store.features(published, FeatureQuery(sort="effect"))


def pattern(typed, whole=False):
    return TokenPattern(typed, (typed.encode(),), whole)


def fitting(sample, typed, whole):
    """Features that fire on such a token, by the plainest means."""
    tokens = {
        token
        for token, piece in enumerate(factories.PIECES)
        if token not in factories.vocabulary().special
        and (piece == typed.encode() if whole else typed.encode().lower() in piece.lower())
    }
    return tokens, [f.index for f in sample.features if tokens & {*f.fires_on.ids.tolist()}]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    "typed", ["self", " self", "SELF", "word2", " word29", "\n", " ", "<", "é", "endoftext", "?!"]
)
def test_features_are_found_by_what_they_fire_on(store, sample, published, typed, whole):
    tokens, want = fitting(sample, typed, whole)
    table = store.features(published, FeatureQuery(fires_on=pattern(typed, whole)))
    assert [row.index for row in table.rows] == want
    assert (table.total, table.matching) == (len(want), len(tokens))


def test_the_filter_goes_with_every_order_and_other_filters(store, sample, published):
    store.save_landings(published, landings(sample))
    store.labels.add(published, 2, "alpha")
    wanted = pattern("word")
    _, every = fitting(sample, "word", False)
    for sort, descending in product(set(SORTS) - {"rule", "found"}, (False, True)):
        plain = store.features(published, FeatureQuery(sort, descending)).rows
        query = FeatureQuery(sort, descending, per_page=3, fires_on=wanted)
        pages = store.features(published, query).pages
        rows = [
            row.index
            for page in range(1, pages + 1)
            for row in store.features(published, dataclasses.replace(query, page=page)).rows
        ]
        assert rows == [row.index for row in plain if row.index in every], (sort, descending)
    both = store.features(published, FeatureQuery(search="alpha", fires_on=wanted))
    assert [row.index for row in both.rows] == [i for i in every if i == 2]
    dead = store.features(published, FeatureQuery(alive=False, fires_on=wanted))
    assert dead.total == 0


def test_a_harvest_that_did_not_count_tokens_says_so(store, sample):
    older = dataclasses.replace(
        sample,
        features=tuple(
            dataclasses.replace(f, fires_on=None, fires_after=None) for f in sample.features
        ),
    )
    factories.publish(store, older)
    view = store.dictionary("demo", "mlp-12")
    table = store.features(view, FeatureQuery())
    assert not table.knows_tokens
    assert not table.knows_effects
    assert table.rows[0].fires_on is None
    with pytest.raises(InvalidRequest, match="an older version harvested it"):
        store.features(view, FeatureQuery(fires_on=pattern("self")))
