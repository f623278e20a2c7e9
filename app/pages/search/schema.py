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
    note: str = Field(description="Why there can be nothing; empty: there is, or nothing is asked.")
    stale: bool = Field(
        description="Whether the texts were said of an earlier harvest: embed it again."
    )


class PhrasePlaceAnswer(Answer):
    """One place where the phrase stands and the feature fires."""

    document: str
    line: int = Field(description="Of the document, from 1.")
    before: str = Field(description="Text before it.")
    phrase: str
    after: str = Field(description="Text behind it.")
    fires_on: list[int] = Field(description="Which of the phrase's tokens there, from 0.")


class PhraseHitAnswer(Answer):
    """A feature that fires where the phrase stands."""

    index: int
    address: str
    label: str = Field(description="Its best label; empty: it has none.")
    summary: str = Field(description="It in one line, from counts alone; empty: not known.")
    score: float = Field(description="Harmonic mean of precision and recall.")
    precision: float = Field(description="Share of its firings that lie in the phrase.")
    recall: float = Field(description="Share of the phrase's places in which it fires.")
    recall_interval: tuple[float, float] | None = Field(
        description="95 %, over documents; null: there are too few."
    )
    lift: float = Field(description="Of its rate on the phrase's tokens over that on all.")
    p_value: float = Field(description="One-sided, hypergeometric; smallest: 1e-300.")
    corrected: float = Field(description="The same after Bonferroni, for all that fire.")
    inside: int = Field(description="Its firings in the places that were read.")
    firings: int = Field(description="Its firings in the text that was searched.")
    hits: int = Field(description="Places with a firing, of those that were read.")
    documents: int = Field(description="That these lie in.")
    places: list[float] = Field(
        description="Share of the places in which it fires on the first token of the commonest "
        "reading, on the second, …"
    )
    example: PhrasePlaceAnswer


class PhraseReadingAnswer(Answer):
    """How the tokenizer cut the phrase."""

    tokens: list[str]
    count: int = Field(description="Places that are cut so.")


class PhraseAnswer(Answer):
    """What a search by phrase gives, the most specific feature first."""

    dictionary: str = Field(description="`model/dictionary` that was searched.")
    n_tokens: int = Field(description="Of the text that was searched.")
    bytes_a_token: float = Field(description="That the store keeps for it.")
    places: int = Field(description="Where the phrase stands.")
    read: int = Field(description="Of these, places whose firings were read.")
    documents: int = Field(description="That the read ones lie in.")
    readings: list[PhraseReadingAnswer] = Field(description="The commonest first, three at most.")
    features: list[PhraseHitAnswer]
    nearest: str = Field(
        description="Where the phrase stands nowhere, the longest beginning of it that does."
    )


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
