"""Texts that come as strings of tokens, without a tokenizer: numbered here, each kept once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from sae_core.harvest.records import WindowRecord
from sae_core.language_model.vocabulary import Vocabulary

MOST_TOKENS = 2_000_000
LONGEST_TOKEN = 2_000  # characters
LONGEST_WINDOW = 65_535  # positions are stored in 16 bits
_WORD_START = "▁"  # SentencePiece's mark for a space


class ForeignText:
    """A vocabulary and windows that grow as a source is read.

    Ids count tokens in the order in which they were first seen, so that the same source gives the
    same ids, and a source read on top of `known` changes none of those.

    Args:
        known: what earlier sources of the same model left.
    """

    def __init__(self, known: Vocabulary | None = None) -> None:
        self._pieces = list(known.pieces) if known else []
        self._ids = {piece: i for i, piece in enumerate(self._pieces)}
        self._of_text: dict[str, int] = {}
        self._numbers: dict[bytes, int] = {}

    def token(self, text: str) -> int:
        """The id of a token.

        Raises:
            InvalidRequest: it is too long, or there are too many.
        """
        known = self._of_text.get(text)
        if known is not None:
            return known
        if len(text) > LONGEST_TOKEN:
            raise InvalidRequest(
                f"A token has {len(text):,} characters; at most {LONGEST_TOKEN:,} are taken."
            )
        piece = text.replace(_WORD_START, " ").encode("utf-8", "surrogatepass")
        token = self._ids.get(piece)
        if token is None:
            if len(self._pieces) >= MOST_TOKENS:
                raise InvalidRequest(
                    f"The source has more than {MOST_TOKENS:,} different tokens: no vocabulary "
                    "is as large."
                )
            token = self._ids[piece] = len(self._pieces)
            self._pieces.append(piece)
        self._of_text[text] = token
        return token

    def window(self, texts: Sequence[str]) -> int:
        """The number of a window, the same for the same tokens.

        Raises:
            InvalidRequest: it is empty or too long.
        """
        if not 0 < len(texts) <= LONGEST_WINDOW:
            raise InvalidRequest(
                f"A context has {len(texts):,} tokens; 1 to {LONGEST_WINDOW:,} are taken."
            )
        ids = np.array([self.token(text) for text in texts], dtype=np.uint32)
        return self._numbers.setdefault(ids.tobytes(), len(self._numbers))

    def ids(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """The ids of tokens, int32 [n]."""
        return np.array([self.token(text) for text in texts], dtype=np.int32)

    @property
    def vocabulary(self) -> Vocabulary:
        """All tokens seen so far; which ones are special the source does not say."""
        return Vocabulary(tuple(self._pieces), frozenset(), None)

    @property
    def longest(self) -> int:
        """Tokens of the longest window."""
        return max((len(key) for key in self._numbers), default=0) // 4

    def __len__(self) -> int:
        return len(self._numbers)

    def windows(self) -> Iterator[WindowRecord]:
        """All windows, by number. They have no document and no line."""
        for key, number in self._numbers.items():
            tokens = np.frombuffer(key, dtype=np.uint32).astype(np.int64)
            yield WindowRecord(number, f"context {number + 1} of the source", 0, tokens)
