"""The store: the only door to the database. Pages read it; a harvest publishes into it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Self

from cachetools import LRUCache
from sqlalchemy import Engine, select

from app.errors import NotFound, StoreError
from app.settings import Settings
from app.store import database
from app.store.blobs.codec import unpack_vocabulary
from app.store.database import reading, tidy, writing
from app.store.schema import StoredFeature, StoredModel, StoredWindow
from app.store.search.finder import FeatureFinder
from app.store.search.word_index import TABLE as WORD_INDEX
from app.store.tables import catalogue as store_catalogue
from app.store.tables import effects as store_effects
from app.store.tables import features as store_features
from app.store.tables import landings as store_landings
from app.store.tables import presets as store_presets
from app.store.tables import publication as store_publication
from app.store.tables.comparisons.comparisons import Comparisons
from app.store.tables.explanations import Explanations
from app.store.tables.maps import FeatureMaps
from app.store.tables.progress import RunningHarvests
from app.store.tables.rules import FeatureRules
from app.store.tables.runs import TrainingRuns
from app.store.types.catalogue import (
    CorpusRecord,
    DictionaryRecord,
    DictionaryView,
    FeatureRow,
    FeatureScales,
    FeatureTable,
    FeatureView,
    HarvestRecord,
    ModelRecord,
    PresetView,
)
from app.store.types.queries import FeatureQuery
from app.store.written.audit.audit import AuditRecords
from app.store.written.comments import Comments
from app.store.written.graphs.graphs import Graphs
from app.store.written.labels import Labels
from app.store.written.lists import FeatureLists
from app.store.written.ratings import Ratings
from sae_core.harvest.kept_firings import KeptFirings
from sae_core.harvest.records import ContextEffect, FeatureRecord, Landing, WindowRecord
from sae_core.language_model.vocabulary import Vocabulary
from sae_core.rules.record import RuleRecord

KEPT_VOCABULARIES = 8
KEPT_SCALES = 64  # of dictionaries: 16 bytes a feature


def open_store(settings: Settings, *, upgrade: bool = True) -> Store:
    """The store that the settings name. Close it, or use it in a `with` statement.

    Args:
        settings: where the store is.
        upgrade: bring the schema to this version's first, and make a store where there is none;
            otherwise only check that the schema is this version's.

    Raises:
        StoreError: the database cannot be reached, is newer or, without `upgrade`, empty or older.
    """
    engine = database.connect(settings.url, connections=settings.database_connections)
    try:
        if upgrade:
            database.upgrade(engine)
        else:
            database.check_revision(engine)
    except StoreError:
        engine.dispose()
        raise
    return Store(engine)


class Store:
    """Reads and writes, each in one transaction. Safe to share between threads.

    A read sees one instant: while a harvest is being published, all of the one before. Every
    method raises `StoreError` where the database fails.

    Args:
        engine: from `app.store.database.connect`, with the schema of this version.

    Attributes:
        engine: the same, for what looks after the whole store (`app.store.upkeep`).
        progress: how far running harvests are.
        runs: trainings and their curves.
        rules: what features' firings were learnt to depend on.
        comparisons: what dictionaries have in common.
        maps: where features lie in two dimensions.
        labels: what features mean, as people say.
        explanations: what language models say, and how well their labels do.
        comments: what else they say.
        lists: features that they put together.
        ratings: studies in which features are rated blind.
        graphs: what predictions are made of.
        audit: evidence about what features do: contrasts.
        search: features by words, tokens and phrases.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.progress = RunningHarvests(engine)
        self.runs = TrainingRuns(engine)
        self.rules = FeatureRules(engine)
        self.comparisons = Comparisons(engine)
        self.maps = FeatureMaps(engine)
        self.labels = Labels(engine)
        self.explanations = Explanations(engine)
        self.comments = Comments(engine)
        self.lists = FeatureLists(engine)
        self.ratings = Ratings(engine)
        self.graphs = Graphs(engine)
        self.audit = AuditRecords(engine)
        self.search = FeatureFinder(engine)
        self._vocabularies: LRUCache[tuple[int, str], Vocabulary] = LRUCache(KEPT_VOCABULARIES)
        self._scales: LRUCache[tuple[int, str], FeatureScales] = LRUCache(KEPT_SCALES)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def check(self) -> None:
        """Ask the database for something small.

        Raises:
            StoreError: it does not answer.
        """
        with reading(self.engine) as connection:
            connection.execute(select(StoredModel.id).limit(1)).first()

    def close(self) -> None:
        """Close the connections to the database. A later call opens new ones."""
        self.engine.dispose()

    def catalogue(self) -> list[DictionaryView]:
        """All dictionaries, harvested or not, by model and name."""
        with reading(self.engine) as connection:
            return store_catalogue.views(connection)

    def dictionary(self, model: str, name: str) -> DictionaryView:
        """One dictionary.

        Raises:
            NotFound: there is none of that name; the sentence names those that exist.
        """
        with reading(self.engine) as connection:
            return store_catalogue.view(connection, model, name)

    def features(self, dictionary: DictionaryView, query: FeatureQuery) -> FeatureTable:
        """One page of a dictionary's table.

        Raises:
            InvalidRequest: an unknown sort key, a page below one, or what no harvest here knows.
            NotFound: nothing is published of the dictionary, or there are fewer pages.
        """
        tokens = None
        if query.fires_on is not None:
            tokens = query.fires_on.matching(self.vocabulary(dictionary.model_id))
        with reading(self.engine) as connection:
            return store_features.table(connection, dictionary, query, tokens)

    def feature(self, dictionary: DictionaryView, index: int) -> FeatureView:
        """One feature with the windows of all its examples and the cached ablations.

        Raises:
            NotFound: nothing is published of the dictionary, or it has no such feature.
        """
        with reading(self.engine) as connection:
            return store_features.feature(connection, dictionary, index)

    def rows(
        self, dictionary: DictionaryView, indices: Collection[int], contexts: bool = False
    ) -> dict[int, FeatureRow]:
        """What the table shows of some features, by index; those that do not exist are left out.
        `contexts`: with the windows of their strongest contexts.

        Raises:
            NotFound: nothing is published of the dictionary.
        """
        with reading(self.engine) as connection:
            return store_features.rows(connection, dictionary, indices, contexts)

    def scales(self, dictionary: DictionaryView) -> FeatureScales:
        """How often and how strongly each feature fires, kept in memory until the next harvest.

        Raises:
            NotFound: nothing is published of the dictionary.
        """
        with self._lock:
            scales = self._scales.get((dictionary.id, dictionary.digest))
        if scales is None:
            with reading(self.engine) as connection:
                digest, scales = store_features.scales(connection, dictionary)
            with self._lock:
                self._scales[dictionary.id, digest] = scales
        return scales

    def window(self, dictionary: DictionaryView, number: int) -> WindowRecord:
        """One window that the dictionary's examples point to.

        Raises:
            NotFound: no example points to a window of that number.
        """
        with reading(self.engine) as connection:
            return store_features.window(connection, dictionary, number)

    def random_feature(self, dictionary: DictionaryView) -> int:
        """The index of a feature that fires, drawn evenly; of any feature where none does."""
        with reading(self.engine) as connection:
            return store_features.random_feature(connection, dictionary)

    def vocabulary(self, model_id: int) -> Vocabulary:
        """The bytes of a model's tokens, kept in memory until the model is replaced.

        Raises:
            NotFound: the store has no such model.
        """
        with reading(self.engine) as connection:
            here = StoredModel.id == model_id
            checksum = connection.scalar(select(StoredModel.vocabulary_checksum).where(here))
            if checksum is None:
                raise NotFound(f"The store has no model with id {model_id}.")
            with self._lock:
                vocabulary = self._vocabularies.get((model_id, checksum))
            if vocabulary is not None:
                return vocabulary
            blob = connection.scalars(select(StoredModel.vocabulary).where(here)).one()
        vocabulary = unpack_vocabulary(blob, f"The vocabulary of model {model_id}")
        with self._lock:
            self._vocabularies[model_id, checksum] = vocabulary
        return vocabulary

    def effects(
        self, dictionary: DictionaryView, index: int, windows: Sequence[int]
    ) -> dict[int, ContextEffect]:
        """The cached ablations of a feature in these windows, as far as there are any."""
        with reading(self.engine) as connection:
            return store_effects.of_feature(connection, dictionary, index, windows)

    def presets(self, model: str) -> list[PresetView]:
        """The named settings of a model's steering page, by name."""
        with reading(self.engine) as connection:
            return store_presets.views(connection, model)

    def add_model(self, record: ModelRecord) -> int:
        """Add a model or bring it up to date; its id.

        Other weights, another dtype or another vocabulary under the same name make it another
        model: the harvests, evaluations and cached ablations of its dictionaries go.
        """
        with writing(self.engine, alone=True) as connection:
            return store_catalogue.add_model(connection, record)

    def add_dictionary(self, record: DictionaryRecord) -> int:
        """Add a dictionary or bring it up to date; its id.

        Other weights, dtype, architecture, hook point or sizes under the same name make it another
        dictionary: its harvest and cached ablations go, and labels wait for the old ones.

        Raises:
            NotFound: its model was not added before.
        """
        with writing(self.engine, alone=True) as connection:
            return store_catalogue.add_dictionary(connection, record)

    def add_corpus(self, record: CorpusRecord) -> int:
        """Add a corpus or bring it up to date; its id.

        Another fingerprint under the same name is another corpus beside the first, so that
        harvests of the older text stay true.
        """
        with writing(self.engine, alone=True) as connection:
            return store_catalogue.add_corpus(connection, record)

    def publish(
        self,
        harvest: HarvestRecord,
        features: Iterable[FeatureRecord],
        windows: Iterable[WindowRecord],
        rules: Iterable[RuleRecord] = (),
        kept: KeptFirings | None = None,
        *,
        model: ModelRecord | None = None,
        dictionary: DictionaryRecord | None = None,
        corpus: CorpusRecord | None = None,
    ) -> None:
        """Replace what a dictionary shows, in one transaction; `kept`: what phrases are found in.

        Features, windows and rules (of all features, or none) are packed in this order before the
        transaction begins, so that no lock is held while they are made. Labels of these weights
        stand on it at once; cached ablations and windows that no harvest refers to go. Model,
        dictionary and corpus, where given, are added in the same transaction: if they replace
        others, those stay visible up to the instant of publication.

        Raises:
            StoreError: features are missing or point to windows that were not given; the database
                fails. What was published before is intact.
            NotFound: model, dictionary or corpus was never added.
        """
        with (
            store_publication.packed(features, windows, rules, kept) as new,
            writing(self.engine, alone=True) as connection,
        ):
            if model:
                store_catalogue.add_model(connection, model)
            if dictionary:
                store_catalogue.add_dictionary(connection, dictionary)
            if corpus:
                store_catalogue.add_corpus(connection, corpus)
            store_publication.write(connection, harvest, new)
        tidy(self.engine, StoredFeature.__tablename__, StoredWindow.__tablename__, WORD_INDEX)

    def save_evaluation(self, dictionary: DictionaryView, evaluation: Mapping[str, Any]) -> None:
        """Keep another evaluation of a dictionary of the same weights: JSON values.

        Raises:
            NotFound: the store holds these weights no longer.
        """
        with writing(self.engine) as connection:
            store_catalogue.save_evaluation(connection, dictionary, evaluation)

    def save_effects(
        self, dictionary: DictionaryView, index: int, effects: Mapping[int, ContextEffect]
    ) -> None:
        """Cache ablations of a feature by window. See `save_effects_bulk`."""
        self.save_effects_bulk(dictionary, ((index, w, effect) for w, effect in effects.items()))

    def save_effects_bulk(
        self, dictionary: DictionaryView, effects: Iterable[tuple[int, int, ContextEffect]]
    ) -> int:
        """Cache ablations of many features: (index, window, effect); how many were given.

        Those already cached stay. If another harvest was published since `dictionary` was read,
        its windows may be others, so nothing is kept and the answer is 0.
        """
        packed = store_effects.pack(dictionary, effects)
        if not packed:
            return 0
        with writing(self.engine) as connection:
            return store_effects.add(connection, dictionary, packed)

    def save_landings(self, dictionary: DictionaryView, landings: Mapping[int, Landing]) -> bool:
        """Keep where the effects of all features of a dictionary land; whether it was done.

        If another harvest was published since `dictionary` was read, nothing is kept.

        Raises:
            StoreError: they are not those of all features.
        """
        with writing(self.engine, alone=True) as connection:
            return store_landings.replace(connection, dictionary, landings)

    def has_landings(self, dictionary: DictionaryView) -> bool:
        """Whether it is known where the effects of a dictionary's features land."""
        with reading(self.engine) as connection:
            return store_landings.known(connection, dictionary)

    def save_preset(
        self, model: str, name: str, settings: Mapping[str, Any], replace: bool = True
    ) -> bool:
        """Keep a preset; whether it is new. One of the same name gives way where `replace` is true.

        Raises:
            InvalidRequest: its name is empty or too long, it is too large, or there are too many.
            Conflict: there is another of this name, which is not to be replaced.
            NotFound: there is no such model.
        """
        with writing(self.engine, alone=True) as connection:
            return store_presets.save(connection, model, name, settings, replace)

    def delete_preset(self, model: str, name: str) -> None:
        """Forget a preset.

        Raises:
            NotFound: there is none of that name.
        """
        with writing(self.engine) as connection:
            store_presets.remove(connection, model, name)
