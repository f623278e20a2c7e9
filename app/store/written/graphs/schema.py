"""The tables of attribution graphs. What holds for all that people write holds for them, too."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.store.columns import Base


class StoredGraph(Base):
    """An attribution graph; `name` is part of its address.

    Its id is the SHA-256 of model and `content`, so that equal graphs of two stores are one.
    `question` is the SHA-256 of all that decided it, by which it is known again when it is asked
    for; empty: it was read from a file, which `source` says. `details` is canonical JSON, `pinned`
    a JSON list of nodes. `content` is what `sae_core/circuits/packing.py` makes.
    """

    __tablename__ = "graph"
    __table_args__ = (Index("ix_graph_model", "model"), Index("ix_graph_question", "question"))

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    model: Mapped[str]
    model_checksum: Mapped[str]
    question: Mapped[str]
    source: Mapped[str]
    title: Mapped[str]
    note: Mapped[str]
    details: Mapped[str]
    pinned: Mapped[str]
    created: Mapped[float]
    changed: Mapped[float]
    withdrawn: Mapped[int]
    content: Mapped[bytes]


class StoredGraphGroup(Base):
    """Nodes of a graph that mean one thing together; `nodes` is a JSON list of their numbers."""

    __tablename__ = "graph_group"
    __table_args__ = (Index("ix_graph_group_graph_id", "graph_id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    graph_id: Mapped[str] = mapped_column(ForeignKey(StoredGraph.id, ondelete="CASCADE"))
    title: Mapped[str]
    nodes: Mapped[str]
    changed: Mapped[float]
    withdrawn: Mapped[int]


class StoredTaskCircuit(Base):
    """The circuit of a task; `name` is part of its address.

    Its id is the SHA-256 of model and `details`, which is canonical JSON: prompts, dictionaries,
    settings, and what `sae_core/circuits/tasks/result.py` keeps. `question` is the SHA-256 of all
    that decided it.
    """

    __tablename__ = "task_circuit"
    __table_args__ = (
        Index("ix_task_circuit_model", "model"),
        Index("ix_task_circuit_question", "question"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    model: Mapped[str]
    model_checksum: Mapped[str]
    question: Mapped[str]
    title: Mapped[str]
    details: Mapped[str]
    created: Mapped[float]
    changed: Mapped[float]
    withdrawn: Mapped[int]
