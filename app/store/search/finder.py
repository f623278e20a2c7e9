"""Features by words and by tokens, read from the index. Reached as `Store.search`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, bindparam, select

from app.store.annotations import StoredLabel
from app.store.database import reading
from app.store.schema import StoredRule
from app.store.search.automata.automata import FeatureAutomata
from app.store.search.kept import KeptTexts
from app.store.search.word_index import TextKind, matching
from app.store.search.words import WordQuery
from app.store.tables import postings as store_postings
from app.store.types.catalogue import DictionaryView
from app.store.written.texts import subject

MOST_READ = 80  # texts that are read and ranked, of each kind and dictionary
_LABELS = select(StoredLabel.index, StoredLabel.text, StoredLabel.note).where(
    StoredLabel.subject == bindparam("subject"),
    StoredLabel.index.in_(bindparam("indices", expanding=True)),
    StoredLabel.withdrawn == 0,
)
_RULES = select(StoredRule.index, StoredRule.sentence).where(
    StoredRule.dictionary_id == bindparam("dictionary_id"),
    StoredRule.index.in_(bindparam("indices", expanding=True)),
)


@dataclass(frozen=True)
class TextMatch:
    """A feature with a text that holds all that was typed.

    Attributes:
        index: of the feature.
        text: its label, with the note after a line feed where words of that fit; or its rule.
        spans: where the terms stand in it, characters from and to.
        rank: how well it fits, the best smallest.
    """

    index: int
    text: str
    spans: tuple[tuple[int, int], ...]
    rank: tuple[int, ...]


@dataclass(frozen=True)
class TextMatches:
    """What fits in one dictionary.

    Attributes:
        best: one of a feature, the best first.
        more: whether more texts fit than were read; the best are then those of the first.
    """

    best: tuple[TextMatch, ...]
    more: bool


class FeatureFinder:
    """Reads, each in one transaction. Safe to share between threads.

    Args:
        engine: as of `Store`.

    Attributes:
        kept: harvested texts with what fires on them.
        automata: features that write each other's tokens, as mined from those.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.kept = KeptTexts(engine)
        self.automata = FeatureAutomata(engine)

    def labels(self, dictionary: DictionaryView, query: WordQuery, most: int) -> TextMatches:
        """The features whose labels, or notes to them, hold all terms: `most` at the most."""
        return self._texts(dictionary, TextKind.LABELS, query, most)

    def rules(self, dictionary: DictionaryView, query: WordQuery, most: int) -> TextMatches:
        """The features whose rule, as a sentence, holds all terms: `most` at the most."""
        return self._texts(dictionary, TextKind.RULE, query, most)

    def firing_on(
        self, dictionary: DictionaryView, tokens: Collection[int]
    ) -> dict[int, list[int]] | None:
        """By token the features with the largest share of firings on it, the largest first; None:
        the harvest was made by a version that did not keep it."""
        return self._short(dictionary, store_postings.FIRES_MOST_ON, tokens)

    def raising(
        self, dictionary: DictionaryView, tokens: Collection[int]
    ) -> dict[int, list[int]] | None:
        """By token the features that raise its logit most, of those that have it among their ten;
        None: as for `firing_on`."""
        return self._short(dictionary, store_postings.RAISES_MOST, tokens)

    def _short(
        self, dictionary: DictionaryView, kind: str, tokens: Collection[int]
    ) -> dict[int, list[int]] | None:
        with reading(self._engine) as connection:
            if not store_postings.knows(connection, dictionary.id, kind):
                return None
            return store_postings.read_short(connection, dictionary.id, kind, tokens)

    def _texts(
        self, dictionary: DictionaryView, kind: TextKind, query: WordQuery, most: int
    ) -> TextMatches:
        with reading(self._engine) as connection:
            indices = matching(connection, kind, dictionary.id, query, MOST_READ + 1)
            texts = _read(connection, dictionary, kind, indices[:MOST_READ])
            best: dict[int, TextMatch] = {}
            for index, label, note in texts:
                match = _match(index, label, note, query)
                if match and (index not in best or match.rank < best[index].rank):
                    best[index] = match
        ranked = sorted(best.values(), key=lambda match: (match.rank, match.index))
        return TextMatches(tuple(ranked[:most]), len(indices) > MOST_READ)


def _read(
    connection: Connection, dictionary: DictionaryView, kind: TextKind, indices: list[int]
) -> Iterable[tuple[int, str, str]]:
    if not indices:
        return []
    if kind is TextKind.LABELS:
        here = {"subject": subject(dictionary), "indices": indices}
        return [(index, label, note) for index, label, note in connection.execute(_LABELS, here)]
    of = {"dictionary_id": dictionary.id, "indices": indices}
    return [(index, sentence, "") for index, sentence in connection.execute(_RULES, of)]


def _match(index: int, label: str, note: str, query: WordQuery) -> TextMatch | None:
    """In the label alone, else in label and note together."""
    if fit := query.fit(label):
        return TextMatch(index, label, fit.spans, (0, *fit.rank))
    if note and (fit := query.fit(f"{label}\n{note}")):
        return TextMatch(index, f"{label}\n{note}", fit.spans, (1, *fit.rank))
    return None
