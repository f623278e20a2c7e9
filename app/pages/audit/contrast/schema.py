"""Contrasts of two sets of texts as JSON."""

from __future__ import annotations

from pydantic import Field

from app.web.schema import Answer, Printable


class ContrastTexts(Answer):
    """A set of texts."""

    name: str
    texts: list[str]
    groups: list[str] = Field(
        description="Of each text, such as its form or author; empty where none has one. Texts of "
        "one group are in one half."
    )


class ContrastFeatureAnswer(Answer):
    """A feature that tells the sets apart on the first half."""

    feature: int
    label: str
    rule: str = Field(description="When it fires, where a rule says so better than chance.")
    pooling: str = Field(description="Over a text's tokens: `max` or `mean`.")
    more: bool = Field(description="Whether it is larger on the first set.")
    area: float = Field(description="AUROC on the first half, for the set on which it is larger.")
    difference: float = Field(description="Of the sets' means in standard deviations, first half.")
    p: float = Field(description="Two-sided Mann-Whitney test on the first half.")
    q: float = Field(description="After Benjamini and Hochberg over all features and poolings.")
    held_out: float = Field(description="AUROC on the second half.")
    low: float = Field(description="Lower end of its 95 % interval.")
    high: float = Field(description="Upper end.")
    mean_first: float = Field(description="Mean over all texts of the first set, model units.")
    mean_second: float
    address: str = Field(description="Of its page; empty: the store has it no longer.")


class ContrastProbe(Answer):
    """A linear probe on the raw activation beside the best feature, on the second half."""

    area: float
    low: float
    high: float
    penalty: float
    ahead: float | None = Field(description="AUROC less that of the best feature.")
    ahead_low: float | None
    ahead_high: float | None


class ContrastAnswer(Answer):
    """A contrast with its texts and all its figures."""

    name: str = Field(description="In its address.", examples=["code-prose"])
    title: str
    model: Printable
    dictionary: Printable
    first: ContrastTexts
    second: ContrastTexts
    seed: int = Field(description="Of the halves.")
    halves: tuple[int, int] = Field(description="Texts of the first and of the second half.")
    tested: int = Field(description="Features that were tested, each by both poolings.")
    told: int = Field(description="Of these tests, those with q at most `wanted_q`.")
    wanted_q: float
    features: list[ContrastFeatureAnswer]
    probe: ContrastProbe
    created: float = Field(description="Seconds since 1970.")
    address: str = Field(description="Of its page.")


class ContrastSummary(Answer):
    """A contrast without its texts and figures."""

    name: str
    title: str
    model: Printable
    dictionary: Printable
    created: float = Field(description="Seconds since 1970.")
    address: str = Field(description="Of its page.")


class ContrastList(Answer):
    """All contrasts, the newest first."""

    contrasts: list[ContrastSummary]
