"""Conversations as JSON lines: what people bring is checked before anything is made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from app.errors import InvalidRequest
from app.pages.steer.chat.schema import MOST_TURNS, SaidTurn
from app.web.errors import sentence_of

MOST_LINES_BYTES = 2 * 2**20


def written_lines(turns: Sequence[SaidTurn]) -> str:
    """A line for each turn: `{"role": …, "content": …}`. `read_lines` gives the same turns."""
    return "".join(json.dumps(turn.model_dump(), ensure_ascii=False) + "\n" for turn in turns)


def read_lines(text: str) -> tuple[SaidTurn, ...]:
    """The turns of a conversation.

    Args:
        text: a turn a line, or one line whose `messages` holds all of them. Empty lines are
            skipped.

    Raises:
        InvalidRequest: naming the line that is none of this, or it is too much.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MOST_LINES_BYTES:
        raise InvalidRequest("A conversation has at most 2 MiB.", "lines")
    turns: list[SaidTurn] = []
    for number, value in _messages(text):
        if len(turns) == MOST_TURNS:
            raise InvalidRequest(f"A conversation has at most {MOST_TURNS} turns.", "lines")
        turns.append(_turn(number, value))
    if not turns:
        raise InvalidRequest("There is no turn in it: every line is empty.", "lines")
    return tuple(turns)


def _messages(text: str) -> Iterator[tuple[int, Any]]:
    conversations = 0
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if not line.strip():
            continue
        value = _value(number, line)
        whole = value.get("messages") if isinstance(value, dict) else None
        if not isinstance(whole, list):
            yield number, value
            continue
        conversations += 1
        if conversations > 1:
            raise InvalidRequest(
                f"Line {number} holds a second conversation: bring one at a time.", "lines"
            )
        yield from ((number, message) for message in whole)


def _value(number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidRequest(f"Line {number} is not JSON: {line[:60]!r}.", "lines") from None


def _turn(number: int, value: Any) -> SaidTurn:
    if not isinstance(value, dict) or not {"role", "content"} <= value.keys():
        raise InvalidRequest(
            f'Line {number} is no turn: write {{"role": "user", "content": "…"}}.', "lines"
        )
    try:
        return SaidTurn(role=value["role"], content=value["content"])
    except ValidationError as error:
        sentence = sentence_of(error.errors()[0])
        raise InvalidRequest(f"Line {number}: {sentence}", "lines") from None
