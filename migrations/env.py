"""Alembic's way into the schema; `app.store.database` hands it a connection, the command line none.

alembic -c migrations/alembic.ini revision --autogenerate -m "what changes"
"""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, Text

from app.settings import Settings
from app.store import database, schema
from app.store.columns import AnyText
from app.store.search.word_index import TABLE


def _render(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Revisions must not change with the application, so they spell its types out."""
    return "TEXT" if kind == "type" and isinstance(item, AnyText) else False


def _differs(_context: Any, _column: Any, _wanted: Any, found: Any, wanted: Any) -> bool | None:
    """Alembic takes the collation that `AnyText` has on Postgres for another type."""
    return False if isinstance(wanted, AnyText) and isinstance(found, Text) else None


def _declared(_object: Any, name: str | None, kind: str, reflected: bool, _compared: Any) -> bool:
    """The index of words is made by hand, and differs between the databases."""
    return not (kind == "table" and reflected and (name or "").startswith(TABLE))


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=schema.Base.metadata,
        render_as_batch=True,
        render_item=_render,
        compare_type=_differs,
        include_object=_declared,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    engine = database.connect(Settings().url)
    with database.writing(engine, alone=True) as own:
        _run(own)
    engine.dispose()
