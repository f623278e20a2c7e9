"""The table of trainings whose moments were compared."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from app.store.columns import Base


class StoredMoments(Base):
    """A dictionary's features through the training of its model; `name` is part of its address.

    Its id is `identity`, a SHA-256 of all that decides the result; `details` is canonical JSON, and
    `content` what `app/store/tables/comparisons/moments.py` packs.
    """

    __tablename__ = "training_moments"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    model: Mapped[str]
    dictionary: Mapped[str]
    details: Mapped[str]
    content: Mapped[bytes]
    changed: Mapped[float]
