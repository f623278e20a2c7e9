"""Contexts as HTML: joined from prepared pieces, because a page has thousands of tokens.

Tokens carry only what is seen of them. The numbers stand once a context: `data-a` has an activation
for each token that fires (the elements with a class a1 to a16), in units of the last digit of the
context's own activation; `data-d` has what ablation changes for each token from the first one
shown, empty for exactly 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate, pairwise, product

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from app.rendering.markup import trusted
from app.rendering.numbers import decimals, nats
from app.rendering.tokens import Typeset, printable
from app.rendering.underlines import ALL, EFFECT_STEPS, Underlines
from app.store.types.catalogue import FeatureRow
from sae_core.harvest.records import ContextEffect, ExampleGroup, WindowRecord
from sae_core.language_model.vocabulary import Vocabulary

ACTIVATION_LEVELS = 16
SHORT_BEFORE = 24
SHORT_AFTER = 16
ROW_REACH = 14  # tokens on either side: more than a table row has room for
_UNDERLINES = (
    "",
    *(f"u{level}" for level in range(1, len(EFFECT_STEPS) + 1)),
    *(f"n{level}" for level in range(1, len(EFFECT_STEPS) + 1)),
)
_ORANGES = ("", *(f"a{level}" for level in range(1, ACTIVATION_LEVELS + 1)))
_UNDERLINED, _PEAK = len(_ORANGES), len(_ORANGES) * len(_UNDERLINES)
_PLAIN = len("<bdi>")


def _opening(*names: str) -> str:
    """The start tag of a token; the strongest one of a context can be focused."""
    classes = " ".join(filter(None, names))
    quoted = f'"{classes}"' if " " in classes else classes
    tab = " tabindex=0" if "p" in names else ""
    return f"<bdi{f' class={quoted}' if classes else ''}{tab}>"


# A token's look is a number: its orange, _UNDERLINED times its underline, _PEAK if it is the peak.
_LOOKS = tuple(
    _opening(orange, underline, peak)
    for peak, underline, orange in product(("", "p"), _UNDERLINES, _ORANGES)
)


@dataclass(frozen=True)
class ContextStyle:
    """How contexts are shown; part of a page's address.

    Attributes:
        full: the whole window instead of the surroundings of its strongest token.
        newlines: line feeds break the line.
    """

    full: bool = False
    newlines: bool = False


@dataclass(frozen=True)
class Context:
    """One example, unpacked.

    Attributes:
        number: in its group, from 0.
        window: the window it points to.
        peak: position of the token that the example was drawn for.
        fires: where the feature fires, ascending, uint16.
        activations: its activations there, float32.
        line: line of the document in which the peak lies; meaningless where the window has none.
    """

    number: int
    window: WindowRecord
    peak: int
    fires: NDArray[np.uint16]
    activations: NDArray[np.float32]
    line: int

    @property
    def positions(self) -> list[int]:
        """`fires` as plain numbers."""
        positions: list[int] = self.fires.tolist()
        return positions

    @property
    def values(self) -> list[float]:
        """`activations` as plain numbers."""
        values: list[float] = self.activations.tolist()
        return values

    @property
    def value(self) -> float:
        """The activation at the peak."""
        at = int(self.fires.searchsorted(self.peak))
        fires = at < len(self.fires) and self.fires[at] == self.peak
        return float(self.activations[at] if fires else self.activations.max(initial=0.0))

    @property
    def source(self) -> str:
        """Where the peak comes from: `document:line`, or as much of it as is known."""
        return f"{self.window.document}:{self.line}" if self.window.line else self.window.document


def unpack(
    group: ExampleGroup, windows: Mapping[int, WindowRecord], typeset: Typeset
) -> list[Context]:
    """The examples of a group whose windows are known, in the group's order."""
    examples = group.examples
    shown = [windows[number] for number in examples.windows.tolist()]
    peaks, bounds = examples.peaks.tolist(), examples.bounds.tolist()
    feeds = _feeds_before(shown, peaks, typeset)
    fires, activations = examples.positions, examples.values
    return [
        Context(i, window, peak, fires[start:end], activations[start:end], window.line + before)
        for i, (window, peak, start, end, before) in enumerate(
            zip(shown, peaks, bounds, bounds[1:], feeds, strict=False)
        )
    ]


def leading_text(window: WindowRecord, peak: int, vocabulary: Vocabulary, most: int) -> str:
    """The text up to and with a position of a window, without special tokens and broken
    characters.

    Args:
        window: where it stands.
        peak: the position.
        vocabulary: of the window's model.
        most: tokens of it at most.
    """
    tokens = window.tokens[max(0, peak + 1 - most) : peak + 1].tolist()
    pieces = [vocabulary.pieces[token] for token in tokens if token not in vocabulary.special]
    return b"".join(pieces).decode("utf-8", "ignore").replace("\r", "")


