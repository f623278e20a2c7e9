"""What a search gives: hits in groups, each with the reason why it fits."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from app.rendering.addresses import dictionary_address
from app.rendering.markup import trusted
from app.rendering.numbers import percent
from app.rendering.templates import noun
from app.rendering.tokens import Typeset, printable
from app.rendering.words.summary import Sentence, summary_of_row
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.web.search.kinds import TITLES, SearchKind

_BEFORE, _AFTER = 60, 180  # characters of a long text around what fits


@dataclass(frozen=True)
class Reason:
    """Why a feature fits.

    Attributes:
        html: in a few words, with what fits marked.
        text: the same in plain text.
    """

    html: Markup
    text: str


@dataclass(frozen=True)
class SearchHit:
    """A feature that fits.

    Attributes:
        dictionary: of the feature.
        row: what tables show of it.
        reason: why it fits.
        typeset: the tokens of its model.
    """

    dictionary: DictionaryView
    row: FeatureRow
    reason: Reason
    typeset: Typeset

    @property
    def address(self) -> str:
        """Of its page."""
        return dictionary_address(self.dictionary.model, self.dictionary.name, self.row.index)

    @property
    def noun(self) -> str:
        """Feature or neuron."""
        return noun(self.dictionary)

    @property
    def summary(self) -> Sentence:
        """It in one line, from counts alone."""
        return summary_of_row(self.row, self.typeset)


@dataclass(frozen=True)
class SearchGroup:
    """The hits of one kind, the best first.

    Attributes:
        kind: why they fit.
        hits: of all dictionaries that were searched.
        more: whether others fit.
        note: what a reader has to know of this group, in a sentence; mostly empty.
    """

    kind: SearchKind
    hits: tuple[SearchHit, ...]
    more: bool = False
    note: str = ""

    @property
    def title(self) -> str:
        """As a heading."""
        return TITLES[self.kind]


@dataclass(frozen=True)
class SearchResults:
    """What a search gives.

    Attributes:
        groups: those in which anything fits, or has to be said.
        note: a sentence where nothing was searched, or nothing fits; else empty.
    """

    groups: tuple[SearchGroup, ...]
    note: str = ""


def marked(text: str, spans: tuple[tuple[int, int], ...]) -> Reason:
    """A text with what fits marked, a long one cut around it."""
    low = max(0, min(start for start, _ in spans) - _BEFORE)
    high = min(len(text), low + _BEFORE + _AFTER)
    html, at = "…" if low else "", low
    for start, end in sorted(spans):
        start, end = max(start, at), min(end, high)
        if start < end:
            html += escape(printable(text[at:start]))
            html += f"<mark>{escape(printable(text[start:end]))}</mark>"
            at = end
    html += escape(printable(text[at:high])) + ("…" if high < len(text) else "")
    plain = ("…" if low else "") + printable(text[low:high]) + ("…" if high < len(text) else "")
    return Reason(trusted(f"<bdi>{html}</bdi>"), plain)


def of_number(index: int) -> Reason:
    """It has that number."""
    return Reason(trusted(f"number <mark>{index}</mark>"), f"number {index}")


def of_share(token: int, share: float, typeset: Typeset) -> Reason:
    """That share of its firings is on that token."""
    html = f'<mark><bdi class="tok">{typeset.label[token]}</bdi></mark>'
    words = f"{percent(share)} of its firings"
    return Reason(trusted(f"{html} {escape(words)}"), f"{typeset.visible[token]} {words}")


def of_weight(token: int, weight: float, typeset: Typeset) -> Reason:
    """It raises the token's logit by so much."""
    html = f'<mark><bdi class="tok">{typeset.label[token]}</bdi></mark>'
    return Reason(trusted(f"{html} by {weight:.3g}"), f"{typeset.visible[token]} by {weight:.3g}")
