"""Where a phrase stands in a harvested text, and which features are most specific to it.

The search of one dictionary:

1. The phrase, in each of its spellings, is looked for in the kept text, which stays in memory.
2. What fires there is read from the store: of all places, or of those in `MOST_WINDOWS` windows,
   drawn by their numbers' hash, where there are more.
3. Features are ranked by `sae_core/evaluation/specificity.py`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from app.errors import InvalidRequest, StoreError
from app.rendering.tokens import spellings
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from sae_core.errors import HarvestError
from sae_core.evaluation.specificity import PhraseFirings, SpecificFeature, most_specific
from sae_core.files.hashing import mix
from sae_core.harvest.kept_firings import KeptText, firings_at
from sae_core.text.phrases import Occurrences, PhraseIndex

LONGEST = 400  # characters
MOST_WINDOWS = 500  # read for one search
MOST_FEATURES = 24
REACH = 12  # tokens on either side of an example
MOST_READINGS = 3
_MOST_KEPT = 4  # texts in memory, of some ten bytes a token


@dataclass(frozen=True)
class PhrasePlace:
    """One place where a phrase stands.

    Attributes:
        document: that it stands in.
        line: of the document, from 1, in which its first token begins.
        before: tokens before it, as many as are kept and shown.
        tokens: its own.
        after: those behind it.
        fired: which of its own a feature fires on.
    """

    document: str
    line: int
    before: tuple[int, ...]
    tokens: tuple[int, ...]
    after: tuple[int, ...]
    fired: tuple[int, ...]


@dataclass(frozen=True)
class PhraseReading:
    """One way in which the tokenizer cut the phrase in the text.

    Attributes:
        tokens: ids.
        count: places that are cut so.
    """

    tokens: tuple[int, ...]
    count: int


@dataclass(frozen=True)
class PhraseResults:
    """What a search by phrase gives.

    Attributes:
        n_tokens: of the text that was searched, special ones left out: nothing fires on them.
        n_places: where the phrase stands in it.
        n_read: of these, places whose firings were read.
        n_documents: that the read ones lie in.
        readings: how it is cut there, the commonest first, a few at the most.
        features: the most specific first.
        examples: a place for each of these in which it fires.
        nearest: where it stands nowhere, the longest beginning of it that does; else empty.
    """

    n_tokens: int
    n_places: int = 0
    n_read: int = 0
    n_documents: int = 0
    readings: tuple[PhraseReading, ...] = ()
    features: tuple[SpecificFeature, ...] = ()
    examples: tuple[PhrasePlace, ...] = ()
    nearest: str = ""


@dataclass(frozen=True)
class _Searchable:
    text: KeptText
    index: PhraseIndex
    runs: NDArray[np.int64]
    order: NDArray[np.int64]
    newlines: NDArray[np.int64]
    n_tokens: int


class PhraseSearch:
    """Finds features by phrase. Safe to share between threads."""

    def __init__(self) -> None:
        self._texts: LRUCache[tuple[int, str], _Searchable] = LRUCache(_MOST_KEPT)
        self._lock = threading.Lock()

    def search(self, store: Store, view: DictionaryView, typed: str) -> PhraseResults:
        """The features that are most specific to a phrase; blanks at its ends count.

        Raises:
            InvalidRequest: the phrase is empty or too long; the dictionary keeps no text.
            StoreError: what is kept is damaged.
        """
        if not typed:
            raise InvalidRequest(
                "Type a phrase: a few tokens, just as they stand in the text.", "q"
            )
        if len(typed) > LONGEST:
            raise InvalidRequest(
                f"A phrase has at most {LONGEST} characters; this one has {len(typed):,}.", "q"
            )
        kept = self._searchable(store, view)
        places = kept.index.find(spellings(typed))
        if not len(places):
            return PhraseResults(kept.n_tokens, nearest=_nearest(kept.index, typed))
        read = _drawn(kept.text, places)
        firings = _read(store, view, kept, read)
        readings = [PhraseReading(*reading) for reading in kept.index.readings(places)]
        features = most_specific(
            firings,
            kept.text.counts,
            kept.n_tokens,
            len(places),
            len(readings[0].tokens),
            MOST_FEATURES,
        )
        return PhraseResults(
            n_tokens=kept.n_tokens,
            n_places=len(places),
            n_read=len(read),
            n_documents=len(np.unique(firings.documents)),
            readings=tuple(readings[:MOST_READINGS]),
            features=features,
            examples=tuple(_place(kept, firings, feature) for feature in features),
        )

    def _searchable(self, store: Store, view: DictionaryView) -> _Searchable:
        with self._lock:  # a text is read once, whoever else waits for it
            kept = self._texts.get((view.id, view.digest))
            if kept is None:
                text = store.search.kept.text(view)
                if text is None:
                    raise InvalidRequest(without_text(view), "d")
                kept = _searchable(text, store, view)
                self._texts[view.id, view.digest] = kept
            return kept


def without_text(view: DictionaryView) -> str:
    """Why a dictionary cannot be searched by phrase, and what to do."""
    if view.is_imported:
        return f"{view.title} was imported, and no text came with it: it has no phrases."
    if view.harvest is None:
        return f"{view.title} is not harvested yet: it has no phrases."
    return (
        f"{view.title} keeps no text to find phrases in: an older version harvested it, or "
        "--no-phrases was given. Give `featurescope harvest`, or the command that added it, again."
    )


def _searchable(text: KeptText, store: Store, view: DictionaryView) -> _Searchable:
    vocabulary = store.vocabulary(view.model_id)
    if text.tokens.max() >= len(vocabulary.pieces) or len(text.counts) != view.d_sae:
        raise StoreError(
            f"The text of {view.title} in the store is not that of its model. Harvest this "
            "dictionary again."
        )
    # A window goes on from the one before it where both are neighbours in one document.
    goes_on = (np.diff(text.numbers) == 1) & (np.diff(text.documents) == 0)
    runs = text.bounds[:-1][np.concatenate([[True], ~goes_on])]
    index = PhraseIndex(text.tokens, vocabulary.pieces, runs)
    n_tokens = text.n_tokens - int(vocabulary.is_special[text.tokens].sum())
    return _Searchable(text, index, runs, text.order, vocabulary.newlines, n_tokens)


def _drawn(text: KeptText, places: Occurrences) -> Occurrences:
    """The places that are read: all, or those of windows drawn by the hash of their numbers."""
    windows = np.searchsorted(text.bounds, places.first, side="right") - 1
    among = np.unique(windows)
    if len(among) <= MOST_WINDOWS:
        return places
    drawn = among[np.argsort(mix(0, text.numbers[among]), kind="stable")[:MOST_WINDOWS]]
    some = np.isin(windows, drawn)
    return Occurrences(places.first[some], places.last[some])


def _read(
    store: Store, view: DictionaryView, kept: _Searchable, places: Occurrences
) -> PhraseFirings:
    """What fires on the tokens of some places."""
    text = kept.text
    lengths = places.last - places.first + 1
    every = np.repeat(places.first, lengths) + np.arange(int(lengths.sum()))
    every -= np.repeat(np.cumsum(lengths) - lengths, lengths)
    tokens = np.unique(every)
    of_token = np.searchsorted(text.bounds, tokens, side="right") - 1
    windows, of_window = np.unique(of_token, return_inverse=True)
    packed = store.search.kept.firings(view, windows)
    if packed is None:
        raise InvalidRequest(f"{view.title} was harvested again meanwhile: search again.", "d")
    sizes = np.diff(text.bounds)[windows]
    wanted = np.zeros(int(sizes.sum()), dtype=bool)
    wanted[tokens - text.bounds[of_token] + (np.cumsum(sizes) - sizes)[of_window]] = True
    try:
        bounds, features = firings_at(packed, sizes, wanted, kept.order)
    except HarvestError as error:
        raise StoreError(
            f"{error} Restore the database from a copy, or harvest {view.title} again."
        ) from None
    if (np.bincount(features, minlength=len(text.counts)) > text.counts).any():
        raise StoreError(
            f"The kept firings of {view.title} are more than were counted. Restore the database "
            "from a copy, or harvest this dictionary again."
        )
    of_place = np.searchsorted(text.bounds, places.first, side="right") - 1
    return PhraseFirings(
        places.first, places.last, text.documents[of_place], tokens, bounds, features
    )


def _place(kept: _Searchable, read: PhraseFirings, feature: SpecificFeature) -> PhrasePlace:
    """The first place in which a feature fires, with what stands around it."""
    text = kept.text
    first, last = int(read.first[feature.example]), int(read.last[feature.example])
    window = int(np.searchsorted(text.bounds, first, side="right")) - 1
    begin = int(text.bounds[window])
    run = int(np.searchsorted(kept.runs, first, side="right"))
    low = max(int(kept.runs[run - 1]), first - REACH)
    high = min(int(kept.runs[run]) if run < len(kept.runs) else text.n_tokens, last + 1 + REACH)
    at = np.searchsorted(read.tokens, np.arange(first, last + 1)).tolist()
    fired = tuple(
        n
        for n, token in enumerate(at)
        if feature.feature in read.features[read.bounds[token] : read.bounds[token + 1]]
    )

    def ids(start: int, end: int) -> tuple[int, ...]:
        return tuple(text.tokens[start:end].tolist())

    return PhrasePlace(
        document=text.names[int(text.documents[window])],
        line=int(text.lines[window] + kept.newlines[text.tokens[begin:first]].sum()),
        before=ids(low, first),
        tokens=ids(first, last + 1),
        after=ids(last + 1, high),
        fired=fired,
    )


def _nearest(index: PhraseIndex, typed: str) -> str:
    """The longest beginning of a phrase that stands in the text as one; empty: there is none."""
    # If a text stands nowhere, nothing that begins with it does: halve what is left.
    low, high = 0, len(typed)
    while low < high:
        middle = (low + high + 1) // 2
        if any(map(index.holds, spellings(typed[:middle]))):
            low = middle
        else:
            high = middle - 1
    for end in range(low, 0, -1):
        beginning = typed[:end]
        if beginning.strip() and any(map(index.says, spellings(beginning))):
            return beginning.rstrip()
    return ""
