"""A worker that pretends to answer conversations, and to read them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from app.worker.protocol.arrays import pack_float32, pack_int32
from app.worker.protocol.chats import (
    ChatBegan,
    ChatEnd,
    ChatEnded,
    ChatPane,
    ChatRead,
    ChatRequest,
    ChatStep,
)
from app.worker.protocol.events import Progress, Result
from app.worker.protocol.monitors import ChatAlarm
from app.worker.protocol.requests import WorkRequest
from tests.app.pretend.prompts import PretendPrompts

HEARD = (0, 3, 1)
WORDS = {"unsteered": (20, 21, 22), "steered": (30, 31)}


def text_of(pane: ChatPane) -> str:
    """What a pane says in the end."""
    return "".join(f" word{token}" for token in WORDS[pane.value])


class PretendChats(PretendPrompts):
    """Says the same words to whatever is said; feature 2 and trait levels follow from the step."""

    def _answer(self, request: WorkRequest) -> list[Result | Progress]:
        if isinstance(request, ChatRequest):
            return [*_said(request)]
        return super()._answer(request)


def _said(request: ChatRequest) -> Iterator[Result | Progress]:
    yield ChatBegan(
        tokens=pack_int32(np.array(HEARD)),
        turn=pack_int32(np.array([-1, 0, 0])),
        part=bytes([2, 1, 0]),
        strings=("<|endoftext|>", "\n", " self"),
        bos_added=True,
        n_marks=0,
        own_template=True,
    )
    panes = (ChatPane.STEERED,) if request.alone else tuple(ChatPane)
    for pane in panes:
        yield _read(request, pane, 0, len(HEARD))
    for pane in panes:
        for step, token in enumerate(WORDS[pane.value]):
            text = text_of(pane)[: 7 * (step + 1)]
            yield ChatStep(
                pane=pane,
                step=step,
                token=token,
                string=f" word{token}",
                log_probability=-1.0,
                alternatives=(),
                text=text,
            )
            yield _read(request, pane, len(HEARD) + step, 1)
            if step == 0 and pane is ChatPane.STEERED:
                yield from _alarms(request, token)
        yield ChatEnded(
            pane=pane,
            why=ChatEnd.LENGTH,
            text=text_of(pane),
            n_tokens=len(WORDS[pane.value]),
            tokens_per_second=50.0,
        )


def _alarms(request: ChatRequest, token: int) -> Iterator[ChatAlarm]:
    """Each monitor tells of what was said and of the steered answer's first token."""
    for number, own in enumerate(request.monitors):
        level, pane = own.threshold + 1, ChatPane.STEERED.value
        for turn, position, string in ((0, 2, " self"), (-1, 3, f" word{token}")):
            yield ChatAlarm(
                pane=pane, monitor=number, turn=turn, position=position, string=string, level=level
            )


def _read(request: ChatRequest, pane: ChatPane, position: int, n: int) -> ChatRead:
    steered = pane is ChatPane.STEERED
    levels = np.full((len(request.traits), n), (position + 1) / (4 if steered else 8))
    return ChatRead(
        pane=pane,
        position=position,
        n=n,
        levels=pack_float32(levels),
        features=(pack_int32(np.tile([2, -1], (n, 1))),) * len(request.watch),
        activations=(pack_float32(np.tile([1.5, 0.0], (n, 1))),) * len(request.watch),
    )
