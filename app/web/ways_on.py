"""Where a reader goes on from an address that leads nowhere: the nearest pages that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import FeaturescopeError
from app.rendering.addresses import dictionary_address
from app.rendering.templates import noun
from app.store.store import Store
from app.store.types.catalogue import DictionaryView


@dataclass(frozen=True)
class WayOn:
    """A page that exists.

    Attributes:
        address: where it is.
        title: what to call it.
    """

    address: str
    title: str


def ways_on(store: Store, parts: Mapping[str, Any]) -> list[WayOn]:
    """The nearest pages, the nearest first.

    Args:
        store: knows what there is.
        parts: the parts of the address that was asked for, by their names in routes.
    """
    try:
        harvested = [view for view in store.catalogue() if view.harvest is not None]
    except FeaturescopeError:
        return []  # the page says another thing already, and home says this one
    of_model = [view for view in harvested if view.model == parts.get("model")]
    same = [view for view in of_model if view.name == parts.get("dictionary")]
    if same:
        return [*_feature(same[0], parts.get("index")), _table(same[0])]
    return [_table(view) for view in of_model]


def _table(view: DictionaryView) -> WayOn:
    title = f"the {noun(view, plural=True)} of {view.title}"
    return WayOn(dictionary_address(view.model, view.name), title)


def _feature(view: DictionaryView, index: object) -> list[WayOn]:
    """The feature whose number is nearest to the one that was asked for."""
    try:
        nearest = min(view.d_sae - 1, max(0, int(str(index))))
    except ValueError:
        return []
    address = dictionary_address(view.model, view.name, nearest)
    return [WayOn(address, f"{noun(view)} {nearest} of {view.title}")]
