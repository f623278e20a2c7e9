"""A map as JSON: how it was made, where its bytes are, and the features of a part of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.web.schema import Answer, Printable

Colour = Literal["density", "score", "head"]


class MapColour(Answer):
    """What colours can stand for."""

    name: str = Field(examples=["density"])
    title: str
    low: str = Field(description="What level 1 means.")
    high: str = Field(description="What level 254 means.")
    none: str = Field(description="What level 0 means.")
    kinds: int = Field(description="How many kinds there are, from level 1; 0: it is a scale.")
    address: str = Field(description="Of its levels: a byte for each feature.")


class MapFeature(Answer):
    """A feature on the map."""

    index: int
    x: float = Field(description="From 0 to 1, to the right.")
    y: float = Field(description="From 0 to 1, downwards.")
    label: Printable
    summary: str = Field(description="It in one line; empty where nothing is known of it.")


class MapAnswer(Answer):
    """A dictionary's map, and one page of the features that its address asks for."""

    model: str
    dictionary: str
    checksum: str = Field(description="Of the weights that were laid out.")
    digest: str = Field(description="SHA-256 of the map.")
    parameters: dict[str, Any] = Field(description="How it was made.")
    n_features: int = Field(description="Of the dictionary, those without a place included.")
    placed: int = Field(description="Features with a place; the others have no direction.")
    points: str = Field(
        description="Address of the places: x and y of each feature, 16 bits each, the lower byte "
        "first, from 0 to 65534; 65535 where it has none."
    )
    colours: list[MapColour]
    heading: str = Field(description="What is listed.", examples=["37 features inside the lasso"])
    note: str = Field(description="What a reader of it has to know; mostly empty.")
    total: int
    page: int
    pages: int
    features: list[MapFeature]


class MapHitsAnswer(Answer):
    """The features that fit a search."""

    features: list[int] = Field(description="Those with a place, the best first.")
    note: str = Field(description="Such as that more fit; mostly empty.")
