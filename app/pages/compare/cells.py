"""Features of compared dictionaries as pages show them: their label, or what they fire on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from app.errors import NotFound
from app.rendering.addresses import dictionary_address
from app.rendering.contexts import best_context
from app.rendering.words.summary import Sentence, summary_of_row
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.store.types.comparisons import ComparedNow
from app.web.site import Site


@dataclass(frozen=True)
class FeatureCell:
    """A feature of a compared dictionary.

    Attributes:
        index: its number.
        address: of its page; empty: the store has none any more.
        label: what it means, in words; empty: not said yet.
        summary: what it fires on, from figures alone; None: not known.
        context: its strongest context as a line; empty: none is kept.
    """

    index: int
    address: str
    label: str
    summary: Sentence | None
    context: Markup

    @property
    def title(self) -> str:
        """What it means, or what it fires on, in plain text; empty: not known."""
        return self.label or (self.summary.text if self.summary else "")


class FeatureCells:
    """Features of one compared dictionary, read together.

    Args:
        site: the application.
        now: what has become of the dictionary.
        indices: of the features that will be asked for.
        contexts: whether their strongest contexts are shown.
    """

    def __init__(
        self, site: Site, now: ComparedNow, indices: Iterable[int], contexts: bool = False
    ) -> None:
        self._site = site
        self._now = now
        self._rows: dict[int, FeatureRow] = {}
        self._view: DictionaryView | None = None
        if now.harvested:
            try:
                self._view = site.store.dictionary(now.model, now.dictionary)
                self._rows = site.store.rows(self._view, set(indices), contexts)
            except NotFound:  # it was removed this instant
                self._view = None

    def cell(self, index: int) -> FeatureCell:
        """One of them."""
        row = self._rows.get(index)
        if self._view is None or row is None:
            return FeatureCell(index, "", "", None, Markup())
        typeset = self._site.typeset(self._view)
        return FeatureCell(
            index=index,
            address=dictionary_address(self._now.model, self._now.dictionary, index),
            label=row.label,
            summary=summary_of_row(row, typeset),
            context=best_context(row, typeset),
        )
