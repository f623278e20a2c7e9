"""The whole store as text, the same for the same contents on either database."""

from __future__ import annotations

import json
from collections.abc import Iterator

from sqlalchemy import Engine, select

from app.store.columns import Base
from app.store.database import reading
from app.store.schema import UNREPEATABLE


def dump(engine: Engine) -> Iterator[str]:
    """Lines of JSON: each table's name and columns, then its rows by primary key.

    What holds a time or a speed is left out: the progress of harvests and trainings, and what
    people wrote.
    """
    with reading(engine) as connection:
        for table in sorted(Base.metadata.tables.values(), key=lambda table: table.name):
            if table.name in UNREPEATABLE:
                continue
            yield json.dumps([table.name, *table.columns.keys()])
            query = select(table).order_by(*table.primary_key).execution_options(yield_per=256)
            for row in connection.execute(query):
                yield json.dumps([v.hex() if isinstance(v, bytes) else v for v in row])
