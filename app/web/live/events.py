"""The events that every live stream shares, as types that a client can use, too."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class LiveEvent(BaseModel):
    """One event; `event` is its name in the stream, and stands in its data too."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")
    event: str


class FailedEvent(LiveEvent):
    """The last event of a stream that ends early; the fields of a problem."""

    event: Literal["failed"] = "failed"
    status: int = Field(description="What the status of the answer would have been.")
    detail: str = Field(description="A sentence for the user.")
    retry_after: int | None = Field(
        default=None, description="Seconds after which asking again makes sense; null: it does not."
    )
    field: str | None = Field(
        default=None, description="The value that it is about, such as `prompt`."
    )


class DoneEvent(LiveEvent):
    """The last event of a stream that is complete."""

    event: Literal["done"] = "done"
