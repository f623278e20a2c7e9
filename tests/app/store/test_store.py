import dataclasses

import pytest
from sqlalchemy import event

from app.errors import InvalidRequest, NotFound, StoreError
from app.settings import Settings
from app.store.store import open_store
from app.store.types.queries import SORTS, FeatureQuery
from tests import comparisons, factories
from tests.same import same


def statements(engine, work):
    seen = []

    def note(_connection, _cursor, statement, *_rest):
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_a_store_is_made_where_there_is_none_or_only_looked_for(tmp_path):
    settings = Settings(home=tmp_path)
    with pytest.raises(StoreError, match="holds no store yet"):
        open_store(settings, upgrade=False)
    with open_store(settings) as made:
        assert made.catalogue() == []
    with open_store(settings, upgrade=False) as again:
        assert again.catalogue() == []


def test_an_empty_store(store):
    assert store.catalogue() == []
    assert store.progress.all() == []
    with pytest.raises(NotFound, match="store is empty: harvest one first"):
        store.dictionary("demo", "mlp-12")


def test_a_dictionary_that_is_not_harvested(store, sample):
    store.add_model(sample.model)
    store.add_dictionary(sample.dictionary)
    (view,) = store.catalogue()
    assert view == store.dictionary("demo", "mlp-12")
    assert (view.harvest, view.corpus, view.alive, view.n_tokens) == (None, None, 0, 0)
    for read in (
        lambda: store.feature(view, 0),
        lambda: store.features(view, FeatureQuery()),
        lambda: store.window(view, 0),
        lambda: store.random_feature(view),
    ):
        with pytest.raises(NotFound, match=r"Nothing is published of demo/mlp-12 yet\. Run"):
            read()
    assert store.effects(view, 0, [1]) == {}
    assert store.save_effects_bulk(view, [(0, 1, factories.effect(0, 1))]) == 0


def test_a_published_dictionary(store, sample, published):
    for name in ("model", "name", "hook_point", "architecture", "d_in", "d_sae", "path", "dtype"):
        assert getattr(published, name) == getattr(sample.dictionary, name)
    assert published.evaluation == sample.dictionary.evaluation
    assert published.details == sample.dictionary.details
    assert published.model_checksum == sample.model.checksum
    assert published.corpus == sample.corpus
    assert published.harvest == dataclasses.replace(
        sample.harvest, fingerprint=sample.corpus.fingerprint
    )
    assert published.alive == 9
    assert published.n_tokens == sample.harvest.n_tokens
    assert not published.is_neurons
    factories.publish(store, factories.neurons_sample())
    assert store.dictionary("demo", "neurons").is_neurons
    assert [view.title for view in store.catalogue()] == ["demo/mlp-12", "demo/neurons"]


@pytest.mark.parametrize(("model", "name"), [("demo", "no"), ("no", "mlp-12"), ("\0", "\ud800")])
def test_an_unknown_dictionary_names_those_there_are(store, published, model, name):
    with pytest.raises(NotFound, match=r"There are demo/mlp-12\."):
        store.dictionary(model, name)


def test_every_feature_comes_back_exactly(store, sample, published):
    by_number = {window.number: window for window in sample.windows}
    for record in sample.features:
        view = store.feature(published, record.index)
        assert same(view.record, record)
        assert view.label == ""
        assert view.effects == {}
        assert view.dictionary == published
        shown = {n for g in record.groups for n in g.examples.windows.tolist()}
        assert view.windows.keys() == shown
        assert all(same(view.windows[n], by_number[n]) for n in shown)


def test_every_window_comes_back_exactly(store, sample, published):
    for window in sample.windows:
        assert same(store.window(published, window.number), window)


@pytest.mark.parametrize("index", [-1, 12, 1 << 31, 1 << 63, 1 << 70, -(1 << 70)])
def test_an_unknown_feature_or_window(store, published, index):
    with pytest.raises(NotFound, match=f"features 0 to 11; there is no feature {index}"):
        store.feature(published, index)
    with pytest.raises(NotFound, match="window"):
        store.window(published, index if index != 12 else 64)


