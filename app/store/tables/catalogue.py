"""What the store knows of models, dictionaries and corpora as wholes. Used by `Store` alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, update
from sqlalchemy.sql import Select

from app.errors import NotFound
from app.store.blobs.codec import pack_vocabulary, unpack_numbers, unpack_vocabulary
from app.store.schema import (
    StoredCorpus,
    StoredDictionary,
    StoredEffect,
    StoredFeature,
    StoredFiringBlock,
    StoredHarvest,
    StoredKeptText,
    StoredLanding,
    StoredMap,
    StoredModel,
    StoredPosting,
    StoredWindow,
    StoredWindowSet,
)
from app.store.search.word_index import TextKind, clear_documents
from app.store.types.catalogue import (
    CorpusRecord,
    DictionaryRecord,
    DictionaryView,
    HarvestRecord,
    ModelRecord,
)
from sae_core.language_model.vocabulary import Vocabulary


def canonical(value: Mapping[str, Any]) -> str:
    """JSON that is the same for the same value, in ASCII alone."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def views(connection: Connection) -> list[DictionaryView]:
    """All dictionaries, by model and name."""
    rows = connection.execute(_statement()).mappings()
    return sorted(map(_view, rows), key=lambda view: (view.model, view.name))


def view(connection: Connection, model: str, name: str) -> DictionaryView:
    """One dictionary by its names."""
    names = {"model": model, "name": name}
    if row := connection.execute(_statement("names"), names).mappings().first():
        return _view(row)
    known = [f"{row[0]}/{row[1]}" for row in connection.execute(_names().limit(20))]
    there = f"There are {', '.join(known)}." if known else "The store is empty: harvest one first."
    raise NotFound(f"There is no dictionary {name!r} of a model {model!r}. {there}")


def view_by_id(connection: Connection, dictionary_id: int) -> DictionaryView | None:
    """One dictionary by its id."""
    row = connection.execute(_statement("id"), {"id": dictionary_id}).mappings().first()
    return _view(row) if row else None


def add_model(connection: Connection, record: ModelRecord) -> int:
    """A new model, or the new state of one.

    Other weights, another dtype or vocabulary under the same name are another model: what its
    dictionaries' harvests and evaluations said is no longer true, and goes. A vocabulary that only
    grew changes no token's meaning: imports add what they find to those before.
    """
    vocabulary = pack_vocabulary(record.vocabulary)
    identity = {
        "checksum": record.checksum,
        "dtype": record.dtype,
        "vocabulary_checksum": hashlib.sha256(vocabulary).hexdigest(),
    }
    values = identity | {
        "path": record.path,
        "architecture": record.architecture,
        "n_layers": record.n_layers,
        "d_model": record.d_model,
        "n_ctx": record.n_ctx,
        "d_vocab": record.d_vocab,
        "details": canonical(record.details),
        "vocabulary": vocabulary,
    }
    # Look for one of that name; what the store has of it tells whether it is the same model.
    query = select(StoredModel.id, *(getattr(StoredModel, key) for key in identity))
    old = connection.execute(query.where(StoredModel.name == record.name)).mappings().first()
    if old is None:
        return _insert(connection, StoredModel.__table__, name=record.name, **values)
    before = connection.scalars(
        select(StoredModel.vocabulary).where(StoredModel.id == old["id"])
    ).one()
    connection.execute(update(StoredModel).where(StoredModel.id == old["id"]).values(values))
    # Where it is another model, everything that was computed with the old one goes.
    others = {key for key, value in identity.items() if old[key] != value}
    if others and not (others == {"vocabulary_checksum"} and _grew(before, record.vocabulary)):
        of_model = StoredDictionary.model_id == old["id"]
        for dictionary_id in connection.scalars(select(StoredDictionary.id).where(of_model)).all():
            unpublish(connection, dictionary_id)
        connection.execute(update(StoredDictionary).where(of_model).values(evaluation=None))
        drop_unused_windows(connection)
    return int(old["id"])


def _grew(before: bytes, vocabulary: Vocabulary) -> bool:
    """Whether a vocabulary says of each token that was stored what was stored of it."""
    old = unpack_vocabulary(before, "The vocabulary of the model stored before")
    return (
        vocabulary.pieces[: len(old.pieces)] == old.pieces
        and vocabulary.special == old.special
        and vocabulary.bos == old.bos
    )


