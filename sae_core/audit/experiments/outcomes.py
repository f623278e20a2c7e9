"""What can be said of a text without a model: words and patterns in it, its length, repetition."""

from __future__ import annotations

from collections.abc import Sequence

import regex

from sae_core.errors import ExperimentError

PATTERN_SECONDS = 1.0
"""That a pattern may take on one text."""
LONGEST_PATTERN = 1_000


def has_words(text: str, words: Sequence[str]) -> bool:
    """Whether any of some words stands in a text, upper and lower case alike.

    A word that begins or ends with a letter or digit is not found inside of a longer one.
    """
    low = text.casefold()
    return any(_stands(low, word.casefold()) for word in words)


class TextPattern:
    """A regular expression, searched within a time.

    Args:
        pattern: as the regex package has it, which knows all that Python's `re` does.

    Raises:
        ExperimentError: it is none.
    """

    def __init__(self, pattern: str) -> None:
        if len(pattern) > LONGEST_PATTERN:
            raise ExperimentError(f"A pattern has at most {LONGEST_PATTERN:,} characters.")
        try:
            self._pattern = regex.compile(pattern)
        except (regex.error, OverflowError, RecursionError) as error:
            raise ExperimentError(f"{pattern!r:.80} is no pattern: {error}.") from error

    def found(self, text: str) -> bool:
        """Whether it is found in a text.

        Raises:
            ExperimentError: it takes too long.
        """
        try:
            return self._pattern.search(text, timeout=PATTERN_SECONDS) is not None
        except TimeoutError as error:
            raise ExperimentError(
                f"The pattern {self._pattern.pattern!r:.80} takes more than {PATTERN_SECONDS:g} s "
                f"on {text!r:.60}: write it without repetitions inside of repetitions."
            ) from error


def _stands(text: str, word: str) -> bool:
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        before = at > 0 and word[0].isalnum() and text[at - 1].isalnum()
        behind = end < len(text) and word[-1].isalnum() and text[end].isalnum()
        if not before and not behind:
            return True
        at = text.find(word, at + 1)
    return False