def _feeds_before(
    windows: Sequence[WindowRecord], peaks: Sequence[int], typeset: Typeset
) -> list[int]:
    """Line feeds in each window's text before its peak."""
    if not windows:
        return []
    texts = [window.tokens[:peak] for window, peak in zip(windows, peaks, strict=True)]
    feeds = typeset.vocabulary.newlines[np.concatenate(texts)].cumsum()
    ends = list(accumulate(map(len, texts), initial=0))
    totals = np.concatenate(([0], feeds))[ends].tolist()
    return [after - before for before, after in pairwise(totals)]


def activation_levels(values: NDArray[np.float32], maximum: float) -> NDArray[np.intp]:
    """Each value's orange: 1 (barely) to 16 (the maximum)."""
    if maximum <= 0:
        return np.ones(len(values), dtype=np.intp)
    levels = np.ceil(ACTIVATION_LEVELS * values.astype(np.float64) / maximum)
    return levels.clip(1, ACTIVATION_LEVELS).astype(np.intp)


class _Cut:
    """What is shown of some contexts: their tokens, one context after the other.

    Args:
        contexts: at least one.
        full: whole windows instead of the surroundings of the peaks.

    Attributes:
        lows: position, in its window, of each context's first token.
        tokens: all of them.
        ends: where in `tokens` each context ends.
        peaks: where in `tokens` the peaks are.
    """

    def __init__(self, contexts: Sequence[Context], full: bool) -> None:
        parts, self.lows, self.ends, peaks = [], [], [], []
        self._shifts, end = [], 0
        for context in contexts:
            peak = context.peak
            low = 0 if full else max(0, peak - SHORT_BEFORE)
            part = context.window.tokens[low : None if full else peak + SHORT_AFTER + 1]
            parts.append(part)
            self.lows.append(low)
            self._shifts.append(end - low)
            peaks.append(end + peak - low)
            end += len(part)
            self.ends.append(end)
        self.tokens = np.concatenate(parts)
        self.peaks = np.array(peaks)

    def places(
        self, positions: Sequence[NDArray[np.uint16]]
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where in `tokens` each context's positions are, and which of them are shown at all."""
        counts = [len(part) for part in positions]
        places = np.concatenate(positions) + np.array(self._shifts).repeat(counts)
        starts = np.array([0, *self.ends])
        shown = (places >= starts[:-1].repeat(counts)) & (places < starts[1:].repeat(counts))
        return places[shown], shown


class ContextWriter:
    """Writes the contexts of one feature.

    Args:
        typeset: the tokens of the feature's language model.
        maximum: largest activation of the feature, which gets the full orange.
        base: address of the feature's page.
        style: short or full, with or without line breaks.
        underlines: which changes of the loss are drawn.
        steers: whether whole contexts lead on to steering.
    """

    def __init__(
        self,
        typeset: Typeset,
        maximum: float,
        base: str,
        style: ContextStyle,
        underlines: Underlines = ALL,
        steers: bool = False,
    ) -> None:
        self._underlines = underlines
        self._steers = steers
        self._maximum = maximum
        self._base = escape(base)
        self._style = style
        self._digits = decimals(maximum)
        self._bare = typeset.bare_broken if style.newlines else typeset.bare

    def group(
        self,
        key: str,
        contexts: Sequence[Context],
        effects: Mapping[int, ContextEffect],
    ) -> str:
        """The list items of a group."""
        return self._items(
            key, contexts, [effects.get(context.window.number) for context in contexts]
        )

    def context(self, key: str, context: Context, effect: ContextEffect | None) -> str:
        """One context as a list item."""
        return self._items(key, [context], [effect])

    def _items(
        self, key: str, contexts: Sequence[Context], effects: Sequence[ContextEffect | None]
    ) -> str:
        """Contexts as list items."""
        if not contexts:
            return ""
        # Gather: how each token looks, and the numbers of each context.
        cut = _Cut(contexts, self._style.full)
        looks = np.zeros(len(cut.tokens), dtype=np.intp)
        looks[cut.peaks] = _PEAK
        data = [f"data-p={low}" for low in cut.lows]
        self._fires(contexts, cut, looks, data)
        if any(effect is not None for effect in effects):
            self._changes(effects, cut, looks, data)
        # Write: every token plain, then the few that are seen with a start tag of their own.
        html = self._bare[cut.tokens]
        seen = looks.nonzero()[0]
        for place, look in zip(seen.tolist(), looks[seen].tolist(), strict=True):
            html[place] = _LOOKS[look] + html[place][_PLAIN:]
        # Cut into contexts again, each at its peak.
        starts = [0, *cut.ends]
        return "".join(
            self._item(key, context, known, "".join(html[start:peak]), "".join(html[peak:end]))
            for context, known, start, peak, end in zip(
                contexts, data, starts, cut.peaks.tolist(), cut.ends, strict=False
            )
        )

    def _fires(
        self,
        contexts: Sequence[Context],
        cut: _Cut,
        looks: NDArray[np.intp],
        data: list[str],
    ) -> None:
        """Add the oranges to the looks and the activations to the data."""
        places, shown = cut.places([context.fires for context in contexts])
        values = np.concatenate([context.activations for context in contexts])[shown]
        looks[places] += activation_levels(values, self._maximum)
        # 24 bits times the 21 of 5^9 fit a float64: these are the digits that formatting gives.
        units = np.rint(values.astype(np.float64) * 10.0**self._digits).tolist()
        start = 0
        for i, end in enumerate(places.searchsorted(cut.ends).tolist()):
            if end > start:
                data[i] += " data-a=" + _joined(units[start:end])
                start = end

    def _changes(
        self,
        effects: Sequence[ContextEffect | None],
        cut: _Cut,
        looks: NDArray[np.intp],
        data: list[str],
    ) -> None:
        """Add the underlines to the looks and the changes of the loss to the data."""
        none = np.zeros(0, dtype=np.uint16)
        places, shown = cut.places(
            [none if effect is None else effect.positions for effect in effects]
        )
        measured = [effect.loss_change for effect in effects if effect is not None]
        values = np.concatenate(measured)[shown]
        levels = self._underlines.levels(values)
        # Those that lower the loss come after those that raise it.
        looks[places] += _UNDERLINED * np.where(levels < 0, len(EFFECT_STEPS) - levels, levels)
        every = [""] * len(cut.tokens)
        for place, change in zip(places.tolist(), values.tolist(), strict=True):
            every[place] = nats(change)
        start = 0
        for i, (effect, end) in enumerate(zip(effects, cut.ends, strict=True)):
            if effect is not None:
                data[i] += " data-e"
                if changes := ",".join(every[start:end]).rstrip(","):
                    data[i] += f" data-d={changes}"
            start = end

    def _item(self, key: str, context: Context, data: str, before: str, after: str) -> str:
        """A list item around the tokens before the peak, and from it on."""
        full, newlines = self._style.full, self._style.newlines
        shown = f"{context.value:.{self._digits}f}"
        width = "short" if full else "full"
        lines = "&amp;newlines=1" if newlines else ""
        link = (
            f'<a class=v href="{self._base}/contexts/{key}/{context.number}?width={width}{lines}" '
            f'aria-label="{"narrow" if full else "widen"} context {context.number + 1}, '
            f'activation {shown}">{shown}</a>'
        )
        source = escape(printable(context.source))
        body = (
            f"<p>{before}{after}</p>"
            if full or newlines
            else f"<p class=l><span>{before}</span></p><p class=r>{after}</p>"
        )
        kind = ' class="full"' if full else ' class="lines"' if newlines else ""
        onward = (
            f'<a class=go href="{self._base}/contexts/{key}/{context.number}/steer" '
            f'aria-label="steer from here, context {context.number + 1}">steer from here</a>'
            if full and self._steers
            else ""
        )
        return (
            f'<li{kind} id="{key}-{context.number}" {data} data-s="{source}">'
            f"{link}{body}{onward}</li>"
        )


def best_context(row: FeatureRow, typeset: Typeset) -> Markup:
    """The strongest context of a feature as a line of a table, centred on its peak.

    What stands before the peak, and from it on, as two paragraphs; empty where none is kept.
    """
    if row.best is None or row.window is None:
        return Markup()
    levels = activation_levels(row.best.values, row.maximum).tolist()
    looks = dict(zip(row.best.positions.tolist(), levels, strict=True))
    peak, tokens = int(row.best.peaks[0]), row.window.tokens.tolist()
    low = max(0, peak - ROW_REACH)
    html = [
        f"<bdi class=a{looks[position]}>{typeset.inline[token]}</bdi>"
        if position in looks
        else f"<bdi>{typeset.inline[token]}</bdi>"
        for position, token in enumerate(tokens[low : peak + ROW_REACH + 1], low)
    ]
    before, after = "".join(html[: peak - low]), "".join(html[peak - low :])
    return trusted(f"<p class=l><span>{before}</span></p><p class=r>{after}</p>")


def _joined(numbers: Sequence[float]) -> str:
    """Whole numbers with commas between."""
    return ",".join(["%d"] * len(numbers)) % tuple(numbers)
