"""What may be asked of steering, by the page, by programs and by presets alike."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from app.web.schema import LONGEST_PROMPT, SENTENCE, Name, Question, whole
from app.worker.protocol.requests import (
    MOST_DOSE_TOKENS,
    MOST_EDITS,
    MOST_STRENGTHS,
    MOST_TOKENS,
    MOST_WATCHED,
    SWEPT,
    Push,
    SteerMode,
    SteerScope,
    Strength,
    Temperature,
    TopP,
)

DictionaryName = Annotated[Name, Field(examples=["mlp-4096"])]


class Edit(Question, Push[DictionaryName]):
    """One feature that is pushed, and how far."""

    on: bool = Field(default=True, strict=True, description="Off: kept, but not applied.")


class Decoding(Question):
    """Where edits apply, how many tokens are generated, and how they are drawn."""

    scope: SteerScope = Field(
        default=SteerScope.ALL,
        description="`all`: edits apply to the prompt and what is generated; `generated`: only "
        "from the prompt's last token on, which predicts the first generated one.",
    )
    n_tokens: int = Field(default=40, ge=1, le=MOST_TOKENS, description="Tokens to generate.")
    temperature: Temperature = Field(default=1.0, description="0: always the likeliest token.")
    top_p: TopP = 1.0
    top_k: int = Field(default=0, ge=0, lt=2**31, description="0: no bound.")
    seed: int = Field(
        default=0, ge=0, lt=2**53, description="The same seed draws alike for both texts."
    )


class Continuation(Decoding):
    """How a prompt is continued."""

    prompt: str = Field(default="", description="Text; BOS is put first where the model has one.")

    @field_validator("prompt")
    @classmethod
    def _whole(cls, prompt: str) -> str:
        return whole(prompt)

    @field_validator("prompt")
    @classmethod
    def _short_enough(cls, prompt: str) -> str:
        if len(prompt) > LONGEST_PROMPT:
            raise PydanticCustomError(
                SENTENCE,
                "The prompt has {given} characters; at most {most} are taken.",
                {"given": f"{len(prompt):,}", "most": f"{LONGEST_PROMPT:,}"},
            )
        return prompt


class ContinuationSettings(TypedDict, total=False):
    """The same as keyword arguments."""

    scope: SteerScope | Literal["all", "generated"]
    n_tokens: int
    temperature: float
    top_p: float
    top_k: int
    seed: int


class Steered(Decoding):
    """The same with features that are pushed."""

    edits: tuple[Edit, ...] = Field(default=(), description=f"At most {MOST_EDITS}.")
    traits: str | None = Field(
        default="",
        description="Name of the dictionary whose features are listed for each token; empty: that "
        "of the first edit, else the model's first; null: no traits.",
    )

    @field_validator("edits")
    @classmethod
    def _few_enough(cls, edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
        if len(edits) > MOST_EDITS:
            raise PydanticCustomError(
                SENTENCE,
                "At most {most} features are steered at once; these are {given}.",
                {"most": MOST_EDITS, "given": len(edits)},
            )
        return edits


class SteerQuestion(Continuation, Steered):
    """Continue a prompt twice, unsteered and steered."""


class DoseQuestion(Continuation):
    """Push one feature by one strength after another."""

    dictionary: DictionaryName
    feature: int = Field(ge=0, lt=2**63, examples=[1733])
    mode: SteerMode = SteerMode.ADD
    n_tokens: int = Field(
        default=40, ge=1, le=MOST_DOSE_TOKENS, description="Tokens of each continuation."
    )
    strengths: tuple[Strength, ...] = Field(
        default=SWEPT,
        min_length=1,
        max_length=MOST_STRENGTHS,
        description="In multiples of the feature's largest activation in the harvest.",
    )
    watched: int = Field(
        default=3,
        ge=0,
        le=MOST_WATCHED,
        description="How many of its strongest logit tokens are followed.",
    )
