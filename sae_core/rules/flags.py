"""What a token can be, or stand in, besides being itself: sixty-four yes-or-no facts.

Each is one bit of a token's flags. The first sixteen are classes of the token, the next sixteen the
same classes of the token before it, the next those of the token after it; the last sixteen are
places: what surrounds the token, and where in its line, word or window it stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# Each class: its name in stored predicates, what sentences call it, and what makes a token one; a
# token's blanks at either end are taken off before the pattern is tried on all of it.
_CLASSES: tuple[tuple[str, str, str], ...] = (
    ("blank", "white space", r""),
    ("newline", "a line break", r""),
    ("spaced", "a token that begins with a blank", r""),
    ("capitalised", "a capitalised token", r"[A-ZÀ-ÖØ-Þ][^\W\d_]*[a-zß-öø-ÿ][^\W\d_]*"),
    ("capitals", "a token in capitals", r"[A-ZÀ-ÖØ-Þ_]*[A-ZÀ-ÖØ-Þ][A-ZÀ-ÖØ-Þ_]*"),
    ("lower", "a token in lower case", r"[a-zß-öø-ÿ]+"),
    ("digits", "digits", r"\d+"),
    ("punctuation", "punctuation", r"[^\w\s]+"),
    ("opening", "an opening bracket", r".*[(\[{]"),
    ("closing", "a closing bracket", r"[)\]}].*"),
    ("quote", "a quotation mark", r".*[\"'`“”‘’«»].*"),
    ("operator", "an operator", r"[=+*/<>%&|^~!-]+"),
    ("stop", "a full stop, ! or ?", r"[^\w\s]*[.!?][\"')\]”’]*"),
    ("comma", "a comma or semicolon", r".*[,;]"),
    ("underscore", "a token with an underscore", r".*_.*"),
    ("foreign", "a token beyond ASCII", r".*[^\x00-\x7f].*"),
)
_PLACES: tuple[tuple[str, str], ...] = (
    ("string", "inside a string"),
    ("comment", "inside a comment"),
    ("url", "inside a URL"),
    ("number", "inside a number"),
    ("tag", "inside a tag"),
    ("parentheses", "inside parentheses"),
    ("brackets", "inside square brackets"),
    ("braces", "inside braces"),
    ("line-start", "at the start of a line"),
    ("indented", "on an indented line"),
    ("deep", "on a line indented by 8 or more"),
    ("word-start", "at the start of a word"),
    ("word-inside", "in the middle of a word"),
    ("word-end", "at the end of a word"),
    ("first", "at the start of the window"),
    ("early", "among the first eight tokens of the window"),
)
N_CLASSES = len(_CLASSES)
N_SCANNED = 11  # of the places: those that depend on the text, not on the window
PREVIOUS, FOLLOWING, PLACES = N_CLASSES, 2 * N_CLASSES, 3 * N_CLASSES
EARLY = 8

CLASS_WORDS = tuple(words for _, words, _ in _CLASSES)
PLACE_WORDS = tuple(words for _, words in _PLACES)
FLAGS: tuple[str, ...] = tuple(
    [f"{where}:{name}" for where in ("token", "previous", "following") for name, _, _ in _CLASSES]
    + [f"place:{name}" for name, _ in _PLACES]
)
"""The name of each flag in stored predicates, by its bit."""
N_FLAGS = len(FLAGS)
FLAG_NUMBER = {name: number for number, name in enumerate(FLAGS)}

_PATTERNS = [re.compile(pattern, re.DOTALL) for _, _, pattern in _CLASSES]
_BLANKS = b" \t\r\n\x0b\x0c"


def place(name: str) -> int:
    """The number of the flag of a place, such as `string`."""
    return FLAG_NUMBER[f"place:{name}"]


@dataclass(frozen=True)
class Pieces:
    """What must be known of each token of a vocabulary, by its id; one id more stands for no token.

    Attributes:
        bytes: what each token stands for.
    """

    bytes: Sequence[bytes]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each, [d_vocab]."""
        return np.array([len(piece) for piece in self.bytes], dtype=np.int64)

    @cached_property
    def lead(self) -> NDArray[np.int64]:
        """Where in each the first byte lies that is not blank; 0 where all are, [d_vocab]."""
        lead = [len(piece) - len(piece.lstrip(_BLANKS)) for piece in self.bytes]
        return np.where(np.array(lead, dtype=np.int64) < self.lengths, lead, 0)

    @cached_property
    def classes(self) -> NDArray[np.uint64]:
        """Bits of each token's classes, [d_vocab + 1]; none for the last."""
        return np.array([*map(_classes, self.bytes), 0], dtype=np.uint64)

    @cached_property
    def begins_word(self) -> NDArray[np.bool_]:
        """Whether each has a letter, digit or underscore first after blanks, [d_vocab + 1]."""
        return np.array([bool(_WORD.match(_text(p).lstrip())) for p in self.bytes] + [False])

    @cached_property
    def goes_on(self) -> NDArray[np.bool_]:
        """Whether the very first character of each is one of a word, [d_vocab + 1]."""
        return np.array([bool(_WORD.match(_text(p))) for p in self.bytes] + [False])

    @cached_property
    def ends_word(self) -> NDArray[np.bool_]:
        """Whether the very last character of each is one of a word, [d_vocab + 1]."""
        return np.array([bool(_WORD.match(_text(p)[-1:])) for p in self.bytes] + [False])


_WORD = re.compile(r"\w")


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "replace")


def _classes(piece: bytes) -> int:
    text = _text(piece)
    core = text.strip()
    if not core:
        blank = bool(text)
        return blank | (("\n" in text) << 1) | (text[:1].isspace() << 2)
    bits = (("\n" in text) << 1) | (text[0].isspace() << 2)
    for number in range(3, N_CLASSES):
        bits |= bool(_PATTERNS[number].fullmatch(core)) << number
    return bits


_EIGHTH = np.uint64(0x0101010101010101)  # one bit of every byte
_SHIFTS = np.arange(8, dtype=np.uint64)[:, None]
_MOST_IN_BYTE = 255


def bit_counts(flags: NDArray[np.uint64]) -> NDArray[np.float64]:
    """How often each flag holds, [64].

    Eight flags at a time are counted in the eight bytes of one sum; none of so few flags overflows.
    """
    if not len(flags):
        return np.zeros(N_FLAGS)
    spread = (flags >> _SHIFTS) & _EIGHTH
    sums = np.add.reduceat(spread, np.arange(0, len(flags), _MOST_IN_BYTE), axis=1)
    octets = sums.astype("<u8", copy=False).view(np.uint8).reshape(8, -1, 8)
    # [shift, byte] to the number of the flag, 8 byte + shift.
    counts: NDArray[np.float64] = octets.sum(axis=1, dtype=np.float64).T.ravel()
    return counts
