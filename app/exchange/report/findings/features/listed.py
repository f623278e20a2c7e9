"""A list of features: who is in it, and how much each fires."""

from __future__ import annotations

from typing import Any

from app.errors import InvalidRequest
from app.exchange.report.bench import CannotRecompute, RecomputingBench
from app.exchange.report.comparison import NearFigure, NotHere
from app.exchange.report.findings.features.feature import harvest_command
from app.exchange.report.findings.kind import FindingKind, GatheredFinding, ReadFinding
from app.exchange.report.findings.named import plain_text
from app.exchange.report.schema import DictionaryFacts, ReportPart
from app.rendering.addresses import list_address
from app.rendering.tokens import printable
from app.store.store import Store
from app.store.types.annotations import subject_of
from app.store.types.catalogue import DictionaryView
from sae_core.harvest.recomputation import TOLERANCE

MOST_LISTED = 500
_WHY = "a token at the threshold, or a rounded sum, can come out otherwise on other hardware"


class ListedAsked(ReportPart):
    """A feature of a list."""

    dictionary: str
    feature: int


class ListAsked(ReportPart):
    """Which features."""

    features: tuple[ListedAsked, ...]


class ListedFigures(ReportPart):
    """How much a feature fires: tokens, share of all tokens, largest activation."""

    firings: int
    density: float
    maximum: float


class ListFound(ReportPart):
    """Figures of each, in the list's order."""

    features: tuple[ListedFigures, ...]


class ListedWords(ReportPart):
    """What is said of a feature in a list."""

    label: str
    note: str


class ListStated(ReportPart):
    """Name, title and note of the list; what is said of each feature; how many are left out, as
    their dictionaries are not in the store."""

    name: str
    title: str
    note: str
    words: tuple[ListedWords, ...]
    left_out: int


Finding = ReadFinding[ListAsked, ListFound, ListStated]


class ListKind(FindingKind[ListAsked, ListFound, ListStated]):
    """A list of features."""

    name = "list"
    asked = ListAsked
    found = ListFound
    stated = ListStated

    def gather(self, store: Store, words: str) -> GatheredFinding[ListAsked, ListFound, ListStated]:
        """A list by its name."""
        kept, items = store.lists.contents(words)
        views = {
            subject_of(view.checksum, view.model_checksum, view.path): view
            for view in store.catalogue()
            if view.harvest is not None
        }
        there = [item for item in items if item.subject in views]
        if not there or len(there) > MOST_LISTED:
            raise InvalidRequest(
                f"{len(there)} features of the list {words!r:.80} are harvested here; a report "
                f"takes lists of 1 to {MOST_LISTED}."
            )
        own = [views[item.subject] for item in there]
        return GatheredFinding(
            ListAsked(
                features=tuple(
                    ListedAsked(dictionary=view.title, feature=item.index)
                    for view, item in zip(own, there, strict=True)
                )
            ),
            ListFound(
                features=tuple(
                    _figures(store, view, item.index) for view, item in zip(own, there, strict=True)
                )
            ),
            ListStated(
                name=kept.name,
                title=plain_text(kept.title),
                note=plain_text(kept.note),
                words=tuple(
                    ListedWords(label=plain_text(item.label), note=plain_text(item.note))
                    for item in there
                ),
                left_out=len(items) - len(there),
            ),
            tuple(own),
        )

    def titles(self, asked: ListAsked) -> tuple[str, ...]:
        """Of each feature."""
        return tuple(feature.dictionary for feature in asked.features)

    def read(self, raw: Any, facts: dict[str, DictionaryFacts]) -> Finding:
        """Besides: each feature has its figures and words."""
        finding = super().read(raw, facts)
        lengths = {
            len(finding.asked.features),
            len(finding.found.features),
            len(finding.stated.words),
        }
        if len(lengths) > 1:
            raise ValueError("features of a list lack figures or words")
        return finding

    def claim(self, finding: Finding) -> str:
        """What it is for, and how many are in it."""
        n, stated = len(finding.asked.features), finding.stated
        note = f": {printable(stated.note).rstrip('.')}" if stated.note else ""
        left = f" {stated.left_out} more are left out." if stated.left_out else ""
        noun = "feature" if n == 1 else "features"
        return f"The list “{printable(stated.title)}” has {n} {noun}{note}.{left}"

    def command(self, finding: Finding) -> str:
        """The harvest of its first dictionary."""
        return harvest_command(finding.facts[0])

    def address(self, finding: Finding) -> str:
        """Of its page."""
        return list_address(finding.stated.name)

    def recompute(self, finding: Finding, bench: RecomputingBench) -> dict[str, Any]:
        """Figures of this store's own harvests of the same texts."""
        return {
            "features": [
                _again(bench, facts, asked.feature)
                for asked, facts in zip(finding.asked.features, finding.facts, strict=True)
            ]
        }


def _figures(store: Store, view: DictionaryView, index: int) -> ListedFigures:
    scales = store.scales(view)
    firings = int(scales.firings[index])
    return ListedFigures(
        firings=firings,
        density=firings / max(1, scales.n_tokens),
        maximum=float(scales.maxima[index]),
    )


def _again(bench: RecomputingBench, facts: DictionaryFacts, index: int) -> Any:
    try:
        view, other = bench.view(facts), bench.same_text(facts)
    except CannotRecompute as error:
        return NotHere(str(error))
    if other or not 0 <= index < view.d_sae:
        return NotHere(other or f"{facts.title} has no feature {index} here")
    here = _figures(bench.store, view, index).model_dump()
    return {name: NearFigure(value, TOLERANCE * value, _WHY) for name, value in here.items()}
