"""The words of a turn, and what else could stand in their places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_WORD = re.compile(r"\w[\w'’-]*")
_ALTERNATIVE = re.compile(r"[^\W\d_]{2,}")

# Each row: words that often stand for one another. Only a start: what the model itself expects in
# a place is proposed besides.
_ALIKE = (
    "big large great huge",
    "small little tiny",
    "good fine nice excellent",
    "bad poor awful",
    "happy glad cheerful pleased",
    "sad unhappy sorry",
    "angry cross upset mad",
    "afraid scared worried",
    "fast quick rapid swift",
    "slow gradual unhurried",
    "begin start open",
    "end finish close stop",
    "say tell state mention",
    "tell explain describe show",
    "write compose draft",
    "make create build produce",
    "get receive obtain",
    "give offer hand provide",
    "help assist support aid",
    "need require want",
    "want wish like",
    "think believe suppose",
    "see notice watch observe",
    "find discover locate",
    "use apply employ",
    "try attempt test",
    "buy purchase acquire",
    "story tale account",
    "person human individual",
    "man fellow gentleman",
    "woman lady",
    "child kid youngster",
    "friend companion mate",
    "dog puppy animal",
    "cat kitten animal",
    "house home building",
    "road street path",
    "job work task",
    "money cash funds",
    "idea thought notion",
    "question query issue",
    "answer reply response",
    "problem difficulty issue",
    "short brief concise",
    "long lengthy extended",
    "easy simple plain",
    "hard difficult tough",
    "important key central",
    "new recent fresh",
    "old former aged",
    "very really quite",
    "also too besides",
    "now today currently",
    "often frequently regularly",
    "please kindly",
    "kill remove end",
    "hate dislike",
    "love adore like",
)


@dataclass(frozen=True)
class WordSpan:
    """A word of a text.

    Attributes:
        text: the word.
        start: its first character.
        end: one beyond its last.
    """

    text: str
    start: int
    end: int


def words_of(text: str) -> list[WordSpan]:
    """The words of a text, in order."""
    return [WordSpan(m[0], m.start(), m.end()) for m in _WORD.finditer(text)]


def synonyms(word: str) -> list[str]:
    """Other words for a word, in its own case; none where the small list has none."""
    low = word.lower()
    rows = [row.split() for row in _ALIKE if low in row.split()]
    others = dict.fromkeys(other for row in rows for other in row if other != low)
    return [_as(word, other) for other in others]


def expected_words(word: str, texts: Sequence[str]) -> list[str]:
    """Those of some tokens' texts that are whole other words."""
    bare = [text.strip() for text in texts]
    kept = [b for b in bare if _ALTERNATIVE.fullmatch(b) and b.lower() != word.lower()]
    return list(dict.fromkeys(kept))


def without(text: str, word: WordSpan) -> str:
    """A text with a word left out, and one of the blanks around it."""
    before, after = text[: word.start], text[word.end :]
    if after[:1] == " " and (not before or before[-1].isspace()):
        after = after[1:]
    elif before[-1:] == " " and (not after or not after[0].isalnum()):
        before = before[:-1]
    return before + after


def replaced(text: str, word: WordSpan, other: str) -> str:
    """A text with another word in a word's place."""
    return text[: word.start] + other + text[word.end :]


def _as(word: str, other: str) -> str:
    if len(word) > 1 and word.isupper():
        return other.upper()
    return other.capitalize() if word[:1].isupper() else other
