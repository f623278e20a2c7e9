"""The schema, for SQLite and Postgres alike. Changes of it are revisions in `migrations`.

No column holds a time or a random id outside the tables of `UNREPEATABLE`: the same harvest gives
the same bytes, and so does the same training.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.store.annotations import TABLES as WRITTEN
from app.store.columns import Base
from app.store.search.automata.schema import StoredAutomata as StoredAutomata
from app.store.search.automata.schema import StoredStepTrial as StoredStepTrial
from app.store.tables.comparisons.schema import StoredRecurrence as StoredRecurrence


class StoredModel(Base):
    """A language model. `details` is canonical JSON, `vocabulary` a blob."""

    __tablename__ = "model"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(unique=True)
    path: Mapped[str]
    checksum: Mapped[str]
    dtype: Mapped[str]
    architecture: Mapped[str]
    n_layers: Mapped[int]
    d_model: Mapped[int]
    n_ctx: Mapped[int]
    d_vocab: Mapped[int]
    details: Mapped[str]
    vocabulary_checksum: Mapped[str]
    vocabulary: Mapped[bytes]


class StoredCorpus(Base):
    """A tokenized text, known by name and fingerprint."""

    __tablename__ = "corpus"
    __table_args__ = (UniqueConstraint("name", "fingerprint"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str]
    source: Mapped[str]
    fingerprint: Mapped[str]
    n_documents: Mapped[int]
    n_tokens: Mapped[int]
    details: Mapped[str]


class StoredDictionary(Base):
    """A dictionary of a model; `path` is null for the neuron basis."""

    __tablename__ = "dictionary"
    __table_args__ = (UniqueConstraint("model_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    model_id: Mapped[int] = mapped_column(ForeignKey(StoredModel.id, ondelete="CASCADE"))
    name: Mapped[str]
    hook_point: Mapped[str]
    architecture: Mapped[str]
    d_in: Mapped[int]
    d_sae: Mapped[int]
    path: Mapped[str | None]
    checksum: Mapped[str]
    dtype: Mapped[str]
    evaluation: Mapped[str | None]
    details: Mapped[str]


class StoredWindowSet(Base):
    """All windows of one length of a corpus as one model's tokens; harvests share them."""

    __tablename__ = "window_set"
    __table_args__ = (UniqueConstraint("model_id", "corpus_id", "n_ctx"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    model_id: Mapped[int] = mapped_column(ForeignKey(StoredModel.id, ondelete="CASCADE"))
    corpus_id: Mapped[int] = mapped_column(ForeignKey(StoredCorpus.id, ondelete="CASCADE"))
    n_ctx: Mapped[int]


class StoredWindow(Base):
    """One window: its tokens once, however many examples point to it."""

    __tablename__ = "window"

    set_id: Mapped[int] = mapped_column(
        ForeignKey(StoredWindowSet.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    line: Mapped[int]
    document: Mapped[str]
    tokens: Mapped[bytes]


class StoredHarvest(Base):
    """What is published of a dictionary. `windows` lists the window numbers it refers to."""

    __tablename__ = "harvest"

    dictionary_id: Mapped[int] = mapped_column(
        ForeignKey(StoredDictionary.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    set_id: Mapped[int] = mapped_column(ForeignKey(StoredWindowSet.id))
    digest: Mapped[str]
    seed: Mapped[int]
    n_tokens: Mapped[int]
    n_windows: Mapped[int]
    alive: Mapped[int]
    settings: Mapped[str]
    windows: Mapped[bytes]


class StoredFeature(Base):
    """One feature: columns to sort by, then a blob for table rows and one for its page.

    The `by_` columns hold the feature's place, from 0, in an order of the whole dictionary, so that
    the last page of a table is found as fast as the first. Equal keys follow each other by index.
    """

    __tablename__ = "feature"

    dictionary_id: Mapped[int] = mapped_column(
        ForeignKey(StoredHarvest.dictionary_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    by_index: Mapped[int]  # alive before dead
    by_density: Mapped[int]  # densest first, dead last
    by_density_up: Mapped[int]  # dead first
    by_maximum: Mapped[int]  # strongest first, dead last
    by_maximum_up: Mapped[int]  # dead first
    firings: Mapped[int]
    maximum: Mapped[float]
    density_low: Mapped[float | None]  # 95 % interval over documents, where it was computed
    density_high: Mapped[float | None]
    label: Mapped[str]
    summary: Mapped[bytes]
    body: Mapped[bytes]


for _place in ("by_index", "by_density", "by_density_up", "by_maximum", "by_maximum_up"):
    Index(f"ix_feature_{_place}", StoredFeature.dictionary_id, getattr(StoredFeature, _place))
# Labels change one by one, so their order is the index's own; it covers all that a page asks of it.
for _name, _label in (("label", StoredFeature.label), ("label_down", StoredFeature.label.desc())):
    Index(
        f"ix_feature_{_name}",
        StoredFeature.dictionary_id,
        _label,
        StoredFeature.index,
        StoredFeature.firings,
    )


class StoredEffect(Base):
    """A cached ablation of a feature in a window."""

    __tablename__ = "effect"
    __table_args__ = (
        ForeignKeyConstraint(
            ["dictionary_id", "index"],
            ["feature.dictionary_id", "feature.index"],
            ondelete="CASCADE",
        ),
    )

    dictionary_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    window: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    effect: Mapped[bytes]


class StoredLanding(Base):
    """Where a feature's effect lands: a row for every feature of a dictionary, or for none.

    It is known only once the top contexts of all features are ablated, some time after the harvest
    is published. The `by_` columns are as those of `StoredFeature`.
    """

    __tablename__ = "landing"
    __table_args__ = (
        ForeignKeyConstraint(
            ["dictionary_id", "index"],
            ["feature.dictionary_id", "feature.index"],
            ondelete="CASCADE",
        ),
    )

    dictionary_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    by_effect: Mapped[int]  # largest mean effect first, dead last
    by_effect_up: Mapped[int]  # dead first
    effect: Mapped[float | None]  # null: dead
    contexts: Mapped[int]
    tokens: Mapped[bytes]


for _place in ("by_effect", "by_effect_up"):
    Index(f"ix_landing_{_place}", StoredLanding.dictionary_id, getattr(StoredLanding, _place))


class StoredRule(Base):
    """What a feature's firings were learnt to depend on: a row for every feature, or for none.

    `predicate` is canonical JSON, empty where there is no rule: then `sentence` says why. `figures`
    is canonical JSON. The `by_` columns are as those of `StoredFeature`.
    """

    __tablename__ = "rule"
    __table_args__ = (
        ForeignKeyConstraint(
            ["dictionary_id", "index"],
            ["feature.dictionary_id", "feature.index"],
            ondelete="CASCADE",
        ),
    )

    dictionary_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    by_rule: Mapped[int]  # largest F1 on held-out documents first, dead last
    by_rule_up: Mapped[int]  # dead first
    f1: Mapped[float]
    above: Mapped[int]  # 1: above its null
    sentence: Mapped[str]
    predicate: Mapped[str]
    figures: Mapped[str]


for _place in ("by_rule", "by_rule_up", "above"):
    Index(f"ix_rule_{_place}", StoredRule.dictionary_id, getattr(StoredRule, _place))


class StoredPosting(Base):
    """The features of a dictionary that a token stands for, in one way: `kind` says which."""

    __tablename__ = "posting"

    dictionary_id: Mapped[int] = mapped_column(
        ForeignKey(StoredHarvest.dictionary_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    kind: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    features: Mapped[bytes]


class StoredMap(Base):
    """Where the features of a dictionary lie in two dimensions, which its weights alone decide.

    It outlives harvests; `checksum` says of which weights it is. `places` and `heads` are blobs,
    `parameters` is canonical JSON.
    """

    __tablename__ = "map"

    dictionary_id: Mapped[int] = mapped_column(
        ForeignKey(StoredDictionary.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    checksum: Mapped[str]
    digest: Mapped[str]
    parameters: Mapped[str]
    places: Mapped[bytes]
    heads: Mapped[bytes]


class StoredKeptText(Base):
    """The harvested text of a dictionary as far as its firings are kept; `n_bytes` counts both."""

    __tablename__ = "kept_text"

    dictionary_id: Mapped[int] = mapped_column(
        ForeignKey(StoredHarvest.dictionary_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    n_tokens: Mapped[int]
    n_bytes: Mapped[int]
    text: Mapped[bytes]


class StoredFiringBlock(Base):
    """What fires on each token of consecutive windows of a kept text."""

    __tablename__ = "firing_block"

    dictionary_id: Mapped[int] = mapped_column(
        ForeignKey(StoredKeptText.dictionary_id, ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    block: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    firings: Mapped[bytes]


class StoredPreset(Base):
    """A named setting of a model's steering page; `settings` is canonical JSON."""

    __tablename__ = "preset"

    model_id: Mapped[int] = mapped_column(
        ForeignKey(StoredModel.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    settings: Mapped[str]


class StoredProgress(Base):
    """A harvest that runs; `reported` in seconds since 1970."""

    __tablename__ = "progress"

    model: Mapped[str] = mapped_column(primary_key=True)
    dictionary: Mapped[str] = mapped_column(primary_key=True)
    phase: Mapped[str]
    done: Mapped[int]
    total: Mapped[int]
    rate: Mapped[float]
    reported: Mapped[float]


class StoredRun(Base):
    """A training. `model` is a name: the store need not know the model yet.

    `config`, `settings`, `cost` and `evaluation` are canonical JSON.
    """

    __tablename__ = "run"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(unique=True)
    sweep: Mapped[str]  # empty: none
    model: Mapped[str]
    hook_point: Mapped[str]
    config: Mapped[str]
    settings: Mapped[str]
    status: Mapped[str]
    message: Mapped[str]
    folder: Mapped[str | None]
    checksum: Mapped[str | None]
    evaluation: Mapped[str | None]
    cost: Mapped[str | None]


class StoredRunPoint(Base):
    """A point of a training's curves; a figure that is not finite is null."""

    __tablename__ = "run_point"

    run_id: Mapped[int] = mapped_column(
        ForeignKey(StoredRun.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tokens: Mapped[int]
    loss: Mapped[float | None]
    l0: Mapped[float | None]
    fvu: Mapped[float | None]
    dead_share: Mapped[float | None]
    penalty: Mapped[float | None]


class StoredRunPace(Base):
    """How fast a training was at a point, and when it said so: seconds since 1970."""

    __tablename__ = "run_pace"

    run_id: Mapped[int] = mapped_column(
        ForeignKey(StoredRun.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tokens_per_second: Mapped[float]
    reported: Mapped[float]


UNKEPT = frozenset({StoredProgress.__tablename__, StoredRunPace.__tablename__})
"""Tables that leave no store: they say how far and how fast something runs here and now."""

UNREPEATABLE = UNKEPT | WRITTEN
"""Tables that hold times and random ids: no dump has them, and bundles merge what people wrote."""
