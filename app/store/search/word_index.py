"""The index of words: FTS5 on SQLite, a tsvector with GIN on Postgres, behind four functions.

A document is a feature's labels with their notes, or its rule's sentence; it is known by its kind,
its dictionary and its feature. Both databases are given words that are cut already (`words.py`) and
compare them as they are. The index follows from other tables, so no dump and no bundle has it.
Whoever takes a harvest out takes its documents out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import IntEnum
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select, text

from app.store.annotations import StoredLabel
from app.store.failures import failures_explained
from app.store.schema import StoredRule
from app.store.search.words import WordQuery, words_of

TABLE = "search_text"
MOST_WORDS = 12_000  # of a document: Postgres counts to 16,383
MOST_BYTES = 400_000  # and takes a megabyte
_BATCH = 1000
_LOOKED_AT = 4096  # features at the beginning of a dictionary
_SQLITE = {
    "put": "INSERT INTO search_text (rowid, words) VALUES (?, ?)",
    "clear": "DELETE FROM search_text WHERE rowid BETWEEN :low AND :high",
    "drop": "DELETE FROM search_text WHERE rowid = :at",
    "match": "SELECT rowid FROM search_text WHERE search_text MATCH :asked "
    "AND rowid BETWEEN :low AND :high ORDER BY rowid LIMIT :most",
}
_POSTGRES = {
    "put": 'COPY search_text (dictionary_id, kind, "index", words) FROM STDIN',
    "clear": "DELETE FROM search_text WHERE kind = :kind AND dictionary_id = :dictionary_id",
    "drop": "DELETE FROM search_text WHERE kind = :kind AND dictionary_id = :dictionary_id "
    'AND "index" = ANY(:indices)',
    "match": 'SELECT "index" FROM search_text WHERE words @@ CAST(:asked AS tsquery) '
    "AND dictionary_id = :dictionary_id AND kind = :kind "
    'ORDER BY dictionary_id, kind, "index" LIMIT :most',
    # The fence (OFFSET 0) keeps the planner from asking GIN, which finds all before the first.
    "look": 'SELECT "index" FROM (SELECT "index", words FROM search_text WHERE dictionary_id = '
    ':dictionary_id AND kind = :kind AND "index" < :below OFFSET 0) AS looked '
    'WHERE words @@ CAST(:asked AS tsquery) ORDER BY "index" LIMIT :most',
}


class TextKind(IntEnum):
    """What a document is made of."""

    LABELS = 0
    RULE = 1


def write_documents(
    connection: Connection, kind: TextKind, dictionary_id: int, texts: Iterable[tuple[int, str]]
) -> None:
    """Add documents that are not there yet: (feature, text)."""
    cut = ((index, words) for index, document in texts if (words := _cut(document)))
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection.driver_connection
        with failures_explained(), driver.cursor() as cursor, cursor.copy(_POSTGRES["put"]) as copy:
            for index, words in cut:
                places = " ".join(f"{_lexeme(w)}:{at}" for at, w in enumerate(words, 1))
                copy.write_row((dictionary_id, int(kind), index, places))
        return
    base = _base(kind, dictionary_id)
    rows = ((base + index, " ".join(words)) for index, words in cut)
    while batch := list(islice(rows, _BATCH)):
        connection.exec_driver_sql(_SQLITE["put"], batch)


def clear_documents(
    connection: Connection,
    kind: TextKind,
    dictionary_id: int,
    indices: Collection[int] | None = None,
) -> None:
    """Take documents of a dictionary out; `indices`: only those of these features."""
    if connection.dialect.name == "postgresql":
        here: dict[str, Any] = {"kind": int(kind), "dictionary_id": dictionary_id}
        if indices is None:
            connection.execute(text(_POSTGRES["clear"]), here)
        else:
            connection.execute(text(_POSTGRES["drop"]), here | {"indices": sorted(indices)})
        return
    if indices is None:
        connection.execute(text(_SQLITE["clear"]), _bounds(kind, dictionary_id))
    elif indices:
        base = _base(kind, dictionary_id)
        connection.execute(text(_SQLITE["drop"]), [{"at": base + index} for index in indices])


def matching(
    connection: Connection, kind: TextKind, dictionary_id: int, query: WordQuery, most: int
) -> list[int]:
    """The first features of a dictionary whose document holds all terms, ascending."""
    if not query.terms:
        return []
    if connection.dialect.name == "postgresql":
        asked = " & ".join(_tsquery(term.words, term.beginning) for term in query.terms)
        here = {"kind": int(kind), "dictionary_id": dictionary_id, "asked": asked, "most": most}
        # Common words are found by looking, others by the index.
        look = connection.scalars(text(_POSTGRES["look"]), here | {"below": _LOOKED_AT})
        near = look.all()
        if len(near) >= most:
            return list(near)
        return list(connection.scalars(text(_POSTGRES["match"]), here))
    asked = " AND ".join(_fts5(term.words, term.beginning) for term in query.terms)
    bounds = _bounds(kind, dictionary_id)
    rows = connection.scalars(text(_SQLITE["match"]), bounds | {"asked": asked, "most": most})
    return [row - bounds["low"] for row in rows]


def index_labels(
    connection: Connection,
    dictionary_id: int,
    subject: str,
    indices: Collection[int] | None = None,
) -> None:
    """Bring the labels of a dictionary up to date; `indices`: only those of these features."""
    clear_documents(connection, TextKind.LABELS, dictionary_id, indices)
    query = (
        select(StoredLabel.index, StoredLabel.text, StoredLabel.note)
        .where(StoredLabel.subject == subject, StoredLabel.withdrawn == 0)
        .order_by(StoredLabel.index, StoredLabel.changed.desc(), StoredLabel.id)
    )
    documents: dict[int, list[str]] = {}
    for part in _parts(indices):
        chosen = query if part is None else query.where(StoredLabel.index.in_(part))
        for index, label, note in connection.execute(chosen):
            documents.setdefault(index, []).extend((label, note))
    joined = {index: "\n".join(texts) for index, texts in documents.items()}
    write_documents(connection, TextKind.LABELS, dictionary_id, joined.items())


def index_rules(connection: Connection, dictionary_id: int) -> None:
    """Bring the rules of a dictionary up to date."""
    clear_documents(connection, TextKind.RULE, dictionary_id)
    query = select(StoredRule.index, StoredRule.sentence).where(
        StoredRule.dictionary_id == dictionary_id, StoredRule.predicate != ""
    )
    sentences: Mapping[int, str] = dict(iter(connection.execute(query)))
    write_documents(connection, TextKind.RULE, dictionary_id, sentences.items())


def _cut(document: str) -> list[str]:
    words, size = [], 0
    for word in words_of(document)[:MOST_WORDS]:
        size += len(word.folded.encode()) + 8
        if size > MOST_BYTES:
            break
        words.append(word.folded)
    return words


def _lexeme(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"


def _tsquery(words: tuple[str, ...], beginning: bool) -> str:
    return "(" + " <-> ".join(map(_lexeme, words)) + (":*)" if beginning else ")")


def _fts5(words: tuple[str, ...], beginning: bool) -> str:
    phrase = " ".join(words).replace('"', '""')
    return f'"{phrase}"' + (" *" if beginning else "")


def _base(kind: TextKind, dictionary_id: int) -> int:
    """Where the documents of a dictionary begin: 36 bits for features, 20 for dictionaries."""
    return (int(kind) << 56) + (dictionary_id << 36)


def _bounds(kind: TextKind, dictionary_id: int) -> dict[str, int]:
    base = _base(kind, dictionary_id)
    return {"low": base, "high": base + (1 << 36) - 1}


def _parts(indices: Collection[int] | None) -> Iterable[list[int] | None]:
    if indices is None:
        return [None]
    every = sorted(set(indices))
    return [every[begin : begin + 500] for begin in range(0, len(every), 500)]
