"""Tokens that are named by what they say: typed by a reader, or put in others' places."""

from __future__ import annotations

import re

from app.errors import InvalidRequest
from app.rendering.tokens import visible
from sae_core.language_model.vocabulary import Vocabulary

NEUTRAL = (b" ", b"\n", b".", b",", b"\t")
_BY_ID = re.compile(r"id:([0-9]{1,9})")
_MOST_SHOWN = 60  # bytes


def find_token(vocabulary: Vocabulary, text: str) -> int:
    """The token that says `text`, or else the one that says it after a space.

    `id:297` is the token of that id, for those that no text names.

    Raises:
        InvalidRequest: no single token says it; the sentence names the longest beginning that is
            one.
    """
    if not text:
        raise InvalidRequest("No token was typed: write one, or choose one of those listed.")
    wanted = text.encode("utf-8", "surrogatepass")
    for spelling in (wanted, b" " + wanted):
        if (token := vocabulary.tokens.get(spelling)) is not None:
            return token
    if (named := _BY_ID.fullmatch(text)) and int(named[1]) < len(vocabulary.pieces):
        return int(named[1])
    raise InvalidRequest(_unknown(vocabulary, wanted))


def token_of(vocabulary: Vocabulary, token: str | int) -> int:
    """A token by its id or by what it says; see `find_token`.

    Raises:
        InvalidRequest: there is no such token.
    """
    if isinstance(token, str):
        return find_token(vocabulary, token)
    if token >= len(vocabulary.pieces):
        raise InvalidRequest(
            f"There is no token {token}: the vocabulary has {len(vocabulary.pieces)}, from 0."
        )
    return token


def neutral_token(vocabulary: Vocabulary) -> int | None:
    """A token with as little meaning as there is: a space, else the next of `NEUTRAL`."""
    known = (vocabulary.tokens.get(piece) for piece in NEUTRAL)
    return next((token for token in known if token is not None), None)


def _unknown(vocabulary: Vocabulary, wanted: bytes) -> str:
    wanted = wanted[:_MOST_SHOWN]
    beginnings = (wanted[:end] for end in range(len(wanted), 0, -1))
    pieces = vocabulary.tokens
    longest = next(
        (
            beginning
            for beginning in beginnings
            if beginning in pieces or b" " + beginning in pieces
        ),
        b"",
    )
    known = f"; its beginning “{visible(longest)}” is one" if longest else ""
    return f"“{visible(wanted)}” is not one token of this model{known}."
