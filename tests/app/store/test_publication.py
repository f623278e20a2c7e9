import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import func, select

from app.errors import NotFound, StoreError
from app.store import database
from app.store.schema import (
    StoredCorpus,
    StoredEffect,
    StoredFeature,
    StoredHarvest,
    StoredWindow,
    StoredWindowSet,
)
from app.store.store import Store
from app.store.types.queries import FeatureQuery
from app.store.upkeep.dump import dump
from sae_core.language_model.vocabulary import Vocabulary
from tests import factories
from tests.same import same


def count(engine, table):
    with database.reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(table))


def louder(sample, factor=2):
    """Another harvest of the same dictionary: every feature fires more often."""
    return dataclasses.replace(
        sample,
        harvest=dataclasses.replace(sample.harvest, seed=factor),
        features=tuple(dataclasses.replace(f, firings=f.firings * factor) for f in sample.features),
    )


def test_publishing_again_gives_the_same_bytes(engine, store, sample, published):
    once = list(dump(engine))
    factories.publish(store, sample)
    assert list(dump(engine)) == once
    store.progress.report("demo", "mlp-12", "reading", 1, 2, 3.0)
    assert list(dump(engine)) == once


def test_both_databases_and_any_order_of_records_give_the_same_dump(engine, tmp_path):
    sample = factories.sample()
    factories.publish(
        Store(engine),
        dataclasses.replace(sample, windows=sample.windows[::-1], features=sample.features[::-1]),
    )
    second = database.connect(f"sqlite:///{tmp_path}/second.db")
    database.upgrade(second)
    factories.publish(Store(second), sample)
    assert list(dump(second)) == list(dump(engine))
    second.dispose()


def test_added_one_by_one_or_with_the_publication_is_the_same(engine, store, sample):
    store.add_model(sample.model)
    store.add_dictionary(sample.dictionary)
    store.add_corpus(sample.corpus)
    store.publish(
        sample.harvest,
        iter(sample.features),
        iter(sample.windows),
        rules=iter(sample.rules),
        kept=sample.kept,
    )
    one_by_one = list(dump(engine))
    factories.publish(store, sample)
    assert list(dump(engine)) == one_by_one


def test_windows_are_stored_once_for_all_dictionaries(engine, store, sample, published):
    factories.publish(store, factories.neurons_sample())
    assert (count(engine, StoredWindow), count(engine, StoredWindowSet)) == (64, 1)
    neurons = store.dictionary("demo", "neurons")
    assert same(store.window(neurons, 3), store.window(published, 3))


def test_windows_go_when_nothing_refers_to_them(engine, store):
    shown = factories.windows()
    first = factories.sample()
    few = dataclasses.replace(
        first,
        features=tuple(factories.feature(i, shown[:8]) for i in range(12)),
        windows=tuple(shown[:8]),
    )
    neurons = factories.neurons_sample()
    factories.publish(store, first)
    factories.publish(
        store,
        dataclasses.replace(
            neurons,
            features=tuple(factories.feature(i, shown[4:16], 8) for i in range(8)),
            windows=tuple(shown[4:16]),
        ),
    )
    assert count(engine, StoredWindow) == 64
    factories.publish(store, few)
    assert count(engine, StoredWindow) == 16
    longer = dataclasses.replace(few, harvest=factories.harvest(n_ctx=64))
    factories.publish(store, longer)
    assert (count(engine, StoredWindow), count(engine, StoredWindowSet)) == (12 + 8, 2)


def test_a_killed_publication_changes_nothing(engine, store, sample, published):
    before = list(dump(engine))

    def killed():
        yield from louder(sample).features[:6]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.publish(louder(sample).harvest, killed(), sample.windows)
    assert list(dump(engine)) == before


def test_a_publication_that_fails_while_writing_changes_nothing(
    engine, store, sample, published, monkeypatch
):
    before = list(dump(engine))

    def fail(*arguments):
        raise StoreError("the disk is gone")

    monkeypatch.setattr("app.store.tables.publication.store_catalogue.drop_unused_windows", fail)
    with pytest.raises(StoreError, match="gone"):
        factories.publish(store, louder(sample))
    assert list(dump(engine)) == before


