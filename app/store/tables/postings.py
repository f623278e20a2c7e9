"""Which features stand for a token: inverted lists. Used by `Store` alone.

A whole list (`FIRES_ON`) filters the table. A short one has the features with the largest weight at
a token, in that order, for the search: what it costs to read does not grow with the dictionary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, any_, bindparam, func, select, type_coerce
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import BigInteger, Text

from app.store.blobs.codec import pack_numbers, unpack_numbers
from app.store.schema import StoredFeature, StoredPosting
from app.store.tables.bulk import bulk_insert
from sae_core.harvest.records import Ranking

FIRES_ON = "fires on"
FIRES_MOST_ON = "fires most on"
RAISES_MOST = "raises most"
MOST_IN_SHORT = 100  # features in a short list
_BATCH = 500


def write_short(
    connection: Connection, dictionary_id: int, kind: str, rankings: Mapping[int, Ranking]
) -> None:
    """Keep, for each token, the features in whose ranking it has the largest positive weight.

    Equal weights follow each other by feature. `rankings` has the ranking of each feature.
    """
    if not rankings:
        return
    counts = [len(ranking.ids) for ranking in rankings.values()]
    features = np.repeat(np.fromiter(rankings.keys(), dtype=np.int64), counts)
    tokens = np.concatenate([ranking.ids for ranking in rankings.values()])
    weights = np.concatenate([ranking.weights for ranking in rankings.values()])
    positive = weights > 0
    features, tokens, weights = features[positive], tokens[positive], weights[positive]
    order = np.lexsort((features, -weights, tokens))
    features, tokens = features[order], tokens[order]
    ids, starts = np.unique(tokens, return_index=True)
    ends = np.append(starts[1:], len(tokens)) if len(ids) else starts
    rows = (
        (
            dictionary_id,
            kind,
            token,
            pack_numbers(features[start : min(end, start + MOST_IN_SHORT)]),
        )
        for token, start, end in zip(ids.tolist(), starts.tolist(), ends.tolist(), strict=True)
    )
    bulk_insert(connection, StoredPosting, rows)


def read_short(
    connection: Connection, dictionary_id: int, kind: str, tokens: Collection[int]
) -> dict[int, list[int]]:
    """By token the features of its short list, the largest weight first."""
    parts: dict[int, list[int]] = {}
    here = {"dictionary_id": dictionary_id, "kind": kind}
    for some in _batches(sorted(tokens)):
        for token, blob in connection.execute(_LISTS, {**here, "tokens": some}):
            parts[token] = unpack_numbers(blob, f"The list of features of token {token}").tolist()
    return parts


_LISTS = select(StoredPosting.token, StoredPosting.features).where(
    StoredPosting.dictionary_id == bindparam("dictionary_id"),
    StoredPosting.kind == bindparam("kind"),
    StoredPosting.token.in_(bindparam("tokens", expanding=True)),
)


def write(
    connection: Connection, dictionary_id: int, kind: str, tokens: Mapping[int, NDArray[np.int32]]
) -> None:
    """Keep, for each token, the features that name it; `tokens` has the tokens of each feature."""
    if not tokens:
        return
    counts = [len(ids) for ids in tokens.values()]
    features = np.repeat(np.fromiter(tokens.keys(), dtype=np.int64), counts)
    every = np.concatenate(list(tokens.values()))
    order = np.lexsort((features, every))
    every, features = every[order], features[order]
    ids, starts = np.unique(every, return_index=True)
    parts = np.split(features, starts[1:]) if len(ids) else []
    rows = (
        (dictionary_id, kind, token, pack_numbers(part))
        for token, part in zip(ids.tolist(), parts, strict=True)
    )
    bulk_insert(connection, StoredPosting, rows)


def knows(connection: Connection, dictionary_id: int, kind: str) -> bool:
    """Whether lists of this kind were made for a dictionary at all."""
    here = (StoredPosting.dictionary_id == dictionary_id, StoredPosting.kind == kind)
    return connection.scalar(select(StoredPosting.token).where(*here).limit(1)) is not None


def features(
    connection: Connection, dictionary_id: int, kind: str, tokens: Collection[int]
) -> NDArray[np.int64]:
    """The features that stand in the list of at least one of the tokens, ascending, int64 [n]."""
    here = {"dictionary_id": dictionary_id, "kind": kind}
    parts = [np.zeros(0, dtype=np.int64)]
    for some in _batches(sorted(tokens)):
        for token, blob in connection.execute(_LISTS, {**here, "tokens": some}):
            parts.append(unpack_numbers(blob, f"The list of features of token {token}"))
    return np.unique(np.concatenate(parts))


def among(connection: Connection, indices: NDArray[np.int64]) -> ColumnElement[bool]:
    """The condition that a feature is one of these, of which there may be very many."""
    numbers = indices.tolist()
    if connection.dialect.name == "postgresql":
        array = type_coerce(numbers, postgresql.ARRAY(BigInteger))
        return StoredFeature.index == any_(array)
    # One parameter, where a list of them is limited to some ten thousand.
    given = func.json_each(type_coerce(f"[{','.join(map(str, numbers))}]", Text))
    return StoredFeature.index.in_(select(given.table_valued("value").c.value))


def _batches(tokens: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(tokens), _BATCH):
        yield tokens[start : start + _BATCH]
