"""A conversation with a model: what is asked, and the events that answer it."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from app.worker.protocol.monitors import (
    MOST_MONITORS,
    ChatAlarm,
    ChatJudged,
    GateKind,
    WatchedMonitor,
)
from app.worker.protocol.requests import (
    MOST_DICTIONARIES,
    MOST_EDITS,
    DictionaryRef,
    Index,
    Message,
    Prompt,
    Sampling,
    SteerEdit,
    Token,
    WorkRequest,
)

PLAIN_TEMPLATE = "plain"
MOST_TURNS = 500
MOST_TRAITS = 16
MOST_MEMBERS = 200  # features of one trait
MOST_ANSWERED = 8192  # tokens
MOST_STOPS = 16
LONGEST_STOP = 200  # characters
MOST_ALTERNATIVES = 20
LONGEST_REFUSAL = 1000  # characters
REFUSAL = "This answer was stopped by a monitor."


class ChatTurn(Message):
    """What one side says at one time."""

    role: str = Field(min_length=1, max_length=32, examples=["user"])
    content: str = Field(max_length=1_000_000, examples=["What is a dog?"])


class ChatScope(StrEnum):
    """Which tokens are steered. Special tokens never are."""

    EVERYTHING = "everything"
    """What the turns say, what the template writes around it, and the answer."""
    CONTENTS = "contents"
    """What the turns say, and the answer."""
    ANSWER = "answer"
    """From the last token of the conversation on, which predicts the answer's first one."""


class TraitMember(Message):
    """One feature of a trait."""

    dictionary: DictionaryRef
    feature: Index
    weight: float = Field(default=1.0, allow_inf_nan=False)


class WatchedTrait(Message):
    """A named set of features; its level on a token is the weighted sum of their activations."""

    name: str = Field(min_length=1, max_length=200)
    members: tuple[TraitMember, ...] = Field(min_length=1, max_length=MOST_MEMBERS)


class ChatRequest(WorkRequest):
    """Answer a conversation twice in one batch, unsteered and steered; or continue a plain prompt.

    Answer: one ChatBegan, ChatReads for the conversation, then for each token of each answer a
    ChatStep and, where something is watched and one token later, a ChatRead; a ChatEnded for each
    answer where it ends. With monitors a ChatAlarm where one is raised, and a ChatJudged for each
    turn and answer that is complete.
    """

    path: ClassVar[str] = "/chat"
    turns: tuple[ChatTurn, ...] = Field(default=(), max_length=MOST_TURNS)
    prompt: Prompt | None = Field(
        default=None, description="Continued as it is, in place of turns: no template is used."
    )
    template: str | None = Field(
        default=None,
        max_length=100,
        description="Name of one of the model's chat templates; None: its default; `plain`: "
        "Featurescope's own, for models that have none.",
    )
    edits: tuple[SteerEdit, ...] = Field(default=(), max_length=MOST_EDITS)
    scope: ChatScope = ChatScope.EVERYTHING
    n_tokens: int = Field(default=256, ge=1, le=MOST_ANSWERED, description="At most.")
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = Field(
        default=(), max_length=MOST_STOPS, description="Texts that end an answer and are cut off."
    )
    alone: bool = Field(default=False, description="Only the steered answer.")
    alternatives: int = Field(
        default=0, ge=0, le=MOST_ALTERNATIVES, description="Likeliest tokens told of each step."
    )
    watch: tuple[DictionaryRef, ...] = Field(
        default=(),
        max_length=MOST_DICTIONARIES,
        description="Whose strongest features are told of each token.",
    )
    traits: tuple[WatchedTrait, ...] = Field(default=(), max_length=MOST_TRAITS)
    monitors: tuple[WatchedMonitor, ...] = Field(default=(), max_length=MOST_MONITORS)
    gate: GateKind = GateKind.MARK
    gate_edits: tuple[SteerEdit, ...] = Field(
        default=(), max_length=MOST_EDITS, description="Switched on by the gate `steer`."
    )
    refusal: str = Field(
        default=REFUSAL, max_length=LONGEST_REFUSAL, description="In place of a refused answer."
    )


class ChatPane(StrEnum):
    """Which of two answers."""

    UNSTEERED = "unsteered"
    STEERED = "steered"


class ChatBegan(Message):
    """The conversation, token by token."""

    event: Literal["chat_began"] = "chat_began"
    tokens: bytes = Field(description="int32 [n]")
    turn: bytes = Field(
        description="int32 [n]: number of the turn that each token belongs to; -1: none; the head "
        "of the answer belongs to the turn after the last"
    )
    part: bytes = Field(description="int8 [n]: 0 content, 1 template, 2 special token")
    strings: tuple[str, ...] = Field(description="What each token says, [n].")
    bos_added: bool = Field(description="Whether BOS was put before what the template writes.")
    n_marks: int = Field(
        ge=0, description="Control tokens inside contents, which were read as plain text."
    )
    own_template: bool = Field(description="Whether the template is the model's own.")


class LikelyToken(Message):
    """A token that could have come."""

    token: Token
    string: str
    log_probability: float = Field(description="Before temperature, nats.")


class ChatStep(Message):
    """One more token of one answer, and the answer so far."""

    event: Literal["chat_step"] = "chat_step"
    pane: ChatPane
    step: int = Field(ge=0, description="Number of the token in the answer, from 0.")
    token: Token
    string: str = Field(description="What the token says; empty for one that ends the answer.")
    log_probability: float = Field(
        description="Under the model that drew it, before temperature, nats."
    )
    alternatives: tuple[LikelyToken, ...] = Field(description="The likeliest, the first first.")
    text: str = Field(
        description="The answer so far, in whole characters; what may become a stop text waits."
    )


class ChatRead(Message):
    """What was watched on tokens of the conversation or of an answer.

    Under the model that writes the answer, edits included; nothing on special tokens.
    """

    event: Literal["chat_read"] = "chat_read"
    pane: ChatPane
    position: int = Field(ge=0, description="Of the first of the tokens, from the beginning.")
    n: int = Field(ge=1, description="How many.")
    levels: bytes = Field(description="float32 [traits, n]; 0 on special tokens")
    features: tuple[bytes, ...] = Field(
        description="For each watched dictionary int32 [n, k]: strongest first; -1: none"
    )
    activations: tuple[bytes, ...] = Field(
        description="For each watched dictionary float32 [n, k], model units"
    )


class ChatEnd(StrEnum):
    """Why an answer ends."""

    TOKEN = "token"  # noqa: S105 - of text
    """The model ended it."""
    STOP = "stop"
    """A stop text came."""
    LENGTH = "length"
    """It has as many tokens as were asked for, or as fit the model's context."""
    REFUSED = "refused"
    """A monitor's gate stopped it."""


class ChatEnded(Message):
    """One answer is complete."""

    event: Literal["chat_ended"] = "chat_ended"
    pane: ChatPane
    why: ChatEnd
    text: str = Field(description="All of it; without the stop text.")
    n_tokens: int = Field(ge=0, description="Drawn, the one that ended it among them.")
    tokens_per_second: float = Field(description="Of all answers together, since the first token.")


ChatResult = ChatBegan | ChatStep | ChatRead | ChatEnded | ChatAlarm | ChatJudged
