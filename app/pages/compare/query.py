"""What the addresses of a pair may ask for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Depends, Query

from app.pages.compare.schema import Measure, PairSort, Shown

PER_PAGE = 50


@dataclass(frozen=True)
class PairQuery:
    """One page of the features of a pair.

    Attributes:
        by: by which measure features are matched.
        sort: by how alike they are, or by number.
        descending: whether the largest comes first.
        shown: all that have a match; only those found again; only those not; only pairs one to one.
        page: from 1.
    """

    by: Measure
    sort: PairSort = "value"
    descending: bool = True
    shown: Shown = ""
    page: int = 1

    def address_of(self, **changes: object) -> dict[str, object]:
        """The query of an address that asks for this with some changes; usual values left out."""
        asked = replace(self, **{"page": 1, **changes})  # type: ignore[arg-type]
        natural = asked.sort == "value"
        return {
            "by": "" if asked.by == "correlation" else asked.by,
            "sort": "" if asked.sort == "value" else asked.sort,
            "order": "" if asked.descending == natural else "desc" if asked.descending else "asc",
            "show": asked.shown,
            "page": "" if asked.page == 1 else asked.page,
        }


async def _pair_query(
    by: Annotated[Measure, Query(description="What features are matched by.")] = "correlation",
    sort: Annotated[PairSort, Query(description="What to order by.")] = "value",
    order: Annotated[
        Literal["", "asc", "desc"],
        Query(description="Direction; empty: the most alike first, numbers upwards."),
    ] = "",
    show: Annotated[
        Shown,
        Query(
            description="found: features found again; lost: those that are not; paired: one to "
            "one; empty: all that have a match."
        ),
    ] = "",
    page: Annotated[int, Query(ge=1, le=10_000_000, description="Page, from 1.")] = 1,
) -> PairQuery:
    descending = order == "desc" or (order == "" and sort == "value")
    return PairQuery(by, sort, descending, show, page)


ThePair = Annotated[PairQuery, Depends(_pair_query)]
