"""The tables of monitors. What holds for all that people write holds for them, too."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.store.columns import Base


class StoredMonitor(Base):
    """A monitor; `name` is part of its address.

    Its id is the SHA-256 of title, model, dictionary and `details`, which is canonical JSON:
    `MonitorDetails`. `checksum` is of the dictionary's weights. `question` is the SHA-256 of all
    that decided it. `raised` and `unsent` count its alarms, and webhooks that were not taken, the
    alarms among them that are kept no longer.
    """

    __tablename__ = "monitor"
    __table_args__ = (Index("ix_monitor_question", "question"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    model: Mapped[str]
    dictionary: Mapped[str]
    checksum: Mapped[str]
    question: Mapped[str]
    title: Mapped[str]
    details: Mapped[str]
    raised: Mapped[int]
    unsent: Mapped[int]
    created: Mapped[float]
    changed: Mapped[float]
    withdrawn: Mapped[int]


class StoredAlarm(Base):
    """An alarm that a monitor raised; the newest of each monitor are kept.

    `excerpt` is canonical JSON: `before`, `token` and `behind`. `webhook` is empty
    where there is none, `sent`, or why it was not taken.
    """

    __tablename__ = "monitor_alarm"
    __table_args__ = (Index("ix_monitor_alarm_monitor_id", "monitor_id", "created"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    monitor_id: Mapped[str] = mapped_column(ForeignKey(StoredMonitor.id, ondelete="CASCADE"))
    source: Mapped[str]
    turn: Mapped[str]
    level: Mapped[float]
    action: Mapped[str]
    excerpt: Mapped[str]
    webhook: Mapped[str]
    created: Mapped[float]
    changed: Mapped[float]
