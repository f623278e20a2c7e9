"""What the JSON of automata answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.web.live.events import DoneEvent, FailedEvent, LiveEvent


class StepToken(BaseModel):
    """A token that comes at a step."""

    id: int
    text: str
    times: int


class TrialCount(BaseModel):
    """One way to treat the contexts of a check, and what came of it."""

    arm: Literal["unsteered", "steered", "random"]
    strength: float
    contexts: int
    fired: int
    wrote: int


class HeldOutStep(BaseModel):
    """A step's figures on the half of the documents that was not mined."""

    support: int
    firings: int
    share: float
    lift: float
    mechanism: float
    beyond: float


class AutomatonStep(BaseModel):
    """A step, with its figures; `sae_core/circuits/automata/mining.py` says what each is."""

    source: int
    target: int
    support: int
    documents: int
    firings: int
    share: float
    low: float | None
    high: float | None
    base: float
    lift: float
    mechanism: float
    beyond: float
    p: float
    corrected: float
    tokens: list[StepToken]
    held: HeldOutStep | None = Field(description="Null: there are no other documents.")
    trial: list[TrialCount] | None = Field(description="Null: it was not checked.")
    verdict: str


class AutomatonFeature(BaseModel):
    """A feature of an automaton."""

    index: int
    words: str
    address: str


class AutomatonAnswer(BaseModel):
    """An automaton."""

    name: str
    recurrent: bool
    features: list[AutomatonFeature]
    steps: list[AutomatonStep]
    address: str


class AutomataAnswer(BaseModel):
    """All automata of a dictionary; without any where none were mined."""

    model: str
    dictionary: str
    mined: bool
    parameters: dict[str, Any]
    total: int
    automata: list[AutomatonAnswer]


class TrialProgressEvent(LiveEvent):
    """How far a check is."""

    event: Literal["step"] = "step"
    done: int
    total: int


class TrialReadyEvent(LiveEvent):
    """The check is kept."""

    event: Literal["ready"] = "ready"
    sentence: str
    verdict: str


class TrialArmEvent(LiveEvent):
    """What came of one way to treat the contexts."""

    event: Literal["arm"] = "arm"
    arm: Literal["unsteered", "steered", "random"]
    strength: float
    contexts: int
    fired: int
    wrote: int


TrialEvent = TrialProgressEvent | TrialArmEvent | TrialReadyEvent | FailedEvent | DoneEvent
