"""Cached ablations. Used by `Store` alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from app.store.blobs.codec import pack_effect, unpack_effect
from app.store.schema import StoredEffect, StoredHarvest
from app.store.types.catalogue import DictionaryView
from sae_core.harvest.records import ContextEffect

_BATCH = 500
_OF_FEATURE = (
    select(StoredEffect.window, StoredEffect.effect)
    .join(StoredHarvest, StoredHarvest.dictionary_id == StoredEffect.dictionary_id)
    .where(
        StoredEffect.dictionary_id == bindparam("dictionary_id"),
        StoredEffect.index == bindparam("at"),
        StoredHarvest.digest == bindparam("digest"),
    )
    .order_by(StoredEffect.window)
)


def of_feature(
    connection: Connection,
    dictionary: DictionaryView,
    index: int,
    windows: Sequence[int] | None = None,
) -> dict[int, ContextEffect]:
    """A feature's cached effects by window; `windows`: of these only."""
    query = _OF_FEATURE
    here = {"dictionary_id": dictionary.id, "at": index, "digest": dictionary.digest}
    if windows is not None:
        query = query.where(StoredEffect.window.in_(windows))
    what = f"A cached ablation of feature {index} of {dictionary.title}"
    return {window: unpack_effect(blob, what) for window, blob in connection.execute(query, here)}


def pack(
    dictionary: DictionaryView, effects: Iterable[tuple[int, int, ContextEffect]]
) -> list[dict[str, Any]]:
    """Rows for `add`, made before a transaction begins."""
    return [
        {
            "dictionary_id": dictionary.id,
            "index": index,
            "window": window,
            "effect": pack_effect(effect),
        }
        for index, window, effect in effects
    ]


def add(connection: Connection, dictionary: DictionaryView, rows: list[dict[str, Any]]) -> int:
    """Keep what is not there yet; how many rows were given.

    Window numbers and features mean what they meant in the harvest that `dictionary` shows. Where
    another one was published since, nothing is kept.
    """
    query = select(StoredHarvest.digest).where(StoredHarvest.dictionary_id == dictionary.id)
    if connection.scalar(query.with_for_update(read=True)) != dictionary.digest:
        return 0
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(StoredEffect).on_conflict_do_nothing()
    for start in range(0, len(rows), _BATCH):
        connection.execute(statement, rows[start : start + _BATCH])
    return len(rows)
