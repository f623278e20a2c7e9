"""A search as JSON: hits by kind."""

from __future__ import annotations

from pydantic import Field

from app.web.schema import Answer
from app.web.search.kinds import SearchKind


class SearchHitAnswer(Answer):
    """A feature that fits."""

    model: str = Field(examples=["demo"])
    dictionary: str = Field(examples=["mlp-4096"])
    index: int = Field(examples=[1733])
    address: str = Field(description="Of its page.", examples=["/d/demo/mlp-4096/1733"])
    label: str = Field(description="Its best label; empty: it has none.")
    summary: str = Field(description="It in one line, from counts alone; empty: not known.")
    reason: str = Field(description="Why it fits.")
    html: str = Field(description="The same as HTML, with what fits in <mark>.")


class ExampleHitAnswer(Answer):
    """A feature that tells the texts apart."""

    index: int
    address: str
    label: str = Field(description="Its best label; empty: it has none.")
    summary: str = Field(description="It in one line, from counts alone; empty: not known.")
    chosen: float = Field(description="AUROC on the half of the texts that chose it.")
    held_out: float = Field(description="AUROC on the other half.")
    p_value: float = Field(description="Of the held-out half, one-sided Mann-Whitney.")
    corrected: float = Field(description="The same after Benjamini and Hochberg.")
    mean_on: float = Field(description="Mean largest activation where it must fire, model units.")
    mean_off: float = Field(description="And where it must not.")


class ExampleAnswer(Answer):
    """What a search by example gives."""

    model: str
    dictionary: str
    features: list[ExampleHitAnswer]
    fired: int = Field(description="Features that fire on any of the texts.")
    least_p: float = Field(description="The smallest p-value that so many texts can have.")


class MeaningHitAnswer(Answer):
    """A feature of which something similar is said."""

    index: int
    address: str
    label: str = Field(description="Its best label; empty: it has none.")
    text: str = Field(description="What is similar: its label, its rule, or its summary.")
    cosine: float = Field(description="Of that text with the question.")


class MeaningAnswer(Answer):
    """What a search by meaning gives, the most similar first."""

    dictionary: str = Field(description="`model/dictionary` that was searched; empty: none.")
    features: list[MeaningHitAnswer]
    note: str = Field(description="Why there is nothing; empty where there is something.")


class SearchGroupAnswer(Answer):
    """The hits of one kind, the best first."""

    kind: SearchKind
    title: str
    hits: list[SearchHitAnswer]
    more: bool = Field(description="Whether others fit: ask for this kind alone.")
    note: str = Field(description="What has to be known of this kind; mostly empty.")


class SearchAnswer(Answer):
    """What a search gives."""

    groups: list[SearchGroupAnswer]
    note: str = Field(description="Why there is nothing; empty where there is something.")
