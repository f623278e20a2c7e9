"""Where the effects of a dictionary's features land, all of them at once. Used by `Store` alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sqlalchemy import Connection, delete, select
from sqlalchemy.engine import RowMapping

from app.errors import StoreError
from app.store.blobs.codec import pack_landing, unpack_landing
from app.store.schema import StoredFeature, StoredHarvest, StoredLanding
from app.store.tables.bulk import bulk_insert
from app.store.types.catalogue import DictionaryView
from sae_core.harvest.records import Landing

COLUMNS = (
    StoredLanding.effect.label("landing_effect"),
    StoredLanding.contexts.label("landing_contexts"),
    StoredLanding.tokens.label("landing_tokens"),
)
JOINED = (StoredLanding.dictionary_id == StoredFeature.dictionary_id) & (
    StoredLanding.index == StoredFeature.index
)


def known(connection: Connection, dictionary: DictionaryView) -> bool:
    """Whether they were computed."""
    query = select(StoredLanding.index).where(StoredLanding.dictionary_id == dictionary.id)
    return connection.scalar(query.limit(1)) is not None


def of_row(row: RowMapping, what: str) -> Landing | None:
    """From a row with `COLUMNS`, joined by `JOINED`; None where it was not computed."""
    if row["landing_contexts"] is None:
        return None
    return Landing(
        effect=row["landing_effect"],
        contexts=row["landing_contexts"],
        tokens=unpack_landing(row["landing_tokens"], what),
    )


def replace(
    connection: Connection, dictionary: DictionaryView, landings: Mapping[int, Landing]
) -> bool:
    """Keep those of all features; whether it was done.

    Where another harvest than that of `dictionary` was published since, nothing is kept.

    Raises:
        StoreError: a feature is missing.
    """
    query = select(StoredHarvest.digest).where(StoredHarvest.dictionary_id == dictionary.id)
    if connection.scalar(query.with_for_update(read=True)) != dictionary.digest:
        return False
    if len(landings) != dictionary.d_sae:
        raise StoreError(
            f"The effects of {dictionary.title} must be those of all {dictionary.d_sae} features; "
            f"these are of {len(landings)}."
        )
    of_dictionary = StoredFeature.dictionary_id == dictionary.id
    alive = set(
        connection.scalars(
            select(StoredFeature.index).where(of_dictionary, StoredFeature.firings > 0)
        )
    )
    connection.execute(delete(StoredLanding).where(StoredLanding.dictionary_id == dictionary.id))
    indices = np.array(sorted(landings))
    effects = np.array([landings[i].effect or 0.0 for i in indices.tolist()])
    dead = np.array([i not in alive for i in indices.tolist()])
    # The inverse of an order is each one's place in it.
    down = np.argsort(np.lexsort((indices, -effects, dead)))
    up = np.argsort(np.lexsort((indices, effects, ~dead)))
    rows = (
        (dictionary.id, index, by, by_up, landing.effect, landing.contexts, pack_landing(landing))
        for index, by, by_up in zip(indices.tolist(), down.tolist(), up.tolist(), strict=True)
        if (landing := landings[index])
    )
    bulk_insert(connection, StoredLanding, rows)
    return True
