"""How far running harvests are. Reached as `Store.progress`."""

from __future__ import annotations

import logging
import time

from sqlalchemy import Connection, Engine, delete, insert, select

from app.errors import StoreError
from app.store.database import reading, writing
from app.store.schema import StoredProgress
from app.store.types.runs import ProgressView

_log = logging.getLogger(__name__)


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


class RunningHarvests:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: as of `Store`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[ProgressView]:
        """Those that reported and did not end, by model and dictionary."""
        with reading(self._engine) as connection:
            return views(connection)

    def report(self, model: str, name: str, phase: str, done: int, total: int, rate: float) -> None:
        """Say how far one is. A store that cannot be written now does not stop it."""
        row = {"model": model, "dictionary": name, "phase": phase, "done": done, "total": total}
        try:
            with writing(self._engine) as connection:
                _clear(connection, model, name)
                connection.execute(
                    insert(StoredProgress).values(**row, rate=rate, reported=time.time())
                )
        except StoreError as error:
            _log.warning("Progress was not reported: %s", error)

    def clear(self, model: str, name: str) -> None:
        """The harvest has ended."""
        with writing(self._engine) as connection:
            _clear(connection, model, name)


def _clear(connection: Connection, model: str, name: str) -> None:
    here = (StoredProgress.model == model, StoredProgress.dictionary == name)
    connection.execute(delete(StoredProgress).where(*here))
