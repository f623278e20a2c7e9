"""The addresses around a feature table: other orders, other pages, other filters."""

from __future__ import annotations

from app.rendering.addresses import dictionary_address
from app.store.types.catalogue import FeatureTable
from app.store.types.queries import FeatureQuery, Sort

_NATURAL: dict[Sort, str] = {
    "index": "asc",
    "density": "desc",
    "maximum": "desc",
    "effect": "desc",
    "rule": "desc",
    "found": "desc",
    "label": "asc",
}
_NEIGHBOURS = 2


def _ordered(sort: Sort, order: str) -> dict[str, str]:
    """Key and direction as an address has them: empty where they are the usual ones."""
    return {
        "sort": "" if sort == "index" else sort,
        "order": "" if order == _NATURAL[sort] else order,
    }


class TableLinks:
    """Addresses that change one thing about the table that is shown and keep the rest."""

    def __init__(self, query: FeatureQuery, table: FeatureTable) -> None:
        self._dictionary = table.dictionary
        self._query = query
        self._table = table

    @property
    def order(self) -> str:
        """The present direction."""
        return "desc" if self._query.descending else "asc"

    @property
    def alive(self) -> str:
        """The present filter, as the address has it."""
        return {None: "", True: "1", False: "0"}[self._query.alive]

    @property
    def typed(self) -> str:
        """The token that features are to fire on, as it was typed; empty: any."""
        return self._query.fires_on.typed if self._query.fires_on else ""

    @property
    def whole(self) -> bool:
        """Whether the token must be just what was typed."""
        return self._query.fires_on is not None and self._query.fires_on.whole

    @property
    def kept(self) -> dict[str, str]:
        """What the filter's form keeps of the address: the order, where it is not the usual one."""
        return {
            name: value for name, value in _ordered(self._query.sort, self.order).items() if value
        }

    def _to(self, sort: Sort, order: str, page: int = 1) -> str:
        return dictionary_address(
            self._dictionary.model,
            self._dictionary.name,
            **_ordered(sort, order),
            alive=self.alive,
            q=self._query.search,
            on=self.typed,
            whole="1" if self.whole else "",
            above="1" if self._query.above_null else "",
            found=self._query.found or "",
            page="" if page == 1 else page,
        )

    def sort(self, sort: Sort) -> str:
        """By another key in its natural direction; by the present one the other way round."""
        if sort != self._query.sort:
            return self._to(sort, _NATURAL[sort])
        return self._to(sort, "asc" if self._query.descending else "desc")

    def sorted(self, sort: Sort) -> str:
        """The value of aria-sort for a column."""
        if sort != self._query.sort:
            return "none"
        return "descending" if self._query.descending else "ascending"

    def page(self, page: int) -> str:
        """Another page of the same rows."""
        return self._to(self._query.sort, self.order, page)

    @property
    def pages(self) -> list[int | None]:
        """Page numbers worth a link: the ends and the surroundings; None is a gap."""
        here, last = self._table.page, self._table.pages
        near = range(here - _NEIGHBOURS, here + _NEIGHBOURS + 1)
        shown = sorted({1, last, *near} & set(range(1, last + 1)))
        pages: list[int | None] = []
        for previous, page in zip([0, *shown], shown, strict=False):
            if page == previous + 2:
                pages.append(page - 1)
            elif page > previous + 2:
                pages.append(None)
            pages.append(page)
        return pages
