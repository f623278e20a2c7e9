"""Comparisons as JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.web.schema import Answer, Printable

Measure = Literal["correlation", "cosine"]
PairSort = Literal["value", "index"]
Shown = Literal["", "found", "lost", "paired"]


class Share(Answer):
    """A share of features with its 95 % interval."""

    share: float
    low: float
    high: float
    n: int = Field(description="Features that it is a share of.")


class MeasureAnswer(Answer):
    """How well one dictionary's features are found again in another, by one measure."""

    found: Share = Field(description="Whose best match is at least `bar`.")
    null_found: Share = Field(description="The same of matches with the null.")
    above_null: Share = Field(description="Whose best match is above `threshold`.")
    null_above: Share = Field(description="The same of a second null: what chance gives.")
    threshold: float = Field(description="The 99 % quantile of best matches with the null.")
    bar: float = Field(description="From here on a feature counts as found again.")
    median: float
    null_median: float
    low: float = Field(description="Where the first bucket begins; the last one ends at 1.")
    counts: list[int] = Field(description="Best matches in equal buckets.")
    null_counts: list[int] = Field(description="Those with the null, likewise.")


class PairAnswer(Answer):
    """What of one dictionary's features was found in another one."""

    source: int = Field(description="Place of the one in `dictionaries`.")
    target: int = Field(description="Place of the other.")
    by_correlation: MeasureAnswer | None = Field(description="Null: no feature could be judged.")
    by_cosine: MeasureAnswer | None = Field(
        description="Null: decoder rows of the two mean different coordinates."
    )
    assigned: bool = Field(
        description="Whether pairs one to one are those with the largest sum of correlations; else "
        "they are each other's best match."
    )


class ComparedAnswer(Answer):
    """A dictionary of a comparison, as it was then."""

    model: Printable
    dictionary: Printable
    checksum: str
    model_checksum: str
    hook_point: Printable
    architecture: Printable
    d_sae: int
    is_neurons: bool
    silent: int = Field(description="Features that never fired on the text.")
    rare: int = Field(description="Features that fired too seldom to be judged.")
    state: str = Field(description="What has become of it since; empty: it is as it was.")


class ComparisonSummary(Answer):
    """A comparison, without its pairs."""

    name: str = Field(description="In its address.", examples=["seeds and sizes"])
    corpus: Printable
    fingerprint: str
    n_tokens: int
    n_documents: int
    seed: int
    dictionaries: list[ComparedAnswer]


class ComparisonAnswer(ComparisonSummary):
    """A comparison, with the figures of all its pairs."""

    pairs: list[PairAnswer]


class ComparisonList(Answer):
    """All comparisons."""

    comparisons: list[ComparisonSummary]


class FeatureMatch(Answer):
    """A feature and its match."""

    index: int
    label: Printable
    match: int = Field(description="The other dictionary's feature.")
    match_label: Printable
    value: float = Field(description="How alike they are.")
    found: bool = Field(description="Whether that counts as found again.")
    mutual: bool = Field(description="Whether each is the other's best match.")
    paired: bool = Field(description="Whether they are a pair one to one.")


class PairPageAnswer(PairAnswer):
    """One page of the features of a pair."""

    total: int
    page: int
    pages: int
    features: list[FeatureMatch]


class SplitAnswer(Answer):
    """A feature in a tree."""

    dictionary: Printable
    index: int
    label: Printable
    value: float | None = Field(description="How alike it is to its parent; null for the root.")
    children: list[SplitAnswer]
    more: int = Field(description="Children that are left out.")


class TwinAnswer(Answer):
    """The feature of another dictionary that is most like a given one."""

    comparison: str
    model: Printable
    dictionary: Printable
    index: int | None = Field(description="Null: the feature cannot be judged.")
    label: Printable
    by: str = Field(description="`correlation`, or `cosine` where there is no correlation.")
    value: float
    cosine: float | None = Field(description="Of their decoder rows; null: another is nearer.")
    found: bool = Field(description="Whether it counts as found again.")
    mutual: bool = Field(description="Whether each is the other's best match.")
    state: str = Field(description="What has become of its dictionary since; empty: nothing.")


class Twins(Answer):
    """The twins of a feature, those found again first."""

    twins: list[TwinAnswer]
