"""Publishing a harvest: packed beforehand, written in one transaction. Used by `Store` alone."""

from __future__ import annotations

import hashlib
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

import numpy as np
from sqlalchemy import Connection, insert, select

from app.errors import NotFound, StoreError
from app.store.blobs.codec import pack_body, pack_numbers, pack_summary, pack_tokens
from app.store.columns import escape
from app.store.failures import failures_explained
from app.store.schema import (
    StoredCorpus,
    StoredDictionary,
    StoredFeature,
    StoredHarvest,
    StoredModel,
    StoredWindow,
    StoredWindowSet,
)
from app.store.search.kept import write_kept
from app.store.search.word_index import index_labels, index_rules
from app.store.tables import catalogue as store_catalogue
from app.store.tables import postings as store_postings
from app.store.tables import rules as store_rules
from app.store.tables.bulk import bulk_insert
from app.store.tables.comparisons import recurrences
from app.store.types.annotations import subject_of
from app.store.types.catalogue import HarvestRecord
from app.store.written.label_texts import best_texts
from sae_core.harvest.kept_firings import KeptFirings
from sae_core.harvest.records import FeatureRecord, Ranking, WindowRecord
from sae_core.rules.record import RuleRecord

_IN_MEMORY = 64 << 20
_SIZES = struct.Struct("<QQ")


@dataclass
class Packed:
    """A publication ready to be written: rows in a temporary file, and what they refer to."""

    file: IO[bytes]
    indices: list[int] = field(default_factory=list)
    firings: list[int] = field(default_factory=list)
    maxima: list[float] = field(default_factory=list)
    intervals: list[tuple[float | None, float | None]] = field(default_factory=list)
    fires_on: dict[int, Ranking] = field(default_factory=dict)
    raised: dict[int, Ranking] = field(default_factory=dict)
    shown: set[int] = field(default_factory=set)
    windows: dict[int, tuple[int, str, bytes]] = field(default_factory=dict)
    rules: list[RuleRecord] = field(default_factory=list)
    kept: KeptFirings | None = None

    def blobs(self) -> Iterator[tuple[bytes, bytes]]:
        """Summary and body of each feature, in the order given."""
        self.file.seek(0)
        for _ in self.indices:
            summary, body = _SIZES.unpack(self.file.read(_SIZES.size))
            yield self.file.read(summary), self.file.read(body)

    def places(self) -> list[list[int]]:
        """For each feature its `by_` columns, in the order of the schema."""
        index, firings, maxima = map(np.array, (self.indices, self.firings, self.maxima))
        dead = firings == 0
        orders = (
            np.lexsort((index, dead)),
            np.lexsort((index, -firings, dead)),
            np.lexsort((index, firings, ~dead)),
            np.lexsort((index, -maxima, dead)),
            np.lexsort((index, maxima, ~dead)),
        )
        # the inverse of an order is each one's place in it
        places: list[list[int]] = np.stack([np.argsort(o) for o in orders], axis=1).tolist()
        return places


@contextmanager
def packed(
    features: Iterable[FeatureRecord],
    windows: Iterable[WindowRecord],
    rules: Iterable[RuleRecord] = (),
    kept: KeptFirings | None = None,
) -> Iterator[Packed]:
    """Pack before the transaction: no lock is held while records are still being made."""
    with failures_explained(), tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
        out = Packed(file, kept=kept)
        for feature in features:
            blobs = (pack_summary(feature), pack_body(feature))
            file.write(_SIZES.pack(*map(len, blobs)))
            file.writelines(blobs)
            out.indices.append(feature.index)
            out.firings.append(feature.firings)
            out.maxima.append(float(feature.maximum))
            out.intervals.append(feature.density_interval or (None, None))
            if feature.fires_on is not None:
                out.fires_on[feature.index] = feature.fires_on
            out.raised[feature.index] = feature.raised
            for group in feature.groups:
                out.shown.update(group.examples.windows.tolist())
        for window in windows:
            tokens = pack_tokens(window.tokens)
            out.windows[window.number] = (window.line, escape(window.document), tokens)
        out.rules.extend(rules)
        yield out


