"""What asking costs, and how much of it is allowed."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

from app.errors import FeaturescopeError

CHARACTERS_PER_TOKEN = 3.0
"""Fewer than of any usual tokenizer on English and code, so that estimates are not too low."""


class BudgetSpent(FeaturescopeError):
    """The next question could cost more than is left."""


@dataclass(frozen=True)
class Prices:
    """Of an endpoint's model, in dollars a million tokens; 0: free, or not known.

    Attributes:
        read: of what is sent.
        written: of what is answered.
    """

    read: float = 0.0
    written: float = 0.0

    def cost(self, read: int, written: int) -> float:
        """Dollars for so many tokens."""
        return (read * self.read + written * self.written) / 1e6


@dataclass(frozen=True)
class Estimate:
    """The most that a run asks for.

    Attributes:
        questions: how many.
        read: tokens that are sent.
        written: tokens that may come back.
    """

    questions: int
    read: int
    written: int

    def sentence(self, prices: Prices) -> str:
        """In words, with the price where it is known."""
        cost = prices.cost(self.read, self.written)
        price = f", ${cost:,.2f}" if cost else ""
        return (
            f"At most {self.questions:,} questions: {self.read:,} tokens sent, {self.written:,} "
            f"answered{price}. Questions that were answered before cost nothing."
        )


class Costs:
    """Counts what was asked and paid, and lets nothing be asked that could go beyond a budget.

    A question reserves the most that it can cost before it is sent; what it did cost is put down
    when it is answered. Safe to share between threads.

    Args:
        prices: of the endpoint's model.
        dollars: the budget; infinite: none.
        tokens: a budget in tokens, read and written; infinite: none.

    Attributes:
        asked: questions that were sent and answered.
        kept: questions whose answer was there already.
        read: tokens that were sent.
        written: tokens that came back.
    """

    def __init__(self, prices: Prices, dollars: float = math.inf, tokens: float = math.inf) -> None:
        self.prices, self._dollars, self._tokens = prices, dollars, tokens
        self.asked = self.kept = self.read = self.written = 0
        self._reserved: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    @property
    def dollars(self) -> float:
        """What was paid in this run."""
        return self.prices.cost(self.read, self.written)

    def reserve(self, read: int, written: int) -> tuple[int, int]:
        """Set aside the most that a question can cost, in tokens; give it to `settle`.

        Raises:
            BudgetSpent: that could go beyond the budget.
        """
        with self._lock:
            most_read = self.read + read + sum(part[0] for part in self._reserved)
            most_written = self.written + written + sum(part[1] for part in self._reserved)
            dollars = self.prices.cost(most_read, most_written)
            if dollars > self._dollars:
                raise BudgetSpent(
                    f"The budget of ${self._dollars:g} does not cover the next question: "
                    f"${self.dollars:.4f} are spent. What was answered is kept: the same command "
                    "with a larger --budget goes on from here."
                )
            if most_read + most_written > self._tokens:
                raise BudgetSpent(
                    f"The budget of {self._tokens:,.0f} tokens does not cover the next question: "
                    f"{self.read + self.written:,} are used. What was answered is kept: the same "
                    "command with a larger --budget-tokens goes on from here."
                )
            self._reserved.append((read, written))
        return read, written

    def settle(self, reserved: tuple[int, int], read: int, written: int) -> None:
        """Put down what a question did cost, in tokens; 0 and 0 where it was not answered."""
        with self._lock:
            self._reserved.remove(reserved)
            self.read += read
            self.written += written
            self.asked += bool(read or written)

    def count_kept(self) -> None:
        """Note a question that was answered before."""
        with self._lock:
            self.kept += 1


def estimated_tokens(text: str) -> int:
    """Tokens that a text has, rather too many than too few."""
    return math.ceil(len(text.encode()) / CHARACTERS_PER_TOKEN)
