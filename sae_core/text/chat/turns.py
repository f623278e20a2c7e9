"""What a conversation is made of: turns, and what their tokens are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from sae_core.errors import ChatError

_ROLE = re.compile(r"[A-Za-z][\w-]{0,31}", re.ASCII)
LONGEST_CONTENT = 1_000_000  # characters


@dataclass(frozen=True)
class Turn:
    """What one side says at one time.

    Attributes:
        role: who speaks, in the template's words: `system`, `user`, `assistant`, ….
        content: what is said; it may hold anything, the template's own marks among it.
    """

    role: str
    content: str

    def __post_init__(self) -> None:
        if not _ROLE.fullmatch(self.role):
            raise ChatError(
                f"{self.role[:40]!r} is no role: it is one word of at most 32 letters, such as "
                "user or assistant."
            )
        if len(self.content) > LONGEST_CONTENT:
            raise ChatError(
                f"A turn of {len(self.content):,} characters is longer than the "
                f"{LONGEST_CONTENT:,} taken at most: shorten it."
            )


class TokenPart(IntEnum):
    """What a token of a conversation is, as `Conversation.part` numbers it."""

    CONTENT = 0
    """It holds at least one character of what a turn says."""
    TEMPLATE = 1
    """Written by the template in ordinary tokens: names of roles, separators, blanks."""
    SPECIAL = 2
    """A control token, such as BOS or the mark that ends a turn."""