def write(connection: Connection, harvest: HarvestRecord, new: Packed) -> None:
    """Replace what was published of the dictionary."""
    dictionary_id, d_sae, set_id, digest, subject = _resolve(connection, harvest)
    _check(harvest, new, d_sae)
    # Labels belong to the weights: whoever gave them, and whenever, they stand at once.
    labels = best_texts(connection, subject)
    store_catalogue.unpublish(connection, dictionary_id)
    numbers = np.array(sorted(new.windows), dtype=np.int64)
    connection.execute(
        insert(StoredHarvest).values(
            dictionary_id=dictionary_id,
            set_id=set_id,
            digest=digest,
            seed=harvest.seed,
            n_tokens=harvest.n_tokens,
            n_windows=harvest.n_windows,
            alive=sum(count > 0 for count in new.firings),
            settings=store_catalogue.canonical(harvest.settings),
            windows=pack_numbers(numbers),
        )
    )
    # The set holds windows of other harvests, too: add those that are new to it.
    _write_windows(connection, set_id, new)
    rows = (
        (
            dictionary_id,
            index,
            *places,
            firings,
            maximum,
            *ends,
            escape(labels.get(index, "")),
            *blobs,
        )
        for index, places, firings, maximum, ends, blobs in zip(
            new.indices,
            new.places(),
            new.firings,
            new.maxima,
            new.intervals,
            new.blobs(),
            strict=True,
        )
    )
    bulk_insert(connection, StoredFeature, rows)
    on = {index: ranking.ids for index, ranking in new.fires_on.items()}
    store_postings.write(connection, dictionary_id, store_postings.FIRES_ON, on)
    for kind, rankings in (
        (store_postings.FIRES_MOST_ON, new.fires_on),
        (store_postings.RAISES_MOST, new.raised),
    ):
        store_postings.write_short(connection, dictionary_id, kind, rankings)
    dead = [i for i, count in zip(new.indices, new.firings, strict=True) if not count]
    store_rules.write(connection, dictionary_id, dead, new.rules)
    if new.kept is not None:
        write_kept(connection, dictionary_id, new.kept)
    recurrences.fill(connection, dictionary_id)
    index_labels(connection, dictionary_id, subject)
    index_rules(connection, dictionary_id)
    store_catalogue.drop_unused_windows(connection)


def _resolve(connection: Connection, harvest: HarvestRecord) -> tuple[int, int, int, str, str]:
    """Ids of dictionary (with its d_sae) and window set, the harvest's digest, and the subject
    whose labels it shows."""
    model_id = store_catalogue.model_id_of(connection, harvest.model)
    here = (StoredDictionary.model_id == model_id, StoredDictionary.name == harvest.dictionary)
    dictionary = connection.execute(select(StoredDictionary.__table__).where(*here)).first()
    if dictionary is None:
        raise NotFound(
            f"The store has no dictionary {harvest.dictionary!r} of a model {harvest.model!r}; add "
            "it first."
        )
    # The corpus: of several with that name, the one of the fingerprint, or the newest.
    named = select(StoredCorpus.id, StoredCorpus.fingerprint).where(
        StoredCorpus.name == harvest.corpus
    )
    if harvest.fingerprint:
        named = named.where(StoredCorpus.fingerprint == harvest.fingerprint)
    corpus = connection.execute(named.order_by(StoredCorpus.id.desc())).first()
    if corpus is None:
        raise NotFound(f"The store has no corpus {harvest.corpus!r}; add it first.")
    model = connection.execute(
        select(StoredModel.checksum, StoredModel.dtype).where(StoredModel.id == model_id)
    ).one()
    # Harvests of the same model, corpus and context share their windows.
    key = {"model_id": model_id, "corpus_id": corpus.id, "n_ctx": harvest.n_ctx}
    set_id = connection.scalar(select(StoredWindowSet.id).filter_by(**key))
    if set_id is None:
        set_id = store_catalogue.next_id(connection, StoredWindowSet.__table__)
        connection.execute(insert(StoredWindowSet).values(id=set_id, **key))
    # The digest changes with whatever may change a figure or a link of the pages.
    depends_on = {
        "model": [harvest.model, model.checksum, model.dtype],
        "dictionary": [
            *(dictionary.name, dictionary.checksum, dictionary.dtype, dictionary.hook_point),
            *(dictionary.d_in, dictionary.d_sae),
        ],
        "corpus": [harvest.corpus, corpus.fingerprint],
        "harvest": [harvest.seed, harvest.n_ctx, harvest.n_tokens, harvest.n_windows],
        "settings": harvest.settings,
    }
    digest = hashlib.sha256(store_catalogue.canonical(depends_on).encode()).hexdigest()
    subject = subject_of(dictionary.checksum, model.checksum, dictionary.path)
    return dictionary.id, dictionary.d_sae, set_id, digest, subject


def _check(harvest: HarvestRecord, new: Packed, d_sae: int) -> None:
    """All features once, every window that they point to, and all rules or none."""
    title = f"{harvest.model}/{harvest.dictionary}"
    if sorted(new.indices) != list(range(d_sae)):
        raise StoreError(
            f"A harvest of {title} must hold each of its {d_sae} features once; this one holds "
            f"{len(set(new.indices))} of them in {len(new.indices)} records."
        )
    if missing := sorted(new.shown.difference(new.windows)):
        raise StoreError(
            f"Examples of {title} point to {len(missing)} windows that were not handed over, "
            f"such as {missing[0]}."
        )
    if new.rules and sorted(rule.index for rule in new.rules) != list(range(d_sae)):
        raise StoreError(
            f"The rules of {title} must be those of all {d_sae} features; these are "
            f"{len(new.rules)}."
        )
    if new.kept is not None and len(new.kept.text.counts) != d_sae:
        raise StoreError(
            f"The kept firings of {title} must be those of all {d_sae} features; these are of "
            f"{len(new.kept.text.counts)}."
        )


def _write_windows(connection: Connection, set_id: int, new: Packed) -> None:
    """Add what the set lacks: the same number is the same window."""
    there = set(
        connection.scalars(select(StoredWindow.number).where(StoredWindow.set_id == set_id))
    )
    added = ((set_id, number, *new.windows[number]) for number in sorted(set(new.windows) - there))
    bulk_insert(connection, StoredWindow, added)
