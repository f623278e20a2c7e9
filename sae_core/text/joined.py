"""Documents end to end: windows without padding, in which attention may cross documents."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sae_core.text.tokenized import TokenizedCorpus


def joined(corpus: TokenizedCorpus, n_text: int, separator: int) -> TokenizedCorpus:
    """The corpus as one document a window, each filled with text to the end.

    Documents follow each other with the separator between them, those held out of training behind
    the others, so that no window holds both. A window is called after the document of its first
    token, with the number of the documents that begin in it after that.

    Args:
        corpus: the documents to join.
        n_text: positions of a window that hold text, BOS left out.
        separator: id of the token that is put between two documents.
    """
    tokens: list[NDArray[np.unsignedinteger]] = []
    lengths: list[int] = []
    names: list[str] = []
    held_out: list[bool] = []
    # Documents to train on first, then those held out: no window holds both.
    for side in (False, True):
        numbers = np.flatnonzero(corpus.held_out == side)
        if not len(numbers):
            continue
        stream, owner = _stream(corpus, numbers, separator)
        for begin in range(0, len(stream), n_text):
            owners = owner[begin : begin + n_text]
            more = int(owners[-1] - owners[0])
            name = corpus.names[numbers[owners[0]]]
            names.append(f"{name} and {more} more" if more else name)
            lengths.append(len(owners))
            held_out.append(side)
        tokens.append(stream)
    facts = f"{corpus.fingerprint} joined {n_text} {separator}"
    return replace(
        corpus,
        fingerprint=hashlib.sha256(facts.encode()).hexdigest(),
        tokens=np.concatenate(tokens),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        names=tuple(names),
        held_out=np.array(held_out, dtype=bool),
        details={
            **corpus.details,
            "packing": f"{corpus.n_documents} documents end to end, with token {separator} between "
            "them; attention crosses documents",
        },
    )


def _stream(
    corpus: TokenizedCorpus, numbers: NDArray[np.int64], separator: int
) -> tuple[NDArray[np.unsignedinteger], NDArray[np.int64]]:
    """Tokens of those documents, [n], and which of them each belongs to, [n]."""
    lengths = corpus.lengths[numbers] + 1  # with what ends it
    owner = np.repeat(np.arange(len(numbers)), lengths)
    stream = np.full(int(lengths.sum()), separator, dtype=corpus.tokens.dtype)
    begin = np.cumsum(lengths) - lengths
    for place, number in zip(begin.tolist(), numbers.tolist(), strict=True):
        document = corpus.tokens[corpus.offsets[number] : corpus.offsets[number + 1]]
        stream[place : place + len(document)] = document
    return stream[:-1], owner[:-1]
