"""The harvested text and what fires on each of its tokens, small enough to keep after the harvest.

1. Kept are all firings of the first windows of the harvest, whose order is random: as many as
   `MOST_FIRINGS` and `MOST_TOKENS` allow. So what is kept is a random sample of windows, complete
   in itself, and counts in it are exact.
2. Features are renumbered by how often they fire on it, the most frequent first. Of each token the
   firing features are sorted by that rank and kept as gaps: most of them are small.
3. The bytes of a window are the counts of its tokens, then the gaps of one token after the other
   (the first from rank 0, each further one from the rank after the one before), all as varints,
   compressed.

Activations are not kept: they would cost more than all the rest.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.errors import HarvestError
from sae_core.harvest.firing_log import FiringLog
from sae_core.language_model.vocabulary import Vocabulary
from sae_core.text.tokenized import TokenizedCorpus, Windows

MOST_FIRINGS = 32_000_000
MOST_TOKENS = 4_000_000
_LEVEL = 6
_LONGEST = 5  # bytes of a varint: numbers below 2**35


@dataclass(frozen=True)
class KeptText:
    """Windows of the harvested text, by number, whose firings are kept.

    Attributes:
        numbers: of the windows, ascending, int64 [n_windows].
        bounds: window w is `tokens[bounds[w]:bounds[w + 1]]`, int64 [n_windows + 1].
        tokens: ids, without those that only open a window, unsigned [n_tokens].
        documents: place in `names` of each window's document, int64 [n_windows].
        lines: line of the document that each window begins in, from 1, int64 [n_windows].
        names: of the documents.
        counts: how often each feature fires on these tokens, int64 [d_sae].
    """

    numbers: NDArray[np.int64]
    bounds: NDArray[np.int64]
    tokens: NDArray[np.unsignedinteger]
    documents: NDArray[np.int64]
    lines: NDArray[np.int64]
    names: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def n_tokens(self) -> int:
        """Tokens whose firings are kept."""
        return len(self.tokens)

    @property
    def order(self) -> NDArray[np.int64]:
        """The feature of each rank, [d_sae]."""
        return np.argsort(-self.counts, kind="stable")


@dataclass(frozen=True)
class KeptFirings:
    """What is kept of a harvest.

    Attributes:
        text: the tokens.
        windows: the firings of each of its windows, as packed.
    """

    text: KeptText
    windows: tuple[bytes, ...]


def keep_firings(
    windows: Windows,
    log: FiringLog,
    vocabulary: Vocabulary,
    most_firings: int = MOST_FIRINGS,
    most_tokens: int = MOST_TOKENS,
) -> KeptFirings:
    """Text and firings of a finished log, as far as they may be kept.

    Where runs were cut changes nothing. Memory: what is kept, and one run of the log.

    Args:
        windows: the corpus that the log was made of.
        log: of all batches.
        vocabulary: of the language model.
        most_firings: of all windows together.
        most_tokens: likewise.
    """
    harvested = log.windows
    lead = windows.n_ctx - windows.n_text
    kept = _kept(windows, log, most_firings, most_tokens)
    counts = np.zeros(log.header.d_sae, dtype=np.int64)
    base = 0
    for numbers, slots, features in log.runs():
        inside = slots < max(0, kept - base) * windows.n_ctx
        counts += np.bincount(features[inside], minlength=len(counts))
        base += len(numbers)
    order = np.argsort(harvested[:kept])
    text = _text(windows, harvested[:kept][order], vocabulary, counts)
    rank = np.empty(len(counts), dtype=np.int64)
    rank[text.order] = np.arange(len(counts))
    packed: list[bytes] = []
    for numbers, slots, features in log.runs():
        if len(packed) >= kept:
            break
        numbers = numbers[: kept - len(packed)]
        inside = slots < len(numbers) * windows.n_ctx
        ordinals, positions = np.divmod(slots[inside], windows.n_ctx)
        packed += packed_windows(
            windows.lengths(numbers), ordinals, positions - lead, rank[features[inside]]
        )
    return KeptFirings(text, tuple(packed[place] for place in order.tolist()))


def firings_at(
    packed: Sequence[bytes],
    lengths: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    order: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The features that fire on some tokens of some windows.

    Args:
        packed: of each window, as in `KeptFirings`.
        lengths: tokens of each, int64 [n_windows].
        wanted: which of their tokens, one window after the other, bool [sum of lengths].
        order: the feature of each rank, [d_sae].

    Returns:
        bounds: the n-th wanted token has `features[bounds[n]:bounds[n + 1]]`, int64.
        features: of all wanted tokens, for each by rank, int64.

    Raises:
        HarvestError: the bytes are no such windows.
    """
    try:
        parts = [_inflated(p, n, len(order)) for p, n in zip(packed, lengths.tolist(), strict=True)]
    except zlib.error as error:
        raise HarvestError(f"The kept firings are damaged: {error}.") from None
    data = np.frombuffer(b"".join(parts), dtype=np.uint8)
    last = np.flatnonzero(data < 0x80)  # the last byte of each number
    # The numbers of a window begin where those of the window before it end.
    first = np.searchsorted(last, np.cumsum([0, *map(len, parts)]))
    places = _spread(first[:-1], lengths)
    if len(places) and (len(last) == 0 or (first[:-1] + lengths > first[1:]).any()):
        raise HarvestError("The kept firings are damaged: a window ends too early.")
    counts = _numbers(data, last, places)
    ends = np.cumsum(counts)
    window = np.repeat(np.arange(len(lengths)), lengths)
    before = np.concatenate([[0], ends])[np.cumsum(lengths) - lengths]
    begins = (first[:-1] + lengths - before)[window] + ends - counts
    if not np.array_equal((begins + counts)[np.cumsum(lengths) - 1], first[1:]):
        raise HarvestError("The kept firings are damaged: they are not as many as they say.")
    counts, begins = counts[wanted], begins[wanted]
    steps = _numbers(data, last, _spread(begins, counts)) + 1
    bounds = np.concatenate([[0], np.cumsum(counts)])
    total = np.concatenate([[0], np.cumsum(steps)])
    ranks = total[1:] - np.repeat(total[bounds[:-1]], counts) - 1
    if len(ranks) and ranks.max() >= len(order):
        raise HarvestError("The kept firings are damaged: there are not so many features.")
    return bounds, order[ranks]


