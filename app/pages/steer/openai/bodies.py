"""What may be asked for at /v1, and what is refused because nothing here answers it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.pages.steer.questions import Edit
from app.web.schema import SENTENCE, Name, Question, whole
from app.worker.protocol.chats import (
    LONGEST_REFUSAL,
    MOST_TRAITS,
    MOST_TURNS,
    REFUSAL,
    ChatScope,
)
from app.worker.protocol.monitors import MOST_MONITORS, GateKind
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

WholeText = Annotated[str, AfterValidator(whole)]


def _refused(sentence: str, **names: str) -> PydanticCustomError:
    return PydanticCustomError(SENTENCE, sentence, names)


def _stops(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop or []


def _content(content: Any) -> str:
    """All that is said, of a text or of its pieces."""
    parts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    texts = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text") if kind == "text" else None
        if kind != "text":
            raise _refused("Messages take text only; {kind} is not supported here.", kind=str(kind))
        if not isinstance(text, str):
            raise _refused("The content of a message is a text.")
        texts.append(whole(text))
    return "".join(texts)


def _prompt(prompt: Any) -> str | tuple[int, ...]:
    """One text, or the ids of one."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str):
        if len(prompt) > 1:
            raise _refused("One prompt at a time is completed here.")
        prompt = prompt[0]
    if isinstance(prompt, str):
        return whole(prompt)
    if not isinstance(prompt, list) or not prompt or any(type(each) is not int for each in prompt):
        raise _refused("The prompt is a text, or a list of token ids.")
    return tuple(prompt)


class ChatMessage(BaseModel):
    """Who says what."""

    model_config = ConfigDict(extra="forbid")
    role: WholeText = Field(min_length=1, max_length=32)
    content: Annotated[str, BeforeValidator(_content)] = Field(
        description="A text, or a list of parts of the type `text`."
    )
    name: str | None = None


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
    monitors: tuple[Name, ...] = Field(
        default=(), max_length=MOST_MONITORS, description="Names of monitors that watch."
    )
    gate: GateKind = GateKind.MARK
    gate_edits: tuple[Edit, ...] = Field(default=(), max_length=MOST_EDITS)
    refusal: WholeText = Field(
        default=REFUSAL, max_length=LONGEST_REFUSAL, description="In place of a refused answer."
    )
    template: WholeText | None = Field(default=None, max_length=100)
    top_k: int = Field(default=0, ge=0, lt=2**31)


class StreamOptions(BaseModel):
    """What a stream ends with."""

    include_usage: bool = False
    include_obfuscation: bool = False


class CompletionBody(BaseModel):
    """What chats and texts have in common."""

    model_config = ConfigDict(extra="forbid")
    model: WholeText
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    max_tokens: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Annotated[list[WholeText], Field(max_length=4), BeforeValidator(_stops)] = Field(
        default_factory=list, description="A text that ends an answer, or several."
    )
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
                raise _refused("{name} is not supported here: leave it out.", name=name)
        left_out = _NEUTRAL.keys() | _IGNORED
        return {name: value for name, value in body.items() if name not in left_out}


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

    prompt: Annotated[str | tuple[int, ...], BeforeValidator(_prompt)] = Field(
        description="A text, a list of one, or token ids."
    )
    logprobs: int | None = Field(default=None, ge=0, le=20)

    @property
    def n_tokens(self) -> int:
        """Tokens of the answer at most."""
        return self.max_tokens or TEXT_TOKENS
