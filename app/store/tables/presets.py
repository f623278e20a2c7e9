"""Named settings of the steering page. Used by `Store` alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from app.errors import Conflict, InvalidRequest, NotFound
from app.store.schema import StoredModel, StoredPreset
from app.store.tables.catalogue import canonical, model_id_of
from app.store.types.catalogue import PresetView

LONGEST_NAME = 100  # characters; an index entry of Postgres holds 2,700 bytes
LONGEST_SETTINGS = 32 * 2**10  # bytes of JSON
MOST = 1000  # of one model


def views(connection: Connection, model: str) -> list[PresetView]:
    """The presets of a model, by name."""
    query = select(StoredPreset.name, StoredPreset.settings).join(
        StoredModel, StoredPreset.model_id == StoredModel.id
    )
    rows = connection.execute(query.where(StoredModel.name == model).order_by(StoredPreset.name))
    return [PresetView(name, json.loads(settings)) for name, settings in rows]


def save(
    connection: Connection,
    model: str,
    name: str,
    settings: Mapping[str, Any],
    replace: bool = True,
) -> bool:
    """Keep a preset; whether it is new. One of the same name gives way to it where `replace` is
    true; one with the same settings is left as it is.

    Raises:
        InvalidRequest: its name is empty, too long or dots alone, it is too large, or there are
            too many.
        Conflict: there is another of this name, which is not to be replaced.
        NotFound: there is no such model.
    """
    if not name.strip():
        raise InvalidRequest("A preset needs a name.")
    if name.strip() in {".", ".."}:
        raise InvalidRequest(
            f"A preset cannot be called {name.strip()!r}: addresses mean something else by it."
        )
    if len(name) > LONGEST_NAME:
        raise InvalidRequest(
            f"The name of a preset has at most {LONGEST_NAME} characters; this one has {len(name)}."
        )
    written = canonical(settings)
    if len(written) > LONGEST_SETTINGS:
        raise InvalidRequest(
            f"A preset takes at most {LONGEST_SETTINGS:,} bytes, its prompt included; this one "
            f"takes {len(written):,}: shorten the prompt."
        )
    model_id = model_id_of(connection, model)
    here = (StoredPreset.model_id == model_id, StoredPreset.name == name)
    if not replace:
        kept = connection.scalars(select(StoredPreset.settings).where(*here)).one_or_none()
        if kept is not None and kept != written:
            raise Conflict(
                f"{model} has a preset {name!r} with other settings: choose another name, or say "
                "that it is to be replaced."
            )
    if connection.execute(update(StoredPreset).where(*here).values(settings=written)).rowcount:
        return False
    count = select(func.count()).select_from(StoredPreset).where(StoredPreset.model_id == model_id)
    if connection.scalars(count).one() >= MOST:
        raise InvalidRequest(f"{model} has {MOST} presets, as many as are kept; delete one first.")
    connection.execute(insert(StoredPreset).values(model_id=model_id, name=name, settings=written))
    return True


def remove(connection: Connection, model: str, name: str) -> None:
    """Forget a preset.

    Raises:
        NotFound: there is none of that name.
    """
    model_id = select(StoredModel.id).where(StoredModel.name == model).scalar_subquery()
    here = (StoredPreset.model_id == model_id, StoredPreset.name == name)
    if connection.execute(delete(StoredPreset).where(*here)).rowcount == 0:
        raise NotFound(f"{model} has no preset {name!r}.")
