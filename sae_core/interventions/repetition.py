"""How much a text repeats itself: what perplexity praises, since a loop is easy to predict."""

from __future__ import annotations

from collections.abc import Sequence

N_GRAM = 3


def distinct_share(tokens: Sequence[int], n: int = N_GRAM) -> float:
    """Distinct n-grams of a text over all of its n-grams; 1 where it is too short to have two.

    A text without repetition has 1. One that says the same k tokens again and again, N tokens in
    all, has k / (N - n + 1).

    Args:
        tokens: the ids of the text.
        n: tokens of an n-gram.
    """
    grams = [tuple(tokens[begin : begin + n]) for begin in range(len(tokens) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 1.0
