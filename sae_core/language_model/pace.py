"""How much to compute at a time, so that no step of a long piece of work takes long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sae_core.language_model.model import LanguageModel

STEP_SECONDS = 0.05
_FIRST = 2048
_FIRST_PRODUCTS = 1 << 31
_MOST_NUMBERS = 1 << 24


class Pace:
    """Tokens that fit into a step, learned from the steps before.

    Models and devices differ a thousandfold in speed, so no fixed number would do.
    """

    def __init__(self, model: LanguageModel, width: int) -> None:
        """Start small.

        Args:
            model: that is run; a large one starts with few tokens.
            width: numbers that are held for a token; bounds memory.
        """
        size: int = sum(weight.numel() for weight in model.module.parameters())
        self._most = max(1, _MOST_NUMBERS // width)
        self._tokens = min(max(1, _FIRST_PRODUCTS // size), _FIRST, self._most)

    def rows(self, length: int) -> int:
        """How many rows of so many tokens make the next step, at least one."""
        return max(1, self._tokens // max(1, length))

    @contextmanager
    def step(self, tokens: int) -> Iterator[None]:
        """Take a step of so many tokens, and learn from it. It must end with a result at hand."""
        began = time.perf_counter()
        yield
        seconds = max(time.perf_counter() - began, 1e-6)
        fitting = int(tokens * STEP_SECONDS / seconds)
        # One quick step may be luck, and a slow one someone else's load.
        fitting = min(max(fitting, self._tokens // 2), 2 * self._tokens)
        self._tokens = max(1, min(fitting, self._most))