def test_incomplete_harvests_are_refused(engine, store, sample, published):
    before = list(dump(engine))
    for features in (
        sample.features[:-1],
        (*sample.features, sample.features[0]),
        (*sample.features[:-1], dataclasses.replace(sample.features[-1], index=99)),
    ):
        with pytest.raises(StoreError, match="each of its 12 features once"):
            store.publish(sample.harvest, features, sample.windows)
    with pytest.raises(StoreError, match="point to 1 windows that were not handed over, such as"):
        store.publish(sample.harvest, sample.features, sample.windows[1:])
    assert list(dump(engine)) == before


def test_what_was_not_added_is_named(store, sample):
    for add, what in (
        (lambda: None, "no model 'demo'"),
        (lambda: store.add_model(sample.model), "no dictionary 'mlp-12' of a model 'demo'"),
        (lambda: store.add_dictionary(sample.dictionary), "no corpus 'python-stdlib'"),
    ):
        add()
        with pytest.raises(NotFound, match=what):
            store.publish(sample.harvest, sample.features, sample.windows)
    with pytest.raises(NotFound, match="no model 'other'"):
        store.add_dictionary(factories.dictionary(model="other"))


def test_pages_see_the_old_harvest_wholly_while_the_new_one_is_written(engine, store, sample):
    """Readers run all the while; what each sees is one harvest or the other, never a mixture."""
    factories.publish(store, sample)
    view = store.dictionary("demo", "mlp-12")
    harvests = [sample, louder(sample), louder(sample, 3)]
    sums = {sum(f.firings for f in h.features): h.harvest.seed for h in harvests}
    seen: set[int] = set()
    failures: list[object] = []
    stop = threading.Event()

    def read():
        while not stop.is_set():
            try:
                table = store.features(view, FeatureQuery(sort="density", descending=True))
                seed = sums[sum(row.firings for row in table.rows)]
                assert table.dictionary.harvest.seed == seed
                page = store.feature(view, 0)
                factor = page.record.firings // sample.features[0].firings
                assert page.dictionary.harvest.seed == (factor if factor > 1 else 0)
                assert len(page.windows) > 20
                seen.add(seed)
            except Exception as error:
                failures.append(error)
                return

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for turn in range(12):
        factories.publish(store, harvests[turn % 3])
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert seen


def test_no_lock_is_held_while_records_are_made(store, sample, published):
    def slow():
        for feature in sample.features:
            store.labels.add(published, feature.index, f"label {feature.index}")
            yield feature

    store.publish(sample.harvest, slow(), sample.windows)
    assert store.feature(published, 3).label == "label 3"


