"""Contexts as HTML: joined from prepared pieces, because a page has thousands of tokens."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from app.rendering_numbers import decimals, nats
from app.rendering_tokens import Typeset, printable
from sae_core.records import ContextEffect, ExampleGroup, GroupKind, WindowRecord

ACTIVATION_LEVELS = 16
SHORT_BEFORE = 24
SHORT_AFTER = 16
EFFECT_STEPS = (0.005, 0.02, 0.06, 0.2, 0.6, 2.0)
"""Changes of the loss, in nats, from which an underline is one step thicker."""

_STEPS = np.array(EFFECT_STEPS, dtype=np.float32)
_RAISES = ("", *(f"u{level}" for level in range(1, len(EFFECT_STEPS) + 1)))
_LOWERS = ("", *(f"n{level}" for level in range(1, len(EFFECT_STEPS) + 1)))


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
        positions: where the feature fires, ascending.
        values: the activations there.
        line: line of the document in which the peak lies.
    """

    number: int
    window: WindowRecord
    peak: int
    positions: Sequence[int]
    values: Sequence[float]
    line: int

    @property
    def value(self) -> float:
        """The activation at the peak."""
        at = bisect_left(self.positions, self.peak)
        found = at < len(self.positions) and self.positions[at] == self.peak
        return self.values[at] if found else max(self.values, default=0.0)

    @property
    def source(self) -> str:
        """Where the peak comes from: `document:line`."""
        return f"{self.window.document}:{self.line}"


def group_key(group: ExampleGroup) -> str:
    """The group's name in addresses: `top`, `band-10` to `band-0`, `weakest`."""
    return f"band-{group.number}" if group.kind is GroupKind.BAND else str(group.kind)


def unpack(
    group: ExampleGroup, windows: Mapping[int, WindowRecord], typeset: Typeset
) -> list[Context]:
    """The examples of a group whose windows are known, in the group's order."""
    examples = group.examples
    numbers, peaks = examples.windows.tolist(), examples.peaks.tolist()
    bounds = examples.bounds.tolist()
    positions, values = examples.positions.tolist(), examples.values.tolist()
    newlines = typeset.vocabulary.newlines
    first_text = 0 if typeset.vocabulary.bos is None else 1
    contexts = []
    for i, number in enumerate(numbers):
        window = windows[number]
        lines = int(newlines[window.tokens[first_text : peaks[i]]].sum())
        span = slice(bounds[i], bounds[i + 1])
        contexts.append(
            Context(i, window, peaks[i], positions[span], values[span], window.line + lines)
        )
    return contexts


def activation_level(value: float, maximum: float) -> int:
    """1 (barely) to 16 (the maximum)."""
    if maximum <= 0:
        return 1
    return min(ACTIVATION_LEVELS, max(1, math.ceil(ACTIVATION_LEVELS * value / maximum)))


class ContextWriter:
    """Writes the contexts of one feature.

    Args:
        typeset: of the feature's language model.
        maximum: of the feature; the full orange.
        base: address of the feature's page.
        style: short or full, with or without line breaks.
    """

    def __init__(self, typeset: Typeset, maximum: float, base: str, style: ContextStyle) -> None:
        self._typeset = typeset
        self._maximum = maximum
        self._base = escape(base)
        self._style = style
        self._digits = decimals(maximum)
        self._inner = typeset.broken if style.newlines else typeset.inline
        self._bare = typeset.bare_broken if style.newlines else typeset.bare

    def group(
        self,
        key: str,
        contexts: Sequence[Context],
        effects: Mapping[int, ContextEffect],
    ) -> str:
        """The list items of a group."""
        return "".join(
            self.context(key, context, effects.get(context.window.number)) for context in contexts
        )

    def context(self, key: str, context: Context, effect: ContextEffect | None) -> str:
        """One context as a list item."""
        tokens = context.window.tokens.tolist()
        peak, full = context.peak, self._style.full
        low = 0 if full else max(0, peak - SHORT_BEFORE)
        high = len(tokens) if full else min(len(tokens), peak + SHORT_AFTER + 1)
        html = self._tokens(context, effect, tokens, low, high)
        before, after = "".join(html[: peak - low]), "".join(html[peak - low :])
        shown = f"{context.value:.{self._digits}f}"
        width = "short" if full else "full"
        lines = "&amp;newlines=1" if self._style.newlines else ""
        link = (
            f'<a class=v href="{self._base}/contexts/{key}/{context.number}?width={width}{lines}" '
            f'aria-label="{"narrow" if full else "widen"} context {context.number + 1}, '
            f'activation {shown}">{shown}</a>'
        )
        known = "" if effect is None else " data-e"
        source = escape(printable(context.source))
        body = (
            f"<p>{before}{after}</p>"
            if full or self._style.newlines
            else f"<p class=l><span>{before}</span></p><p class=r>{after}</p>"
        )
        kind = ' class="full"' if full else ' class="lines"' if self._style.newlines else ""
        return (
            f'<li{kind} id="{key}-{context.number}" data-p={low} data-s="{source}"{known}>'
            f"{link}{body}</li>"
        )

    def _tokens(
        self,
        context: Context,
        effect: ContextEffect | None,
        tokens: Sequence[int],
        low: int,
        high: int,
    ) -> list[str]:
        """HTML of tokens low to high."""
        bare, inner = self._bare, self._inner
        html = [bare[token] for token in tokens[low:high]]
        classes: dict[int, str] = {}
        attributes: dict[int, str] = {}
        digits, scale = self._digits, self._maximum
        fires = slice(bisect_left(context.positions, low), bisect_left(context.positions, high))
        for position, value in zip(context.positions[fires], context.values[fires], strict=True):
            classes[position] = f"a{activation_level(value, scale)}"
            attributes[position] = f" data-a={value:.{digits}f}"
        if effect is not None:
            shown = slice(*np.searchsorted(effect.positions, (low, high)))
            changes = effect.loss_change[shown]
            levels = np.searchsorted(_STEPS, np.abs(changes), side="right")
            for position, change, level in zip(
                effect.positions[shown].tolist(), changes.tolist(), levels.tolist(), strict=True
            ):
                if level:
                    name = _RAISES[level] if change > 0 else _LOWERS[level]
                    before = classes.get(position)
                    classes[position] = f"{before} {name}" if before else name
                attributes[position] = f"{attributes.get(position, '')} data-d={nats(change)}"
        peak = context.peak
        attributes[peak] = f"{attributes.get(peak, '')} tabindex=0"
        for position, attribute in attributes.items():
            if low <= position < high:
                name = classes.get(position, "")
                if position == peak:
                    name = f"{name} p" if name else "p"
                quoted = f'"{name}"' if " " in name else name
                chosen = f" class={quoted}" if name else ""
                token = inner[tokens[position]]
                html[position - low] = f"<bdi{chosen}{attribute}>{token}</bdi>"
        return html
