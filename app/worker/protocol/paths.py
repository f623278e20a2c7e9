"""What is asked about one node of a graph. Of the graph only the nodes are needed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from app.worker.protocol.requests import CheckGraphRequest

MOST_SCALED = 2_000  # features at once
MOST_FACTOR = 10.0


class SplitNodeRequest(CheckGraphRequest):
    """By which ways a node reaches a target. Of the graph only the nodes are needed.

    Answer: one NodeSplit.
    """

    path: ClassVar[str] = "/split-node"
    node: int = Field(ge=0)
    target: int = Field(ge=0, description="A feature or logit.")


class ComposeNodeRequest(CheckGraphRequest):
    """What a node is made of. Of the graph only the nodes are needed.

    Answer: one NodeComposed.
    """

    path: ClassVar[str] = "/compose-node"
    node: int = Field(ge=0, description="A feature or logit.")


class ExplainScoreRequest(CheckGraphRequest):
    """Why a head looks from one position to another. Of the graph only the nodes are needed.

    Answer: one ScoreExplained.
    """

    path: ClassVar[str] = "/explain-score"
    layer: int = Field(ge=0)
    head: int = Field(ge=0)
    query: int = Field(ge=0, description="Position that looks.")
    key: int = Field(ge=0, description="Position that is looked at.")


class ScaleNodesRequest(CheckGraphRequest):
    """What the targets are where some features write more or less. Of the graph only the nodes are
    needed.

    Answer: one NodesScaled.
    """

    path: ClassVar[str] = "/scale-nodes"
    nodes: tuple[int, ...] = Field(min_length=1, max_length=MOST_SCALED)
    factor: float = Field(ge=-MOST_FACTOR, le=MOST_FACTOR, allow_inf_nan=False)
    draws: int = Field(default=3, ge=0, le=16, description="Sets of like features, beside them.")
