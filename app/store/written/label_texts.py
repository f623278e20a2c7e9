"""The one label that stands for a feature, and the column that tables sort and search by it.

Whoever writes labels, publishes features or loads a bundle keeps the column, and the index of all
labels' words, in step, in the same transaction. Used by `Labels`, by publication and by bundles.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, bindparam, func, select, update

from app.store.annotations import StoredLabel, StoredLabelVote
from app.store.columns import fits
from app.store.schema import StoredFeature, StoredHarvest
from app.store.search.word_index import index_labels
from app.store.written.texts import LONGEST_LABEL, subjects

_AT_ONCE = 500
_TEXTS = select(StoredFeature.index, StoredFeature.label).where(
    StoredFeature.dictionary_id == bindparam("dictionary_id"),
    StoredFeature.index.in_(bindparam("indices", expanding=True)),
    StoredFeature.label != "",
)


def shown_texts(
    connection: Connection, dictionary_id: int, indices: Collection[int]
) -> dict[int, str]:
    """What some features of a dictionary are called, by index: one query."""
    wanted = sorted({index for index in indices if fits(index)})
    if not wanted:
        return {}
    asked = {"dictionary_id": dictionary_id, "indices": wanted}
    return dict(iter(connection.execute(_TEXTS, asked)))


def best_texts(
    connection: Connection, subject: str, indices: Collection[int] | None = None
) -> dict[int, str]:
    """By feature the text of its best label: most votes, then newest, then by id.

    Args:
        connection: to the store.
        subject: of the dictionary.
        indices: only of these features; None: of all.
    """
    score = func.coalesce(func.sum(StoredLabelVote.value), 0)
    query = (
        select(StoredLabel.index, StoredLabel.text)
        .outerjoin(StoredLabelVote, StoredLabelVote.label_id == StoredLabel.id)
        .where(StoredLabel.subject == subject, StoredLabel.withdrawn == 0)
        .group_by(StoredLabel.id, StoredLabel.index, StoredLabel.text, StoredLabel.changed)
        .order_by(StoredLabel.index, score.desc(), StoredLabel.changed.desc(), StoredLabel.id)
    )
    best: dict[int, str] = {}
    for part in _parts(indices):
        chosen = query if part is None else query.where(StoredLabel.index.in_(part))
        for index, text in connection.execute(chosen):
            best.setdefault(index, text[:LONGEST_LABEL])
    return best


def refresh(connection: Connection, subject: str, indices: Collection[int]) -> None:
    """Bring column and index up to date for some features, in every dictionary of these weights.

    What is not published has neither.
    """
    best = best_texts(connection, subject, indices)
    texts = {index: best.get(index, "") for index in indices}
    published = set(connection.scalars(select(StoredHarvest.dictionary_id)))
    for dictionary_id, _, _ in subjects(connection).get(subject, []):
        if dictionary_id in published:
            _write(connection, dictionary_id, texts)
            index_labels(connection, dictionary_id, subject, indices)


def fill(connection: Connection, dictionary_id: int) -> None:
    """Bring the whole column of a published dictionary, and its index, up to date."""
    for subject, held in subjects(connection).items():
        if dictionary_id in {one for one, _, _ in held}:
            query = select(StoredFeature.index).where(
                StoredFeature.dictionary_id == dictionary_id, StoredFeature.label != ""
            )
            gone = dict.fromkeys(connection.scalars(query), "")
            _write(connection, dictionary_id, gone | best_texts(connection, subject))
            index_labels(connection, dictionary_id, subject)


def _write(connection: Connection, dictionary_id: int, texts: Mapping[int, str]) -> None:
    if not texts:
        return
    statement = (
        update(StoredFeature.__table__)  # type: ignore[arg-type]
        .where(
            StoredFeature.dictionary_id == dictionary_id,
            StoredFeature.index == bindparam("at"),
        )
        .values(label=bindparam("text"))
    )
    connection.execute(statement, [{"at": at, "text": text} for at, text in texts.items()])


def _parts(indices: Collection[int] | None) -> Iterable[list[int] | None]:
    if indices is None:
        return [None]
    every = sorted(set(indices))
    return [every[begin : begin + _AT_ONCE] for begin in range(0, len(every), _AT_ONCE)]
