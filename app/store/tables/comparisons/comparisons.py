"""Reading and writing comparisons. Used by `Store` and the upkeep."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from cachetools import LRUCache
from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select

from app.errors import Conflict, NotFound, StoreError
from app.store.database import reading, writing
from app.store.schema import StoredDictionary, StoredHarvest
from app.store.tables import catalogue as store_catalogue
from app.store.tables.comparisons import recurrences
from app.store.tables.comparisons.moments import TrainingMoments
from app.store.tables.comparisons.packing import pack_matches, unpack_matches
from app.store.tables.comparisons.schema import (
    StoredComparedDictionary,
    StoredComparison,
    StoredMatches,
)
from app.store.types.catalogue import DictionaryView
from app.store.types.comparisons import (
    ComparedDictionary,
    ComparedNow,
    ComparisonRecord,
    ComparisonSettings,
    ComparisonView,
    PairFigures,
    PairMatches,
    TwinView,
)
from app.store.written.texts import subject, subjects
from sae_core.evaluation.comparison.figures import FoundShare, MatchFigures
from sae_core.evaluation.comparison.matches import NONE, Matches

KEPT_PAIRS = 48  # in memory: 24 bytes a feature
_SHARES = ("found", "null_found", "above_null", "null_above")
_OWN = ("subject", "model", "dictionary", "digest", "d_sae")


class Comparisons:
    """What dictionaries have in common, as far as it was computed.

    Args:
        engine: of the store.

    Attributes:
        moments: features through trainings of models.
    """

    def __init__(self, engine: Engine) -> None:
        self.moments = TrainingMoments(engine)
        self._engine = engine
        self._pairs: LRUCache[tuple[int, str, int, int], PairMatches] = LRUCache(KEPT_PAIRS)
        self._lock = threading.Lock()

    def all(self) -> list[ComparisonView]:
        """All comparisons, by name."""
        with reading(self._engine) as connection:
            query = select(StoredComparison.__table__).order_by(StoredComparison.name)
            now = _now(connection)
            rows = connection.execute(query).mappings().all()
            return [_view(connection, row, now) for row in rows]

    def view(self, name: str) -> ComparisonView:
        """One comparison.

        Raises:
            NotFound: there is none of that name.
        """
        with reading(self._engine) as connection:
            query = select(StoredComparison.__table__).where(StoredComparison.name == name)
            row = connection.execute(query).mappings().first()
            if row is None:
                raise NotFound(
                    f"There is no comparison {name!r:.80}. `featurescope compare` makes one; "
                    "/compare lists those that were made."
                )
            return _view(connection, row, _now(connection))

    def pair(self, view: ComparisonView, source: int, target: int) -> PairMatches:
        """The matches of one dictionary's features in another.

        Args:
            view: the comparison.
            source: place of the one.
            target: place of the other.

        Raises:
            NotFound: it has no such pair, or was made anew this instant.
        """
        if (source, target) not in view.pairs:
            raise NotFound(
                f"The comparison {view.name} has the dictionaries 0 to "
                f"{len(view.dictionaries) - 1}, each with every other; there is no pair {source} "
                f"and {target}."
            )
        key = (view.id, view.identity, source, target)
        with self._lock:
            kept = self._pairs.get(key)
        if kept is None:
            with reading(self._engine) as connection:
                kept = _pair(connection, view, source, target)
            with self._lock:
                self._pairs[key] = kept
        return kept

    def twins(self, dictionary: DictionaryView, index: int) -> list[TwinView]:
        """A feature's best matches in each dictionary that its own was compared with.

        Of several comparisons with the same weights the one that was made last counts.
        """
        own = subject(dictionary)
        with reading(self._engine) as connection:
            query = (
                select(StoredComparison.__table__)
                .where(
                    StoredComparison.id.in_(
                        select(StoredComparedDictionary.comparison_id).where(
                            StoredComparedDictionary.subject == own
                        )
                    )
                )
                .order_by(StoredComparison.id)
            )
            rows = connection.execute(query).mappings().all()
            now = _now(connection) if rows else {}
            views = [_view(connection, row, now) for row in rows]
        twins: dict[str, TwinView] = {}
        for view in views:
            for source, target in view.pairs:
                here, other = view.dictionaries[source], view.dictionaries[target]
                if here.subject == own != other.subject and index < here.d_sae:
                    twins[other.subject] = self._twin(view, source, target, index)
        return list(twins.values())

    def _twin(self, view: ComparisonView, source: int, target: int, index: int) -> TwinView:
        matches = self.pair(view, source, target)
        best = _at(matches.correlations, index)
        back = self.pair(view, target, source).correlations
        return TwinView(
            comparison=view.name,
            source=source,
            target=target,
            other=view.dictionaries[target],
            now=view.now[target],
            figures=matches.figures,
            by_correlation=best,
            by_cosine=_at(matches.cosines, index) if matches.cosines else None,
            partner=_at(matches.partners, index),
            mutual=best is not None and int(back.indices[best[0]]) == index,
        )

    def save(self, record: ComparisonRecord, replace: bool = False) -> None:
        """Keep a comparison, whole or not at all, and what follows from it for each feature.

        Raises:
            Conflict: there is another of that name, which is not to be replaced.
        """
        with writing(self._engine, alone=True) as connection:
            there = connection.execute(
                select(StoredComparison.id, StoredComparison.identity).where(
                    StoredComparison.name == record.name
                )
            ).first()
            if there is not None and there.identity != record.identity and not replace:
                raise Conflict(another_comparison(record.name))
            subjects_before = _remove(connection, there.id) if there is not None else set()
            _insert(connection, record)
            recurrences.fill_subjects(
                connection, subjects_before | {d.subject for d in record.dictionaries}
            )

    def remove(self, name: str) -> None:
        """Forget a comparison and what followed from it.

        Raises:
            NotFound: there is none of that name.
        """
        view = self.view(name)
        with writing(self._engine, alone=True) as connection:
            recurrences.fill_subjects(connection, _remove(connection, view.id))


def another_comparison(name: str) -> str:
    """The sentence where a name is taken."""
    return (
        f"There is another comparison named {name!r}: choose a --name, or give --replace to let it "
        "go."
    )


def _remove(connection: Connection, comparison_id: int) -> set[str]:
    """Delete one; the subjects of its dictionaries."""
    of = StoredComparedDictionary.comparison_id == comparison_id
    gone = set(connection.scalars(select(StoredComparedDictionary.subject).where(of)))
    connection.execute(delete(StoredComparison).where(StoredComparison.id == comparison_id))
    return gone


def _insert(connection: Connection, record: ComparisonRecord) -> None:
    row_id = store_catalogue.next_id(connection, StoredComparison.__table__)
    connection.execute(
        insert(StoredComparison).values(
            id=row_id,
            name=record.name,
            identity=record.identity,
            settings=store_catalogue.canonical(asdict(record.settings)),
        )
    )
    for place, compared in enumerate(record.dictionaries):
        facts = asdict(compared)
        own = {key: facts.pop(key) for key in _OWN}
        connection.execute(
            insert(StoredComparedDictionary).values(
                comparison_id=row_id,
                place=place,
                details=store_catalogue.canonical(facts),
                **own,
            )
        )
    for pair in record.pairs:
        figures = asdict(pair.figures)
        source, target = figures.pop("source"), figures.pop("target")
        connection.execute(
            insert(StoredMatches).values(
                comparison_id=row_id,
                source=source,
                target=target,
                figures=store_catalogue.canonical(figures),
                matches=pack_matches(pair.cosines, pair.correlations, pair.partners),
            )
        )


def _now(connection: Connection) -> dict[str, list[tuple[str, str, str | None]]]:
    """Of each subject in the store: model, name and harvest's digest of its dictionaries."""
    harvests = select(StoredDictionary.id, StoredHarvest.digest).outerjoin(
        StoredHarvest, StoredHarvest.dictionary_id == StoredDictionary.id
    )
    digests = {row[0]: row[1] for row in connection.execute(harvests)}
    return {
        key: [(model, name, digests.get(row_id)) for row_id, model, name in there]
        for key, there in subjects(connection).items()
    }


