"""What a dictionary's evaluation said. Used by `Store` alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select, update

from app.errors import NotFound
from app.store.schema import Dictionary, Model
from app.store.tables.catalogue import canonical
from app.store.types.catalogue import DictionaryView


def save(connection: Connection, dictionary: DictionaryView, evaluation: Mapping[str, Any]) -> None:
    """Keep an evaluation of the very weights that `dictionary` names.

    Raises:
        NotFound: the store holds them no longer.
    """
    same_model = select(Model.id).where(
        Model.id == dictionary.model_id, Model.checksum == dictionary.model_checksum
    )
    here = (Dictionary.id == dictionary.id, Dictionary.checksum == dictionary.checksum)
    changed = connection.execute(
        update(Dictionary)
        .where(*here, Dictionary.model_id.in_(same_model))
        .values(evaluation=canonical(evaluation))
    )
    if changed.rowcount == 0:
        raise NotFound(
            f"{dictionary.title} was replaced in the store while it was evaluated; the result was "
            "not kept."
        )
