"""Maps of dictionaries: where their features lie. Reached as `Store.maps`."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray
from sqlalchemy import Engine, delete, insert, select

from app.errors import NotFound, StoreError
from app.store.blobs.packing import Reader, Writer
from app.store.database import reading, writing
from app.store.schema import StoredDictionary, StoredFeature, StoredMap
from app.store.tables.bulk import read_numbers
from app.store.tables.catalogue import canonical
from app.store.types.catalogue import DictionaryView
from app.store.types.maps import FeatureMap, MapRecord

KEPT_MAPS = 8  # of 4 bytes a feature, and as many counts of 8


class FeatureMaps:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: LRUCache[tuple[int, str], FeatureMap] = LRUCache(KEPT_MAPS)
        self._firings: LRUCache[tuple[int, str], NDArray[np.int64]] = LRUCache(KEPT_MAPS)
        self._lock = threading.Lock()

    def record(self, dictionary: DictionaryView) -> MapRecord | None:
        """What is known of a dictionary's map, be it of these weights or of others before them;
        None: it has none."""
        query = select(StoredMap.checksum, StoredMap.digest, StoredMap.parameters)
        with reading(self._engine) as connection:
            row = connection.execute(query.where(StoredMap.dictionary_id == dictionary.id)).first()
        return None if row is None else MapRecord(row[0], row[1], json.loads(row[2]))

    def of(self, dictionary: DictionaryView) -> FeatureMap | None:
        """The map of a dictionary; None: it has none of these weights.

        Raises:
            StoreError: what is stored makes no sense.
        """
        here = (
            StoredMap.dictionary_id == dictionary.id,
            StoredMap.checksum == dictionary.checksum,
        )
        with reading(self._engine) as connection:
            digest = connection.scalar(select(StoredMap.digest).where(*here))
            if digest is None:
                return None
            with self._lock:
                kept = self._kept.get((dictionary.id, digest))
            if kept is not None:
                return kept
            row = connection.execute(select(StoredMap.__table__).where(*here)).one()
        made = FeatureMap(
            MapRecord(row.checksum, row.digest, json.loads(row.parameters)),
            *_unpacked(dictionary, row.places, row.heads),
        )
        with self._lock:
            self._kept[dictionary.id, digest] = made
        return made

    def firings(self, dictionary: DictionaryView) -> NDArray[np.int64]:
        """The tokens on which each feature fires, int64 [d_sae]; kept in memory until the next
        harvest."""
        key = (dictionary.id, dictionary.digest)
        with self._lock:
            firings = self._firings.get(key)
        if firings is None:
            query = select(StoredFeature.index, StoredFeature.firings)
            with reading(self._engine) as connection:
                indices, counts = read_numbers(
                    connection, query.where(StoredFeature.dictionary_id == dictionary.id)
                )
            firings = np.zeros(dictionary.d_sae, dtype=np.int64)
            firings[indices.astype(np.int64)] = counts
            with self._lock:
                self._firings[key] = firings
        return firings

    def save(
        self,
        dictionary: DictionaryView,
        places: NDArray[np.uint16],
        heads: NDArray[np.uint16],
        parameters: Mapping[str, Any],
    ) -> None:
        """Keep a map of the very weights that `dictionary` names, in place of the one before.

        Args:
            dictionary: as it was when its weights were read.
            places: as in `FeatureMap`, of all of its features.
            heads: as in `FeatureMap`.
            parameters: how it was made: JSON values.

        Raises:
            NotFound: the store holds these weights no longer.
        """
        values = {
            "checksum": dictionary.checksum,
            "parameters": canonical(parameters),
            "places": _packed(places),
            "heads": _packed(heads),
        }
        digest = hashlib.sha256(f"{dictionary.checksum} {values['parameters']}\n".encode())
        for part in (places, heads):
            digest.update(np.ascontiguousarray(part, dtype="<u2").tobytes())
        same = (
            StoredDictionary.id == dictionary.id,
            StoredDictionary.checksum == dictionary.checksum,
        )
        with writing(self._engine, alone=True) as connection:
            if connection.scalar(select(StoredDictionary.id).where(*same)) is None:
                raise NotFound(
                    f"{dictionary.title} was replaced in the store while its map was made; the map "
                    "was not kept."
                )
            connection.execute(delete(StoredMap).where(StoredMap.dictionary_id == dictionary.id))
            connection.execute(
                insert(StoredMap).values(
                    dictionary_id=dictionary.id, digest=digest.hexdigest(), **values
                )
            )


def _packed(numbers: NDArray[np.uint16]) -> bytes:
    """Column after column, the narrowest type for all."""
    out = Writer()
    out.ints(numbers.T.reshape(-1))
    return out.blob(b"M")


def _unpacked(
    dictionary: DictionaryView, places: bytes, heads: bytes
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    what, columns = f"The map of {dictionary.title}", []
    try:
        for blob in (places, heads):
            data = Reader(blob, b"M", what)
            columns.append(data.ints(np.uint16))
            data.end()
    except StoreError as error:
        raise _damaged(dictionary) from error
    n = dictionary.d_sae
    if columns[0].size != 2 * n or columns[1].size not in (0, n):
        raise _damaged(dictionary)
    return np.ascontiguousarray(columns[0].reshape(2, n).T), columns[1]


def _damaged(dictionary: DictionaryView) -> StoreError:
    return StoreError(
        f"The map of {dictionary.title} is damaged in the store. Give `featurescope map "
        f"{dictionary.title}` again."
    )
