"""What the JSON interface is asked and answers about prompts: frozen types."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from app.web.answers import Effect
from app.web.live.events import DoneEvent, FailedEvent, LiveEvent
from app.web.schema import LONGEST_PROMPT, SENTENCE, Answer, Name, Question, whole
from app.worker.protocol.requests import MOST_DICTIONARIES

MOST_ID = 2**31 - 1


def _prompt(value: Any) -> Any:
    """Text or token ids; what is neither is refused in one sentence."""
    if not isinstance(value, str | list | tuple):
        raise PydanticCustomError(SENTENCE, "The prompt is a text, or a list of token ids.")
    kind = "characters" if isinstance(value, str) else "tokens"
    if not value:
        raise PydanticCustomError(
            SENTENCE, "The prompt is empty: send some text, or some token ids."
        )
    if len(value) > LONGEST_PROMPT:
        raise PydanticCustomError(
            SENTENCE,
            "The prompt has {given} {kind}; at most {most} are taken.",
            {"given": f"{len(value):,}", "kind": kind, "most": f"{LONGEST_PROMPT:,}"},
        )
    if not isinstance(value, str) and not all(map(_is_id, value)):
        raise PydanticCustomError(SENTENCE, "The prompt's token ids are whole numbers from 0.")
    return whole(value) if isinstance(value, str) else tuple(value)


def _token(value: Any) -> Any:
    """A token by id or text; what is neither is refused in one sentence."""
    if isinstance(value, str):
        return whole(value)
    if value is None or _is_id(value):
        return value
    raise PydanticCustomError(
        SENTENCE, "A token is named by its text, or by its id, a whole number from 0."
    )


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_ID


Prompt = Annotated[
    str | tuple[int, ...],
    BeforeValidator(_prompt),
    Field(
        description="Text, or token ids. BOS is put first where the model has one, exactly once.",
        examples=["def __init__(self, host, port):\n    self.host ="],
    ),
]
TokenOf = Annotated[int | str | None, BeforeValidator(_token)]
FeatureIndex = Annotated[int, Field(ge=0, lt=2**31, examples=[1733])]
Position = Annotated[int, Field(ge=0, lt=2**31)]


class ActivationsQuestion(Question):
    """Which features fire on a prompt."""

    prompt: Prompt
    dictionaries: tuple[Name, ...] | None = Field(
        default=None,
        max_length=MOST_DICTIONARIES,
        description="Names; null: all that are harvested and read texts as the first one does, "
        "with BOS before them or without.",
        examples=[["mlp-4096"]],
    )


class AblationQuestion(Question):
    """What removing a feature does to each token of a prompt."""

    prompt: Prompt
    dictionary: Name = Field(examples=["mlp-4096"])
    feature: FeatureIndex


class PredictionQuestion(Question):
    """One prediction."""

    prompt: Prompt
    dictionary: Name = Field(examples=["mlp-4096"])
    position: Position | None = Field(
        default=None,
        description="Of the predicted token, from 1; null, or the number of tokens: the token "
        "after the prompt.",
    )
    target: TokenOf = Field(
        default=None,
        description="The predicted token, by its id or its text; null: the one that stands there, "
        "or the likeliest one after the prompt.",
        examples=[" host"],
    )


class AttributionQuestion(PredictionQuestion):
    """Which features are responsible for a prediction."""

    features: tuple[FeatureIndex, ...] | None = Field(
        default=None, description="Only these; null: every one that fires before the position."
    )


class TogetherQuestion(PredictionQuestion):
    """What ablating several features at once does to a prediction."""

    features: tuple[FeatureIndex, ...] = Field(min_length=1, examples=[[12, 1733]])


class OcclusionQuestion(Question):
    """Why a feature fires."""

    prompt: Prompt
    dictionary: Name = Field(examples=["mlp-4096"])
    feature: FeatureIndex
    position: Position | None = Field(
        default=None, description="Where its activation is read; null: where it is strongest."
    )
    replacement: TokenOf = Field(
        default=None,
        description="What is put in each token's place, by its id or its text; null: the token is "
        "left out.",
    )


class TokenName(Answer):
    """A token."""

    id: int = Field(examples=[297])
    text: str = Field(description="Bytes that are not UTF-8 as `\\xe2`.", examples=[" self"])


class Expected(TokenName):
    """A token that the model expects."""

    probability: float


class PromptToken(TokenName):
    """A token of the prompt."""

    loss: float | None = Field(description="Nats; null for the first, which nothing predicts.")
    expected: list[Expected] = Field(description="The likeliest tokens in its place.")


class ActiveFeature(Answer):
    """A feature that fires on a prompt."""

    index: int = Field(examples=[1733])
    label: str = Field(description="What it means, in words; empty: not said yet.")
    summary: str = Field(
        description="What it fires on and helps, in one line; empty where that is not known."
    )
    raised: list[str] = Field(description="The tokens whose logits it raises most.")
    activation: float = Field(description="Its largest activation on the prompt, model units.")
    total: float = Field(description="Sum of its activations.")
    position: int = Field(description="Of the largest.")
    share: float = Field(description="The largest as a share of that in the harvest.")
    density: float = Field(description="Share of the harvest's tokens on which it fires.")
    rarity: float = Field(description="share x -log10(density).")
    positions: list[int] = Field(description="Where it fires.")
    values: list[float] = Field(description="Its activations there, model units.")


class ActiveDictionary(Answer):
    """What of a dictionary fires on a prompt."""

    name: str
    hook_point: str
    output_hook_point: str
    checksum: str
    is_neurons: bool
    features: list[ActiveFeature] = Field(description="Largest activation first.")


class Activations(Answer):
    """A prompt, and all that fires on it. Special tokens (BOS) never count."""

    model: str
    model_checksum: str
    tokens: list[PromptToken]
    next: list[Expected] = Field(description="The likeliest tokens after the prompt.")
    dictionaries: list[ActiveDictionary]


class Ablation(Answer):
    """What removing a feature does to a prompt."""

    model: str
    dictionary: str
    feature: int
    label: str = Field(description="What the feature means, in words; empty: not said yet.")
    tokens: list[TokenName]
    effect: Effect


class TogetherAnswer(Answer):
    """What ablating features at once does to a prediction, beside what each does alone."""

    position: int
    target: TokenName
    features: list[int]
    labels: list[str] = Field(description="What each means, in words; empty: not said yet.")
    loss_change: float = Field(
        description="log p_clean - log p_ablated of the target, nats; positive: they helped."
    )
    singles: list[float] = Field(description="The same with each feature ablated alone.")


class MissingToken(TokenName):
    """A token of the prompt, and the feature's activation without it."""

    position: int
    activation: float | None = Field(description="null where nothing is left to read.")
    change: float | None = Field(description="From the whole prompt.")


class OcclusionAnswer(Answer):
    """Why a feature fires."""

    model: str
    dictionary: str
    feature: int
    label: str = Field(description="What the feature means, in words; empty: not said yet.")
    position: int = Field(description="Where its activation is read.")
    activation: float = Field(description="With nothing taken away.")
    replacement: TokenName | None = Field(
        description="What stands in each token's place; null: it is left out."
    )
    tokens: list[MissingToken]


class EstimatedEvent(LiveEvent):
    """First-order estimates of all features in question."""

    event: Literal["estimated"] = "estimated"
    position: int
    target: TokenName
    log_probability: float = Field(description="Of the target, undisturbed, nats.")
    features: list[int]
    loss_change: list[float] = Field(description="Nats; positive: the feature helps.")


class AttributedEvent(LiveEvent):
    """Exact changes of some of them, each feature ablated alone."""

    event: Literal["attributed"] = "attributed"
    features: list[int]
    loss_change: list[float] = Field(
        description="log p_clean - log p_ablated of the target, nats; positive: it helped."
    )


AttributionEvent = EstimatedEvent | AttributedEvent
AttributionAnswer = Annotated[
    EstimatedEvent | AttributedEvent | DoneEvent | FailedEvent, Field(discriminator="event")
]
