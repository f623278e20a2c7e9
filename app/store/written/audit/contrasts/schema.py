"""The table of contrasts. What holds for all that people write holds for it, too."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from app.store.columns import Base


class StoredTextContrast(Base):
    """A contrast of two sets of texts; `name` is part of its address.

    Its id is the SHA-256 of model, dictionary and `details`, which is canonical JSON: both sets,
    their names, settings, and what `sae_core/audit/contrast/sets.py` keeps. `checksum` is of
    the dictionary's weights. `question` is the SHA-256 of all that decided it.
    """

    __tablename__ = "text_contrast"
    __table_args__ = (Index("ix_text_contrast_question", "question"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    model: Mapped[str]
    dictionary: Mapped[str]
    checksum: Mapped[str]
    question: Mapped[str]
    title: Mapped[str]
    details: Mapped[str]
    created: Mapped[float]
    changed: Mapped[float]
    withdrawn: Mapped[int]
