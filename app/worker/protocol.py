"""Every message between the web process and the worker: frozen types, no functions, no torch.

A request is one JSON body; its answer is a stream of events, one JSON document a line (NDJSON).
Empty lines mean "still at it". The last event is always `Done` or `Failed`; a stream that ends
without either was cut off. Before the stream starts the worker may refuse with a status of 413,
415, 422 or 503 and one `Failed` as body.

Arrays travel as base64 of their little-endian bytes: float32 values arrive bit for bit.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Checksum = Annotated[str, Field(min_length=1, max_length=256)]
Token = Annotated[int, Field(ge=0)]


class Message(BaseModel):
    """Immutable, and refuses fields that it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64"
    )


class ModelRef(Message):
    """A language model in a Hugging Face folder that the worker can read."""

    path: str = Field(min_length=1, description="Folder of the model, as the worker sees it.")
    checksum: Checksum = Field(description="What the folder's weights must hash to.")
    dtype: str = Field(default="float32", description="The precision the harvest ran in.")


class DictionaryRef(Message):
    """A dictionary of that model; without a path, the neuron basis at the hook point."""

    path: str | None = Field(description="Folder of cfg.json and sae_weights.safetensors.")
    hook_point: str = Field(min_length=1, description="Where it reads and writes the model.")
    checksum: Checksum | None = Field(
        default=None, description="What its weights must hash to; None only for the neuron basis."
    )


class WorkRequest(Message):
    """What every request for work carries. It is self-contained: the worker has no database."""

    model: ModelRef
    dictionary: DictionaryRef
    deadline_seconds: float | None = Field(
        default=None, gt=0, description="Give up after this long; the worker's own limit if sooner."
    )


class AblateRequest(WorkRequest):
    """Remove one feature from each context and say what that changes."""

    feature: int = Field(ge=0, description="Index of the feature in its dictionary.")
    contexts: tuple[tuple[Token, ...], ...] = Field(
        min_length=1, description="Token ids of each context, BOS first where the model has one."
    )


class FailureCode(StrEnum):
    """Why a request ended without its result."""

    INVALID = "invalid"
    """The request contradicts the model or the dictionary, or is malformed or too large."""
    REFUSED = "refused"
    """Weights are missing, damaged, or not the ones that were asked for."""
    OVERLOADED = "overloaded"
    """The queue is full; come back after `retry_after` seconds."""
    DEADLINE = "deadline"
    """Time ran out."""
    MEMORY = "memory"
    """The device ran out of memory."""
    STOPPED = "stopped"
    """The worker is shutting down."""
    INTERNAL = "internal"
    """A defect; the worker's log has the traceback."""


class ContextDone(Message):
    """The effect on one context; the fields of `ContextEffect`, packed."""

    event: Literal["context"] = "context"
    index: int = Field(ge=0, description="Position of the context in the request.")
    positions: bytes = Field(description="uint16 [n]")
    loss_change: bytes = Field(description="float32 [n]")
    raised_ids: bytes = Field(description="int32 [n, k]")
    raised: bytes = Field(description="float32 [n, k]")
    lowered_ids: bytes = Field(description="int32 [n, k]")
    lowered: bytes = Field(description="float32 [n, k]")


class Progress(Message):
    """How far the request is."""

    event: Literal["progress"] = "progress"
    done: int = Field(ge=0)
    total: int = Field(ge=0)


class Failed(Message):
    """The request ended early. The message is a sentence for the user."""

    event: Literal["failed"] = "failed"
    code: FailureCode
    message: str
    retry_after: int | None = Field(default=None, description="Seconds, where trying again helps.")


class Done(Message):
    """The request is complete."""

    event: Literal["done"] = "done"


Event = Annotated[ContextDone | Progress | Failed | Done, Field(discriminator="event")]


class Phase(StrEnum):
    """What the worker is up to."""

    STARTING = "starting"
    """It answers, but torch is still being imported; requests wait."""
    READY = "ready"
    BROKEN = "broken"
    """It cannot work at all, for instance because the device does not exist."""


class HealthReply(Message):
    """How the worker is."""

    phase: Phase
    message: str = Field(default="", description="What is wrong, where the phase is broken.")
    device: str
    jobs: int = Field(ge=0, description="Requests it holds, the running one included.")
    capacity: int = Field(ge=1, description="Requests it holds at most.")
    step_seconds: float = Field(ge=0, description="How long the step in progress has been running.")
    version: str
