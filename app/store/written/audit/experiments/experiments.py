"""Experiments. Reached as `Store.audit.experiments`."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, RowMapping, delete, insert, select

from app.errors import NotFound, StoreError
from app.store.database import reading, writing
from app.store.tables.catalogue import canonical
from app.store.written.audit.experiments.records import (
    ExperimentLine,
    ExperimentRecord,
    ExperimentView,
    PromptTexts,
    details_of,
    texts_of,
)
from app.store.written.audit.experiments.schema import StoredExperiment, StoredExperimentTexts
from app.store.written.kept_once import kept_once, newest_first, row_asked, row_named
from app.store.written.texts import checked_line, now
from sae_core.errors import ExperimentError

MOST_EXPERIMENTS = 1_000
LONGEST_TITLE = 200
PROMPTS_TOGETHER = 20
_LINE = (
    StoredExperiment.name,
    StoredExperiment.title,
    StoredExperiment.model,
    StoredExperiment.dictionary,
    StoredExperiment.created,
)
_HEAD = (
    *_LINE,
    StoredExperiment.checksum,
    StoredExperiment.question,
    StoredExperiment.details,
)


class Experiments:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self) -> list[ExperimentLine]:
        """All experiments, the newest first."""
        return [
            ExperimentLine(**row) for row in newest_first(self._engine, StoredExperiment, _LINE)
        ]

    def view(self, name: str) -> ExperimentView:
        """One experiment, without its texts and values.

        Raises:
            NotFound: there is none of that name.
            StoreError: it is damaged.
        """
        if (row := row_named(self._engine, StoredExperiment, _HEAD, name)) is None:
            raise _unknown(name)
        return _view(row)

    def asked(self, question: str) -> ExperimentView | None:
        """The experiment that answers a question, by the SHA-256 of all that decides it."""
        row = row_asked(self._engine, StoredExperiment, _HEAD, question)
        return None if row is None else _view(row)

    def values(self, view: ExperimentView) -> NDArray[np.float64]:
        """The values of every outcome, prompt and arm, as in `ExperimentRecord`.

        Raises:
            NotFound: the experiment is gone.
            StoreError: they are damaged.
        """
        query = select(StoredExperiment.measured).where(StoredExperiment.name == view.name)
        with reading(self._engine) as connection:
            measured = connection.scalar(query)
        if measured is None:
            raise _unknown(view.name)
        details = view.details
        shape = (len(details.outcomes) + 1, details.prompts, len(details.arms))
        try:
            return np.frombuffer(zlib.decompress(measured), dtype="<f8").reshape(shape)
        except (zlib.error, ValueError) as error:
            raise _damaged(view.name) from error

    def texts(self, name: str, numbers: Sequence[int]) -> list[PromptTexts]:
        """Some prompts with the texts of all arms, in the order asked for; unknown ones left out.

        Raises:
            StoreError: they are damaged.
        """
        pieces = sorted({number // PROMPTS_TOGETHER for number in numbers})
        query = (
            select(StoredExperimentTexts.content)
            .join(StoredExperiment, StoredExperiment.id == StoredExperimentTexts.experiment_id)
            .where(StoredExperiment.name == name, StoredExperimentTexts.number.in_(pieces))
        )
        with reading(self._engine) as connection:
            contents = connection.scalars(query).all()
        try:
            there = {
                texts.number: texts
                for content in contents
                for texts in texts_of(json.loads(zlib.decompress(content)))
            }
        except (ExperimentError, zlib.error, ValueError) as error:
            raise _damaged(name) from error
        return [there[number] for number in numbers if number in there]

    def save(self, record: ExperimentRecord) -> ExperimentView:
        """Keep an experiment; the very same is kept once.

        Raises:
            InvalidRequest: its title is too long, or there are too many experiments.
        """
        title = checked_line(record.title, "a title", LONGEST_TITLE) or "experiment"
        details = canonical(record.details.as_json())
        content = "\n".join((record.model, record.dictionary, record.question, details))
        key = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
        with writing(self._engine, alone=True) as connection:
            here = StoredExperiment.id == key
            is_new = connection.scalar(select(StoredExperiment.id).where(here)) is None
            name = kept_once(
                *(connection, StoredExperiment, key, MOST_EXPERIMENTS, "forget --experiment NAME"),
                model=record.model,
                dictionary=record.dictionary,
                checksum=record.checksum,
                question=record.question,
                title=title,
                details=details,
                measured=zlib.compress(record.values.astype("<f8").tobytes()),
            )
            if is_new:
                connection.execute(insert(StoredExperimentTexts), _pieces(key, record.texts))
        return self.view(name)

    def forget(self, name: str) -> None:
        """Take an experiment out of the store.

        Raises:
            NotFound: there is no such experiment.
        """
        here = StoredExperiment.name == name
        with writing(self._engine, alone=True) as connection:
            if connection.execute(delete(StoredExperiment).where(here)).rowcount == 0:
                raise _unknown(name)


def _pieces(key: str, texts: Sequence[PromptTexts]) -> list[dict[str, object]]:
    written = now()
    return [
        {
            "experiment_id": key,
            "number": begin // PROMPTS_TOGETHER,
            "content": zlib.compress(
                canonical_texts(texts[begin : begin + PROMPTS_TOGETHER]).encode()
            ),
            "changed": written,
        }
        for begin in range(0, len(texts), PROMPTS_TOGETHER)
    ]


def canonical_texts(texts: Sequence[PromptTexts]) -> str:
    """Prompts and texts as JSON that is the same for the same value, in ASCII alone."""
    plain = [asdict(one) for one in texts]
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def _unknown(name: str) -> NotFound:
    return NotFound(f"There is no experiment {name!r:.80}. /experiments names all that there are.")


def _damaged(name: str) -> StoreError:
    return StoreError(
        f"The experiment {name} is damaged. Restore the database from a copy, or run it anew."
    )


def _view(row: RowMapping) -> ExperimentView:
    try:
        details = details_of(json.loads(row["details"]))
    except (ExperimentError, ValueError) as error:
        raise _damaged(row["name"]) from error
    return ExperimentView(
        name=row["name"],
        title=row["title"],
        model=row["model"],
        dictionary=row["dictionary"],
        checksum=row["checksum"],
        question=row["question"],
        details=details,
        created=row["created"],
    )
