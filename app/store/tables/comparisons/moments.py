"""Features through trainings. Reached as `Store.comparisons.moments`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from sqlalchemy import Engine, RowMapping, delete, insert, select

from app.errors import NotFound, StoreError
from app.store.blobs.packing import Reader, Writer
from app.store.database import reading, writing
from app.store.tables.catalogue import canonical
from app.store.tables.comparisons.moments_schema import StoredMoments
from app.store.types.moments import (
    TOP,
    Moment,
    MomentArrays,
    MomentsRecord,
    MomentsSettings,
)
from app.store.written.texts import now

_TABLE = StoredMoments.__table__
_KIND = b"O"
_INTS = ("partners", "rows", "tokens", "begins")
_FLOATS = ("values", "same", "f1", "strengths")


class TrainingMoments:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[MomentsRecord]:
        """All of them, by name."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(_TABLE).order_by(StoredMoments.name)).mappings()
            return [_record(row) for row in rows]

    def view(self, name: str) -> MomentsRecord:
        """One of them.

        Raises:
            NotFound: there is none of that name.
            StoreError: it is damaged.
        """
        query = select(_TABLE).where(StoredMoments.name == name)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            raise _unknown(name)
        return _record(row)

    def save(self, record: MomentsRecord) -> None:
        """Keep it, in place of one of the same name or of the same question."""
        values = {
            "id": record.identity,
            "name": record.name,
            "model": record.model,
            "dictionary": record.dictionary,
            "details": canonical(_details(record)),
            "content": _packed(record.arrays),
            "changed": now(),
        }
        same = (StoredMoments.name == record.name) | (StoredMoments.id == record.identity)
        with writing(self._engine, alone=True) as connection:
            connection.execute(delete(StoredMoments).where(same))
            connection.execute(insert(StoredMoments).values(values))

    def forget(self, name: str) -> None:
        """Take one out of the store.

        Raises:
            NotFound: there is none of that name.
        """
        here = StoredMoments.name == name
        with writing(self._engine, alone=True) as connection:
            if connection.execute(delete(StoredMoments).where(here)).rowcount == 0:
                raise _unknown(name)


def _unknown(name: str) -> NotFound:
    return NotFound(f"No training {name!r:.80} is there: /over-training names all that there are.")


def _details(record: MomentsRecord) -> dict[str, Any]:
    return {
        "checksum": record.checksum,
        "d_sae": record.d_sae,
        "settings": asdict(record.settings),
        "moments": [asdict(moment) for moment in record.moments],
    }


def _packed(arrays: MomentArrays) -> bytes:
    out = Writer()
    for name in _INTS:
        out.ints(getattr(arrays, name).ravel().astype(np.int32))
    for name in _FLOATS:
        out.floats(getattr(arrays, name).ravel().astype(np.float32))
    return out.blob(_KIND)


def _record(row: RowMapping) -> MomentsRecord:
    try:
        details = json.loads(row["details"])
        moments = tuple(Moment(**one) for one in details["moments"])
        d_sae = int(details["d_sae"])
        arrays = _arrays(row["content"], row["name"], len(moments), d_sae)
        return MomentsRecord(
            *(row["name"], row["id"], row["model"], row["dictionary"], details["checksum"], d_sae),
            settings=MomentsSettings(**details["settings"]),
            moments=moments,
            arrays=arrays,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"The training {row['name']} is damaged. Restore the database from a copy, or give the "
            "command again."
        ) from error


def _arrays(content: bytes, name: str, n_moments: int, d_sae: int) -> MomentArrays:
    data = Reader(content, _KIND, f"The training {name}")
    flat: dict[str, Any] = {key: data.ints(np.int32) for key in _INTS}
    flat |= {key: data.floats() for key in _FLOATS}
    data.end()
    each = ("values", "partners", "same", "f1")
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys(each, (n_moments, d_sae))
    shapes |= dict.fromkeys(("rows", "strengths"), (n_moments + 1, d_sae, TOP))
    return MomentArrays(
        **{key: array.reshape(shapes.get(key, (-1,))) for key, array in flat.items()}
    )
