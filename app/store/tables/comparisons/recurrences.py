"""In how many other dictionaries each feature is found again: it follows from the comparisons."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, case, delete, func, select
from sqlalchemy.engine import RowMapping

from app.store.schema import StoredDictionary, StoredFeature, StoredHarvest, StoredModel
from app.store.tables.bulk import bulk_insert
from app.store.tables.comparisons.packing import unpack_matches
from app.store.tables.comparisons.schema import (
    StoredComparedDictionary,
    StoredMatches,
    StoredRecurrence,
)
from app.store.types.annotations import subject_of
from app.store.types.catalogue import DictionaryView
from app.store.types.comparisons import Recurrence

COLUMNS = (
    StoredRecurrence.found.label("recurrence_found"),
    StoredRecurrence.trainings.label("recurrence_trainings"),
)
JOINED = (
    StoredRecurrence,
    (StoredRecurrence.dictionary_id == StoredFeature.dictionary_id)
    & (StoredRecurrence.index == StoredFeature.index),
)
DOWN, UP = StoredRecurrence.by_found, StoredRecurrence.by_found_up
KEY = case((StoredFeature.firings > 0, func.coalesce(StoredRecurrence.found, 0)), else_=-1)


def known(connection: Connection, dictionary: DictionaryView) -> int:
    """With how many other dictionaries it was compared; 0: with none."""
    query = select(StoredRecurrence.trainings).where(
        StoredRecurrence.dictionary_id == dictionary.id
    )
    return connection.scalar(query.limit(1)) or 0


def found_in(dictionary: DictionaryView, least: int) -> Select[int]:
    """The features that were found in at least so many other dictionaries."""
    return select(StoredRecurrence.index).where(
        StoredRecurrence.dictionary_id == dictionary.id, StoredRecurrence.found >= least
    )


def of_row(row: RowMapping) -> Recurrence | None:
    """From a row with `COLUMNS`, joined by `JOINED`; None where it was not compared."""
    if row["recurrence_trainings"] is None:
        return None
    return Recurrence(row["recurrence_found"], row["recurrence_trainings"])


def fill_subjects(connection: Connection, subjects: Iterable[str]) -> None:
    """Bring up to date what dictionaries of these weights show."""
    wanted = set(subjects)
    query = (
        select(StoredDictionary.id, StoredDictionary.checksum, StoredDictionary.path)
        .add_columns(StoredModel.checksum.label("model_checksum"))
        .join(StoredModel, StoredModel.id == StoredDictionary.model_id)
        .order_by(StoredDictionary.id)
    )
    for row in connection.execute(query).all():
        if subject_of(row.checksum, row.model_checksum, row.path) in wanted:
            fill(connection, row.id)


def fill(connection: Connection, dictionary_id: int) -> None:
    """Bring up to date what one dictionary shows, if anything of it is published."""
    connection.execute(
        delete(StoredRecurrence).where(StoredRecurrence.dictionary_id == dictionary_id)
    )
    query = (
        select(StoredDictionary.checksum, StoredDictionary.path, StoredDictionary.d_sae)
        .add_columns(StoredModel.checksum.label("model_checksum"))
        .join(StoredModel, StoredModel.id == StoredDictionary.model_id)
        .join(StoredHarvest, StoredHarvest.dictionary_id == StoredDictionary.id)
        .where(StoredDictionary.id == dictionary_id)
    )
    row = connection.execute(query).first()
    if row is None:
        return
    subject = subject_of(row.checksum, row.model_checksum, row.path)
    others = _found(connection, subject, row.d_sae)
    if not others:
        return
    found = np.sum(others, axis=0)
    alive = np.zeros(row.d_sae, dtype=bool)
    fires = select(StoredFeature.index).where(
        StoredFeature.dictionary_id == dictionary_id, StoredFeature.firings > 0
    )
    alive[list(connection.scalars(fires))] = True
    index = np.arange(row.d_sae)
    # The inverse of an order is each one's place in it.
    down = np.argsort(np.lexsort((index, -found, ~alive)))
    up = np.argsort(np.lexsort((index, found, alive)))
    rows = zip(index.tolist(), down.tolist(), up.tolist(), found.tolist(), strict=True)
    bulk_insert(
        connection,
        StoredRecurrence,
        ((dictionary_id, *values, len(others)) for values in rows),
    )


def _found(connection: Connection, subject: str, d_sae: int) -> list[NDArray[np.int64]]:
    """For each other training at its hook point whether each feature was found there, 0 or 1.

    Of several comparisons with the same weights the one that was made last counts.
    """
    own = StoredComparedDictionary.__table__.alias("own")
    other = StoredComparedDictionary.__table__.alias("other")
    query = (
        select(
            other.c.subject,
            own.c.details.label("own_details"),
            other.c.details.label("other_details"),
            StoredMatches.figures,
            StoredMatches.matches,
        )
        .join(
            StoredMatches,
            (StoredMatches.comparison_id == own.c.comparison_id)
            & (StoredMatches.source == own.c.place),
        )
        .join(
            other,
            (other.c.comparison_id == own.c.comparison_id)
            & (other.c.place == StoredMatches.target),
        )
        .where(own.c.subject == subject, own.c.d_sae == d_sae, other.c.subject != subject)
        .order_by(own.c.comparison_id, own.c.place, other.c.place)
    )
    found: dict[str, NDArray[np.int64]] = {}
    for row in connection.execute(query):
        here, there = json.loads(row.own_details), json.loads(row.other_details)
        if not _is_training_of(here, there):
            continue
        figures = json.loads(row.figures)
        cosines, correlations, _ = unpack_matches(row.matches, d_sae, "The matches of a comparison")
        by_text = figures["by_correlation"]
        matches = correlations if by_text else cosines
        bar = (by_text or figures["by_cosine"] or {}).get("bar")
        if matches is None or bar is None:
            found[row.subject] = np.zeros(d_sae, dtype=np.int64)
        else:
            found[row.subject] = (matches.values >= bar).astype(np.int64)
    return list(found.values())


def _is_training_of(here: dict[str, object], there: dict[str, object]) -> bool:
    """Whether one is another training at the other's hook point, and no neurons."""
    keys = ("model_checksum", "hook_point")
    return all(here[key] == there[key] for key in keys) and not there["is_neurons"]
