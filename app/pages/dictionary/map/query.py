"""What a map's address asks for: colours, a search, the part in view, a lasso, a feature."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Depends, Query

from app.errors import InvalidRequest
from app.pages.dictionary.map.schema import Colour
from app.rendering.addresses import dictionary_address
from app.store.search.words import LONGEST_TYPED
from app.store.types.catalogue import DictionaryView

MOST_CORNERS = 64
_NARROWEST = 0.0002
_WIDEST = 4.0
_FAR = 10.0


@dataclass(frozen=True)
class Square:
    """A part of the map, in shares of its width; x grows to the right and y downwards.

    Attributes:
        x: of the middle.
        y: of the middle.
        width: of each side.
    """

    x: float
    y: float
    width: float


WHOLE = Square(0.5, 0.5, 1.0)
Corners = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class MapQuery:
    """A state of the map.

    Attributes:
        colour: what colours stand for; empty: the first that is known.
        typed: what is searched; empty: nothing.
        alive: leave out features that never fire.
        square: the part in view.
        lasso: corners of what was drawn around features; empty: nothing was.
        feature: whose surroundings are listed; None: nobody's.
        page: of the table, from 1.
    """

    colour: Colour | Literal[""] = ""
    typed: str = ""
    alive: bool = False
    square: Square = WHOLE
    lasso: Corners = ()
    feature: int | None = None
    page: int = 1

    @property
    def view(self) -> str:
        """The part in view, as addresses have it; empty: all."""
        if self.square == WHOLE:
            return ""
        return ",".join(f"{n:.5g}" for n in (self.square.x, self.square.y, self.square.width))

    @property
    def corners(self) -> str:
        """The lasso, as addresses have it."""
        return ",".join(f"{n:.5g}" for corner in self.lasso for n in corner)

    def address(self, dictionary: DictionaryView, *rest: str) -> str:
        """Of this state."""
        return dictionary_address(
            dictionary.model,
            dictionary.name,
            "map",
            *rest,
            colour=self.colour,
            q=self.typed,
            alive="1" if self.alive else "",
            view=self.view,
            lasso=self.corners,
            feature="" if self.feature is None else str(self.feature),
            page="" if self.page == 1 else self.page,
        )

    def at_page(self, page: int) -> MapQuery:
        """The same at another page of the table."""
        return replace(self, page=page)

    def around(self, feature: int | None) -> MapQuery:
        """The same map with the surroundings of a feature listed."""
        return replace(self, feature=feature, lasso=(), page=1)

    def without_lasso(self) -> MapQuery:
        """The same map with nothing drawn on it."""
        return replace(self, lasso=(), feature=None, page=1)


def _numbers(text: str, field: str, what: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = [math.nan]
    if not all(abs(number) <= _FAR for number in numbers):  # NaN and infinities are not, either
        raise InvalidRequest(f"{text!r:.60} is no {what}.", field)
    return numbers


def square_of(text: str) -> Square:
    """The part in view that an address names: `x,y,width`.

    Raises:
        InvalidRequest: it names none.
    """
    if not text:
        return WHOLE
    what = "part of a map: write x,y,width in shares of its width, such as 0.5,0.5,0.25"
    numbers = _numbers(text, "view", what)
    if len(numbers) != 3 or not _NARROWEST <= numbers[2] <= _WIDEST:
        raise InvalidRequest(f"{text!r:.60} is no {what}.", "view")
    return Square(*numbers)


def corners_of(text: str) -> Corners:
    """The corners of a lasso that an address names: `x,y,x,y,…`.

    Raises:
        InvalidRequest: it names none.
    """
    if not text:
        return ()
    what = f"lasso: write 3 to {MOST_CORNERS} corners as x,y,x,y,… in shares of the map's width"
    numbers = _numbers(text, "lasso", what)
    if len(numbers) % 2 or not 6 <= len(numbers) <= 2 * MOST_CORNERS:
        raise InvalidRequest(f"{text!r:.60} is no {what}.", "lasso")
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


async def _map_query(
    colour: Annotated[
        Literal["", "density", "score", "head"],
        Query(description="What colours stand for; `score`: F1 of rules above their null."),
    ] = "",
    q: Annotated[
        str, Query(max_length=LONGEST_TYPED, description="List the features that fit this.")
    ] = "",
    alive: Annotated[Literal["", "1"], Query(description="1: only features that fire.")] = "",
    view: Annotated[
        str, Query(max_length=100, description="The part in view, `x,y,width`; empty: all.")
    ] = "",
    lasso: Annotated[
        str,
        Query(
            max_length=24 * MOST_CORNERS,
            description="List the features inside these corners, `x,y,x,y,…`.",
        ),
    ] = "",
    feature: Annotated[
        Annotated[int, Query(ge=0)] | Literal[""],
        Query(description="List the features around this one, the nearest first."),
    ] = "",
    page: Annotated[int, Query(ge=1, le=10_000_000, description="Page, from 1.")] = 1,
) -> MapQuery:
    return MapQuery(
        colour=colour,
        typed=q if q.strip() else "",
        alive=alive == "1",
        square=square_of(view),
        lasso=corners_of(lasso),
        feature=None if feature == "" else feature,
        page=page,
    )


TheMapQuery = Annotated[MapQuery, Depends(_map_query)]
