"""Where in a text strings, comments, addresses, numbers, tags and brackets are.

The scanner knows no language: it looks for what most of them share, so that it works on code and on
English alike. Strings are quoted on one line (or between three quotation marks, over several);
comments begin with `#` or `//` where a word could begin, or lie in `/* */` and `<!-- -->`; an
apostrophe inside a word opens nothing. Where a bracket is never closed, a blank line ends it.

Every pattern takes time in proportion to the text, whatever stands in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

STRING, COMMENT, URL, NUMBER, TAG, PARENTHESES, BRACKETS, BRACES, LINE_START, INDENTED, DEEP = (
    1 << bit for bit in range(11)
)
_DEEP = 8
_NEVER = 1 << 30

# What hides all else: strings and comments, the first of them that begins.
_QUOTED = re.compile(
    rb'(?P<string>"""(?s:.*?)(?:"""|\Z)'
    rb"|'''(?s:.*?)(?:'''|\Z)"
    rb'|"(?:[^"\\\n]|\\.){0,500}+"'
    rb"|'(?<![A-Za-z0-9_)\]]')(?:[^'\\\n]|\\.|'(?=[a-z])){0,500}+'"
    rb"|'(?:(?<=[bBrRuUfF]')(?<![A-Za-z0-9_][bBrRuUfF]')"
    rb"|(?<=[bBrRuUfF]{2}')(?<![A-Za-z0-9_][bBrRuUfF]{2}'))(?:[^'\\\n]|\\.){0,500}+'"
    rb"|\xe2\x80\x9c[^\n\xe2]{0,500}(?:\xe2(?!\x80\x9d)[^\n\xe2]{0,500}){0,20}\xe2\x80\x9d)"
    rb"|#(?<![^\s]#)(?!include|define|if|else|endif|pragma|undef|elif)[^\n]*+"
    rb"|//(?:(?<=[\n;{},)\t]//)|(?<=[;{},)\n\t ][ ]//))[^\n]*+"
    rb"|/\*(?s:.*?)(?:\*/|\Z)"
    rb"|<!--(?s:.*?)(?:-->|\Z)"
)
_URL = re.compile(rb"(?:https?|ftp|file)://[^\s\"'<>`)\]}]*+")
_NUMBER = re.compile(rb"[0-9](?<![A-Za-z_][0-9])[0-9a-fA-FxXoOjJ_]*+(?:\.[0-9]++)*+")
_TAG = re.compile(rb"<[A-Za-z/!?][^<>\n]{0,300}+>")
_PAIRS = ((b"(", b")", PARENTHESES), (b"[", b"]", BRACKETS), (b"{", b"}", BRACES))


def scan(data: bytes, bounds: NDArray[np.int64]) -> NDArray[np.uint16]:
    """What each byte of some texts lies in: bits, uint16 [len(data)].

    Args:
        data: the texts, end to end.
        bounds: where each begins, with the total at the end, int64 [n_texts + 1].
    """
    n = len(data)
    strings, comments = _quoted(data, bounds)
    inside = _covered(n, strings)
    states = inside * np.uint16(STRING)
    in_comment = _covered(n, comments)
    states |= in_comment * np.uint16(COMMENT)
    for pattern, bit in ((_URL, URL), (_NUMBER, NUMBER), (_TAG, TAG)):
        spans = (match.span() for match in pattern.finditer(data))
        states |= _covered(n, spans) * np.uint16(bit)
    raw = np.frombuffer(data, dtype=np.uint8)
    lines = _Lines(raw, bounds)
    code = ~(inside | in_comment)
    for opening, closing, bit in _PAIRS:
        states |= _within(raw, code, lines.stops, opening[0], closing[0]) * np.uint16(bit)
    states |= lines.starts * np.uint16(LINE_START)
    states |= (lines.indentation > 0) * np.uint16(INDENTED)
    states |= (lines.indentation >= _DEEP) * np.uint16(DEEP)
    return states


def _quoted(
    data: bytes, bounds: NDArray[np.int64]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Spans of strings and of comments; none goes on into the next text."""
    strings: list[tuple[int, int]] = []
    comments: list[tuple[int, int]] = []
    edges = bounds.tolist()
    for begin, end in pairwise(edges):
        for match in _QUOTED.finditer(data, begin, end):
            (strings if match.lastgroup else comments).append(match.span())
    return strings, comments


def _covered(n: int, spans: Iterable[tuple[int, int]]) -> NDArray[np.bool_]:
    """Whether each of n bytes lies in one of some spans that do not overlap."""
    ends = np.fromiter(chain.from_iterable(spans), dtype=np.int64).reshape(-1, 2)
    steps = np.zeros(n + 1, dtype=np.int8)
    np.add.at(steps, ends[:, 0], 1)
    np.subtract.at(steps, ends[:, 1], 1)
    covered: NDArray[np.bool_] = np.cumsum(steps[:-1], dtype=np.int8) > 0
    return covered


class _Lines:
    """Lines of some texts, byte by byte.

    Attributes:
        starts: whether only blanks stand before a byte in its line.
        indentation: how many blanks its line begins with.
        stops: whether a text begins here, or a blank line ends.
    """

    def __init__(self, raw: NDArray[np.uint8], bounds: NDArray[np.int64]) -> None:
        n = len(raw)
        at = np.arange(n, dtype=np.int32)
        newline = raw == 10
        first = np.zeros(n + 1, dtype=bool)
        first[bounds] = True
        first = first[:n]
        begins = first.copy()
        begins[1:] |= newline[:-1]
        solid = ~np.isin(raw, np.frombuffer(b" \t\r\n\x0b\x0c", np.uint8))
        line = np.maximum.accumulate(np.where(begins, at, 0)) if n else at
        last = np.maximum.accumulate(np.where(solid, at, -1)) if n else at
        before = np.concatenate([np.full(min(1, n), -1, np.int32), last[:-1]])
        self.starts = before < line
        # The first byte of the line that is no blank, or its line break.
        stop = np.where(solid | newline, at, n)
        nearest = np.minimum.accumulate(stop[::-1])[::-1] if n else at
        self.indentation = nearest[line] - line if n else at
        self.stops = first | (newline & self.starts)


def _within(
    raw: NDArray[np.uint8],
    code: NDArray[np.bool_],
    stops: NDArray[np.bool_],
    opening: int,
    closing: int,
) -> NDArray[np.bool_]:
    """Whether each byte lies within a pair of brackets; a closing one without its opening one is
    left out of account."""
    opens, closes = (raw == opening) & code, (raw == closing) & code
    # Only where something happens does the level change.
    events = np.flatnonzero(opens | closes | stops)
    step = opens[events].astype(np.int64) - closes[events]
    begins = stops[events]
    # The least level since the last stop: a stop takes all after it far below what came before.
    fallen = np.cumsum(step) - np.cumsum(begins) * np.int64(_NEVER)
    entered = np.where(begins, fallen - step, fallen)
    after = fallen > np.minimum.accumulate(np.minimum(entered, fallen))
    inside = np.repeat(after, np.diff(events, append=len(raw)))
    # A closing bracket itself still lies inside.
    inside[events[1:]] |= after[:-1] & (step[1:] < 0) & ~begins[1:]
    return inside
