"""What every token of a text is and stands in, computed once for all features.

A token's neighbours are those of its window, as the model reads it: there is nothing before its
first token and nothing after its last. What it lies in (a string, an indented line, ...) is read
from its document, from at most `LOOKBACK` tokens before the window to `LOOKAHEAD` after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sae_core.language_model.vocabulary import Vocabulary
from sae_core.rules import scanner
from sae_core.rules.flags import EARLY, FOLLOWING, N_SCANNED, PLACES, PREVIOUS, Pieces, place
from sae_core.text.tokenized import Windows

LOOKBACK = 512
LOOKAHEAD = 128  # so that what begins in a window can be seen to end
CHUNK = 1 << 20  # tokens that are scanned at once
NEIGHBOURS = ("token", "previous", "before", "following")
"""The tokens that a condition may name: the token, the one before it, the one before that, and the
one after."""


@dataclass(frozen=True)
class TokenAttributes:
    """Attributes of n tokens of text, special ones left out.

    Attributes:
        neighbours: ids of each token and of those around it, by `NEIGHBOURS`; `d_vocab` where there
            is none, int32 [4, n].
        flags: bits as `FLAGS` names them, uint64 [n].
        documents: number of each token's document, ascending, int64 [n].
        d_vocab: tokens in the vocabulary.
    """

    neighbours: NDArray[np.int32]
    flags: NDArray[np.uint64]
    documents: NDArray[np.int64]
    d_vocab: int

    def __len__(self) -> int:
        return len(self.flags)

    @cached_property
    def document_starts(self) -> NDArray[np.int64]:
        """Where each document's tokens begin, with the total at the end, [n_documents + 1]."""
        begins = np.flatnonzero(np.diff(self.documents, prepend=-1))
        return np.concatenate([begins, [len(self)]]).astype(np.int64)


def text_attributes(tokens: NDArray[np.int64], vocabulary: Vocabulary) -> TokenAttributes:
    """Attributes of one text, or one window, by itself; ids outside the vocabulary are refused.

    Args:
        tokens: ids, special ones included, int64 [n].
        vocabulary: of the model.
    """
    pieces = Pieces(vocabulary.pieces)
    ids = np.asarray(tokens, dtype=np.int64)
    text = ~vocabulary.is_special[ids]
    bounds = np.array([0, len(ids)])
    states = _states(pieces, ids, bounds)
    neighbours, flags = _in_windows(pieces, ids[None], text[None], states[None])
    documents = np.zeros(int(text.sum()), dtype=np.int64)
    return TokenAttributes(neighbours, flags, documents, len(vocabulary.pieces))


def window_attributes(
    windows: Windows, numbers: NDArray[np.int64], vocabulary: Vocabulary
) -> tuple[TokenAttributes, NDArray[np.int64]]:
    """Attributes of all text in some windows, document after document.

    Args:
        windows: of the corpus.
        numbers: which of them, in any order, int64 [n].
        vocabulary: of the model.

    Returns:
        The attributes, and where each position of the windows is among them: int64
        [n, n_ctx], -1 for what is no text.
    """
    order = np.argsort(numbers, kind="stable")
    sorted_numbers = numbers[order]
    pieces = Pieces(vocabulary.pieces)
    tokens, text = windows.gather(sorted_numbers)
    text &= ~vocabulary.is_special[tokens]
    parts = [
        _in_windows(pieces, tokens[rows], text[rows], states)
        for rows, states in _scanned(windows, sorted_numbers, pieces)
    ]
    neighbours = np.concatenate([np.zeros((4, 0), np.int32), *(p[0] for p in parts)], axis=1)
    flags = np.concatenate([np.zeros(0, np.uint64), *(p[1] for p in parts)])
    documents = np.repeat(windows.document_of(sorted_numbers), text.sum(axis=1))
    places = np.full(text.shape, -1, dtype=np.int64)
    places[order] = np.where(text, np.cumsum(text).reshape(text.shape) - 1, -1)
    return TokenAttributes(neighbours, flags, documents, len(vocabulary.pieces)), places


