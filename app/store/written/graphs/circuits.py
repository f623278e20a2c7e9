"""Circuits of tasks. Reached as `Store.graphs.circuits`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, RowMapping, delete, select

from app.errors import NotFound, StoreError
from app.store.database import reading, writing
from app.store.tables.catalogue import canonical
from app.store.types.circuits import (
    CircuitDictionary,
    CircuitPrompt,
    CircuitRecord,
    CircuitView,
)
from app.store.written.graphs.schema import StoredTaskCircuit
from app.store.written.kept_once import kept_once
from app.store.written.texts import checked_line
from sae_core.circuits.tasks.result import circuit_of
from sae_core.errors import CircuitError

MOST_CIRCUITS = 1_000
LONGEST_TITLE = 200
_TABLE = StoredTaskCircuit.__table__


class TaskCircuits:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self, model: str) -> list[CircuitView]:
        """The circuits of a model, the newest first."""
        query = (
            select(_TABLE)
            .where(StoredTaskCircuit.model == model, StoredTaskCircuit.withdrawn == 0)
            .order_by(StoredTaskCircuit.created.desc(), StoredTaskCircuit.name)
        )
        with reading(self._engine) as connection:
            return [_view(row) for row in connection.execute(query).mappings()]

    def view(self, model: str, name: str) -> CircuitView:
        """One circuit.

        Raises:
            NotFound: the model has none of that name.
            StoreError: it is damaged.
        """
        query = select(_TABLE).where(
            StoredTaskCircuit.model == model, StoredTaskCircuit.name == name
        )
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise _unknown(model, name)
        return _view(row)

    def asked(self, question: str) -> CircuitView | None:
        """The circuit that answers a question, by the SHA-256 of all that decides it."""
        query = select(_TABLE).where(StoredTaskCircuit.question == question)
        with reading(self._engine) as connection:
            row = connection.execute(query.order_by(StoredTaskCircuit.created)).mappings().first()
        return None if row is None else _view(row)

    def save(self, record: CircuitRecord) -> CircuitView:
        """Keep a circuit; the very same is kept once.

        Raises:
            InvalidRequest: its title is too long, or there are too many circuits.
        """
        title = checked_line(record.title, "a title", LONGEST_TITLE) or "circuit"
        details = canonical(_details(record))
        key = hashlib.sha256(f"{record.model}\n{details}".encode()).hexdigest()
        with writing(self._engine, alone=True) as connection:
            name = kept_once(
                *(connection, StoredTaskCircuit, key, MOST_CIRCUITS, "forget --circuit MODEL/NAME"),
                model=record.model,
                model_checksum=record.model_checksum,
                question=record.question,
                title=title,
                details=details,
            )
        return self.view(record.model, name)

    def forget(self, model: str, name: str) -> None:
        """Take a circuit out of the store.

        Raises:
            NotFound: there is no such circuit.
        """
        here = (StoredTaskCircuit.model == model, StoredTaskCircuit.name == name)
        with writing(self._engine, alone=True) as connection:
            if connection.execute(delete(StoredTaskCircuit).where(*here)).rowcount == 0:
                raise _unknown(model, name)


def _unknown(model: str, name: str) -> NotFound:
    return NotFound(
        f"There is no circuit {name!r:.80} of {model!r:.80}. Its page of graphs names all that "
        "there are."
    )


def _details(record: CircuitRecord) -> dict[str, Any]:
    return {
        "prompts": [asdict(prompt) for prompt in record.prompts],
        "dictionaries": [asdict(dictionary) for dictionary in record.dictionaries],
        "settings": record.settings,
        "circuit": record.circuit.as_json(),
    }


def _view(row: RowMapping) -> CircuitView:
    try:
        details = json.loads(row["details"])
        record = CircuitRecord(
            **{name: row[name] for name in ("model", "model_checksum", "question", "title")},
            prompts=tuple(
                CircuitPrompt(one["text"], tuple(one["right"]), tuple(one["wrong"]))
                for one in details["prompts"]
            ),
            dictionaries=tuple(CircuitDictionary(**one) for one in details["dictionaries"]),
            settings=details["settings"],
            circuit=circuit_of(details["circuit"]),
        )
    except (CircuitError, ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"The circuit {row['name']} is damaged. Restore the database from a copy, or ask anew."
        ) from error
    return CircuitView(row["name"], record, row["created"])
