"""A list as it is drawn: each feature with its label and what it fires on, and ways on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup

from app.errors import NotFound
from app.rendering.addresses import dictionary_address, list_address, model_page_address
from app.rendering.markup import trusted
from app.rendering.numbers import moment
from app.rendering.templates import noun
from app.rendering.words.summary import Sentence, summary_of_row
from app.store.types.annotations import ListItem, ListView
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.store.written.lists import STARRED
from app.store.written.texts import LONGEST_NOTE
from app.web.site import Site
from app.worker.protocol.requests import MOST_EDITS


@dataclass(frozen=True)
class ItemLine:
    """A feature in a list.

    Attributes:
        item: as stored.
        place: in the list, from 0.
        noun: feature or neuron.
        address: of its page; empty: the store shows it no longer.
        summary: what it fires on, in words; empty where that is not known.
        tokens: those whose logits it raises most.
        maximum: largest activation in the harvest; 0.0 where there is none.
    """

    item: ListItem
    place: int
    noun: str
    address: str
    summary: Sentence | None
    tokens: tuple[Markup, ...]
    maximum: float


@dataclass(frozen=True)
class ListPage:
    """A list.

    Attributes:
        view: as stored, without its features.
        lines: its features in order.
        steering: for each model that can be steered, the address of its page with the first
            features of the list as sliders.
        problem: why what was sent could not be kept; empty: it was.
    """

    view: ListView
    lines: tuple[ItemLine, ...]
    steering: tuple[tuple[str, str], ...]
    problem: str = ""

    longest_note = LONGEST_NOTE
    most_sliders = MOST_EDITS

    @property
    def address(self) -> str:
        """Of its page."""
        return list_address(self.view.name)

    @property
    def when(self) -> str:
        """Its title or note was last changed."""
        return moment(self.view.changed)

    @property
    def removed(self) -> int:
        """Features of dictionaries that the store no longer has."""
        return sum(not line.item.there for line in self.lines)

    @property
    def is_stars(self) -> bool:
        """Whether stars go into it, so that it is never put away."""
        return self.view.name == STARRED


def list_page(site: Site, name: str, problem: str = "") -> ListPage:
    """A list with what the store knows of its features.

    Raises:
        NotFound: there is no such list.
    """
    view, items = site.store.lists.contents(name)
    catalogue = {(known.model, known.name): known for known in site.store.catalogue()}
    rows: dict[tuple[str, str], dict[int, FeatureRow]] = {}
    for key, known in catalogue.items():
        wanted = [item.index for item in items if (item.model, item.dictionary) == key]
        if wanted and known.harvest is not None:
            rows[key] = _rows(site, known, wanted)
    lines = tuple(
        _line(site, place, item, catalogue.get((item.model, item.dictionary)), rows)
        for place, item in enumerate(items)
    )
    return ListPage(view, lines, tuple(_steering(lines, catalogue)), problem)


def _rows(site: Site, known: DictionaryView, wanted: list[int]) -> dict[int, FeatureRow]:
    try:
        return site.store.rows(known, wanted)
    except NotFound:  # it was removed this instant
        return {}


def _line(
    site: Site,
    place: int,
    item: ListItem,
    known: DictionaryView | None,
    rows: dict[tuple[str, str], dict[int, FeatureRow]],
) -> ItemLine:
    row = rows.get((item.model, item.dictionary), {}).get(item.index) if item.there else None
    if known is None or row is None:
        word = "feature" if known is None else noun(known)
        return ItemLine(item, place, word, "", None, (), 0.0)
    typeset = site.typeset(known)
    return ItemLine(
        item=item,
        place=place,
        noun=noun(known),
        address=dictionary_address(item.model, item.dictionary, item.index),
        summary=summary_of_row(row, typeset),
        tokens=tuple(trusted(typeset.label[token]) for token in row.strongest),
        maximum=row.maximum,
    )


def _steering(
    lines: Iterable[ItemLine], catalogue: dict[tuple[str, str], DictionaryView]
) -> Iterable[tuple[str, str]]:
    sliders: dict[str, list[str]] = {}
    for line in lines:
        item = line.item
        known = catalogue.get((item.model, item.dictionary))
        if line.address and line.maximum > 0 and known is not None and not known.is_imported:
            sliders.setdefault(item.model, []).append(f"{item.dictionary}:{item.index}")
    for model, features in sliders.items():
        query = urlencode([("f", feature) for feature in features[:MOST_EDITS]], safe=":")
        yield model, f"{model_page_address(model, 'steer')}?{query}"