def _scanned(
    windows: Windows, numbers: NDArray[np.int64], pieces: Pieces
) -> list[tuple[slice, NDArray[np.uint16]]]:
    """Rows of windows with the states of each of their positions, chunk by chunk."""
    corpus = windows.corpus
    documents = windows.document_of(numbers)
    begin = corpus.offsets[documents] + windows.start_of(numbers)
    end = begin + windows.lengths(numbers)
    lead = np.maximum(corpus.offsets[documents], begin - LOOKBACK)
    tail = np.minimum(corpus.offsets[documents + 1], end + LOOKAHEAD)
    # Windows near each other in a document are scanned in one go.
    apart = np.ones(len(numbers), dtype=bool)
    apart[1:] = (lead[1:] > tail[:-1]) | (documents[1:] != documents[:-1])
    first = np.flatnonzero(apart)
    last = np.append(first[1:], len(numbers)) - 1 if len(first) else first
    sizes = tail[last] - lead[first]
    out = []
    at = 0
    while at < len(first):
        stop = at + max(1, int(np.searchsorted(np.cumsum(sizes[at:]), CHUNK, side="right")))
        spans = [
            np.asarray(corpus.tokens[lead[first[s]] : tail[last[s]]], dtype=np.int64)
            for s in range(at, stop)
        ]
        bounds = np.concatenate([[0], np.cumsum(sizes[at:stop])])
        states = _states(pieces, np.concatenate(spans), bounds)
        rows = slice(int(first[at]), int(last[stop - 1]) + 1)
        segment = np.cumsum(apart[rows]) - 1
        moved = bounds[segment] - lead[first[at:stop]][segment]
        positions = np.arange(windows.n_ctx) - (windows.n_ctx - windows.n_text)
        index = (begin[rows] + moved)[:, None] + positions
        inside = (positions >= 0) & (positions < (end - begin)[rows][:, None])
        out.append((rows, np.where(inside, states[np.where(inside, index, 0)], 0)))
        at = stop
    return out


def _states(
    pieces: Pieces, tokens: NDArray[np.int64], bounds: NDArray[np.int64]
) -> NDArray[np.uint16]:
    """What each token's first byte that is no blank lies in; `bounds`: where texts begin."""
    if not len(tokens):
        return np.zeros(0, dtype=np.uint16)
    ends = np.concatenate([[0], np.cumsum(pieces.lengths[tokens])])
    data = b"".join(map(pieces.bytes.__getitem__, tokens.tolist()))
    states = scanner.scan(data, ends[bounds])
    at = ends[:-1] + pieces.lead[tokens]
    return np.append(states, np.uint16(0))[np.minimum(at, len(data))]


def _in_windows(
    pieces: Pieces,
    tokens: NDArray[np.int64],
    text: NDArray[np.bool_],
    states: NDArray[np.uint16],
) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
    """Neighbours and flags of the text positions of windows [n, n_ctx], row by row."""
    none = len(pieces.bytes)
    own = np.where(text, tokens, none).astype(np.int32)
    padded = np.pad(own, ((0, 0), (2, 1)), constant_values=none)
    neighbours = np.stack([own, padded[:, 1:-2], padded[:, :-3], padded[:, 3:]])[:, text]
    token, previous, _, following = neighbours
    classes = pieces.classes
    flags = classes[token]
    flags |= classes[previous] << np.uint64(PREVIOUS)
    flags |= classes[following] << np.uint64(FOLLOWING)
    flags |= (states[text].astype(np.uint64) & np.uint64((1 << N_SCANNED) - 1)) << np.uint64(PLACES)
    goes_on = pieces.goes_on[token] & pieces.ends_word[previous]
    starts = pieces.begins_word[token] & ~goes_on
    ends = pieces.ends_word[token] & ~pieces.goes_on[following]
    position = np.cumsum(text, axis=1)[text] - 1
    for name, holds in (
        ("word-start", starts),
        ("word-inside", goes_on & ~ends),
        ("word-end", ends & goes_on),
        ("first", position == 0),
        ("early", position < EARLY),
    ):
        flags |= holds.astype(np.uint64) << np.uint64(place(name))
    return neighbours, flags
