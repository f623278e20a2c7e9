"""What the store holds and how much room it takes, in one reading."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, func, select

from app.store.database import reading
from app.store.schema import Corpus, Dictionary, Effect, Feature, Harvest, Model, Window, WindowSet
from app.store.tables import catalogue as store_catalogue
from app.store.tables import progress as store_progress
from app.store.types.catalogue import DictionaryView, ProgressView


@dataclass(frozen=True)
class DictionaryHolding:
    """A dictionary and what the store keeps of it.

    Attributes:
        view: the dictionary.
        labelled: features that have a label.
        effects: cached ablations.
        n_bytes: of its features and cached ablations, as packed.
    """

    view: DictionaryView
    labelled: int
    effects: int
    n_bytes: int


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
class Holdings:
    """All of it.

    Attributes:
        models: names of all models, those without dictionaries included.
        dictionaries: by model and name.
        corpora: by name and fingerprint.
        progress: harvests under way, or given up.
    """

    models: tuple[str, ...]
    dictionaries: tuple[DictionaryHolding, ...]
    corpora: tuple[CorpusHolding, ...]
    progress: tuple[ProgressView, ...]


def holdings(engine: Engine) -> Holdings:
    """Everything in the store, counted at one instant."""
    with reading(engine) as connection:
        views = store_catalogue.views(connection)
        return Holdings(
            models=tuple(connection.scalars(select(Model.name).order_by(Model.name))),
            dictionaries=_dictionaries(connection, views),
            corpora=_corpora(connection),
            progress=tuple(store_progress.views(connection)),
        )


def _dictionaries(
    connection: Connection, views: list[DictionaryView]
) -> tuple[DictionaryHolding, ...]:
    of_features = (
        select(
            Feature.dictionary_id,
            func.sum(func.length(Feature.summary) + func.length(Feature.body)),
        )
        .group_by(Feature.dictionary_id)
        .order_by(Feature.dictionary_id)
    )
    of_labels = (
        select(Feature.dictionary_id, func.count())
        .where(Feature.label != "")
        .group_by(Feature.dictionary_id)
    )
    of_effects = select(
        Effect.dictionary_id, func.count(), func.sum(func.length(Effect.effect))
    ).group_by(Effect.dictionary_id)
    sizes = {row[0]: int(row[1]) for row in connection.execute(of_features)}
    labels = {row[0]: int(row[1]) for row in connection.execute(of_labels)}
    effects = {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(of_effects)}
    return tuple(
        DictionaryHolding(
            view=view,
            labelled=labels.get(view.id, 0),
            effects=effects.get(view.id, (0, 0))[0],
            n_bytes=sizes.get(view.id, 0) + effects.get(view.id, (0, 0))[1],
        )
        for view in views
    )


def _corpora(connection: Connection) -> tuple[CorpusHolding, ...]:
    of_windows = (
        select(WindowSet.corpus_id, func.count(), func.sum(func.length(Window.tokens)))
        .join(Window, Window.set_id == WindowSet.id)
        .group_by(WindowSet.corpus_id)
    )
    windows = {row[0]: (int(row[1]), int(row[2])) for row in connection.execute(of_windows)}
    of_harvests = (
        select(WindowSet.corpus_id, Model.name, Dictionary.name)
        .join(Harvest, Harvest.set_id == WindowSet.id)
        .join(Dictionary, Dictionary.id == Harvest.dictionary_id)
        .join(Model, Model.id == Dictionary.model_id)
        .order_by(Model.name, Dictionary.name)
    )
    harvests: dict[int, list[str]] = {}
    for corpus_id, model, name in connection.execute(of_harvests):
        harvests.setdefault(corpus_id, []).append(f"{model}/{name}")
    query = select(Corpus.__table__).order_by(Corpus.name, Corpus.fingerprint)
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
