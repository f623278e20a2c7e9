"""What may be asked for at /v1, and what is refused because nothing here answers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.pages.steer.questions import Edit
from app.web.schema import SENTENCE, Name, Question
from app.worker.protocol.chats import MOST_TRAITS, MOST_TURNS, ChatScope
from app.worker.protocol.requests import MOST_DICTIONARIES, MOST_EDITS, MOST_TOKENS

CHAT_TOKENS, TEXT_TOKENS = 512, 16
"""Tokens of an answer where none are asked for; the second as OpenAI's API has it."""
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "store": (False,),
}
"""Values with which what is not supported here changes nothing."""
_IGNORED = frozenset({"user", "metadata", "service_tier", "safety_identifier", "prompt_cache_key"})

Stop = str | Annotated[list[str], Field(max_length=4)] | None


class TextPart(BaseModel):
    """A piece of a message. Only text is taken."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """Who says what."""

    model_config = ConfigDict(extra="forbid")
    role: str = Field(min_length=1, max_length=32)
    content: str | list[TextPart]
    name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _text_only(cls, message: Any) -> Any:
        parts = message.get("content") if isinstance(message, dict) else None
        for part in parts if isinstance(parts, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind != "text":
                raise PydanticCustomError(
                    SENTENCE,
                    "Messages take text only; {kind} is not supported here.",
                    {"kind": str(kind)},
                )
        return message

    @property
    def text(self) -> str:
        """All that is said."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class NamedTrait(Question):
    """A set of features whose level is told of every token."""

    name: Name = Field(description="Of a list in the store, where no features are given.")
    features: tuple[WeightedFeature, ...] = ()


class WeightedFeature(Question):
    """A feature of a trait."""

    dictionary: Name
    feature: int = Field(ge=0, lt=2**63)
    weight: float = Field(default=1.0, allow_inf_nan=False)


class Extension(Question):
    """What Featurescope adds to the API: steering, and what is watched."""

    edits: tuple[Edit, ...] = Field(default=(), max_length=MOST_EDITS)
    tokens: ChatScope = ChatScope.EVERYTHING
    watch: tuple[Name, ...] = Field(
        default=(), max_length=MOST_DICTIONARIES, description="Names of dictionaries."
    )
    traits: tuple[NamedTrait, ...] = Field(default=(), max_length=MOST_TRAITS)
    template: str | None = Field(default=None, max_length=100)
    top_k: int = Field(default=0, ge=0, lt=2**31)


class StreamOptions(BaseModel):
    """What a stream ends with."""

    include_usage: bool = False
    include_obfuscation: bool = False


class CompletionBody(BaseModel):
    """What chats and texts have in common."""

    model_config = ConfigDict(extra="forbid")
    model: str
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    max_tokens: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Stop = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    featurescope: Extension = Extension()

    @model_validator(mode="before")
    @classmethod
    def _nothing_unsupported(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        for name, neutral in _NEUTRAL.items():
            value = body.get(name)
            if value is not None and value not in neutral:
                raise PydanticCustomError(
                    SENTENCE,
                    "{name} is not supported here: leave it out.",
                    {"name": name},
                )
        left_out = _NEUTRAL.keys() | _IGNORED
        return {name: value for name, value in body.items() if name not in left_out}

    @property
    def stops(self) -> tuple[str, ...]:
        """Texts that end an answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class ChatBody(CompletionBody):
    """A chat completion."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=MOST_TURNS)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    @property
    def n_tokens(self) -> int:
        """Tokens of the answer at most."""
        return self.max_completion_tokens or self.max_tokens or CHAT_TOKENS


class TextBody(CompletionBody):
    """A text completion."""

    prompt: str | list[str] | list[int]
    logprobs: int | None = Field(default=None, ge=0, le=20)

    @property
    def n_tokens(self) -> int:
        """Tokens of the answer at most."""
        return self.max_tokens or TEXT_TOKENS
