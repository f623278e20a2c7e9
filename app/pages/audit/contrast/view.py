"""A contrast of two sets of texts, in sentences and a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from app.errors import NotFound
from app.rendering.addresses import (
    contrast_address,
    dictionary_address,
    list_address,
    model_page_address,
)
from app.rendering.numbers import count, number, percent, signed
from app.rendering.tokens import printable
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.store.written.audit.contrasts.records import ContrastView, TextSet
from sae_core.audit.contrast.sets import TellingFeature

_STEERED = 4  # features with which a link steers
_SHOWN = 200  # texts of a set on the page
_LONGEST = 300  # characters of a text there


@dataclass(frozen=True)
class TellingRow:
    """A feature of a contrast.

    Attributes:
        figures: of it.
        side: the set on which it is larger.
        wanted_q: what was allowed.
        label: what people say it means; empty: nothing.
        rule: when it fires, where a rule says that better than chance; empty: none does.
        address: of its page; empty: there is none.
    """

    figures: TellingFeature
    side: TextSet
    wanted_q: float
    label: str = ""
    rule: str = ""
    address: str = ""

    @property
    def told(self) -> bool:
        """Whether it tells the sets apart at what was allowed."""
        return self.figures.q <= self.wanted_q

    @property
    def q(self) -> str:
        """Corrected over all tests."""
        return small(self.figures.q)

    @property
    def held_out(self) -> str:
        """The area on the second half with its interval."""
        own = self.figures
        return interval_of(own.held_out, own.low, own.high)

    @property
    def sentence(self) -> str:
        """The row in words."""
        own = self.figures
        return (
            f"feature {own.feature}, more on {printable(self.side.name)} ({own.pooling}): AUROC "
            f"{number(own.area)}, q {self.q}; held out {self.held_out}; "
            f"{signed(own.difference)} standard deviations"
        )


@dataclass(frozen=True)
class ContrastPage:
    """A contrast with what the store knows of its features.

    Attributes:
        view: as it was kept.
        features: the largest areas of the first half first.
        known: whether the store has its dictionary.
        steering: for each set that has any, its name and the address of steering with its features.
        lists: that hold the first feature: title and address.
    """

    view: ContrastView
    features: tuple[TellingRow, ...]
    known: bool = False
    steering: tuple[tuple[str, str], ...] = ()
    lists: tuple[tuple[str, str], ...] = ()

    @property
    def address(self) -> str:
        """Of the page."""
        return contrast_address(self.view.name)

    @property
    def of(self) -> str:
        """Address of the dictionary; empty: the store has it no longer."""
        record = self.view.record
        return dictionary_address(record.model, record.dictionary) if self.known else ""

    @property
    def summary(self) -> str:
        """How many features were tested, and how many tests tell the sets apart."""
        record, made = self.view.record, self.view.record.contrast
        telling = sum(row.told for row in self.features)
        return (
            f"{count(made.tested)} features fire on enough of the {count(made.halves[0])} texts of "
            f"the first half; each was tested by its largest and by its mean activation. "
            f"{count(made.told)} of these {count(2 * made.tested)} tests tell "
            f"{printable(record.first.name)} from {printable(record.second.name)} at a false "
            f"discovery rate of {percent(made.wanted_q)}; so do {count(telling)} of the "
            f"{count(len(self.features))} features below, which were then looked at on the other "
            f"{count(made.halves[1])} texts{self._of_other_groups}."
        )

    @property
    def _of_other_groups(self) -> str:
        own = self.view.record
        return ", which are of other groups" if own.first.groups or own.second.groups else ""

    @property
    def beside(self) -> str:
        """The probe beside the best feature, in words."""
        probe = self.view.record.contrast.probe
        alone = (
            "A linear probe on the raw activation has AUROC "
            f"{interval_of(probe.area, probe.low, probe.high)} on the held-out texts"
        )
        if not self.features:
            return f"{alone}. No feature fires on enough texts to stand beside it."
        best = self.features[0]
        both = (
            f"{alone}; the best feature of the first half, {best.figures.feature}, has "
            f"{best.held_out}."
        )
        if probe.ahead_low == probe.ahead_high:  # no text on which they differ
            return f"{both} Both do equally well on every text: no difference can be seen on these."
        return (
            f"{both} The probe is ahead by "
            f"{signed(probe.ahead, 3)} ({signed(probe.ahead_low, 3)} to "
            f"{signed(probe.ahead_high, 3)}). {self.verdict}"
        )

    @property
    def verdict(self) -> str:
        """Whether a feature is needed at all."""
        probe = self.view.record.contrast.probe
        if probe.ahead_low > 0:
            return (
                "The probe tells the sets apart better than this feature does: to detect the "
                "difference, no feature is needed, and this one misses a part of it."
            )
        if probe.ahead_high < 0:
            return "This feature tells the sets apart better than the probe does."
        return (
            "These texts cannot tell which of the two is better; the interval says by how much "
            "they may differ."
        )

    @property
    def sets(self) -> list[tuple[TextSet, list[str], int]]:
        """Each set, the first of its texts as they are shown, and how many are left out."""
        record = self.view.record
        return [
            (own, [_cut(text) for text in own.texts[:_SHOWN]], max(0, len(own.texts) - _SHOWN))
            for own in (record.first, record.second)
        ]


def contrast_page(view: ContrastView, store: Store | None = None) -> ContrastPage:
    """A contrast; with a store beside what is known of its features."""
    record, made = view.record, view.record.contrast
    known = None if store is None else _dictionary(store, view)
    numbers = [own.feature for own in made.features]
    labels = store.labels.texts(known, numbers) if store and known and numbers else {}
    rows = tuple(
        TellingRow(
            figures=own,
            side=record.first if own.more else record.second,
            wanted_q=made.wanted_q,
            label=printable(labels.get(own.feature) or ""),
            rule=_rule(store, known, own.feature),
            address="" if known is None else _address(known, own.feature),
        )
        for own in made.features
    )
    if store is None or known is None:
        return ContrastPage(view, rows)
    return ContrastPage(
        view, rows, True, tuple(_steering(known, view, rows)), tuple(_lists(store, known, rows))
    )


def interval_of(area: float, low: float, high: float) -> str:
    """An area with its interval."""
    return f"{number(area)} ({number(low)} to {number(high)})"


def small(value: float) -> str:
    """A probability that may be tiny."""
    return f"{value:.2g}" if value >= 0.001 else f"{value:.1e}"


def _dictionary(store: Store, view: ContrastView) -> DictionaryView | None:
    """The dictionary, where the store has it with these weights."""
    record = view.record
    try:
        known = store.dictionary(record.model, record.dictionary)
    except NotFound:
        return None
    return known if known.checksum == record.checksum and known.harvest is not None else None


def _address(known: DictionaryView, feature: int) -> str:
    return dictionary_address(known.model, known.name, feature)


def _rule(store: Store | None, known: DictionaryView | None, feature: int) -> str:
    if store is None or known is None:
        return ""
    rule = store.rules.of_feature(known, feature)
    return printable(rule.sentence) if rule is not None and rule.above else ""


def _steering(
    known: DictionaryView, view: ContrastView, rows: Iterable[TellingRow]
) -> Iterable[tuple[str, str]]:
    if known.is_imported:
        return
    for side in (view.record.first, view.record.second):
        best = [row.figures.feature for row in rows if row.told and row.side is side][:_STEERED]
        if best:
            query = urlencode([("f", f"{known.name}:{feature}") for feature in best], safe=":")
            yield side.name, f"{model_page_address(known.model, 'steer')}?{query}"


def _lists(
    store: Store, known: DictionaryView, rows: tuple[TellingRow, ...]
) -> Iterable[tuple[str, str]]:
    if rows:
        inside, _ = store.lists.around(known, rows[0].figures.feature)
        for own in inside:
            yield own.title, list_address(own.name)


def _cut(text: str) -> str:
    return printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …")