def add_dictionary(connection: Connection, record: DictionaryRecord) -> int:
    """A new dictionary, or the new state of one.

    Other weights, dtype, hook point or sizes under the same name are another dictionary: what is
    published of the old one goes.

    Raises:
        NotFound: its model was not added before.
    """
    model_id = model_id_of(connection, record.model)
    identity = {
        "hook_point": record.hook_point,
        "architecture": record.architecture,
        "d_in": record.d_in,
        "d_sae": record.d_sae,
        "checksum": record.checksum,
        "dtype": record.dtype,
    }
    values = identity | {
        "path": record.path,
        "evaluation": None if record.evaluation is None else canonical(record.evaluation),
        "details": canonical(record.details),
    }
    query = select(StoredDictionary.id, *(getattr(StoredDictionary, key) for key in identity))
    here = (StoredDictionary.model_id == model_id, StoredDictionary.name == record.name)
    old = connection.execute(query.where(*here)).mappings().first()
    if old is None:
        return _insert(
            connection, StoredDictionary.__table__, model_id=model_id, name=record.name, **values
        )
    connection.execute(
        update(StoredDictionary).where(StoredDictionary.id == old["id"]).values(values)
    )
    if any(old[key] != value for key, value in identity.items()):
        unpublish(connection, old["id"])
        drop_unused_windows(connection)
    return int(old["id"])


def save_evaluation(
    connection: Connection, dictionary: DictionaryView, evaluation: Mapping[str, Any]
) -> None:
    """Keep an evaluation of the very weights that `dictionary` names.

    Raises:
        NotFound: the store holds them no longer.
    """
    same_model = select(StoredModel.id).where(
        StoredModel.id == dictionary.model_id, StoredModel.checksum == dictionary.model_checksum
    )
    here = (StoredDictionary.id == dictionary.id, StoredDictionary.checksum == dictionary.checksum)
    changed = connection.execute(
        update(StoredDictionary)
        .where(*here, StoredDictionary.model_id.in_(same_model))
        .values(evaluation=canonical(evaluation))
    )
    if changed.rowcount == 0:
        raise NotFound(
            f"{dictionary.title} was replaced in the store while it was evaluated; the result was "
            "not kept."
        )


def add_corpus(connection: Connection, record: CorpusRecord) -> int:
    """A new corpus, or the new state of one. Harvests of other fingerprints stay."""
    values = {
        "source": record.source,
        "n_documents": record.n_documents,
        "n_tokens": record.n_tokens,
        "details": canonical(record.details),
    }
    here = (StoredCorpus.name == record.name, StoredCorpus.fingerprint == record.fingerprint)
    old = connection.scalar(select(StoredCorpus.id).where(*here))
    if old is None:
        key = {"name": record.name, "fingerprint": record.fingerprint}
        return _insert(connection, StoredCorpus.__table__, **key, **values)
    connection.execute(update(StoredCorpus).where(StoredCorpus.id == old).values(values))
    return old


def model_id_of(connection: Connection, name: str) -> int:
    """The id of a model that was added.

    Raises:
        NotFound: it was not.
    """
    model_id = connection.scalar(select(StoredModel.id).where(StoredModel.name == name))
    if model_id is None:
        raise NotFound(f"The store has no model {name!r}; add it first.")
    return model_id


def unpublish(connection: Connection, dictionary_id: int) -> None:
    """Take back what is published of a dictionary; its windows wait for
    `drop_unused_windows`."""
    for kind in TextKind:
        clear_documents(connection, kind, dictionary_id)
    for table in (
        StoredEffect,
        StoredLanding,
        StoredPosting,
        StoredFiringBlock,
        StoredKeptText,
        StoredFeature,
        StoredHarvest,
    ):
        connection.execute(delete(table).where(table.dictionary_id == dictionary_id))


def drop_unused_windows(connection: Connection) -> None:
    """Delete windows that no harvest refers to any more, and sets without harvests."""
    for set_id in connection.scalars(select(StoredWindowSet.id)).all():
        wanted: set[int] = set()
        blobs = connection.scalars(
            select(StoredHarvest.windows).where(StoredHarvest.set_id == set_id)
        ).all()
        for blob in blobs:
            wanted.update(unpack_numbers(blob, "The list of a harvest's windows").tolist())
        there = connection.scalars(select(StoredWindow.number).where(StoredWindow.set_id == set_id))
        gone = [{"gone": number} for number in there if number not in wanted]
        if gone:
            this = (StoredWindow.set_id == set_id, StoredWindow.number == bindparam("gone"))
            connection.execute(delete(StoredWindow).where(*this), gone)
        if not blobs:
            connection.execute(delete(StoredWindowSet).where(StoredWindowSet.id == set_id))


