"""The tokens of a vocabulary that a text may mean, found without walking over all of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache

from app.rendering.tokens import spellings
from sae_core.language_model.vocabulary import Vocabulary

MOST_KEPT = 8  # vocabularies
MOST_HOLDING = 40  # tokens that merely contain what was typed
SHORTEST_PART = 2  # bytes: a single one must be the whole token


@dataclass(frozen=True)
class FittingTokens:
    """Ids of tokens, special ones left out.

    Attributes:
        same: tokens that are what was typed, in whatever ASCII case, with or without a blank
            before it.
        holding: other tokens that contain it, the shortest first, `MOST_HOLDING` at the most.
    """

    same: tuple[int, ...] = ()
    holding: tuple[int, ...] = ()


class _Pieces:
    """A vocabulary in lower case, end to end."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        pieces = [piece.lower() for piece in vocabulary.pieces]
        self._whole: dict[bytes, list[int]] = {}
        for token, piece in enumerate(pieces):
            if token not in vocabulary.special:
                self._whole.setdefault(piece, []).append(token)
        self._joined = b"".join(pieces)
        self._ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)

    def same(self, spelling: bytes) -> list[int]:
        return self._whole.get(spelling, [])

    def holding(self, part: bytes) -> list[int]:
        """Tokens that contain it, by id, as many as are looked at."""
        found: list[int] = []
        at = self._joined.find(part)
        while at >= 0 and len(found) < 10 * MOST_HOLDING:
            token = int(np.searchsorted(self._ends, at, side="right"))
            end = int(self._ends[token])
            if at + len(part) > end:  # it begins in this token and ends in the next
                at = self._joined.find(part, at + 1)
                continue
            if token not in self.vocabulary.special:
                found.append(token)
            at = self._joined.find(part, end)
        return found


class TokenSearch:
    """Finds tokens. Safe to share between threads."""

    def __init__(self) -> None:
        self._pieces: LRUCache[int, _Pieces] = LRUCache(MOST_KEPT)
        self._lock = threading.Lock()

    def find(self, model_id: int, vocabulary: Vocabulary, typed: str) -> FittingTokens:
        """The tokens that fit; `typed` as for `spellings`, and not blank."""
        pieces = self._of(model_id, vocabulary)
        wanted = [s.lower() for form in (typed, typed.strip()) for s in spellings(form) if s]
        same: dict[int, None] = {}
        for spelling in dict.fromkeys(wanted):
            for form in (spelling, b" " + spelling):
                same.update(dict.fromkeys(pieces.same(form)))
        holding: dict[int, None] = {}
        for spelling in dict.fromkeys(wanted):
            if len(spelling) >= SHORTEST_PART:
                holding.update(dict.fromkeys(pieces.holding(spelling)))
        rest = [token for token in holding if token not in same]
        rest.sort(key=lambda token: (len(vocabulary.pieces[token]), token))
        return FittingTokens(tuple(same), tuple(rest[:MOST_HOLDING]))

    def _of(self, model_id: int, vocabulary: Vocabulary) -> _Pieces:
        with self._lock:
            pieces = self._pieces.get(model_id)
            if pieces is None or pieces.vocabulary is not vocabulary:
                pieces = self._pieces[model_id] = _Pieces(vocabulary)
            return pieces
