"""What a search asks for, as its address says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Query

from app.errors import InvalidRequest, NotFound
from app.rendering.addresses import search_address
from app.store.types.catalogue import DictionaryView
from app.web.search.finding import EVERY
from app.web.search.kinds import TITLES, SearchKind
from app.web.search.results import SearchResults
from app.web.site import Site, TheSite

PER_KIND = 8
OF_ONE_KIND = 50


@dataclass(frozen=True)
class SearchQuery:
    """A search.

    Attributes:
        typed: any text.
        scope: the dictionaries that are searched.
        chosen: the one of them that was asked for; None: all of the store.
        kind: the only kind of hits that is shown; None: all.
    """

    typed: str
    scope: Sequence[DictionaryView]
    chosen: DictionaryView | None
    kind: SearchKind | None

    @property
    def of(self) -> str:
        """The dictionary as addresses name it; empty: all."""
        return self.chosen.title if self.chosen else ""

    def address(self, kind: SearchKind | str | None = "", of: str | None = None) -> str:
        """Of the same search with another kind or other dictionaries; as they are: not given."""
        wanted = self.kind if kind == "" else kind
        return search_address(self.typed, self.of if of is None else of, str(wanted or ""))

    def other(self, by: str) -> str:
        """The address of the search for the same by meaning, or by phrase; empty: by words."""
        return search_address(self.typed, self.of, by=by)

    def results(self, site: Site, most: int = PER_KIND) -> SearchResults:
        """What fits; of one kind alone, more of it.

        Raises:
            InvalidRequest: the text is too long.
        """
        kinds = EVERY if self.kind is None else (self.kind,)
        most = most if self.kind is None else OF_ONE_KIND
        return site.search.search(site.store, site.typesets, self.scope, self.typed, kinds, most)


TABS = tuple((kind, TITLES[kind]) for kind in SearchKind if kind is not SearchKind.NUMBER)


def _search_query(
    site: TheSite,
    q: Annotated[str, Query(description="Number, words or token.")] = "",
    d: Annotated[
        str, Query(description="`model/dictionary` that is searched; empty: all of them.")
    ] = "",
    k: Annotated[
        Literal["", "number", "labels", "rules", "on", "raises"],
        Query(description="The only kind of hits, 50 at the most; empty: 8 of each kind."),
    ] = "",
) -> SearchQuery:
    catalogue = site.store.catalogue()
    chosen = _named(catalogue, d) if d else None
    scope = catalogue if chosen is None else [chosen]
    return SearchQuery(q, scope, chosen, SearchKind(k) if k else None)


def _named(catalogue: Sequence[DictionaryView], title: str) -> DictionaryView:
    for view in catalogue:
        if view.title == title:
            return view
    if not catalogue:
        raise InvalidRequest("There is nothing to search yet: harvest a dictionary first.", "d")
    known = ", ".join(view.title for view in catalogue[:8])
    raise NotFound(f"There is no dictionary {title!r:.80}; there are {known}.")


TheSearch = Annotated[SearchQuery, Depends(_search_query)]