def test_kill_9_while_publishing_leaves_the_old_harvest(empty_url, tmp_path):
    """The child is killed inside the transaction; a rerun gives the bytes of a calm run."""
    engine = database.connect(empty_url)
    database.upgrade(engine)
    store, sample = Store(engine), factories.sample()
    factories.publish(store, sample)
    before = list(dump(engine))
    flag = tmp_path / "inside"
    code = (
        "import sys, time, pathlib, dataclasses\n"
        "from app.store import database\n"
        "from app.store.tables import publication\n"
        "from app.store.store import Store\n"
        "from tests import factories\n"
        "def hang(connection):\n"
        "    pathlib.Path(sys.argv[2]).write_text('x')\n"
        "    time.sleep(60)\n"
        "publication.store_catalogue.drop_unused_windows = hang\n"
        "sample = factories.sample()\n"
        "sample = dataclasses.replace(sample, harvest=factories.harvest(seed=9))\n"
        "factories.publish(Store(database.connect(sys.argv[1])), sample)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, empty_url, str(flag)])
    try:
        deadline = time.monotonic() + 60
        while not flag.exists():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert list(dump(engine)) == before
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert list(dump(engine)) == before
    nine = dataclasses.replace(sample, harvest=factories.harvest(seed=9))
    factories.publish(store, nine)
    after = list(dump(engine))
    factories.publish(store, nine)
    assert list(dump(engine)) == after
    engine.dispose()


# what replaces what


def test_adding_again_changes_nothing_and_keeps_ids(engine, store, sample, published):
    before = list(dump(engine))
    assert store.add_model(sample.model) == published.model_id
    assert store.add_dictionary(sample.dictionary) == published.id
    assert store.add_corpus(sample.corpus) == 1
    assert list(dump(engine)) == before


def test_new_words_about_the_same_weights_keep_the_harvest(store, sample, published):
    store.add_model(dataclasses.replace(sample.model, path="elsewhere"))
    store.add_dictionary(dataclasses.replace(sample.dictionary, evaluation={"l0": 5.0}))
    view = store.dictionary("demo", "mlp-12")
    assert (view.model_path, view.evaluation) == ("elsewhere", {"l0": 5.0})
    assert (view.harvest, view.digest) == (published.harvest, published.digest)


@pytest.mark.parametrize(
    "change",
    [
        {"checksum": "d" * 64},
        {"dtype": "bfloat16"},
        {"d_sae": 13},
        {"hook_point": "blocks.0.hook_mlp_out"},
    ],
)
def test_another_dictionary_of_the_same_name_unpublishes_it(
    engine, store, sample, published, change
):
    factories.publish(store, factories.neurons_sample())
    store.save_effects(published, 0, {1: factories.effect(0, 1)})
    assert store.add_dictionary(dataclasses.replace(sample.dictionary, **change)) == published.id
    assert store.dictionary("demo", "mlp-12").harvest is None
    assert store.dictionary("demo", "neurons").harvest is not None
    assert (
        count(engine, StoredEffect),
        count(engine, StoredFeature),
        count(engine, StoredWindow),
    ) == (0, 8, 64)


@pytest.mark.parametrize(
    "change",
    [
        {"checksum": "d" * 64},
        {"dtype": "bfloat16"},
        {"vocabulary": Vocabulary((b"a", b"b"), frozenset(), None)},
    ],
)
def test_another_model_of_the_same_name_unpublishes_its_dictionaries(
    engine, store, sample, published, change
):
    factories.publish(store, factories.neurons_sample())
    old = store.vocabulary(published.model_id)
    new = dataclasses.replace(sample.model, **change)
    assert store.add_model(new) == published.model_id
    for view in store.catalogue():
        assert (view.harvest, view.evaluation) == (None, None)
    for table in (StoredHarvest, StoredFeature, StoredWindow, StoredWindowSet):
        assert count(engine, table) == 0
    if "vocabulary" in change:
        assert store.vocabulary(published.model_id) == change["vocabulary"] != old


def test_a_replaced_dictionary_stays_visible_until_the_publication(store, sample, published):
    other = dataclasses.replace(
        sample, dictionary=dataclasses.replace(sample.dictionary, checksum="d" * 64)
    )

    def watching():
        for feature in other.features:
            assert store.feature(published, 0).dictionary.checksum == "b" * 64
            yield feature

    factories.publish(store, dataclasses.replace(other, features=watching()))
    assert store.dictionary("demo", "mlp-12").checksum == "d" * 64


def test_another_text_under_the_same_name_leaves_older_harvests_true(
    engine, store, sample, published
):
    newer = factories.corpus(fingerprint="e" * 64, n_documents=8)
    neurons = dataclasses.replace(factories.neurons_sample(), corpus=newer)
    factories.publish(store, neurons)
    assert store.dictionary("demo", "mlp-12").corpus == sample.corpus
    assert store.dictionary("demo", "neurons").corpus == newer
    assert (
        count(engine, StoredCorpus),
        count(engine, StoredWindowSet),
        count(engine, StoredWindow),
    ) == (2, 2, 128)
    again = dataclasses.replace(sample.harvest, fingerprint="c" * 64)
    store.publish(again, sample.features, sample.windows)
    assert store.dictionary("demo", "mlp-12").corpus == sample.corpus
    store.publish(sample.harvest, sample.features, sample.windows)  # unsaid: the last one added
    assert store.dictionary("demo", "mlp-12").corpus == newer
    assert count(engine, StoredWindowSet) == 1
