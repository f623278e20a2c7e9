"""Every kind of request that the worker takes."""

from __future__ import annotations

from app.worker.protocol.chats import ChatRequest
from app.worker.protocol.monitors import LevelsRequest
from app.worker.protocol.paths import (
    ComposeNodeRequest,
    ExplainScoreRequest,
    ScaleNodesRequest,
    SplitNodeRequest,
)
from app.worker.protocol.requests import (
    AblateRequest,
    AttributeRequest,
    CheckGraphRequest,
    DoseRequest,
    EmbedRequest,
    GraphRequest,
    JudgeGraphRequest,
    MaximaRequest,
    OccludeRequest,
    ReadRequest,
    SteerRequest,
    TogetherRequest,
    TryStepRequest,
    WorkRequest,
)

REQUESTS: tuple[type[WorkRequest], ...] = (
    AblateRequest,
    ReadRequest,
    MaximaRequest,
    EmbedRequest,
    AttributeRequest,
    TogetherRequest,
    OccludeRequest,
    SteerRequest,
    DoseRequest,
    ChatRequest,
    GraphRequest,
    CheckGraphRequest,
    JudgeGraphRequest,
    SplitNodeRequest,
    ComposeNodeRequest,
    ExplainScoreRequest,
    ScaleNodesRequest,
    TryStepRequest,
    LevelsRequest,
)

STREAMS: tuple[type[WorkRequest], ...] = (
    AttributeRequest,
    SteerRequest,
    DoseRequest,
    ChatRequest,
    GraphRequest,
    TryStepRequest,
)
"""Kinds whose answers are long and read while they come; all others are short work."""
