"""Results that are kept once, each under a name that says its title, and read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, func, insert, select

from app.errors import InvalidRequest
from app.store.database import reading
from app.store.names import free_name
from app.store.written.texts import now


def kept_once(
    connection: Connection, kind: Any, key: str, most: int, forget: str, **values: Any
) -> str:
    """The name of the row of that key; where there is none, it is added first.

    Args:
        connection: of the transaction.
        kind: the table's class, with `id`, `name`, `title`, `created`, `changed`, `withdrawn`.
        key: of the row.
        most: rows that the table has at most.
        forget: the command that takes one out.
        values: the other columns.

    Raises:
        InvalidRequest: there are as many rows already.
    """
    there: str | None = connection.scalar(select(kind.name).where(kind.id == key))
    if there is not None:
        return there
    if (connection.scalar(select(func.count()).select_from(kind)) or 0) >= most:
        raise InvalidRequest(
            f"There are {most:,} of these, as many as are kept: `featurescope {forget}` takes one "
            "out."
        )
    empty = kind.__tablename__.rpartition("_")[2]
    name = free_name(values["title"], set(connection.scalars(select(kind.name))), empty)
    written = now()
    connection.execute(
        insert(kind).values(
            id=key, name=name, created=written, changed=written, withdrawn=0, **values
        )
    )
    return name


def newest_first(engine: Engine, table: Any, columns: Sequence[Any]) -> list[dict[str, Any]]:
    """What was kept and is not withdrawn, those columns of it, the newest first."""
    query = select(*columns).where(table.withdrawn == 0)
    with reading(engine) as connection:
        rows = connection.execute(query.order_by(table.created.desc(), table.name)).mappings()
        return [dict(row) for row in rows]


def row_named(engine: Engine, table: Any, columns: Sequence[Any], name: str) -> RowMapping | None:
    """The row of a name; None: there is none."""
    query = select(*columns).where(table.name == name)
    with reading(engine) as connection:
        return connection.execute(query).mappings().first()


def row_asked(
    engine: Engine, table: Any, columns: Sequence[Any], question: str
) -> RowMapping | None:
    """The oldest row that answers a question, by its SHA-256; None: there is none."""
    query = select(*columns).where(table.question == question).order_by(table.created)
    with reading(engine) as connection:
        return connection.execute(query).mappings().first()
