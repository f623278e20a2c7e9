"""A search as JSON: hits by kind."""

from __future__ import annotations

from pydantic import Field

from app.web.schema import Answer
from app.web.search.results import SearchHit, SearchKind, SearchResults


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

    @classmethod
    def of(cls, hit: SearchHit) -> SearchHitAnswer:
        """A hit as JSON."""
        return cls(
            model=hit.dictionary.model,
            dictionary=hit.dictionary.name,
            index=hit.row.index,
            address=hit.address,
            label=hit.row.label,
            summary=hit.summary.text,
            reason=hit.reason.text,
            html=str(hit.reason.html),
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

    @classmethod
    def of(cls, results: SearchResults) -> SearchAnswer:
        """Results as JSON."""
        return cls(
            groups=[
                SearchGroupAnswer(
                    kind=group.kind,
                    title=group.title,
                    hits=[SearchHitAnswer.of(hit) for hit in group.hits],
                    more=group.more,
                    note=group.note,
                )
                for group in results.groups
            ],
            note=results.note,
        )
