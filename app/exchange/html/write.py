"""Features as one HTML file that needs no server, no network and no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from markupsafe import Markup

from app.errors import InvalidRequest
from app.exchange.html.contexts import list_items
from app.rendering.assets import Assets
from app.rendering.contexts import ContextStyle
from app.rendering.feature import FeaturePage, GroupPart, with_counterpart
from app.rendering.markup import trusted
from app.rendering.templates import Renderer
from app.rendering.tokens import Typeset
from app.rendering.underlines import Underlines
from app.settings import resource
from app.store.store import Store
from app.store.types.catalogue import DictionaryView, FeatureView
from sae_core.files.atomic import atomic_file
from sae_core.harvest.records import ExampleGroup

MOST_FEATURES = 500
_STYLES = ("base", "feature", "contexts", "files/exchange", "print")


@dataclass(frozen=True)
class ExportedGroup:
    """A group of contexts.

    Attributes:
        part: heading and facts, as on the feature's own page.
        items: its contexts.
    """

    part: GroupPart
    items: Markup


class ExportedFeature:
    """A feature as the file shows it.

    Attributes:
        page: what its own page shows.
        view: the feature as stored.
    """

    def __init__(self, view: FeatureView, typeset: Typeset) -> None:
        self.view = view
        self.page = FeaturePage(view, typeset, ContextStyle())
        self._typeset = typeset

    @cached_property
    def groups(self) -> list[ExportedGroup]:
        """Its groups with at least one context."""
        return [
            ExportedGroup(self.page.part(group), self._items(group))
            for group in self.view.record.groups
            if len(group.examples)
        ]

    def _items(self, group: ExampleGroup) -> Markup:
        contexts, maximum = self.page.contexts(group), self.view.record.maximum
        underlines = Underlines.of(self.view.dictionary)
        return list_items(contexts, self.view.effects, self._typeset, maximum, underlines)

    @property
    def unknown(self) -> int:
        """Contexts of which no ablation is stored."""
        return len(self.view.windows.keys() - self.view.effects.keys())


def export_html(
    store: Store, dictionary: DictionaryView, indices: Sequence[int], path: Path
) -> int:
    """Write some features of a dictionary into a new file; its size in bytes.

    Raises:
        InvalidRequest: there is something at `path`, or too many features are asked for.
        NotFound: there is no such feature.
        DiskError: it cannot be written; nothing is left behind.
    """
    if path.exists():
        raise InvalidRequest(f"{path} exists already: name a file that does not.")
    if not 0 < len(indices) <= MOST_FEATURES:
        raise InvalidRequest(
            f"{len(indices)} features are asked for; a file holds 1 to {MOST_FEATURES}."
        )
    renderer = Renderer(resource("templates"), Assets(resource("static")))
    typeset = Typeset(store.vocabulary(dictionary.model_id))
    catalogue = store.catalogue()
    features = [
        ExportedFeature(
            with_counterpart(store, store.feature(dictionary, index), catalogue)[0], typeset
        )
        for index in dict.fromkeys(indices)
    ]
    text = renderer.text(
        "web/exchange/features.html", dictionary=dictionary, features=features, style=_style()
    )
    data = text.encode("utf-8", "replace")
    with atomic_file(path) as draft:
        draft.write_bytes(data)
    return len(data)


def _style() -> Markup:
    """The style sheets, inside the file."""
    sheets = [(resource("static") / "css" / f"{name}.css").read_text() for name in _STYLES]
    return trusted("<style>\n" + "\n".join(sheets) + "</style>")
