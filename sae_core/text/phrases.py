"""Where a phrase stands in a text of tokens, however the tokenizer cut it there.

Tokens are joined to the bytes that they stand for, and the phrase is looked for in these. So it is
found whether or not it is cut as it would be by itself: in `f(self, x)` the blank after the comma
belongs to ` x`. An occurrence is a run of tokens:

1. It begins where a token begins, or behind white space that the token begins with; it ends where
   a token ends, or before white space that it ends with. Words within words are none.
2. Of a token at either end that it covers in part, and only with white space, it is not made: in
   `self, ` the last token is the comma.
3. White space alone must be whole tokens.
4. It does not reach over the edge of a piece of text whose neighbour is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BLANKS = b" \t\n\r\x0b\x0c"
_FEW = 1000  # places


@dataclass(frozen=True)
class Occurrences:
    """Where a phrase stands, in the order of the text.

    Attributes:
        first: its first token at each place, int64 [n].
        last: its last token, int64 [n].
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.first)


class PhraseIndex:
    """A text to be searched for phrases. Never changed, safe to share between threads.

    Args:
        tokens: ids, unsigned [n_tokens].
        pieces: the bytes of each token of the vocabulary.
        runs: where pieces of text begin that do not go on from what stands before them, ascending
            from 0.
    """

    def __init__(
        self,
        tokens: NDArray[np.unsignedinteger],
        pieces: Sequence[bytes],
        runs: NDArray[np.int64],
    ) -> None:
        self.tokens = tokens
        self._joined = b"".join([pieces[token] for token in tokens.tolist()])
        sizes = np.array([len(piece) for piece in pieces], dtype=np.int32)
        self._text = np.frombuffer(self._joined, dtype=np.uint8)
        self._starts = np.zeros(len(tokens) + 1, dtype=np.int64)
        np.cumsum(sizes[tokens], out=self._starts[1:])
        self._runs = runs
        self._frequency = np.bincount(self._text, minlength=256)
        # White space that a token begins with, and ends with, in bytes.
        self._lead = sizes - [len(piece.lstrip(_BLANKS)) for piece in pieces]
        self._trail = sizes - [len(piece.rstrip(_BLANKS)) for piece in pieces]

    def find(self, spellings: Sequence[bytes]) -> Occurrences:
        """Where any of some spellings of a phrase stands."""
        of_each = [self._find(spelling) for spelling in dict.fromkeys(spellings) if spelling]
        every = np.unique(np.concatenate([np.zeros(0, np.int64), *of_each]))
        return Occurrences(*np.divmod(every, len(self.tokens)))

    def holds(self, spelling: bytes) -> bool:
        """Whether these bytes stand anywhere, tokens or not."""
        return spelling in self._joined

    def says(self, spelling: bytes) -> bool:
        """Whether a phrase stands anywhere: mostly one of its first few places shows it."""
        begins: list[int] = []
        at = self._joined.find(spelling) if spelling else -1
        while at >= 0 and len(begins) < _FEW:
            begins.append(at)
            at = self._joined.find(spelling, at + 1)
        if len(self._bounded(spelling, np.array(begins, dtype=np.int64))):
            return True
        return at >= 0 and len(self._find(spelling)) > 0

    def readings(self, places: Occurrences) -> list[tuple[tuple[int, ...], int]]:
        """How the phrase is cut into tokens and how often so, the commonest first."""
        counts: dict[tuple[int, ...], int] = {}
        lengths = places.last - places.first + 1
        for length in np.unique(lengths).tolist():
            first = places.first[lengths == length]
            cut, often = np.unique(
                self.tokens[first[:, None] + np.arange(length)], axis=0, return_counts=True
            )
            counts |= zip(map(tuple, cut.tolist()), often.tolist(), strict=True)
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

    def _find(self, phrase: bytes) -> NDArray[np.int64]:
        """First token of each occurrence times the number of all, plus its last, int64 [n]."""
        return self._bounded(phrase, self._places(phrase))

    def _bounded(self, phrase: bytes, begins: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same of those places at which the bytes are a phrase."""
        ends = begins + len(phrase)
        first = np.searchsorted(self._starts, begins, side="right") - 1
        last = np.searchsorted(self._starts, ends, side="left") - 1
        fits = np.searchsorted(self._runs, first, side="right") == np.searchsorted(
            self._runs, last, side="right"
        )
        # Bytes of the tokens at both ends that lie outside, and those that lie inside.
        before, after = begins - self._starts[first], self._starts[last + 1] - ends
        head, tail = self._starts[first + 1] - begins, ends - self._starts[last]
        lead = len(phrase) - len(phrase.lstrip(_BLANKS))
        trail = len(phrase) - len(phrase.rstrip(_BLANKS))
        if lead == len(phrase):
            fits &= (before == 0) & (after == 0)
        else:
            no_first = (before > 0) & (head <= lead)
            no_last = (after > 0) & (tail <= trail)
            fits &= no_first | (before <= self._lead[self.tokens[first]])
            fits &= no_last | (after <= self._trail[self.tokens[last]])
            first, last = first + no_first, last - no_last
        pairs: NDArray[np.int64] = first[fits] * len(self.tokens) + last[fits]
        return pairs

    def _places(self, phrase: bytes) -> NDArray[np.int64]:
        """Where the bytes begin, int64; places may overlap."""
        wanted = np.frombuffer(phrase, dtype=np.uint8)
        if not len(wanted) or len(wanted) > len(self._text):
            return np.zeros(0, dtype=np.int64)
        # Look at the rarest byte everywhere, at the others where it stands.
        order = np.argsort(self._frequency[wanted], kind="stable")
        places: NDArray[np.int64] = np.flatnonzero(self._text == wanted[order[0]]) - order[0]
        places = places[(places >= 0) & (places <= len(self._text) - len(wanted))]
        for at in order[1:].tolist():
            if not len(places):
                break
            places = places[self._text[places + at] == wanted[at]]
        return places