def _kept(windows: Windows, log: FiringLog, most_firings: int, most_tokens: int) -> int:
    """How many windows of the log's first ones are kept; at least one."""
    firings = np.concatenate(
        [
            np.bincount(slots // windows.n_ctx, minlength=len(numbers))
            for numbers, slots, _ in log.runs()
        ]
    )
    fits = np.cumsum(firings) <= most_firings
    fits &= np.cumsum(windows.lengths(log.windows)) <= most_tokens
    return max(1, int(fits.sum()))


def _text(
    windows: Windows,
    numbers: NDArray[np.int64],
    vocabulary: Vocabulary,
    counts: NDArray[np.int64],
) -> KeptText:
    corpus = windows.corpus
    of_corpus = windows.document_of(numbers)
    starts, lengths = windows.start_of(numbers), windows.lengths(numbers)
    begins = corpus.offsets[of_corpus] + starts
    known, documents = np.unique(of_corpus, return_inverse=True)
    return KeptText(
        numbers=numbers,
        bounds=np.concatenate([[0], np.cumsum(lengths)]),
        tokens=np.asarray(corpus.tokens[_spread(begins, lengths)]),
        documents=documents.astype(np.int64),
        lines=_lines(corpus, of_corpus, begins, vocabulary.newlines),
        names=tuple(corpus.names[document] for document in known.tolist()),
        counts=counts,
    )


def _lines(
    corpus: TokenizedCorpus,
    documents: NDArray[np.int64],
    begins: NDArray[np.int64],
    newlines: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Line of its document in which each window begins; windows come by number."""
    lines = np.empty(len(begins), dtype=np.int64)
    known, at, line = -1, 0, 1
    for n, (document, begin) in enumerate(zip(documents.tolist(), begins.tolist(), strict=True)):
        if document != known:
            known, at, line = document, int(corpus.offsets[document]), 1
        line += int(newlines[corpus.tokens[at:begin]].sum())
        lines[n], at = line, begin
    return lines


def packed_windows(
    lengths: NDArray[np.int64],
    ordinals: NDArray[np.int64],
    positions: NDArray[np.int64],
    ranks: NDArray[np.int64],
) -> list[bytes]:
    """The bytes of some windows.

    Args:
        lengths: tokens of each, int64 [n_windows].
        ordinals: which of them each firing is in, int64 [n], in any order.
        positions: of its token in the window, from 0, int64 [n].
        ranks: of its feature, int64 [n]; no two of one token are equal.
    """
    # In the order of tokens, and of ranks within each: both in one number sort fastest.
    begins = np.concatenate([[0], np.cumsum(lengths)])
    bits = int(ranks.max(initial=0)).bit_length()
    keys = np.sort((begins[ordinals] + positions) << bits | ranks)
    tokens, ranks = keys >> bits, keys & (1 << bits) - 1
    of_window = np.bincount(ordinals, minlength=len(lengths))
    ordinals = np.repeat(np.arange(len(lengths)), of_window)
    new = np.ones(len(tokens), dtype=bool)
    new[1:] = tokens[1:] != tokens[:-1]
    gaps = np.where(new, ranks, np.diff(ranks, prepend=0) - 1)
    # The counts of a window's tokens stand before its gaps.
    cuts = np.concatenate([[0], np.cumsum(lengths + of_window)])
    fired = np.concatenate([[0], np.cumsum(of_window)])
    values = np.empty(cuts[-1], dtype=np.int64)
    values[_spread(cuts[:-1], lengths)] = np.bincount(tokens, minlength=int(begins[-1]))
    values[np.arange(len(gaps)) - fired[ordinals] + (cuts[:-1] + lengths)[ordinals]] = gaps
    data, ends = _varints(values)
    return [
        zlib.compress(data[ends[low] : ends[high]], _LEVEL)
        for low, high in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
    ]


def _varints(values: NDArray[np.int64]) -> tuple[bytes, NDArray[np.int64]]:
    """Numbers as bytes, seven bits to each, the lowest first; and where each begins, with the end
    of all."""
    sizes = np.ones(len(values), dtype=np.int64)
    for n in range(1, _LONGEST):
        sizes += values >= 1 << 7 * n
    ends = np.concatenate([[0], np.cumsum(sizes)])
    out = np.zeros(ends[-1], dtype=np.uint8)
    for n in range(_LONGEST):
        some = np.flatnonzero(sizes > n)
        more = np.where(sizes[some] > n + 1, 0x80, 0)
        out[ends[some] + n] = (values[some] >> 7 * n & 0x7F) | more
    return out.tobytes(), ends


def _numbers(
    data: NDArray[np.uint8], last: NDArray[np.intp], which: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Numbers of `data` whose last bytes stand at `last`: those of some places."""
    ends = last[which]
    begins = np.where(which > 0, last[which - 1] + 1, 0)
    sizes = ends - begins + 1
    if len(sizes) and sizes.max() > _LONGEST:
        raise HarvestError("The kept firings are damaged: a number is too long.")
    out = np.zeros(len(which), dtype=np.int64)
    for n in range(int(sizes.max(initial=0))):
        some = np.flatnonzero(sizes > n)
        out[some] |= (data[begins[some] + n].astype(np.int64) & 0x7F) << 7 * n
    return out


def _inflated(packed: bytes, length: int, d_sae: int) -> bytes:
    """A window's varints, of which there cannot be more than all features on all tokens."""
    most = _LONGEST * length * (d_sae + 1)
    stream = zlib.decompressobj()
    data = stream.decompress(packed, most + 1)
    if len(data) > most or not stream.eof or stream.unused_data:
        raise HarvestError("The kept firings are damaged: a window is longer than it can be.")
    if data[-1:] >= b"\x80":
        raise HarvestError("The kept firings are damaged: a window ends within a number.")
    return data


def _spread(begins: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """`begins[k], begins[k] + 1, …`, `lengths[k]` of them, for one k after the other."""
    ends = np.cumsum(lengths)
    out: NDArray[np.int64] = np.repeat(begins - ends + lengths, lengths) + np.arange(
        int(ends[-1]) if len(ends) else 0
    )
    return out
