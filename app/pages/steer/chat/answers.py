"""From the worker's events about two answers to what the JSON interface says of them."""

from __future__ import annotations

import codecs
import math
from contextlib import aclosing

import numpy as np
from starlette.concurrency import run_in_threadpool

from app.errors import WorkerUnavailable
from app.pages.steer import schema as steer_types
from app.pages.steer.answers import feature_name
from app.pages.steer.chat import schema as types
from app.pages.steer.chat.requests import ChatTask
from app.rendering.tokens import printable
from app.web.live.stream import LiveEvent
from app.web.model import AddressedModel
from app.web.schema import floats
from app.worker.alarms.hearing import AlarmEar
from app.worker.client.blocking import STRANGE
from app.worker.client.chats import ChatTokens, WatchedTokens, chat
from app.worker.client.streaming import LiveWorker
from app.worker.protocol.chats import (
    ChatBegan,
    ChatEnded,
    ChatPane,
    ChatRead,
    ChatRequest,
    ChatStep,
)
from app.worker.protocol.events import Pane, Progress, Result
from app.worker.protocol.monitors import ChatAlarm, GateKind


class ChatSpeech:
    """Says the events of one request. What was watched is said once an answer is complete.

    Args:
        model: has the names of features.
        asked: what was asked.
        ear: puts alarms down.
    """

    def __init__(self, model: AddressedModel, asked: ChatTask, ear: AlarmEar) -> None:
        self._ear = ear
        self._store = model.store
        self._typeset = model.typeset
        self._asked = asked
        self._n = 0
        self._pieces = model.store.vocabulary(model.facts.model_id).pieces
        # A character may be spelt in the bytes of several tokens.
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {pane: decoder("replace") for pane in ChatPane}
        self._watched: dict[ChatPane, list[WatchedTokens]] = {pane: [] for pane in ChatPane}

    async def say(self, event: Result | Progress) -> LiveEvent | None:
        """What an event of the worker is to a client; None: nothing.

        Raises:
            WorkerUnavailable: the event makes no sense.
        """
        try:
            self._ear.hear(event)
            match event:
                case ChatBegan():
                    return self._began(event)
                case ChatStep():
                    return self._step(event)
                case ChatRead():
                    self._watched[event.pane].append(WatchedTokens.of(event))
                    return None
                case ChatAlarm():
                    return self._alarm(event)
                case ChatEnded():
                    return await run_in_threadpool(self._ended, event)
                case Progress():
                    return steer_types.WaitEvent(**event.model_dump())
                case _:
                    return None
        except (ValueError, IndexError) as error:
            raise WorkerUnavailable(STRANGE) from error

    def _began(self, event: ChatBegan) -> steer_types.BeganEvent:
        tokens = ChatTokens.of(event)
        self._n = len(tokens.tokens)
        return steer_types.BeganEvent(tokens=tokens.tokens.tolist(), text=[*tokens.strings])

    def _step(self, event: ChatStep) -> steer_types.TokenEvent:
        end = not event.string
        piece = b"" if end else self._pieces[event.token]
        text = self._decoders[event.pane].decode(piece, final=end)
        shown = printable(text)
        return steer_types.TokenEvent(
            pane=Pane(event.pane.value),
            step=event.step,
            token=event.token,
            probability=math.exp(event.log_probability),
            text=text,
            shown=None if shown == text else shown,
            end=end,
        )

    def _alarm(self, event: ChatAlarm) -> types.AlarmEvent:
        request = self._asked.request
        own, stopped = request.monitors[event.monitor], request.gate is GateKind.REFUSE
        return types.AlarmEvent(
            pane=Pane(event.pane),
            monitor=own.name,
            turn=None if event.turn < 0 else event.turn,
            level=event.level,
            threshold=own.threshold,
            gate=request.gate,
            # What an answer was stopped for is not handed out.
            token=None if stopped and event.turn < 0 else printable(event.string),
        )

    def _ended(self, event: ChatEnded) -> types.AnswerEvent:
        """What was watched on the answer: its tokens stand behind the conversation's."""
        features: list[list[int]] = []
        activations: list[list[float]] = []
        levels: list[list[float]] = [[] for _ in self._asked.request.traits]
        for read in self._watched[event.pane]:
            for row in range(len(read.features[0])):
                if read.position + row < self._n:
                    continue
                there = read.features[0][row] >= 0
                features.append(read.features[0][row][there].tolist())
                activations.append(floats(read.activations[0][row][there]))
                for trait, level in zip(levels, read.levels[:, row], strict=True):
                    trait.append(float(level))
        indices = sorted({index for row in features for index in row})
        rows = self._store.rows(self._asked.watched, indices)
        return types.AnswerEvent(
            pane=Pane(event.pane.value),
            why=event.why,
            text=event.text,
            tokens_per_second=event.tokens_per_second,
            dictionary=self._asked.watched.name,
            features=features,
            activations=activations,
            names=[feature_name(row, self._typeset) for row in rows.values()],
            followed=[trait.name for trait in self._asked.request.traits],
            traits=levels,
            levels=[float(np.mean(level)) if level else None for level in levels],
        )


async def cue_answer_start(worker: LiveWorker, request: ChatRequest) -> types.CueAnswerStart:
    """One unsteered answer, and the level of its one trait: a feature's activation.

    Raises:
        WorkerUnavailable: no worker answers, or its events make no sense.
        Overloaded: it holds as many requests as it takes on.
        InvalidRequest: the conversation does not fit the model.
        WorkFailed: it could not be answered.
    """
    n, ended, levels = 0, None, [np.zeros(0, np.float32)]
    async with aclosing(chat(worker, request)) as events:
        async for event in events:
            match event:
                case ChatBegan():
                    n = len(ChatTokens.of(event).tokens)
                case ChatRead():
                    read = WatchedTokens.of(event)
                    levels.append(read.levels[0, max(0, n - read.position) :])
                case ChatEnded():
                    ended = event
    if ended is None:
        raise WorkerUnavailable(STRANGE)
    level = np.concatenate(levels)
    return types.CueAnswerStart(
        text=ended.text,
        n_tokens=ended.n_tokens,
        activation=float(level.max(initial=0)),
        mean=float(level.mean()) if len(level) else 0.0,
    )