def _today(
    compared: ComparedDictionary, now: dict[str, list[tuple[str, str, str | None]]]
) -> ComparedNow:
    there = now.get(compared.subject, [])
    if not there:
        return ComparedNow(compared.model, compared.dictionary, False, False, False)
    names = (compared.model, compared.dictionary)
    model, name, digest = next((row for row in there if row[:2] == names), there[0])
    anew = bool(digest) and bool(compared.digest) and digest != compared.digest
    return ComparedNow(model, name, True, bool(digest), anew)


def _view(
    connection: Connection,
    row: RowMapping,
    now: dict[str, list[tuple[str, str, str | None]]],
) -> ComparisonView:
    members = select(StoredComparedDictionary.__table__).where(
        StoredComparedDictionary.comparison_id == row["id"]
    )
    pairs = select(StoredMatches.source, StoredMatches.target, StoredMatches.figures).where(
        StoredMatches.comparison_id == row["id"]
    )
    try:
        compared = tuple(
            ComparedDictionary(
                **{key: member[key] for key in _OWN}, **json.loads(member["details"])
            )
            for member in connection.execute(
                members.order_by(StoredComparedDictionary.place)
            ).mappings()
        )
        return ComparisonView(
            id=row["id"],
            name=row["name"],
            identity=row["identity"],
            settings=ComparisonSettings(**json.loads(row["settings"])),
            dictionaries=compared,
            now=tuple(_today(dictionary, now) for dictionary in compared),
            pairs={
                (source, target): _figures(source, target, figures)
                for source, target, figures in connection.execute(
                    pairs.order_by(StoredMatches.source, StoredMatches.target)
                )
            },
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise StoreError(
            f"The comparison {row['name']} cannot be read ({error}). Make it again with --replace."
        ) from None


@lru_cache(maxsize=1024)
def _figures(source: int, target: int, text: str) -> PairFigures:
    """From canonical JSON. Every feature's page reads those of all pairs, which never change."""
    stored = json.loads(text)
    return PairFigures(
        source=source,
        target=target,
        by_cosine=_measure(stored["by_cosine"]),
        by_correlation=_measure(stored["by_correlation"]),
        assigned=stored["assigned"],
    )


def _measure(stored: dict[str, Any] | None) -> MatchFigures | None:
    if stored is None:
        return None
    shares = {name: FoundShare(**stored[name]) for name in _SHARES}
    counts = {name: tuple(stored[name]) for name in ("counts", "null_counts")}
    return MatchFigures(**{**stored, **shares, **counts})


def _pair(connection: Connection, view: ComparisonView, source: int, target: int) -> PairMatches:
    blob = connection.scalar(
        select(StoredMatches.matches).where(
            StoredMatches.comparison_id == view.id,
            StoredMatches.source == source,
            StoredMatches.target == target,
        )
    )
    if blob is None:
        raise NotFound(f"The comparison {view.name} was made anew this instant: read it again.")
    here, other = view.dictionaries[source], view.dictionaries[target]
    what = f"What {here.title} and {other.title} have in common"
    return PairMatches(view.pairs[source, target], *unpack_matches(blob, here.d_sae, what))


def _at(matches: Matches, index: int) -> tuple[int, float] | None:
    other = int(matches.indices[index])
    return None if other == NONE else (other, float(matches.values[index]))
