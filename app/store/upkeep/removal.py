"""Taking a dictionary or a model out of the store, and all that only it needed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, select

from app.errors import NotFound
from app.store.database import compact, writing
from app.store.schema import (
    StoredCorpus,
    StoredDictionary,
    StoredFeature,
    StoredModel,
    StoredPreset,
    StoredWindow,
    StoredWindowSet,
)
from app.store.tables import catalogue as store_catalogue


@dataclass(frozen=True)
class Removed:
    """What went, or would go.

    Attributes:
        dictionaries: `model/name` of each.
        features: of all of them.
        labels: features with a label among them; labels stay, for the same weights to come back.
        presets: named steering settings of a removed model.
        windows: that no other harvest refers to.
        corpora: names of texts of which nothing is left.
    """

    dictionaries: tuple[str, ...]
    features: int
    labels: int
    presets: int
    windows: int
    corpora: tuple[str, ...]


class _Rehearsed(Exception):
    pass


def remove(engine: Engine, model: str, dictionary: str | None, rehearse: bool = False) -> Removed:
    """Remove a dictionary, or a model with all of its dictionaries, in one transaction.

    Windows that another harvest refers to stay, and so does a model whose dictionaries have gone
    one by one, with its presets. Afterwards the database's file gives the room back.

    Args:
        engine: of the store.
        model: the model's name.
        dictionary: the dictionary's name; None: the whole model.
        rehearse: take everything back and only say what would go.

    Raises:
        NotFound: there is no such model or dictionary.
    """
    removed = None
    try:
        with writing(engine, alone=True) as connection:
            removed = _remove(connection, model, dictionary)
            if rehearse:
                raise _Rehearsed
    except _Rehearsed:
        pass
    else:
        compact(engine)
    assert removed is not None
    return removed


def _remove(connection: Connection, model: str, dictionary: str | None) -> Removed:
    model_id = connection.scalar(select(StoredModel.id).where(StoredModel.name == model))
    here = [StoredDictionary.model_id == model_id]
    if dictionary is not None:
        model_id = store_catalogue.view(connection, model, dictionary).model_id
        here = [StoredDictionary.model_id == model_id, StoredDictionary.name == dictionary]
    elif model_id is None:
        names = ", ".join(connection.scalars(select(StoredModel.name).order_by(StoredModel.name)))
        raise NotFound(
            f"The store has no model {model!r}. "
            + (f"There are {names}." if names else "It is empty.")
        )
    # Count what goes before it goes.
    query = (
        select(StoredDictionary.id, StoredDictionary.name)
        .where(*here)
        .order_by(StoredDictionary.name)
    )
    gone = connection.execute(query).all()
    ids = [row.id for row in gone]
    of_them = StoredFeature.dictionary_id.in_(ids)
    features = _count(connection, StoredFeature, of_them)
    labels = _count(connection, StoredFeature, of_them, StoredFeature.label != "")
    presets = (
        0
        if dictionary is not None
        else _count(connection, StoredPreset, StoredPreset.model_id == model_id)
    )
    windows = _count(connection, StoredWindow)
    # Delete; windows that other harvests show stay.
    for dictionary_id in ids:
        store_catalogue.unpublish(connection, dictionary_id)
    connection.execute(delete(StoredDictionary).where(StoredDictionary.id.in_(ids)))
    store_catalogue.drop_unused_windows(connection)
    if dictionary is None:
        connection.execute(delete(StoredModel).where(StoredModel.id == model_id))
    return Removed(
        dictionaries=tuple(f"{model}/{row.name}" for row in gone),
        features=features,
        labels=labels,
        presets=presets,
        windows=windows - _count(connection, StoredWindow),
        corpora=_unused_corpora(connection),
    )


def _unused_corpora(connection: Connection) -> tuple[str, ...]:
    """Delete the texts that no window is kept of; their names."""
    unused = StoredCorpus.id.not_in(select(StoredWindowSet.corpus_id))
    names = tuple(
        connection.scalars(select(StoredCorpus.name).where(unused).order_by(StoredCorpus.name))
    )
    connection.execute(delete(StoredCorpus).where(unused))
    return names


def _count(connection: Connection, table: type, *where: object) -> int:
    query = select(func.count()).select_from(table)
    return connection.scalars(query.where(*where)).one()  # type: ignore[arg-type]
