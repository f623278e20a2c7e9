"""Finding features by what is typed: a number, a word of the label, a token that they raise."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from cachetools import LRUCache

from app.rendering.tokens import SPACE, Typeset, visible
from app.store.store import Store
from app.store.types.catalogue import N_STRONGEST, DictionaryView, FeatureRow
from app.store.types.queries import FeatureQuery

MOST_FEATURES = 50_000  # about five seconds to read; larger dictionaries are found by label alone
MOST_KEPT = 8  # dictionaries whose tokens stay in memory
_CHUNK = 2048


@dataclass(frozen=True)
class _Raisers:
    """The strongest tokens of a dictionary's features, in lower case.

    Attributes:
        digest: of the harvest.
        tokens: for each rank, token -> features with the token there, largest weight first.
    """

    digest: str
    tokens: tuple[dict[str, list[int]], ...]


class FeatureSearch:
    """Finds features of a dictionary. Safe to share between threads."""

    def __init__(self) -> None:
        self._raisers: LRUCache[int, _Raisers] = LRUCache(MOST_KEPT)
        self._lock = threading.Lock()

    def find(
        self, store: Store, typeset: Typeset, dictionary: DictionaryView, typed: str, most: int = 12
    ) -> list[FeatureRow]:
        """The features that fit best, at most `most`: of that number, then label, then tokens.

        Args:
            store: where the features are read.
            typeset: the tokens of the dictionary's language model.
            dictionary: the dictionary whose features are searched.
            typed: what the user typed; empty finds nothing.
            most: how many features are returned at the most.
        """
        typed = typed.strip()
        if not typed:
            return []
        wanted: list[int] = []
        # First the feature of that number, if it is one: 18 digits fit the integers of databases.
        if typed.isascii() and typed.isdecimal() and len(typed) < 19:
            wanted.append(int(typed))
        # Then those whose label holds what was typed, then those that raise such a token.
        table = store.features(dictionary, FeatureQuery(per_page=most, search=typed))
        wanted += [row.index for row in table.rows]
        if len(wanted) < most and dictionary.d_sae <= MOST_FEATURES:
            part = visible(typed.lower().encode("utf-8", "replace"))
            wanted += self._raising(store, typeset, dictionary, part, most + len(wanted))
        wanted = list(dict.fromkeys(wanted))[:most]
        rows = store.rows(dictionary, wanted)
        return [rows[index] for index in wanted if index in rows]

    def _raising(
        self, store: Store, typeset: Typeset, dictionary: DictionaryView, part: str, most: int
    ) -> list[int]:
        """Features that raise a token with that part, those that raise it most first."""
        features: dict[int, None] = {}
        exact = {part, SPACE + part}
        for whole in (True, False):
            for tokens in self._of(store, typeset, dictionary).tokens:
                for token, raising in tokens.items():
                    if token in exact if whole else part in token:
                        features.update(dict.fromkeys(raising[:most]))
                if len(features) >= most:
                    return list(features)
        return list(features)

    def _of(self, store: Store, typeset: Typeset, dictionary: DictionaryView) -> _Raisers:
        with self._lock:
            raisers = self._raisers.get(dictionary.id)
            if raisers is None or raisers.digest != dictionary.digest:
                raisers = self._raisers[dictionary.id] = _read(store, typeset, dictionary)
            return raisers


def _read(store: Store, typeset: Typeset, dictionary: DictionaryView) -> _Raisers:
    """The strongest tokens of all features, read from the store a part at a time."""
    # For each rank: token -> (minus the weight, feature), so that sorting puts the largest first.
    weighted: list[dict[str, list[tuple[float, int]]]] = [{} for _ in range(N_STRONGEST)]
    for start in range(0, dictionary.d_sae, _CHUNK):
        indices = range(start, min(start + _CHUNK, dictionary.d_sae))
        for index, row in store.rows(dictionary, indices).items():
            weights = row.raised.weights
            for rank, (token, weight) in enumerate(zip(row.strongest, weights, strict=False)):
                name = typeset.visible[token].lower()
                weighted[rank].setdefault(name, []).append((-float(weight), index))
    return _Raisers(
        dictionary.digest,
        tuple(
            {name: [index for _, index in sorted(features)] for name, features in tokens.items()}
            for tokens in weighted
        ),
    )
