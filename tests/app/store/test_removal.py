"""What goes with a dictionary, and what stays for the others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from app.errors import NotFound
from app.store.store import Store
from app.store.upkeep.dump import dump
from app.store.upkeep.holdings import holdings
from app.store.upkeep.removal import remove
from tests import factories


@pytest.fixture
def two(store: Store) -> Store:
    """`demo/mlp-12`, and `demo/other` with the upper half of the windows and four more."""
    sample = factories.sample()
    factories.publish(store, sample)
    shown = factories.windows(68)[32:]
    other = replace(
        factories.sample(4, dictionary="other"),
        windows=tuple(shown),
        features=tuple(factories.feature(i, shown, 4) for i in range(4)),
    )
    factories.publish(store, other)
    return store


def test_windows_that_another_harvest_needs_stay(two: Store, engine: Engine) -> None:
    held = holdings(engine)
    assert [one.view.name for one in held.dictionaries] == ["mlp-12", "other"]
    assert [(text.windows, text.harvests) for text in held.corpora] == [
        (68, ("demo/mlp-12", "demo/other"))
    ]
    assert remove(engine, "demo", "other").windows == 4
    assert holdings(engine).corpora[0].windows == 64
    view = two.dictionary("demo", "mlp-12")
    assert len(two.feature(view, 0).windows) > 20


def test_removing_leaves_what_was_there_before(store: Store, engine: Engine) -> None:
    factories.publish(store, factories.sample())
    before = list(dump(engine))
    factories.publish(store, factories.neurons_sample())
    gone = remove(engine, "demo", "neurons")
    assert (gone.dictionaries, gone.features) == (("demo/neurons",), 8)
    assert list(dump(engine)) == before


def test_the_last_dictionary_takes_its_text_along(two: Store, engine: Engine) -> None:
    two.labels.add(two.dictionary("demo", "mlp-12"), 3, "three")
    assert remove(engine, "demo", "other").corpora == ()
    gone = remove(engine, "demo", "mlp-12")
    assert (gone.windows, gone.labels, gone.corpora) == (64, 1, ("python-stdlib",))
    held = holdings(engine)
    assert (held.models, held.dictionaries, held.corpora) == (("demo",), (), ())


def test_a_model_goes_with_all_that_is_its_own(two: Store, engine: Engine) -> None:
    two.save_preset("demo", "shout", {"edits": []})
    gone = remove(engine, "demo", None)
    assert gone.dictionaries == ("demo/mlp-12", "demo/other")
    assert (gone.features, gone.presets, gone.windows) == (16, 1, 68)
    assert [line for line in dump(engine) if not line.startswith('["')] == []


def test_a_rehearsal_says_the_same_and_does_nothing(two: Store, engine: Engine) -> None:
    before = list(dump(engine))
    would = remove(engine, "demo", "mlp-12", rehearse=True)
    assert list(dump(engine)) == before
    assert remove(engine, "demo", "mlp-12") == would


def test_what_is_not_there_is_named(two: Store, engine: Engine) -> None:
    with pytest.raises(NotFound, match=r"no model 'nobody'.*demo"):
        remove(engine, "nobody", None)
    with pytest.raises(NotFound, match="demo/mlp-12"):
        remove(engine, "demo", "nothing")


def test_sizes_are_those_of_the_blobs(two: Store, engine: Engine) -> None:
    one, other = holdings(engine).dictionaries
    assert one.n_bytes > other.n_bytes > 1000
    view = two.dictionary("demo", "mlp-12")
    two.save_effects(view, 0, {5: factories.effect(0, 5)})
    grown = holdings(engine).dictionaries[0]
    assert (grown.effects, grown.n_bytes > one.n_bytes) == (1, True)
