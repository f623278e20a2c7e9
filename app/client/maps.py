"""Maps of dictionaries from Python. Twins of the JSON interface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.client.transport import Transport
from app.pages.dictionary.map.schema import Colour, MapAnswer, MapHitsAnswer
from app.store.types.maps import GRID, NOWHERE


class MapsClient:
    """Where the features of dictionaries lie. Reached as `FeaturescopeClient.maps`.

    Every method raises RequestFailed where the server refuses or cannot be reached.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def read(
        self,
        model: str,
        dictionary: str,
        typed: str = "",
        view: tuple[float, float, float] | None = None,
        lasso: Sequence[tuple[float, float]] = (),
        feature: int | None = None,
        page: int = 1,
    ) -> MapAnswer:
        """How a map was made, and a page of the features that fit, lie in a part of it, or lie
        around one.

        Args:
            model: name of the model.
            dictionary: name of the dictionary.
            typed: what the features must fit; empty: all.
            view: x and y of the middle and the width of a square; None: all of the map.
            lasso: corners around the features; empty: none.
            feature: whose surroundings are listed, the nearest first; None: nobody's.
            page: from 1.
        """
        query = {
            "q": typed,
            "view": "" if view is None else ",".join(map(str, view)),
            "lasso": ",".join(str(number) for corner in lasso for number in corner),
            "feature": "" if feature is None else str(feature),
            "page": str(page),
        }
        address = self._transport.address(*_map(model, dictionary), **query)
        return self._transport.ask("GET", address, MapAnswer)

    def places(self, model: str, dictionary: str) -> NDArray[np.float64]:
        """x to the right and y downwards of each feature, from 0 to 1, [d_sae, 2]; NaN where it has
        no direction."""
        answer = self._transport.send(
            "GET", self._transport.address(*_map(model, dictionary, "points"))
        )
        places = np.frombuffer(answer.content, dtype="<u2").reshape(-1, 2)
        return np.where(places == NOWHERE, np.nan, places / GRID)

    def levels(self, model: str, dictionary: str, colour: Colour) -> NDArray[np.uint8]:
        """What colour each feature has, [d_sae]; `MapAnswer.colours` says what 1 and 254 mean."""
        parts = _map(model, dictionary, "colours", colour)
        answer = self._transport.send("GET", self._transport.address(*parts))
        return np.frombuffer(answer.content, dtype=np.uint8)

    def hits(self, model: str, dictionary: str, typed: str) -> MapHitsAnswer:
        """The features that fit a text, the best first."""
        parts = _map(model, dictionary, "hits")
        address = self._transport.address(*parts, q=typed)
        return self._transport.ask("GET", address, MapHitsAnswer)


def _map(model: str, dictionary: str, *rest: str) -> tuple[str, ...]:
    return ("d", model, dictionary, "map", *rest)
