"""The tables of comparisons, for SQLite and Postgres alike.

A comparison outlives its dictionaries: it knows them by their `subject` (see
`app/store/types/annotations.py`) and by the names that they had. No column holds a time.
"""

from __future__ import annotations

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.store.columns import Base


class StoredComparison(Base):
    """Dictionaries that were compared; `name` is part of its address.

    `identity` is a SHA-256 of all that decides the result, `settings` canonical JSON.
    """

    __tablename__ = "comparison"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(unique=True)
    identity: Mapped[str]
    settings: Mapped[str]


class StoredComparedDictionary(Base):
    """A dictionary of a comparison as it was then; `digest` is of its harvest, empty without one.

    `details` is canonical JSON.
    """

    __tablename__ = "compared_dictionary"
    __table_args__ = (Index("ix_compared_dictionary_subject", "subject"),)

    comparison_id: Mapped[int] = mapped_column(
        ForeignKey(StoredComparison.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    subject: Mapped[str]
    model: Mapped[str]
    dictionary: Mapped[str]
    digest: Mapped[str]
    d_sae: Mapped[int]
    details: Mapped[str]


class StoredMatches(Base):
    """For each feature of one dictionary of a comparison its matches in another one.

    `source` and `target` are places in the comparison; `figures` is canonical JSON.
    """

    __tablename__ = "feature_match"

    comparison_id: Mapped[int] = mapped_column(
        ForeignKey(StoredComparison.id, ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    source: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    target: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    figures: Mapped[str]
    matches: Mapped[bytes]


class StoredRecurrence(Base):
    """In how many other dictionaries a feature was found: a row for every feature, or for none.

    It follows from the comparisons. The `by_` columns are as those of `StoredFeature`.
    """

    __tablename__ = "recurrence"
    __table_args__ = (
        ForeignKeyConstraint(
            ["dictionary_id", "index"],
            ["feature.dictionary_id", "feature.index"],
            ondelete="CASCADE",
        ),
    )

    dictionary_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    by_found: Mapped[int]  # found in most first, dead last
    by_found_up: Mapped[int]  # dead first
    found: Mapped[int]
    trainings: Mapped[int]


for _place in ("by_found", "by_found_up", "found"):
    Index(
        f"ix_recurrence_{_place}", StoredRecurrence.dictionary_id, getattr(StoredRecurrence, _place)
    )
