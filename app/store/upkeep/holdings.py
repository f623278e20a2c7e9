"""What the store holds and how much room it takes, in one reading."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select

from app.store.annotations import (
    StoredComment,
    StoredLabel,
    StoredList,
    StoredRating,
    StoredRatingStudy,
)
from app.store.database import reading
from app.store.schema import (
    StoredAutomata,
    StoredCorpus,
    StoredDictionary,
    StoredEffect,
    StoredFeature,
    StoredHarvest,
    StoredKeptText,
    StoredMap,
    StoredModel,
    StoredWindow,
    StoredWindowSet,
)
from app.store.tables import catalogue as store_catalogue
from app.store.tables import progress as store_progress
from app.store.tables.comparisons.schema import (
    StoredComparedDictionary,
    StoredComparison,
    StoredMatches,
)
from app.store.types.catalogue import DictionaryView
from app.store.types.runs import ProgressView
from app.store.written.audit.contrasts.schema import StoredTextContrast
from app.store.written.audit.experiments.schema import StoredExperiment
from app.store.written.audit.monitors.schema import StoredMonitor
from app.store.written.graphs.schema import StoredGraph, StoredTaskCircuit
from app.store.written.texts import subjects


@dataclass(frozen=True)
class DictionaryHolding:
    """A dictionary and what the store keeps of it.

    Attributes:
        view: the dictionary.
        labelled: features that have a label.
        effects: cached ablations.
        n_bytes: of its features, cached ablations, map, automata, and kept text with firings, as
            packed.
        kept_bytes: of these, kept text with its firings, in which phrases are found.
    """

    view: DictionaryView
    labelled: int
    effects: int
    n_bytes: int
    kept_bytes: int


@dataclass(frozen=True)
class CorpusHolding:
    """A text and the windows of it that the store keeps.

    Attributes:
        name: of the text.
        fingerprint: of the text.
        n_documents: in the text.
        n_tokens: in the text.
        windows: kept, because an example lies in them.
        n_bytes: of those windows' tokens, as packed.
        harvests: `model/dictionary` of each that refers to them.
    """

    name: str
    fingerprint: str
    n_documents: int
    n_tokens: int
    windows: int
    n_bytes: int
    harvests: tuple[str, ...]


@dataclass(frozen=True)
class ComparisonHolding:
    """Dictionaries that were compared.

    Attributes:
        name: of the comparison.
        dictionaries: `model/name` of each, as it was.
        n_bytes: of the matches, as packed.
    """

    name: str
    dictionaries: tuple[str, ...]
    n_bytes: int


@dataclass(frozen=True)
class WrittenHolding:
    """What people wrote, as far as it was not taken back.

    Attributes:
        labels: in all.
        waiting: of these, labels of weights that the store has no dictionary of.
        comments: on features and examples.
        lists: of features.
        studies: in which features are rated.
        ratings: in all of them, those that others replaced included.
        graphs: of attributions.
        circuits: of tasks.
        contrasts: of two sets of texts.
        experiments: with all their texts.
        monitors: with their alarms.
    """

    labels: int
    waiting: int
    comments: int
    lists: int
    studies: int
    ratings: int
    graphs: int
    circuits: int
    contrasts: int
    experiments: int
    monitors: int


@dataclass(frozen=True)
class Holdings:
    """All of it.

    Attributes:
        models: names of all models, those without dictionaries included.
        dictionaries: by model and name.
        corpora: by name and fingerprint.
        comparisons: by name.
        progress: harvests under way, or given up.
        written: by people.
    """

    models: tuple[str, ...]
    dictionaries: tuple[DictionaryHolding, ...]
    corpora: tuple[CorpusHolding, ...]
    comparisons: tuple[ComparisonHolding, ...]
    progress: tuple[ProgressView, ...]
    written: WrittenHolding


def holdings(engine: Engine) -> Holdings:
    """Everything in the store, counted at one instant."""
    with reading(engine) as connection:
        views = store_catalogue.views(connection)
        return Holdings(
            models=tuple(connection.scalars(select(StoredModel.name).order_by(StoredModel.name))),
            dictionaries=_dictionaries(connection, views),
            corpora=_corpora(connection),
            comparisons=_comparisons(connection),
            progress=tuple(store_progress.views(connection)),
            written=_written(connection),
        )


def _dictionaries(
    connection: Connection, views: list[DictionaryView]
) -> tuple[DictionaryHolding, ...]:
    of_features = (
        select(
            StoredFeature.dictionary_id,
            func.sum(func.length(StoredFeature.summary) + func.length(StoredFeature.body)),
        )
        .group_by(StoredFeature.dictionary_id)
        .order_by(StoredFeature.dictionary_id)
    )
    of_labels = (
        select(StoredFeature.dictionary_id, func.count())
        .where(StoredFeature.label != "")
        .group_by(StoredFeature.dictionary_id)
    )
    of_effects = select(
        StoredEffect.dictionary_id, func.count(), func.sum(func.length(StoredEffect.effect))
    ).group_by(StoredEffect.dictionary_id)
    of_kept = select(StoredKeptText.dictionary_id, StoredKeptText.n_bytes)
    kept = {row[0]: int(row[1]) for row in connection.execute(of_kept)}
    of_maps = select(
        StoredMap.dictionary_id, func.length(StoredMap.places) + func.length(StoredMap.heads)
    )
    of_automata = select(StoredAutomata.dictionary_id, func.length(StoredAutomata.content))
    automata = {row[0]: int(row[1]) for row in connection.execute(of_automata)}
    sizes = {row[0]: int(row[1]) for row in connection.execute(of_features)}
    maps = {row[0]: int(row[1]) for row in connection.execute(of_maps)}
    labels = {row[0]: int(row[1]) for row in connection.execute(of_labels)}
    effects = {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(of_effects)}
    return tuple(
        DictionaryHolding(
            view=view,
            labelled=labels.get(view.id, 0),
            effects=effects.get(view.id, (0, 0))[0],
            n_bytes=effects.get(view.id, (0, 0))[1]
            + sum(of.get(view.id, 0) for of in (sizes, kept, maps, automata)),
            kept_bytes=kept.get(view.id, 0),
        )
        for view in views
    )


_COUNTED = (
    StoredComment,
    StoredList,
    StoredRatingStudy,
    StoredGraph,
    StoredTaskCircuit,
    StoredTextContrast,
    StoredExperiment,
    StoredMonitor,
)


def _written(connection: Connection) -> WrittenHolding:
    labels = (
        select(StoredLabel.subject, func.count())
        .where(StoredLabel.withdrawn == 0)
        .group_by(StoredLabel.subject)
    )
    known = subjects(connection)
    by_subject = {row[0]: int(row[1]) for row in connection.execute(labels)}
    comments, lists, studies, graphs, circuits, contrasts, experiments, monitors = (
        connection.scalars(select(func.count()).select_from(kind).where(kind.withdrawn == 0)).one()
        for kind in _COUNTED
    )
    return WrittenHolding(
        labels=sum(by_subject.values()),
        waiting=sum(count for subject, count in by_subject.items() if subject not in known),
        comments=comments,
        lists=lists,
        studies=studies,
        ratings=connection.scalars(select(func.count()).select_from(StoredRating)).one(),
        graphs=graphs,
        circuits=circuits,
        contrasts=contrasts,
        experiments=experiments,
        monitors=monitors,
    )


def _comparisons(connection: Connection) -> tuple[ComparisonHolding, ...]:
    of_matches = select(
        StoredMatches.comparison_id, func.sum(func.length(StoredMatches.matches))
    ).group_by(StoredMatches.comparison_id)
    sizes = {row[0]: int(row[1]) for row in connection.execute(of_matches)}
    members = (
        select(
            StoredComparison.id,
            StoredComparison.name,
            StoredComparedDictionary.model,
            StoredComparedDictionary.dictionary,
        )
        .join(
            StoredComparedDictionary,
            StoredComparedDictionary.comparison_id == StoredComparison.id,
        )
        .order_by(StoredComparison.name, StoredComparedDictionary.place)
    )
    titles: dict[tuple[str, int], list[str]] = {}
    for row in connection.execute(members):
        titles.setdefault((row.name, row.id), []).append(f"{row.model}/{row.dictionary}")
    return tuple(
        ComparisonHolding(name, tuple(there), sizes.get(row_id, 0))
        for (name, row_id), there in titles.items()
    )


def _corpora(connection: Connection) -> tuple[CorpusHolding, ...]:
    of_windows = (
        select(StoredWindowSet.corpus_id, func.count(), func.sum(func.length(StoredWindow.tokens)))
        .join(StoredWindow, StoredWindow.set_id == StoredWindowSet.id)
        .group_by(StoredWindowSet.corpus_id)
    )
    windows = {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(of_windows)}
    of_harvests = (
        select(StoredWindowSet.corpus_id, StoredModel.name, StoredDictionary.name)
        .join(StoredHarvest, StoredHarvest.set_id == StoredWindowSet.id)
        .join(StoredDictionary, StoredDictionary.id == StoredHarvest.dictionary_id)
        .join(StoredModel, StoredModel.id == StoredDictionary.model_id)
        .order_by(StoredModel.name, StoredDictionary.name)
    )
    harvests: dict[int, list[str]] = {}
    for corpus_id, model, name in connection.execute(of_harvests):
        harvests.setdefault(corpus_id, []).append(f"{model}/{name}")
    query = select(StoredCorpus.__table__).order_by(StoredCorpus.name, StoredCorpus.fingerprint)
    return tuple(
        CorpusHolding(
            name=row.name,
            fingerprint=row.fingerprint,
            n_documents=row.n_documents,
            n_tokens=row.n_tokens,
            windows=windows.get(row.id, (0, 0))[0],
            n_bytes=windows.get(row.id, (0, 0))[1],
            harvests=tuple(harvests.get(row.id, ())),
        )
        for row in connection.execute(query)
    )