def test_hostile_vocabulary_survives(store, published):
    assert store.vocabulary(published.model_id) == factories.vocabulary()
    assert store.vocabulary(published.model_id) is store.vocabulary(published.model_id)
    with pytest.raises(NotFound, match="no model with id 77"):
        store.vocabulary(77)


def test_hostile_names_survive(store):
    name = "a\0b\ud800\ufdd0'\"; DROP TABLE feature; --%🙂"
    sample = factories.sample()
    hostile = dataclasses.replace(
        sample,
        model=factories.model(name, path=name, details={name: name}),
        dictionary=factories.dictionary(name, name, details={"x": [name]}),
        corpus=factories.corpus(name, source=name),
        harvest=factories.harvest(name, name, corpus=name, settings={name: 1}),
    )
    factories.publish(store, hostile)
    view = store.dictionary(name, name)
    assert (view.model, view.name, view.model_path) == (name, name, name)
    assert view.model_details == {name: name}
    assert view.corpus == hostile.corpus
    assert view.harvest.settings == {name: 1}
    label = "a␀b'\"; DROP TABLE feature; --%🙂"
    store.labels.add(view, 2, label)
    assert store.feature(view, 2).label == label
    assert [r.index for r in store.features(view, FeatureQuery(search="DROP table")).rows] == [2]
    assert [r.index for r in store.features(view, FeatureQuery(search="a␀b")).rows] == [2]
    store.progress.report(name, name, name, 1, 2, 3.0)
    assert store.progress.all()[0].phase == name


def expected(sample, query, found):
    """The table by the plainest means."""
    keys = {
        "index": lambda f: f.index,
        "density": lambda f: f.firings,
        "maximum": lambda f: f.maximum,
        "effect": lambda f: factories.landing(f.index, not f.firings).effect or -1.0,
        "found": lambda f: found[f.index] if f.firings else -1,
        "label": lambda _: "",
    }
    rows = [f for f in sample.features if query.alive in (None, f.firings > 0)]
    rows.sort(key=keys[query.sort], reverse=query.descending)  # stable: ties stay by index
    return [f.index for f in rows]


@pytest.fixture
def tied(store):
    """A dictionary many of whose features are equal."""
    sample = factories.sample(41)
    features = tuple(
        dataclasses.replace(f, firings=0, maximum=0.0)
        if f.index % 4 == 3
        else dataclasses.replace(f, firings=1 + f.index % 3, maximum=0.5 * (1 + f.index % 5))
        for f in sample.features
    )
    sample = dataclasses.replace(sample, features=features)
    factories.publish(store, sample)
    view = store.dictionary("demo", "mlp-12")
    store.save_landings(
        view, {f.index: factories.landing(f.index, not f.firings) for f in features}
    )
    others = (comparisons.compared("seed-1", 41), comparisons.compared("seed-2", 20))
    store.comparisons.save(comparisons.comparison(comparisons.of_view(view), *others))
    return sample, view


