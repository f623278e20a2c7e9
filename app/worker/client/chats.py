"""The web process's way to a conversation with a model, and its events unpacked."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.worker.client.streaming import LiveWorker
from app.worker.protocol.arrays import unpack_float32, unpack_int32
from app.worker.protocol.chats import ChatBegan, ChatRead, ChatRequest
from app.worker.protocol.events import Progress, Result


async def chat(worker: LiveWorker, request: ChatRequest) -> AsyncGenerator[Result | Progress, None]:
    """The events that answer the request, as they arrive; closing the generator cancels the work.

    Raises:
        WorkerUnavailable: no worker answers.
        Overloaded: it holds as many requests as it takes on.
        InvalidRequest: the conversation fits neither model nor template.
        WorkFailed: it could not be answered.
    """
    events = worker.ask(request)
    try:
        async for event in events:
            yield event
    finally:
        await events.aclose()


@dataclass(frozen=True)
class ChatTokens:
    """A conversation as `ChatBegan` tells of it.

    Attributes:
        tokens: ids, int32 [n].
        turn: number of the turn that each belongs to; -1: none, int32 [n].
        part: 0 content, 1 template, 2 special token, int8 [n].
        strings: what each says.
    """

    tokens: NDArray[np.int32]
    turn: NDArray[np.int32]
    part: NDArray[np.int8]
    strings: tuple[str, ...]

    @classmethod
    def of(cls, event: ChatBegan) -> ChatTokens:
        """Unpack an event.

        Raises:
            ValueError: its columns are not equally long.
        """
        tokens, turn = unpack_int32(event.tokens), unpack_int32(event.turn)
        part = np.frombuffer(event.part, np.int8)
        if not len(tokens) == len(turn) == len(part) == len(event.strings):
            raise ValueError("columns of the conversation differ in length")
        return cls(tokens, turn, part, event.strings)


@dataclass(frozen=True)
class WatchedTokens:
    """What was watched on some tokens, as `ChatRead` tells of it.

    Attributes:
        position: of the first of the tokens.
        levels: of each trait, float32 [traits, n].
        features: of each watched dictionary, strongest first; -1: none, int32 [n, k].
        activations: theirs, model units, float32 [n, k].
    """

    position: int
    levels: NDArray[np.float32]
    features: tuple[NDArray[np.int32], ...]
    activations: tuple[NDArray[np.float32], ...]

    @classmethod
    def of(cls, event: ChatRead) -> WatchedTokens:
        """Unpack an event.

        Raises:
            ValueError: its columns do not fit together.
        """
        features = tuple(unpack_int32(packed).reshape(event.n, -1) for packed in event.features)
        values = tuple(unpack_float32(packed).reshape(event.n, -1) for packed in event.activations)
        if [one.shape for one in features] != [one.shape for one in values]:
            raise ValueError("columns of what was watched differ in length")
        levels = unpack_float32(event.levels)
        return cls(event.position, levels.reshape(-1, event.n), features, values)
