"""Automata of dictionaries. Reached as `Store.search.automata`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select

from app.errors import NotFound, StoreError
from app.store.database import reading, writing
from app.store.schema import StoredHarvest
from app.store.search.automata.schema import StoredAutomata, StoredStepTrial
from app.store.tables.catalogue import canonical
from app.store.types.automata import MinedAutomata, TrialArm, TriedStep
from app.store.types.catalogue import DictionaryView
from sae_core.circuits.automata.mining import HeldFigures, Step
from sae_core.circuits.automata.shapes import Automaton


class FeatureAutomata:
    """Reads and writes, each in one transaction. Safe to share between threads.

    Args:
        engine: of the store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, dictionary: DictionaryView) -> MinedAutomata | None:
        """What was mined from the harvest that is shown; None: nothing was.

        Raises:
            StoreError: it is damaged.
        """
        query = select(StoredAutomata.content).where(StoredAutomata.dictionary_id == dictionary.id)
        with reading(self._engine) as connection:
            content = connection.scalar(query) if _same(connection, dictionary) else None
        return None if content is None else _mined(dictionary, content)

    def trials(self, dictionary: DictionaryView) -> dict[tuple[int, int], TriedStep]:
        """The steps that were checked, by source and target.

        Raises:
            StoreError: one is damaged.
        """
        query = select(StoredStepTrial.__table__).where(
            StoredStepTrial.dictionary_id == dictionary.id
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all() if _same(connection, dictionary) else []
        return {
            (row.source, row.target): _tried(dictionary, row.source, row.target, row.content)
            for row in rows
        }

    def save(self, dictionary: DictionaryView, mined: MinedAutomata) -> None:
        """Keep them in place of those before, whose checks go with them.

        Raises:
            NotFound: another harvest was published since.
        """
        content = canonical(
            {
                "parameters": mined.parameters,
                "automata": [_plain(automaton) for automaton in mined.automata],
            }
        )
        here = StoredAutomata.dictionary_id == dictionary.id
        with writing(self._engine, alone=True) as connection:
            if not _same(connection, dictionary):
                raise NotFound(
                    f"{dictionary.title} was harvested again while automata were mined; they were "
                    "not kept."
                )
            connection.execute(delete(StoredAutomata).where(here))
            connection.execute(
                insert(StoredAutomata).values(dictionary_id=dictionary.id, content=content)
            )

    def save_trial(self, dictionary: DictionaryView, tried: TriedStep) -> None:
        """Keep what steering says of a step, unless its automata are gone."""
        key = {
            "dictionary_id": dictionary.id,
            "source": tried.source,
            "target": tried.target,
        }
        content = canonical({"arms": [asdict(arm) for arm in tried.arms]})
        here = [getattr(StoredStepTrial, name) == value for name, value in key.items()]
        known = select(StoredAutomata.dictionary_id).where(
            StoredAutomata.dictionary_id == dictionary.id
        )
        with writing(self._engine, alone=True) as connection:
            if not _same(connection, dictionary) or connection.scalar(known) is None:
                return
            connection.execute(delete(StoredStepTrial).where(*here))
            connection.execute(insert(StoredStepTrial).values(**key, content=content))


def _same(connection: Connection, dictionary: DictionaryView) -> bool:
    """Whether the store still has the harvest that was looked at."""
    digest = select(StoredHarvest.digest).where(StoredHarvest.dictionary_id == dictionary.id)
    return connection.scalar(digest) == dictionary.digest


def _plain(automaton: Automaton) -> dict[str, Any]:
    return {
        "features": automaton.features,
        "recurrent": automaton.recurrent,
        "steps": [
            {k: None if v != v else v for k, v in asdict(step).items()} for step in automaton.steps
        ],
    }


def _mined(dictionary: DictionaryView, content: str) -> MinedAutomata:
    try:
        raw = json.loads(content)
        made = tuple(
            Automaton(
                tuple(automaton["features"]),
                tuple(_step(step) for step in automaton["steps"]),
                automaton["recurrent"],
            )
            for automaton in raw["automata"]
        )
        return MinedAutomata(made, raw["parameters"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"The automata of {dictionary.title} are damaged in the store. Give `featurescope "
            f"automata {dictionary.title}` again."
        ) from error


def _step(raw: dict[str, Any]) -> Step:
    ends = {name: float("nan") if raw[name] is None else raw[name] for name in ("low", "high")}
    tokens = tuple((token, times) for token, times in raw["tokens"])
    held = HeldFigures(**raw["held"]) if raw.get("held") else None
    return Step(**{**raw, **ends, "tokens": tokens, "held": held})


def _tried(dictionary: DictionaryView, source: int, target: int, content: str) -> TriedStep:
    try:
        return TriedStep(
            source, target, tuple(TrialArm(**arm) for arm in json.loads(content)["arms"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"The check of the step {source} to {target} of {dictionary.title} is damaged in the "
            f"store. Give `featurescope automata {dictionary.title}` again."
        ) from error