def next_id(connection: Connection, table: Any) -> int:
    """One above the highest: unlike a sequence, the same after a transaction that failed."""
    return 1 + (connection.scalar(select(func.max(table.c.id))) or 0)


def _insert(connection: Connection, table: Any, **values: Any) -> int:
    row_id = next_id(connection, table)
    connection.execute(insert(table).values(id=row_id, **values))
    return row_id


def _names() -> Select[str, str]:
    query = select(StoredModel.name, StoredDictionary.name).join(
        StoredModel, StoredDictionary.model_id == StoredModel.id
    )
    return query.order_by(StoredModel.name, StoredDictionary.name)


@cache
def _statement(by: Literal["names", "id"] | None = None) -> Select[*tuple[Any, ...]]:
    """Every page reads these; putting the columns together takes longer than the reading."""
    match by:
        case "names":
            return _select().where(
                StoredModel.name == bindparam("model"), StoredDictionary.name == bindparam("name")
            )
        case "id":
            return _select().where(StoredDictionary.id == bindparam("id"))
        case None:
            return _select()


def _select() -> Select[*tuple[Any, ...]]:
    of_model = [
        StoredModel.name.label("model"),
        StoredModel.path.label("model_path"),
        StoredModel.checksum.label("model_checksum"),
        StoredModel.dtype.label("model_dtype"),
        StoredModel.architecture.label("model_architecture"),
        StoredModel.details.label("model_details"),
        StoredModel.n_layers,
        StoredModel.d_model,
        StoredModel.n_ctx,
        StoredModel.d_vocab,
    ]
    of_harvest = [
        getattr(StoredHarvest, key).label(f"harvest_{key}")
        for key in ("digest", "seed", "n_tokens", "n_windows", "alive", "settings")
    ]
    of_corpus = [
        getattr(StoredCorpus, key).label(f"corpus_{key}")
        for key in ("name", "source", "fingerprint", "n_documents", "n_tokens", "details")
    ]
    return (
        select(
            StoredDictionary,
            *of_model,
            *of_harvest,
            *of_corpus,
            StoredWindowSet.n_ctx.label("harvest_n_ctx"),
            StoredMap.checksum.label("map_checksum"),
        )
        .select_from(StoredDictionary)
        .join(StoredModel, StoredDictionary.model_id == StoredModel.id)
        .outerjoin(StoredHarvest, StoredHarvest.dictionary_id == StoredDictionary.id)
        .outerjoin(StoredWindowSet, StoredHarvest.set_id == StoredWindowSet.id)
        .outerjoin(StoredCorpus, StoredWindowSet.corpus_id == StoredCorpus.id)
        .outerjoin(StoredMap, StoredMap.dictionary_id == StoredDictionary.id)
    )


@lru_cache(maxsize=256)
def _read(text: str) -> Mapping[str, Any]:
    """What `canonical` wrote. Every page reads all dictionaries, whose texts hardly ever change."""
    value: Mapping[str, Any] = json.loads(text)
    return value


def _view(row: RowMapping) -> DictionaryView:
    corpus = harvest = None
    if row["harvest_digest"] is not None:
        corpus = CorpusRecord(
            name=row["corpus_name"],
            source=row["corpus_source"],
            fingerprint=row["corpus_fingerprint"],
            n_documents=row["corpus_n_documents"],
            n_tokens=row["corpus_n_tokens"],
            details=_read(row["corpus_details"]),
        )
        harvest = HarvestRecord(
            model=row["model"],
            dictionary=row["name"],
            corpus=row["corpus_name"],
            seed=row["harvest_seed"],
            n_ctx=row["harvest_n_ctx"],
            n_tokens=row["harvest_n_tokens"],
            n_windows=row["harvest_n_windows"],
            settings=_read(row["harvest_settings"]),
            fingerprint=row["corpus_fingerprint"],
        )
    return DictionaryView(
        **{key: row[key] for key in _PLAIN},
        evaluation=None if row["evaluation"] is None else _read(row["evaluation"]),
        details=_read(row["details"]),
        model_details=_read(row["model_details"]),
        corpus=corpus,
        harvest=harvest,
        alive=row["harvest_alive"] or 0,
        digest=row["harvest_digest"] or "",
        mapped=row["map_checksum"] == row["checksum"],
    )


_PLAIN = (
    *("id", "model_id", "model", "name", "hook_point", "architecture", "d_in", "d_sae", "path"),
    *("checksum", "dtype", "model_path", "model_checksum", "model_dtype", "model_architecture"),
    *("n_layers", "d_model", "n_ctx", "d_vocab"),
)