def test_every_order_of_the_table(store, tied):
    sample, view = tied
    recurrences = store.rows(view, range(41))
    found = {index: row.recurrence.found for index, row in recurrences.items()}
    assert set(found.values()) == {0, 1, 2}
    for sort in set(SORTS) - {"rule"}:  # known only where rules are
        for descending in (False, True):
            for alive in (None, True, False):
                query = FeatureQuery(sort=sort, descending=descending, alive=alive, per_page=7)
                want, got, pages = expected(sample, query, found), [], 1
                while len(got) < len(want):
                    table = store.features(view, dataclasses.replace(query, page=pages))
                    assert (table.total, table.pages) == (len(want), -(-len(want) // 7))
                    got += [row.index for row in table.rows]
                    pages += 1
                assert got == want, query


def test_a_table_row(store, sample, published):
    (row,) = store.features(published, FeatureQuery(per_page=1, page=3)).rows
    record = sample.features[2]
    assert (row.index, row.firings, row.maximum) == (2, record.firings, record.maximum)
    assert row.density == record.firings / sample.harvest.n_tokens
    assert same(row.histogram, record.activations)
    for name in ("raised", "fires_on", "fires_after"):
        assert same(getattr(row, name), getattr(record, name))
    top = record.groups[0].examples
    assert same(row.best.peaks, top.peaks[:1])
    assert same(row.window, sample.windows[int(top.windows[0])])
    assert row.landing is None
    assert store.rows(published, [2])[2].window is None


def test_tables_without_rows(store, published):
    table = store.features(published, FeatureQuery(search="nowhere"))
    assert (table.rows, table.total, table.page, table.pages) == ((), 0, 1, 1)
    with pytest.raises(NotFound, match="no page 2 of this table; the last one is 1"):
        store.features(published, FeatureQuery(page=2))


@pytest.mark.parametrize(
    "query",
    [
        FeatureQuery(sort="beauty"),
        FeatureQuery(page=0),
        FeatureQuery(per_page=0),
        FeatureQuery(per_page=100_000),
    ],
)
def test_senseless_queries(store, published, query):
    with pytest.raises(InvalidRequest):
        store.features(published, query)


def test_labels(store, sample, published):
    for index, label in ((5, "beta 100%"), (7, "Alpha_1"), (2, "gamma")):
        store.labels.add(published, index, label)
    by_label = store.features(published, FeatureQuery(sort="label", descending=True))
    assert [row.index for row in by_label.rows] == [2, 5, 7, 0, 1, 3, 4, 6, 8, 9, 10, 11]
    for text, found in (("A", [2, 5, 7]), ("%", [5]), ("_", [7]), ("alpha", [7]), ("\\", [])):
        table = store.features(published, FeatureQuery(search=text))
        assert [row.index for row in table.rows] == found
        assert table.total == len(found)
    assert store.features(published, FeatureQuery(search="A", alive=False)).total == 1
    factories.publish(store, sample)
    assert store.feature(published, 5).label == "beta 100%"
    for label in store.labels.of(published, 5):
        store.labels.withdraw(published, 5, label.id)
    assert store.feature(published, 5).label == ""
    with pytest.raises(NotFound):
        store.labels.add(published, 99, "x")
    with pytest.raises(InvalidRequest, match="at most 400"):
        store.labels.add(published, 5, "x" * 401)


def test_a_random_feature_fires(store, published):
    drawn = {store.random_feature(published) for _ in range(300)}
    assert drawn == {0, 1, 2, 4, 5, 6, 8, 9, 10}


def test_a_random_feature_where_all_are_dead(store):
    sample = factories.sample()
    dead = tuple(factories.feature(i, [], dead=True) for i in range(12))
    factories.publish(store, dataclasses.replace(sample, features=dead))
    assert store.random_feature(store.dictionary("demo", "mlp-12")) in range(12)


def test_the_number_of_statements_is_constant(engine, store, published):
    store.save_effects(published, 0, {n: factories.effect(0, n) for n in range(30)})
    pages = {statements(engine, lambda i=i: store.feature(published, i)) for i in range(12)}
    assert len(pages) <= 2  # a dead feature has no windows to ask for
    assert max(pages) <= 6
    for query in (FeatureQuery(), FeatureQuery(sort="label", search="", per_page=3, page=4)):
        assert statements(engine, lambda q=query: store.features(published, q)) <= 9


def test_scales_are_those_of_every_feature_and_follow_the_harvest(store, sample, published, engine):
    scales = store.scales(published)
    rows = store.rows(published, range(12))
    assert scales.n_tokens == published.n_tokens
    for index, row in rows.items():
        assert (scales.firings[index], scales.maxima[index]) == (row.firings, row.maximum)
    assert len(scales.maxima) == len(scales.firings) == published.d_sae
    assert statements(engine, lambda: store.scales(published)) == 0
    smaller = factories.sample(d_sae=8, checksum="f" * 64)
    factories.publish(store, smaller)
    now = store.dictionary("demo", "mlp-12")
    assert len(store.scales(now).maxima) == 8


def test_scales_of_what_is_not_harvested(store, sample):
    store.add_model(sample.model)
    store.add_dictionary(sample.dictionary)
    with pytest.raises(NotFound, match="Nothing is published"):
        store.scales(store.dictionary("demo", "mlp-12"))
