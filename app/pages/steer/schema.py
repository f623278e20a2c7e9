"""What the JSON interface answers about steering: events of streams, and presets."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from app.pages.steer.questions import SteerQuestion
from app.web.live.events import DoneEvent, FailedEvent, LiveEvent
from app.web.schema import Answer, whole
from app.worker.protocol.events import Pane


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


Finite = Annotated[float | None, BeforeValidator(_finite)]
"""A figure that is null where the model has been driven out of its numbers."""


class NamedFeature(Answer):
    """What to call a feature."""

    index: int = Field(examples=[1733])
    label: str = Field(description="Empty: not said yet.")
    raised: list[str] = Field(
        description="Its strongest logit tokens, with everything in them visible.",
        examples=[["␣self", "."]],
    )
    maximum: float = Field(description="Largest activation in the harvest.", examples=[7.42])


class BeganEvent(LiveEvent):
    """The prompt was read."""

    event: Literal["began"] = "began"
    tokens: list[int] = Field(description="BOS first where the model has one.")
    text: list[str] = Field(description="Their texts.")


class TokenEvent(LiveEvent):
    """One more token of one text."""

    event: Literal["token"] = "token"
    pane: Pane
    step: int = Field(description="From 0.")
    token: int
    probability: float = Field(description="Under the model that drew it, before temperature.")
    text: str = Field(description="The characters that are complete with this token.")
    shown: str | None = Field(
        default=None, description="`text` with everything visible; null: the same."
    )
    end: bool = Field(default=False, description="Whether the text ends here.")


class TraitsEvent(LiveEvent):
    """The tokens of one text in numbers; columns with an entry for each token."""

    event: Literal["traits"] = "traits"
    pane: Pane
    dictionary: str
    perplexity: Finite = Field(description="Of the text under the unsteered model.")
    unsteered: list[float] = Field(description="Probability under the unsteered model.")
    steered: list[float] = Field(description="Probability under the steered model.")
    features: list[list[int]] = Field(description="Most active on each token, strongest first.")
    activations: list[list[float]] = Field(description="Theirs, edits included, model units.")
    names: list[NamedFeature] = Field(description="Of every feature that occurs.")


class Change(Answer):
    """A feature whose activation differs between the texts."""

    feature: NamedFeature
    unsteered: float = Field(description="Mean activation over the unsteered text.")
    steered: float = Field(description="Mean activation over the steered text.")


class SideEffectsEvent(LiveEvent):
    """What else changed, the most first."""

    event: Literal["side_effects"] = "side_effects"
    dictionary: str
    features: list[Change]
    reads: list[Finite] = Field(
        description="For each edit, the mean activation that its feature reads in the steered "
        "text; null where it is off."
    )


class DoseBaseEvent(LiveEvent):
    """The unsteered model on the same prompt."""

    event: Literal["dose_base"] = "dose_base"
    maximum: float = Field(description="Of the feature, which strengths are multiples of.")
    perplexity: Finite = Field(description="Of its own continuation.")
    activation: float = Field(description="Mean activation of the feature over the prompt.")
    watched: list[str] = Field(description="The tokens that are followed, everything visible.")
    probabilities: list[float] = Field(description="Theirs after the prompt.")
    distinct: Finite = Field(
        description="Distinct triples of tokens in its continuation, of all triples."
    )


class DosePointEvent(LiveEvent):
    """One strength. Where it drives the model out of its numbers, every figure is null."""

    event: Literal["dose"] = "dose"
    strength: float
    kl: Finite = Field(
        description="KL(steered ‖ unsteered) of the next token, mean over the prompt, nats."
    )
    perplexity: Finite = Field(description="Of the steered continuation under the unsteered model.")
    activation: Finite = Field(description="Mean activation that the feature reads back.")
    probabilities: list[Finite] = Field(description="Of the tokens that are followed.")
    distinct: Finite = Field(
        description="Distinct triples of tokens in the continuation, of all triples. A text that "
        "repeats itself has few, however low its perplexity."
    )
    text: str = Field(description="The continuation, up to where it has no numbers any more.")
    shown: str = Field(description="The same with everything visible, white space as signs.")


class WaitEvent(LiveEvent):
    """How far the request is."""

    event: Literal["progress"] = "progress"
    done: int
    total: int


SteerEvent = BeganEvent | TokenEvent | TraitsEvent | SideEffectsEvent | WaitEvent
DoseEvent = DoseBaseEvent | DosePointEvent | WaitEvent
SteerAnswer = Annotated[SteerEvent | FailedEvent | DoneEvent, Field(discriminator="event")]
DoseAnswer = Annotated[DoseEvent | FailedEvent | DoneEvent, Field(discriminator="event")]


class PresetQuestion(Answer):
    """A setting to be kept under a name."""

    name: Annotated[str, AfterValidator(whole)] = Field(examples=["more docstrings"])
    settings: SteerQuestion
    replace: bool = Field(
        default=False,
        strict=True,
        description="Whether another preset of the same name gives way to it.",
    )


class Preset(Answer):
    """A named setting."""

    name: str
    settings: SteerQuestion
    address: str = Field(description="Of the page that restores it.")


class Presets(Answer):
    """The presets of a model, by name."""

    presets: list[Preset]
