"""Text as words, for the index and for what is typed: the same on both databases.

Neither database cuts text itself. Their tokenizers drop what code is made of (`__init__`, `self.`),
and each drops something else, so words are cut here and the databases index what they are given:

1. A run of letters, digits and combining marks is a word, folded (NFKC, then casefold).
2. Any other visible character is a word of its own; so is the underscore.
3. White space and invisible characters only separate.

`self.__init__` is `self . _ _ init _ _`. What is typed without a blank is a phrase: its words, one
after the other. So `self.`, `__init__` and `init` all find it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.errors import InvalidRequest

LONGEST_WORD = 100  # characters; Postgres takes 2,046 bytes
LONGEST_TYPED = 400  # characters
MOST_TERMS = 32
SHORTEST_BEGINNING = 2  # characters: a shorter word must be the whole word
_PARTS = re.compile(r"[^\W_](?:[^\W_]|[\u0300-\u036f])*|\S")


class Word(NamedTuple):
    """A word of a text.

    Attributes:
        folded: as it is compared.
        start: where it begins in the text.
        end: where it ends.
    """

    folded: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    """The words of a text, in order."""
    words = []
    for part in _PARTS.finditer(text):
        raw = part[0]
        if raw.isascii():
            folded = raw.lower() if raw.isprintable() else ""
        else:
            folded = "".join(unicodedata.normalize("NFKC", raw).casefold().split())
            folded = folded if folded.isprintable() else ""
        if folded:
            words.append(Word(folded[:LONGEST_WORD], part.start(), part.end()))
    return words


@dataclass(frozen=True)
class QueryTerm:
    """What was typed between two blanks: words that follow each other.

    Attributes:
        words: folded, at least one.
        beginning: whether the last word may go on.
    """

    words: tuple[str, ...]
    beginning: bool

    def place(self, folded: Sequence[str]) -> tuple[int, bool] | None:
        """Where it stands first among the words of a text, and whether only as the beginning of
        one: it stands nowhere as a whole; None: it stands nowhere at all."""
        *before, last = self.words
        begun = None
        for at in range(len(folded) - len(before)):
            word = folded[at + len(before)]
            if not word.startswith(last) or list(folded[at : at + len(before)]) != before:
                continue
            if word == last:
                return at, False
            if self.beginning and begun is None:
                begun = at
        return None if begun is None else (begun, True)


@dataclass(frozen=True)
class TextFit:
    """How a text fits that holds all terms.

    Attributes:
        spans: where each term stands first, as a whole if it does, characters from and to.
        rank: the best smallest: a text that is just what was typed, then whole words before
            beginnings, then early ones, then short texts.
    """

    spans: tuple[tuple[int, int], ...]
    rank: tuple[int, int, int]


@dataclass(frozen=True)
class WordQuery:
    """Terms that a text must hold, all of them.

    Attributes:
        terms: without repetitions; empty: nothing that can be looked for was typed.
    """

    terms: tuple[QueryTerm, ...]

    @classmethod
    def of(cls, typed: str) -> WordQuery:
        """From what was typed: any text.

        Raises:
            InvalidRequest: it is too long.
        """
        if len(typed) > LONGEST_TYPED:
            raise InvalidRequest(
                f"A search has at most {LONGEST_TYPED} characters; this one has {len(typed):,}.",
                "q",
            )
        terms = [_term(part) for part in typed.split()]
        return cls(tuple(dict.fromkeys(term for term in terms if term))[:MOST_TERMS])

    def fit(self, text: str) -> TextFit | None:
        """How a text fits; None: a term is missing."""
        words = words_of(text)
        folded = [word.folded for word in words]
        spans, begun, first = [], 0, 0
        for term in self.terms:
            place = term.place(folded)
            if place is None:
                return None
            at, only_begun = place
            last = words[at + len(term.words) - 1]
            spans.append((words[at].start, min(last.end, last.start + len(term.words[-1]))))
            begun += only_begun
            first += at
        whole = folded == [word for term in self.terms for word in term.words]
        rank = (-1, 0, 0) if whole else (begun, first, len(text))
        return TextFit(tuple(spans), rank) if spans else None


def _term(part: str) -> QueryTerm | None:
    folded = tuple(word.folded for word in words_of(part))
    if not folded:
        return None
    last = folded[-1]
    return QueryTerm(folded, len(last) >= SHORTEST_BEGINNING and last.isalnum())
