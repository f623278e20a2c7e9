"""What may be asked of a graph, by the form, by addresses and by programs alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from app.errors import InvalidRequest
from app.web.schema import LONGEST_PROMPT, Name, Question, whole
from app.worker.protocol.requests import MOST_NODES, MOST_PLACES, MOST_TARGETS

NEURONS = "neurons"
"""What the form calls the neurons of all layers without a chosen dictionary."""
MOST_MEMORY = 1024  # GiB
USUAL_NODES = 1500
USUAL_MEMORY = 4.0


class FeatureTarget(Question):
    """A feature at one position, whose causes are asked for."""

    dictionary: Name
    feature: int = Field(ge=0, lt=2**63)
    position: int = Field(ge=0, lt=2**31, description="Of a token of the prompt, BOS included.")


class GraphQuestion(Question):
    """A graph to be computed."""

    prompt: str = Field(
        max_length=LONGEST_PROMPT,
        description="Text; what is explained is the prediction after it.",
        examples=["def f(self, x):\n    return"],
    )
    targets: tuple[str | int, ...] = Field(
        default=(),
        max_length=MOST_TARGETS,
        description="Tokens by id or text; none, and no features: the likeliest ones.",
    )
    features: tuple[FeatureTarget, ...] = Field(default=(), max_length=MOST_TARGETS)
    dictionaries: tuple[Name, ...] | None = Field(
        default=None,
        max_length=MOST_PLACES,
        description="Null: the model's transcoders, or, where it has none, no dictionary.",
    )
    neurons: bool | None = Field(
        default=None,
        description="Whether the neurons are nodes in layers that no dictionary reads; null: where "
        "there is no dictionary at all.",
    )
    max_nodes: int = Field(
        default=USUAL_NODES, ge=1, le=MOST_NODES, description="Features kept, the strongest first."
    )
    memory: Annotated[float, Field(gt=0, le=MOST_MEMORY, allow_inf_nan=False)] = Field(
        default=USUAL_MEMORY, description="GiB that the work may take besides the weights."
    )

    @field_validator("prompt")
    @classmethod
    def _whole(cls, prompt: str) -> str:
        return whole(prompt)


def submitted(fields: Iterable[tuple[str, str]]) -> GraphQuestion:
    """What a form or an address asks for.

    Raises:
        InvalidRequest: a value makes no sense; the sentence names it.
    """
    values = list(fields)
    single: Mapping[str, str] = dict(values)
    every: dict[str, list[str]] = {}
    for name, value in values:
        every.setdefault(name, []).append(value)
    chosen = [name for name in every.get("d", []) if name != NEURONS]
    asked = "d" in every
    try:
        return GraphQuestion(
            prompt=single.get("text", "").replace("\r\n", "\n"),
            targets=tuple(text for text in every.get("target", []) if text),
            features=tuple(map(_feature, filter(None, every.get("feature", [])))),
            dictionaries=tuple(chosen) if asked else None,
            neurons=NEURONS in every["d"] if asked else None,
            max_nodes=_whole(single.get("nodes", ""), USUAL_NODES, "nodes"),
            memory=_decimal(single.get("memory", ""), USUAL_MEMORY, "memory"),
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else ""
        raise InvalidRequest(f"{field or 'That'} cannot be used: {first['msg']}.", field) from None


def _feature(text: str) -> FeatureTarget:
    """A feature as addresses name it: `dictionary:index@position`."""
    name, _, position = text.rpartition("@")
    dictionary, _, index = name.rpartition(":")
    if not (dictionary and index.isdecimal() and position.isdecimal() and len(text) < 500):
        raise InvalidRequest(
            f"{text[:60]!r} names no feature at a token: write dictionary:index@position.",
            "features",
        )
    return FeatureTarget(dictionary=dictionary, feature=int(index[:18]), position=int(position[:9]))


def _whole(text: str, usual: int, field: str) -> int:
    text = text.strip().replace(",", "")
    if not text:
        return usual
    if not (text.isdecimal() and len(text) < 10):
        raise InvalidRequest(f"{text[:40]!r} is no whole number.", field)
    return int(text)


def _decimal(text: str, usual: float, field: str) -> float:
    try:
        return float(text) if text.strip() else usual
    except ValueError:
        raise InvalidRequest(f"{text[:40]!r} is no number.", field) from None
