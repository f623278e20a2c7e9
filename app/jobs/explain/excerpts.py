"""Excerpts of text with a feature's activations: what explainers and judges are shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LENGTH = 32  # tokens of an excerpt
BEFORE = 20  # of them before the strongest
N_LEVELS = 10  # of activation, from which equally many excerpts are drawn
MARK = "<<", ">>"


@dataclass(frozen=True)
class Excerpt:
    """A few tokens of a document.

    Attributes:
        pieces: the bytes of each token [n].
        values: the feature's activation on each, model units, 0 where it is silent, float32 [n].
        window: the number of the window that it lies in.
        document: the number of its document.
    """

    pieces: tuple[bytes, ...]
    values: NDArray[np.float32]
    window: int
    document: int

    @property
    def maximum(self) -> float:
        """The largest activation; 0.0 where the feature is silent."""
        return float(self.values.max(initial=0.0))

    @property
    def text(self) -> str:
        """As it reads."""
        return _decode(self.pieces)

    @property
    def tokens(self) -> list[str]:
        """Token by token; bytes that are no whole character are shown as U+FFFD."""
        return [_decode([piece]) for piece in self.pieces]

    def marked(self, where: NDArray[np.bool_]) -> str:
        """As it reads, with runs of these tokens [n] between `<<` and `>>`."""
        out: list[bytes] = []
        for i, piece in enumerate(self.pieces):
            if where[i] and not (i and where[i - 1]):
                out.append(MARK[0].encode())
            out.append(piece)
            if where[i] and not (i + 1 < len(where) and where[i + 1]):
                out.append(MARK[1].encode())
        return _decode(out)


def _decode(pieces: Iterable[bytes]) -> str:
    return b"".join(pieces).decode("utf-8", "replace")


def cut(
    pieces: Sequence[bytes], values: NDArray[np.float32], peak: int, window: int, document: int
) -> Excerpt:
    """The excerpt of a window around a position, as much of `LENGTH` as the window has.

    Args:
        pieces: the bytes of the window's text tokens [n].
        values: the feature's activation on each [n].
        peak: the position.
        window: number of the window.
        document: number of its document.
    """
    begin = max(0, min(peak - BEFORE, len(pieces) - LENGTH))
    inside = slice(begin, begin + LENGTH)
    return Excerpt(tuple(pieces[inside]), values[inside], window, document)


def for_scoring(document: int, seed: int) -> bool:
    """Whether a document belongs to the half that scores are computed on, not explanations."""
    return bool(hashlib.sha256(f"{seed} {document}".encode()).digest()[0] & 1)


def over_the_range(excerpts: Sequence[Excerpt], n: int, seed: int) -> list[Excerpt]:
    """At most `n` excerpts, equally many of each of `N_LEVELS` levels of activation.

    Levels are equal shares of the excerpts in the order of activation, so that weak firings, which
    are most of them, are not left out. Strongest first.
    """
    ranked = sorted(excerpts, key=lambda excerpt: (-excerpt.maximum, excerpt.window))
    rng = np.random.default_rng(seed)
    levels = [
        list(rng.permutation(part)) for part in np.array_split(np.arange(len(ranked)), N_LEVELS)
    ]
    drawn: list[int] = []
    while len(drawn) < min(n, len(ranked)):
        for level in levels:
            if level and len(drawn) < n:
                drawn.append(int(level.pop()))
    return [ranked[i] for i in sorted(drawn)]
