"""The tables of automata, for SQLite and Postgres alike: a harvest's, so that they go with it."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from app.store.columns import Base


class StoredAutomata(Base):
    """All automata of a dictionary, as canonical JSON."""

    __tablename__ = "automata"

    dictionary_id: Mapped[int] = mapped_column(
        ForeignKey("harvest.dictionary_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    content: Mapped[str]


class StoredStepTrial(Base):
    """What steering says of a step; `content` is canonical JSON."""

    __tablename__ = "step_trial"

    dictionary_id: Mapped[int] = mapped_column(
        # A key to a key has no type before all tables are known, which bundles must know.
        BigInteger,
        ForeignKey("automata.dictionary_id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    )
    source: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    target: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    content: Mapped[str]
