"""How far running harvests are. Used by `Store` alone."""

from __future__ import annotations

import time

from sqlalchemy import Connection, delete, insert, select

from app.store.schema import StoredProgress
from app.store.types.runs import ProgressView


def views(connection: Connection) -> list[ProgressView]:
    """All harvests that reported and did not end, by model and dictionary."""
    now = time.time()
    query = select(StoredProgress).order_by(StoredProgress.model, StoredProgress.dictionary)
    return [
        ProgressView(
            model=row.model,
            dictionary=row.dictionary,
            phase=row.phase,
            done=row.done,
            total=row.total,
            tokens_per_second=row.rate,
            eta_seconds=max(0, row.total - row.done) / row.rate if row.rate > 0 else None,
            age_seconds=max(0.0, now - row.reported),
        )
        for row in connection.execute(query)
    ]


def report(
    connection: Connection, model: str, name: str, phase: str, done: int, total: int, rate: float
) -> None:
    """Replace what was said before."""
    clear(connection, model, name)
    connection.execute(
        insert(StoredProgress).values(
            model=model,
            dictionary=name,
            phase=phase,
            done=done,
            total=total,
            rate=rate,
            reported=time.time(),
        )
    )


def clear(connection: Connection, model: str, name: str) -> None:
    """The harvest has ended."""
    here = (StoredProgress.model == model, StoredProgress.dictionary == name)
    connection.execute(delete(StoredProgress).where(*here))
