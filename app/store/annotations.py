"""The tables that people and models write into: labels, votes, comments, scores, lists, ratings.

Those of attribution graphs are in `app/store/written/graphs`, of audits in
`app/store/written/audit`. All lie outside of what a harvest replaces. A feature is known in them by
its dictionary's `subject` (see `app/store/types/annotations.py`) and its index, so that labels
outlive names, harvests and removals. All ids are random, or made of what has them, so that two
stores' labels can be put together. Times are seconds since 1970; 0 where they were never known.
Nothing is deleted: it is marked as withdrawn.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.store.columns import Base
from app.store.tables.comparisons.moments_schema import StoredMoments
from app.store.written.audit.contrasts.schema import StoredTextContrast
from app.store.written.audit.experiments.schema import StoredExperiment, StoredExperimentTexts
from app.store.written.audit.monitors.schema import StoredAlarm, StoredMonitor
from app.store.written.graphs.schema import StoredGraph, StoredGraphGroup, StoredTaskCircuit


class StoredLabel(Base):
    """A label of a feature as it is now; `version` counts its changes from 1."""

    __tablename__ = "label"
    __table_args__ = (Index("ix_label_subject", "subject", "index"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    index: Mapped[int]
    kind: Mapped[str]
    text: Mapped[str]
    note: Mapped[str]
    author: Mapped[str]
    created: Mapped[float]
    changed: Mapped[float]
    version: Mapped[int]
    withdrawn: Mapped[int]


class StoredLabelVersion(Base):
    """A label as it was, or is, after one change. Two stores may both have a second version."""

    __tablename__ = "label_version"
    __table_args__ = (Index("ix_label_version_label_id", "label_id", "number"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    label_id: Mapped[str] = mapped_column(ForeignKey(StoredLabel.id, ondelete="CASCADE"))
    number: Mapped[int]
    text: Mapped[str]
    note: Mapped[str]
    author: Mapped[str]
    changed: Mapped[float]
    withdrawn: Mapped[int]


class StoredLabelVote(Base):
    """What somebody thinks of a label: 1, -1, or 0 where it was taken back."""

    __tablename__ = "label_vote"

    label_id: Mapped[str] = mapped_column(
        ForeignKey(StoredLabel.id, ondelete="CASCADE"), primary_key=True
    )
    voter: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[int]
    changed: Mapped[float]


class StoredExplanation(Base):
    """A label that a language model was asked for; `failure` says why there is none.

    `settings` is canonical JSON: the endpoint, the versions of the prompts, the seed. The id is
    made of feature, explainer, model and settings: asked again, it is the same explanation.
    """

    __tablename__ = "explanation"
    __table_args__ = (Index("ix_explanation_subject", "subject", "index"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    index: Mapped[int]
    explainer: Mapped[str]
    model: Mapped[str]
    text: Mapped[str]
    failure: Mapped[str]
    settings: Mapped[str]
    changed: Mapped[float]


class StoredLabelScore(Base):
    """What a judge makes of an explanation, beside a shuffled label and the nulls.

    Figures are null where there was too little to compute them from. `details` is canonical JSON:
    failures by reason, the scores of the nulls, and what was said of each excerpt.
    """

    __tablename__ = "label_score"

    explanation_id: Mapped[str] = mapped_column(
        ForeignKey(StoredExplanation.id, ondelete="CASCADE"), primary_key=True
    )
    scorer: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float | None]
    low: Mapped[float | None]
    high: Mapped[float | None]
    n: Mapped[int]
    shuffled: Mapped[float | None]
    null_p: Mapped[float | None]
    details: Mapped[str]
    changed: Mapped[float]


class StoredComment(Base):
    """A comment on a feature, or on one of its examples.

    `context` is empty, or names the window: fingerprint of the text, length, number. `quote` says
    in words where it lies, for when no harvest shows it any more.
    """

    __tablename__ = "comment"
    __table_args__ = (Index("ix_comment_subject", "subject", "index"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    index: Mapped[int]
    context: Mapped[str]
    quote: Mapped[str]
    text: Mapped[str]
    author: Mapped[str]
    created: Mapped[float]
    changed: Mapped[float]
    withdrawn: Mapped[int]


class StoredList(Base):
    """A list of features; `name` is part of its address."""

    __tablename__ = "feature_list"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    note: Mapped[str]
    created: Mapped[float]
    changed: Mapped[float]
    withdrawn: Mapped[int]


class StoredListItem(Base):
    """A feature in a list; `model` and `dictionary` are the names it was put there under."""

    __tablename__ = "feature_list_item"

    list_id: Mapped[str] = mapped_column(
        ForeignKey(StoredList.id, ondelete="CASCADE"), primary_key=True
    )
    subject: Mapped[str] = mapped_column(primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    place: Mapped[int]
    note: Mapped[str]
    model: Mapped[str]
    dictionary: Mapped[str]
    changed: Mapped[float]
    withdrawn: Mapped[int]


class StoredRatingStudy(Base):
    """Features of some dictionaries that are rated without saying whose they are.

    `settings` is canonical JSON: how the features were drawn. `sources` is canonical JSON: the
    dictionaries, as they were named and harvested then.
    """

    __tablename__ = "rating_study"

    id: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    author: Mapped[str]
    settings: Mapped[str]
    sources: Mapped[str]
    created: Mapped[float]
    changed: Mapped[float]
    withdrawn: Mapped[int]


class StoredRatingItem(Base):
    """A feature that is rated in a study. Its id says nothing of it."""

    __tablename__ = "rating_item"
    __table_args__ = (Index("ix_rating_item_study_id", "study_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey(StoredRatingStudy.id, ondelete="CASCADE"))
    subject: Mapped[str]
    index: Mapped[int]


class StoredRating(Base):
    """What a rater once said of an item. None is replaced: the newest counts, and all are kept.

    The four criteria are null where the item was skipped, or where a model's answer could not be
    read: then `failure` says why. `blind` is 0 where the rater had seen results before. `settings`
    is canonical JSON: for a model the endpoint and the version of the prompt.
    """

    __tablename__ = "rating"
    __table_args__ = (Index("ix_rating_of_item", "item_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(ForeignKey(StoredRatingItem.id, ondelete="CASCADE"))
    rater: Mapped[str]
    kind: Mapped[str]
    confidence: Mapped[int | None]
    activations: Mapped[int | None]
    logits: Mapped[int | None]
    specificity: Mapped[int | None]
    interpretation: Mapped[str]
    failure: Mapped[str]
    blind: Mapped[int]
    settings: Mapped[str]
    changed: Mapped[float]


class StoredUnblinding(Base):
    """When a rater first saw the results of a study."""

    __tablename__ = "rating_unblinding"

    study_id: Mapped[str] = mapped_column(
        ForeignKey(StoredRatingStudy.id, ondelete="CASCADE"), primary_key=True
    )
    rater: Mapped[str] = mapped_column(primary_key=True)
    changed: Mapped[float]


TABLES = frozenset(
    kind.__tablename__
    for kind in (
        StoredLabel,
        StoredLabelVersion,
        StoredLabelVote,
        StoredExplanation,
        StoredLabelScore,
        StoredComment,
        StoredList,
        StoredListItem,
        StoredRatingStudy,
        StoredRatingItem,
        StoredRating,
        StoredUnblinding,
        StoredGraph,
        StoredGraphGroup,
        StoredTaskCircuit,
        StoredTextContrast,
        StoredExperiment,
        StoredExperimentTexts,
        StoredMonitor,
        StoredAlarm,
        StoredMoments,
    )
)
