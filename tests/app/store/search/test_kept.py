"""Kept text and firings in both databases: written, read, and gone with their harvest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine, text

from app.errors import StoreError
from app.store.blobs.kept import (
    pack_firing_block,
    pack_kept_text,
    unpack_firing_block,
    unpack_kept_text,
)
from app.store.search.kept import BLOCK_WINDOWS
from app.store.store import Store
from app.store.upkeep.removal import remove
from app.web.search.phrase_search import REACH, PhraseSearch
from tests import factories


def rows(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return [
            connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            for table in ("kept_text", "firing_block")
        ]


def test_it_comes_back_and_goes_with_the_harvest(store: Store, engine: Engine) -> None:
    sample = factories.sample()
    factories.publish(store, sample)
    kept, view = sample.kept, store.dictionary("demo", "mlp-12")
    assert kept is not None
    there = store.search.kept.text(view)
    assert there is not None
    for name, value in vars(kept.text).items():
        assert np.array_equal(getattr(there, name), value), name
    chosen = np.array([0, 1, 9, len(kept.windows) - 1])
    assert store.search.kept.firings(view, chosen) == [kept.windows[n] for n in chosen]
    size = store.search.kept.size(view)
    assert size is not None
    assert size.n_tokens == kept.text.n_tokens
    assert size.n_bytes > sum(map(len, kept.windows)) + kept.text.n_tokens // 2
    # Another harvest replaces it; whoever still holds the old one is told nothing of the new.
    factories.publish(store, replace(sample, harvest=replace(sample.harvest, seed=1)))
    assert store.search.kept.text(view) is None
    assert store.search.kept.firings(view, chosen) is None
    assert rows(engine) == [1, -(-len(kept.windows) // BLOCK_WINDOWS)]
    factories.publish(store, replace(sample, kept=None))
    assert store.search.kept.size(store.dictionary("demo", "mlp-12")) is None
    factories.publish(store, sample)
    remove(engine, "demo", "mlp-12")
    assert rows(engine) == [0, 0]


def test_a_phrase_is_found_alike_on_either_database(store: Store) -> None:
    factories.publish(store, factories.sample())
    found = PhraseSearch().search(store, store.dictionary("demo", "mlp-12"), "word20")
    texts = [window.tokens[1:].tolist() for window in factories.windows()]
    every = [token for tokens in texts for token in tokens]
    wanted = {
        feature: (every.count(20), sum(factories.fires_on(feature, token) for token in every))
        for feature in range(12)
        if factories.fires_on(feature, 20)
    }
    assert {f.feature: (f.inside, f.firings) for f in found.features} == wanted
    assert found.n_documents == 3
    place = found.examples[0]
    window = next(w for w in factories.windows() if 20 in w.tokens)
    assert (place.document, place.tokens, place.fired) == (window.document, (20,), (0,))
    before = window.tokens[1 : window.tokens.tolist().index(20)]
    feeds = sum(factories.PIECES[token].count(b"\n") for token in before)
    assert place.line == window.line + feeds
    assert place.before == tuple(before.tolist()[-REACH:])


def test_of_another_size_it_is_refused_whole(store: Store, engine: Engine) -> None:
    sample = factories.sample()
    with pytest.raises(StoreError, match="must be those of all 12 features; these are of 8"):
        factories.publish(store, replace(sample, kept=factories.neurons_sample().kept))
    assert rows(engine) == [0, 0]


def test_what_is_missing_is_a_sentence(store: Store, engine: Engine) -> None:
    factories.publish(store, factories.sample())
    view = store.dictionary("demo", "mlp-12")
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM firing_block WHERE block = 1"))
    with pytest.raises(StoreError, match="is incomplete in the store"):
        store.search.kept.firings(view, np.array([BLOCK_WINDOWS]))


def test_counts_that_contradict_the_firings_are_a_sentence(store: Store) -> None:
    sample = factories.sample()
    assert sample.kept is not None
    wrong = replace(sample.kept.text, counts=sample.kept.text.counts * 0)
    factories.publish(store, replace(sample, kept=replace(sample.kept, text=wrong)))
    with pytest.raises(StoreError, match="are more than were counted"):
        PhraseSearch().search(store, store.dictionary("demo", "mlp-12"), "word20")


def test_damaged_blobs_are_refused() -> None:
    kept = factories.sample().kept
    assert kept is not None
    block = pack_firing_block(kept.windows[:3])
    assert unpack_firing_block(block, "it") == list(kept.windows[:3])
    with pytest.raises(StoreError, match="checksum"):
        unpack_firing_block(block[:-1] + b"x", "it")
    for wrong in (
        replace(kept.text, lines=kept.text.lines[1:]),
        replace(kept.text, documents=kept.text.documents + 3),
        replace(kept.text, tokens=kept.text.tokens[1:]),
        replace(kept.text, counts=-kept.text.counts),
    ):
        with pytest.raises(StoreError, match="it is damaged in the store"):
            unpack_kept_text(pack_kept_text(wrong), "it")
