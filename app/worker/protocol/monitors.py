"""Monitors: what the worker watches, the levels that it reads, and the alarms that it tells."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from app.worker.protocol.requests import DictionaryRef, Index, Message, WorkRequest

MOST_MONITORS = 8  # watched at once
MOST_LEVEL_TEXTS = 256  # of one request
LONGEST_LEVEL_TEXT = 2**18  # characters
MOST_WEIGHED = 200  # features of one monitor
WIDEST = 2**17  # numbers of a direction


class MonitorPool(StrEnum):
    """How the levels of a text's tokens become one."""

    MAX = "max"
    MEAN = "mean"
    LAST = "last"


class GateKind(StrEnum):
    """What an alarm does to an answer."""

    MARK = "mark"
    """Nothing: it is told."""
    REFUSE = "refuse"
    """It stops, and a sentence stands in its place."""
    STEER = "steer"
    """Edits are in force from then on."""


class WeighedFeature(Message):
    """A feature, and what a unit of its activation adds to the level."""

    feature: Index
    weight: float = Field(allow_inf_nan=False)


class WatchedMonitor(Message):
    """What is watched: features of a dictionary, or a direction where the dictionary reads."""

    name: str = Field(min_length=1, max_length=300)
    dictionary: DictionaryRef
    members: tuple[WeighedFeature, ...] = Field(default=(), max_length=MOST_WEIGHED)
    direction: tuple[float, ...] = Field(default=(), max_length=WIDEST)
    offset: float = Field(default=0.0, allow_inf_nan=False)
    pooling: MonitorPool = MonitorPool.MAX
    threshold: float = Field(allow_inf_nan=False, description="A text above it raises the alarm.")


class LevelsRequest(WorkRequest):
    """The levels of monitors on some texts. Answer: one LevelsRead a text, in order."""

    path: ClassVar[str] = "/levels"
    monitors: tuple[WatchedMonitor, ...] = Field(min_length=1, max_length=MOST_MONITORS)
    texts: tuple[str, ...] = Field(min_length=1, max_length=MOST_LEVEL_TEXTS)


class LevelsRead(Message):
    """The levels of one text."""

    event: Literal["levels_read"] = "levels_read"
    index: int = Field(ge=0, description="Of the text in the request.")
    tokens: bytes = Field(description="int32 [n]")
    is_text: bytes = Field(description="int8 [n]: 0 for special tokens")
    levels: bytes = Field(description="float32 [monitors, n]; 0 on special tokens")
    level: tuple[float, ...] = Field(description="Of each monitor; NaN: the text has no token.")


class ChatAlarm(Message):
    """A monitor's level is above its threshold."""

    event: Literal["chat_alarm"] = "chat_alarm"
    pane: Literal["unsteered", "steered"]
    monitor: int = Field(ge=0, description="Its place in the request.")
    turn: int = Field(ge=-1, description="Of the conversation; -1: the answer.")
    position: int = Field(
        ge=0, description="Of the first token above it, or of the one with the largest level."
    )
    string: str = Field(description="What this token says; not for who reads the answer.")
    level: float


class ChatJudged(Message):
    """The levels of a whole turn."""

    event: Literal["chat_judged"] = "chat_judged"
    pane: Literal["unsteered", "steered"]
    turn: int = Field(ge=-1, description="Of the conversation; -1: the answer.")
    levels: tuple[float, ...] = Field(description="Of each monitor; NaN: nothing was said.")
    positions: bytes = Field(description="int32 [n]: of the tokens that count")
    tokens: bytes = Field(description="float32 [monitors, n]: their levels")
