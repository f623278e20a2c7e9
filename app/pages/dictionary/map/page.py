"""The map's page: what can be drawn, and the features that are listed beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest, NotFound
from app.pages.dictionary.map.colours import FeatureColours, column, columns_of
from app.pages.dictionary.map.query import Corners, MapQuery, Square
from app.pages.dictionary.map.schema import Colour
from app.rendering.addresses import dictionary_address
from app.rendering.numbers import count
from app.rendering.templates import noun
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.store.types.maps import GRID, FeatureMap, MapRecord
from app.store.written.lists import MOST_ITEMS
from app.web.search.finding import MOST_HITS
from app.web.site import Site

PER_PAGE = 25


@dataclass(frozen=True)
class MapLine:
    """A feature in the table.

    Attributes:
        index: its number.
        x: its place, in shares of the map's width.
        y: likewise, downwards.
        row: what tables show of it; None: nothing is published of it.
    """

    index: int
    x: float
    y: float
    row: FeatureRow | None


@dataclass(frozen=True)
class MapHits:
    """What a search finds on the map.

    Attributes:
        features: the best first, a number first of all.
        note: what a reader has to know, in a sentence; mostly empty.
    """

    features: tuple[int, ...] = ()
    note: str = ""


class MapPage:
    """A state of a dictionary's map.

    Args:
        site: where everything is read.
        dictionary: whose features are drawn.
        query: what is asked for.

    Attributes:
        problem: why what is asked for cannot be listed; empty: it is.
    """

    most_items = MOST_ITEMS

    def __init__(self, site: Site, dictionary: DictionaryView, query: MapQuery) -> None:
        self._site = site
        self.dictionary = dictionary
        self.query = query
        self.drawn = site.store.maps.of(dictionary)
        self.problem = ""
        self._columns: dict[Colour, FeatureColours | None] = {}

    @cached_property
    def about(self) -> MapRecord | None:
        """What is known of the map, which may be of weights that are no longer shown."""
        if self.drawn is not None:
            return self.drawn.record
        return self._site.store.maps.record(self.dictionary)

    @property
    def command(self) -> str:
        """What makes the map."""
        title = self.dictionary.title
        return f"featurescope map {title}" if " " not in title else f'featurescope map "{title}"'

    @property
    def impossible(self) -> str:
        """Why there can be no map; empty: there can."""
        if self.dictionary.is_imported:
            return "It was imported without its weights: there are no directions to lay out."
        if self.dictionary.is_neurons:
            return "Neurons are orthogonal to each other: a map of them would show nothing."
        return ""

    @cached_property
    def map(self) -> FeatureMap:
        """The map.

        Raises:
            NotFound: there is none of these weights.
        """
        if self.drawn is None:
            raise NotFound(
                f"There is no map of {self.dictionary.title}"
                + (" as it is now" if self.about else "")
                + f". {self.impossible or 'This makes it: ' + self.command}"
            )
        return self.drawn

    @cached_property
    def columns(self) -> list[FeatureColours]:
        """The colours that there are, with what they stand for."""
        every = map(self._column, columns_of(self.dictionary, self.map))
        return [made for made in every if made is not None]

    @cached_property
    def colour(self) -> FeatureColours | None:
        """The chosen one, or the first; None: there is none."""
        names = columns_of(self.dictionary, self.map)
        wanted = sorted(names, key=lambda name: name != self.query.colour)
        return next((made for made in map(self._column, wanted) if made is not None), None)

    def _column(self, name: Colour) -> FeatureColours | None:
        if name not in self._columns:
            self._columns[name] = column(self._site, self.dictionary, self.map, name)
        return self._columns[name]

    @cached_property
    def hits(self) -> MapHits | None:
        """What fits the search; None: nothing is searched."""
        return self._hits() if self.query.typed else None

    def _hits(self) -> MapHits:
        try:
            results = self._site.search.search(
                self._site.store,
                self._site.typesets,
                [self.dictionary],
                self.query.typed,
                most=MOST_HITS,
            )
        except InvalidRequest as error:
            return MapHits(note=str(error))
        indices = dict.fromkeys(hit.row.index for group in results.groups for hit in group.hits)
        placed = self.map.placed
        more = any(group.more for group in results.groups)
        note = f"More fit: the best {MOST_HITS} of each kind are shown." if more else results.note
        return MapHits(tuple(index for index in indices if placed[index]), note)

    @cached_property
    def shown(self) -> NDArray[np.bool_]:
        """Whether each feature is drawn, bool [d_sae]."""
        shown = self.map.placed.copy()
        if self.query.alive and self.dictionary.harvest is not None:
            shown &= self._site.store.maps.firings(self.dictionary) > 0
        return shown

    @cached_property
    def places(self) -> NDArray[np.float64]:
        """In shares of the map's width, [d_sae, 2]."""
        return self.map.places / GRID

    @cached_property
    def listed(self) -> NDArray[np.int64]:
        """The features of the table, in order."""
        query, inside = self.query, self.shown.copy()
        if query.feature is not None and not query.lasso:
            return self._around(query.feature, inside)
        if query.lasso:
            inside &= within(self.places, query.lasso)
        elif query.view:
            inside &= in_square(self.places, query.square)
        if self.hits is not None:
            fitting = np.array(self.hits.features, dtype=np.int64)
            return fitting[inside[fitting]]
        indices = np.flatnonzero(inside)
        if self.colour is None:
            return indices
        return indices[np.argsort(-self.colour.values[indices], kind="stable")]

    def _around(self, feature: int, inside: NDArray[np.bool_]) -> NDArray[np.int64]:
        n = self.dictionary.d_sae
        if feature >= n:
            raise NotFound(
                f"{self.dictionary.title} has {noun(self.dictionary, True)} 0 to {n - 1}; there is "
                f"no {noun(self.dictionary)} {feature}."
            )
        if not self.map.placed[feature]:
            self.problem = (
                f"{noun(self.dictionary).capitalize()} {feature} has no direction: it lies nowhere."
            )
            return np.zeros(0, dtype=np.int64)
        inside[feature] = True
        indices = np.flatnonzero(inside)
        away = np.square(self.places[indices] - self.places[feature]).sum(axis=1)
        near = np.argpartition(away, min(4 * PER_PAGE, len(away)) - 1)[: 4 * PER_PAGE]
        return indices[near[np.lexsort((near, away[near], indices[near] != feature))]]

    @property
    def heading(self) -> str:
        """What the table lists, and how much of it."""
        query, n = self.query, len(self.listed)
        plain = noun(self.dictionary, n != 1)
        what = f"{count(n)} {plain}" if n else f"no {noun(self.dictionary)}"
        if self.hits is not None and not (query.feature is not None and not query.lasso):
            what += " that fits" if n <= 1 else " that fit"
        if query.lasso:
            what = f"{what} inside the lasso"
        elif query.feature is not None:
            what = f"around {noun(self.dictionary)} {query.feature}"
        elif query.view:
            what = f"{what} in view"
        return what[0].upper() + what[1:]

    @property
    def pages(self) -> int:
        """Of the table; at least one."""
        return max(1, -(-len(self.listed) // PER_PAGE))

    @cached_property
    def lines(self) -> list[MapLine]:
        """One page of the table.

        Raises:
            NotFound: it has fewer pages.
        """
        if self.query.page > self.pages:
            raise NotFound(f"There are {self.pages} pages here, no page {self.query.page}.")
        start = (self.query.page - 1) * PER_PAGE
        indices = self.listed[start : start + PER_PAGE].tolist()
        harvested = self.dictionary.harvest is not None and indices
        rows = self._site.store.rows(self.dictionary, indices) if harvested else {}
        places = self.places[indices].tolist() if indices else []
        return [
            MapLine(index, x, y, rows.get(index))
            for index, (x, y) in zip(indices, places, strict=True)
        ]

    @property
    def selection(self) -> str:
        """The listed features as the form of a new list sends them; empty: none, or too many."""
        if len(self.listed) > MOST_ITEMS:
            return ""
        return ",".join(map(str, self.listed.tolist()))

    @property
    def options(self) -> list[dict[str, object]]:
        """The colours for the script that draws."""
        address = dictionary_address(self.dictionary.model, self.dictionary.name, "map", "colours")
        return [
            {
                "name": made.name,
                "title": made.title,
                "low": made.low,
                "high": made.high,
                "none": made.none,
                "kinds": made.kinds,
                "address": f"/api/v1{address}/{made.name}",
            }
            for made in self.columns
        ]


def in_square(places: NDArray[np.float64], square: Square) -> NDArray[np.bool_]:
    """Whether each place [n, 2] lies in a part of the map."""
    inside: NDArray[np.bool_] = (
        np.abs(places - (square.x, square.y)).max(axis=1) <= square.width / 2
    )
    return inside


def within(places: NDArray[np.float64], corners: Corners) -> NDArray[np.bool_]:
    """Whether each place [n, 2] lies inside a polygon: a ray to the right crosses it an odd number
    of times."""
    polygon = np.array(corners)
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    near = np.flatnonzero(((places >= low) & (places <= high)).all(axis=1))
    x, y = places[near].T
    odd = np.zeros(len(near), dtype=bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 != y1:
            crossing = (y0 > y) != (y1 > y)
            odd ^= crossing & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    inside = np.zeros(len(places), dtype=bool)
    inside[near] = odd
    return inside
