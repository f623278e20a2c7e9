"""What people wrote in two stores, put together: nothing that either has is lost.

Ids are random, so the same id is the same thing: of two states of it the one that was changed last
stands, and a label's history holds both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update

from app.store.annotations import StoredLabel, StoredList
from app.store.columns import Base, unescape
from app.store.names import free_name
from app.store.schema import StoredHarvest
from app.store.tables.bulk import bulk_insert
from app.store.tables.comparisons.moments_schema import StoredMoments
from app.store.written.audit.contrasts.schema import StoredTextContrast
from app.store.written.audit.experiments.schema import StoredExperiment
from app.store.written.audit.monitors.schema import StoredMonitor
from app.store.written.graphs.schema import StoredGraph, StoredTaskCircuit
from app.store.written.label_texts import fill
from app.store.written.lists import STARRED

_NAMED = (
    StoredList,
    StoredGraph,
    StoredTaskCircuit,
    StoredTextContrast,
    StoredExperiment,
    StoredMonitor,
    StoredMoments,
)
NAMED = {kind.__tablename__: kind for kind in _NAMED}
"""Tables whose `name` is part of an address, so that no two rows have the same."""
CLASSES = {mapper.local_table.name: mapper.class_ for mapper in Base.registry.mappers}  # type: ignore[attr-defined]


def merge(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """Add rows to a table of `app/store/annotations.py`.

    Raises:
        ValueError: a text holds what no text that is written into a store holds.
    """
    rows = map(_plain, rows)
    if connection.execute(select(table).limit(1)).first() is None:
        bulk_insert(connection, CLASSES[table.name], rows)
        return
    names = table.columns.keys()
    for row in rows:
        _merge(connection, table, dict(zip(names, row, strict=True)))


def show_labels(connection: Connection) -> None:
    """Every dictionary shows the labels that it has now."""
    for dictionary_id in connection.scalars(select(StoredHarvest.dictionary_id)).all():
        fill(connection, dictionary_id)


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """The row, if nothing in it had to be escaped."""
    if any(isinstance(value, str) and value != unescape(value) for value in row):
        raise ValueError("a text with NUL or half a character")
    return row


def _merge(connection: Connection, table: Table, values: dict[str, Any]) -> None:
    here = [column == values[column.name] for column in table.primary_key]
    there = connection.execute(select(table).where(*here)).mappings().first()
    if there is None:
        if table.name in NAMED:
            values["name"] = _name(connection, table, values)
        connection.execute(insert(table).values(values))
        return
    changes = _changes(table, dict(there), values)
    if changes:
        connection.execute(update(table).where(*here).values(changes))


def _changes(table: Table, there: Mapping[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """What the store's row becomes; empty: it stays as it is."""
    changes: dict[str, Any] = {}
    if "changed" in values and _rank(values) > _rank(there):
        changes = {**values}
    if table.name in NAMED:
        changes.pop("name", None)  # addresses stay
    elif table.name == StoredLabel.__tablename__ and values["version"] > there["version"]:
        changes["version"] = values["version"]
    elif table.name == StoredLabel.__tablename__:
        changes.pop("version", None)
    return changes


def _rank(row: Mapping[str, Any]) -> tuple[float, str]:
    """Of two states the one of the later time stands; at one instant either store chooses alike."""
    return row["changed"], repr(sorted(row.items()))


def _name(connection: Connection, table: Table, values: Mapping[str, Any]) -> str:
    """The name of a row from elsewhere, or a free one where another row has it."""
    names = set(connection.scalars(select(NAMED[table.name].name)))
    wanted: str = values["name"]
    return wanted if wanted not in names else free_name(wanted, names | {STARRED}, table.name)
