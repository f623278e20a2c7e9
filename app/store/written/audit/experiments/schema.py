"""The tables of experiments. What holds for all that people write holds for them, too."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.store.columns import Base


class StoredExperiment(Base):
    """An experiment; `name` is part of its address.

    Its id is the SHA-256 of model, dictionary, `question` and `details`, which is canonical JSON:
    `ExperimentDetails`. `question` is the SHA-256 of all that decided it. `measured` holds the
    values of `ExperimentRecord`, zlib over little-endian float64.
    """

    __tablename__ = "experiment"
    __table_args__ = (Index("ix_experiment_question", "question"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    model: Mapped[str]
    dictionary: Mapped[str]
    checksum: Mapped[str]
    question: Mapped[str]
    title: Mapped[str]
    details: Mapped[str]
    measured: Mapped[bytes]
    created: Mapped[float]
    changed: Mapped[float]
    withdrawn: Mapped[int]


class StoredExperimentTexts(Base):
    """Some consecutive prompts of an experiment and what every arm made of them.

    `number` counts these pieces from 0; `content` is zlib over JSON, a list of `PromptTexts`.
    """

    __tablename__ = "experiment_texts"

    experiment_id: Mapped[str] = mapped_column(
        ForeignKey(StoredExperiment.id, ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes]
    changed: Mapped[float]
