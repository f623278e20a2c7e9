"""The whole store into a bundle and out of one, a few rows at a time.

What people wrote is merged into what is there; everything else goes into an empty store, or one
that holds the very same.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Engine,
    Integer,
    LargeBinary,
    Table,
    literal,
    select,
)
from sqlalchemy.exc import DataError, IntegrityError

from app.errors import InvalidRequest
from app.store.annotations import TABLES as WRITTEN
from app.store.columns import Base, escape
from app.store.database import knows_schema, newest_schema, reading, tidy, writing
from app.store.schema import (
    UNKEPT,
    StoredAutomata,
    StoredDictionary,
    StoredEffect,
    StoredFeature,
    StoredFiringBlock,
    StoredHarvest,
    StoredKeptText,
    StoredLanding,
    StoredPosting,
    StoredRecurrence,
    StoredRule,
    StoredStepTrial,
)
from app.store.search.word_index import index_rules
from app.store.tables.bulk import bulk_insert
from app.store.upkeep.bundle_file import (
    BundleReader,
    Manifest,
    Part,
    reading_bundle,
    writing_bundle,
)
from app.store.upkeep.merging import CLASSES, merge, show_labels
from app.store.written.label_texts import fill

# What a harvest publishes at one instant also arrives at one instant.
_OF_HARVEST = tuple(
    table.__tablename__
    for table in (
        StoredHarvest,
        StoredFeature,
        StoredEffect,
        StoredLanding,
        StoredPosting,
        StoredRule,
        StoredRecurrence,
        StoredKeptText,
        StoredFiringBlock,
        StoredAutomata,
        StoredStepTrial,
    )
)


def export_bundle(engine: Engine, path: Path) -> Manifest:
    """Write everything in the store but progress and speeds into a new bundle, as of one instant.

    Raises:
        InvalidRequest: there is something at `path`.
        DiskError: it cannot be written; nothing is left behind.
    """
    with reading(engine) as connection, writing_bundle(path) as bundle:
        for table in _tables():
            if table.name not in _OF_HARVEST:
                bundle.rows(table.name, None, _lines(connection, table))
        for dictionary in connection.scalars(
            select(StoredDictionary.id).order_by(StoredDictionary.id)
        ).all():
            for name in _OF_HARVEST:
                table = Base.metadata.tables[name]
                bundle.rows(name, dictionary, _lines(connection, table, dictionary))
        return bundle.finish(newest_schema(), _columns())


def import_bundle(
    engine: Engine,
    path: Path,
    say: Callable[[str], None] = lambda _: None,
    only_written: bool = False,
) -> Manifest:
    """Fill a store from a bundle, or finish doing so.

    First the whole bundle is checked, and compared with what the store holds: nothing, or what an
    import of the same bundle left when it was killed. Then what is missing is written, a part a
    transaction, each dictionary's harvest whole: pages never show half of one. Labels, comments and
    lists are merged into those of the store, which lose nothing.

    Args:
        engine: of the store.
        path: of the bundle.
        say: is told what is done.
        only_written: take nothing but labels, comments and lists; the store may hold anything.

    Raises:
        InvalidRequest: the bundle is damaged, was made by another version, or the store holds
            something else. The store is as it was.
        StoreError: the database fails; giving the same command again goes on from there.
    """
    with reading_bundle(path) as bundle:
        _check_schema(path, bundle.manifest)
        say("Checking the bundle")
        todo = [] if only_written else _missing(engine, path, bundle)
        _merge(engine, path, bundle)
        total = len(bundle.manifest.parts)
        for done, parts in enumerate(todo):
            say(f"Writing {parts[0].table} ({total - len(todo) + done + 1} of {total})")
            _write(engine, path, bundle, parts)
        if todo:
            tidy(engine, *sorted({part.table for parts in todo for part in parts}))
        return bundle.manifest


def _tables() -> list[Table]:
    """All that a bundle holds, each after those it refers to."""
    return [table for table in Base.metadata.sorted_tables if table.name not in UNKEPT]


def _columns() -> dict[str, list[str]]:
    return {table.name: list(table.columns.keys()) for table in _tables()}


def _lines(connection: Connection, table: Table, dictionary: int | None = None) -> Iterator[str]:
    """Rows by primary key; `dictionary`: those of one. A feature's column of labels, which follows
    from the labels themselves, is left empty."""
    columns: list[ColumnElement[Any]] = list(table.columns)
    if table.name == StoredFeature.__tablename__:
        columns = [literal("") if column.name == "label" else column for column in columns]
    query = select(*columns).order_by(*table.primary_key).execution_options(yield_per=256)
    if dictionary is not None:
        query = query.where(table.c.dictionary_id == dictionary)
    for row in connection.execute(query):
        values = [base64.b64encode(v).decode() if isinstance(v, bytes) else v for v in row]
        yield json.dumps(values, separators=(",", ":"))


def _check_schema(path: Path, manifest: Manifest) -> None:
    if manifest.schema == newest_schema() and manifest.tables == _columns():
        return
    if knows_schema(manifest.schema) and manifest.schema != newest_schema():
        raise InvalidRequest(
            f"The bundle {path} was made by an older version of Featurescope (schema "
            f"{manifest.schema}, this one needs {newest_schema()}). Start this version on that "
            "store, which upgrades it, and export it again."
        )
    raise InvalidRequest(
        f"The bundle {path} was made by a newer version of Featurescope (schema "
        f"{manifest.schema!r:.40} is unknown here). Import it with that version."
    )


def _missing(engine: Engine, path: Path, bundle: BundleReader) -> list[list[Part]]:
    """What the store lacks: lists of parts that belong into one transaction."""
    # Group the parts: those of one dictionary's harvest go in together, every other by itself.
    groups: dict[tuple[object, ...], list[Part]] = {}
    for n, part in enumerate(bundle.manifest.parts):
        if part.table not in _columns():
            raise InvalidRequest(f"The bundle {path} has a table {part.table!r:.40}: what is it?")
        whole = part.table in _OF_HARVEST
        if whole == (part.dictionary is None):
            raise InvalidRequest(
                f"The bundle {path} contradicts itself in {part.table}: it was not made by "
                "Featurescope."
            )
        if part.table not in WRITTEN:
            key: tuple[object, ...] = ("harvest", part.dictionary) if whole else (n,)
            groups.setdefault(key, []).append(part)
    # Compare each part with the lines that the store holds in its place: the same, or none.
    todo = []
    with reading(engine) as connection, ExitStack() as stack:
        there: dict[tuple[str, int | None], Iterator[str]] = {}
        for parts in groups.values():
            present = set()  # of its parts: does the store hold them?
            for part in parts:
                key = (part.table, part.dictionary)
                if key not in there:
                    rows = _lines(connection, Base.metadata.tables[part.table], part.dictionary)
                    stack.callback(rows.close)  # type: ignore[attr-defined]
                    there[key] = rows
                held = list(islice(there[key], part.rows))
                lines = bundle.lines(part)
                if held and held != lines:
                    raise _other(path, part.table)
                present.add(bool(held))
            if present == {True, False}:
                raise _other(path, parts[0].table)
            if present == {False}:
                todo.append(parts)
        # A table of the store must not go on after the bundle's last line of it.
        for (name, _), rows in there.items():
            if next(rows, None) is not None:
                raise _other(path, name)
        _check_others(connection, path, bundle.manifest)
    return todo


def _check_others(connection: Connection, path: Path, manifest: Manifest) -> None:
    """Tables and dictionaries that the bundle does not name must be empty."""
    named = {part.table for part in manifest.parts}
    for table in _tables():
        if table.name not in named | WRITTEN and connection.execute(select(table).limit(1)).first():
            raise _other(path, table.name)
    harvested = {
        part.dictionary for part in manifest.parts if part.table == StoredHarvest.__tablename__
    }
    if not set(connection.scalars(select(StoredHarvest.dictionary_id))) <= harvested:
        raise _other(path, StoredHarvest.__tablename__)


def _other(path: Path, table: str) -> InvalidRequest:
    return InvalidRequest(
        f"This store holds something that {path} does not (in its table {table}): a bundle goes "
        "into an empty store. Name an empty one with FEATURESCOPE_DATABASE_URL, or `featurescope "
        "remove` what is here. The store is as it was."
    )


def _merge(engine: Engine, path: Path, bundle: BundleReader) -> None:
    """What people wrote, in one transaction, into what is there."""
    parts = [part for part in bundle.manifest.parts if part.table in WRITTEN]
    if parts:
        with _consistent(path, "labels"), writing(engine, alone=True) as connection:
            for part in parts:
                table = Base.metadata.tables[part.table]
                rows = (_row(path, table, line) for line in bundle.lines(part))
                try:
                    merge(connection, table, rows)
                except ValueError as error:
                    raise _senseless(path, table, error) from None
            show_labels(connection)


def _write(engine: Engine, path: Path, bundle: BundleReader, parts: list[Part]) -> None:
    """Some parts in one transaction."""
    with _consistent(path, parts[0].table), writing(engine, alone=True) as connection:
        for part in parts:
            table = Base.metadata.tables[part.table]
            rows = (_row(path, table, line) for line in bundle.lines(part))
            bulk_insert(connection, CLASSES[part.table], rows)
        for dictionary in {part.dictionary for part in parts if part.dictionary is not None}:
            fill(connection, dictionary)
            index_rules(connection, dictionary)


@contextmanager
def _consistent(path: Path, table: str) -> Iterator[None]:
    """Rows that a database refuses make a sentence."""
    try:
        yield
    except (IntegrityError, DataError, psycopg.IntegrityError, psycopg.DataError) as error:
        raise InvalidRequest(
            f"The bundle {path} contradicts itself in {table} ({str(error)[:200]}): it was not "
            "made by Featurescope."
        ) from error


def _row(path: Path, table: Table, line: str) -> tuple[Any, ...]:
    """A line as values for the database, each of its column's type."""
    try:
        values = json.loads(line)
        columns: list[ColumnElement[Any]] = list(table.columns)
        if len(values) != len(columns):
            raise ValueError("another number of columns")
        return tuple(_value(c, v) for c, v in zip(columns, values, strict=True))
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise _senseless(path, table, error) from None


def _senseless(path: Path, table: Table, error: Exception) -> InvalidRequest:
    return InvalidRequest(
        f"The bundle {path} holds a row of {table.name} that makes no sense ({error}): it was not "
        "made by Featurescope."
    )


def _value(column: Any, value: Any) -> Any:
    if value is None:
        if not column.nullable:
            raise ValueError(f"{column.name} is missing")
        return None
    if isinstance(column.type, LargeBinary):
        return base64.b64decode(value, validate=True)
    if isinstance(column.type, Integer):
        if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"{column.name} is no whole number")
        return value
    if isinstance(column.type, Double):
        return float(value)
    if not isinstance(value, str):
        raise ValueError(f"{column.name} is no text")
    return escape(value)
