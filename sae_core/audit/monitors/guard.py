"""Answers under monitors: alarms while they are written, and what an alarm does to them.

A token is read one step after it was drawn. A monitor that pools by the largest level raises its
alarm with the token that is above the threshold; one that pools otherwise is asked at the end of a
turn, since before that a text has no level. So what is said of a turn is what reading the whole
turn says: tokens that are content, the template's and special ones left out.

The gate is moved by the last turn of the conversation and by the answer; alarms of earlier turns
are told, too, but were dealt with when they came.

    mark     the answer goes on;
    refuse   it stops, and nothing that raised the alarm is handed out: each token waits until it
             has been read, all of them until the end where a monitor pools otherwise;
    steer    edits are in force from the next token that is fed on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch

from sae_core.audit.monitors.levels import LevelReader
from sae_core.audit.monitors.monitor import LevelPooling, Numbers
from sae_core.errors import SteeringError
from sae_core.interventions.answers import (
    AnswerPlan,
    AnswerToken,
    TokensWatched,
    Watched,
    answers,
)
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Steering
from sae_core.text.chat.conversation import Conversation

ANSWER = -1  # the number of the answer's turn


class AlarmGate(StrEnum):
    """What an alarm does to the answer."""

    MARK = "mark"
    REFUSE = "refuse"
    STEER = "steer"


@dataclass(frozen=True)
class GuardPlan:
    """What answers are watched by.

    Attributes:
        readers: the monitors.
        thresholds: of each.
        gate: what an alarm does.
        edits: that the gate `steer` switches on.
    """

    readers: tuple[LevelReader, ...]
    thresholds: tuple[float, ...]
    gate: AlarmGate = AlarmGate.MARK
    edits: tuple[FeatureEdit, ...] = ()


@dataclass(frozen=True)
class RaisedAlarm:
    """A monitor's level is above its threshold.

    Attributes:
        row: the answer's row in the batch.
        monitor: its number.
        turn: of the conversation, or ANSWER.
        position: of the token with the largest level, from the beginning.
        level: of the token that raised it, or of the turn where tokens are pooled otherwise.
    """

    row: int
    monitor: int
    turn: int
    position: int
    level: float


@dataclass(frozen=True)
class JudgedTurn:
    """The levels of a whole turn.

    Attributes:
        row: the answer's row in the batch.
        turn: of the conversation, or ANSWER.
        levels: of each monitor; NaN where nothing was said.
    """

    row: int
    turn: int
    levels: tuple[float, ...]


@dataclass(frozen=True)
class RefusedAnswer:
    """An answer that the gate stopped.

    Attributes:
        row: its row in the batch.
        n_tokens: that were drawn.
    """

    row: int
    n_tokens: int


GuardedStep = AnswerToken | TokensWatched | RaisedAlarm | JudgedTurn | RefusedAnswer


def guarded_answers(
    run: SteeredRun, whole: Conversation, asked: AnswerPlan, watched: Watched, plan: GuardPlan
) -> Iterator[tuple[GuardedStep, ...]]:
    """Answer a conversation in every row of a run, watched by monitors.

    Args:
        run: no text yet, and the edits of each row.
        whole: the conversation.
        asked: how answers are drawn.
        watched: what is read besides.
        plan: the monitors and the gate.

    Yields:
        What `answers` yields, alarms as they are raised, and each turn's levels once it is read. A
        token that ends an answer comes behind the answer's levels.

    Raises:
        SteeringError: the edits drive the model out of its numbers, or the gate would switch edits
            on in a model that reads the whole text anew for each token.
    """
    if plan.gate is AlarmGate.STEER and not run.keeps_past:
        raise SteeringError(
            "This model reads the whole text anew for each token: edits cannot be switched on "
            "between two. Choose the gate mark or refuse."
        )
    guard = _Guard(run, whole, plan)
    watched = Watched(watched.dictionaries, watched.traits, plan.readers)
    tokens = torch.from_numpy(whole.tokens)
    for step in answers(run, tokens, asked, watched, guard.closed):
        yield tuple(told for each in step for told in guard.hear(each))


class _Guard:
    """Hears what is drawn and read, and says what may be told.

    Attributes:
        closed: rows whose answers were stopped.
    """

    def __init__(self, run: SteeredRun, whole: Conversation, plan: GuardPlan) -> None:
        self._run = run
        self._whole = whole
        self._plan = plan
        self._steered = set[int]()
        n_rows = len(run.steering.rows)
        self._prompts: list[list[Numbers]] = [[] for _ in range(n_rows)]
        self._answers = [_AnswerLevels(plan) for _ in range(n_rows)]
        self._waiting: list[list[AnswerToken]] = [[] for _ in range(n_rows)]
        self._special = run.steering.model.vocabulary.special
        self._by_token = all(reader.monitor.pooling is LevelPooling.MAX for reader in plan.readers)
        self.closed = set[int]()

    def hear(self, each: AnswerToken | TokensWatched) -> Iterator[GuardedStep]:
        if isinstance(each, AnswerToken):
            if self._waits(each):
                self._waiting[each.row].append(each)
                return
            self._waiting[each.row].append(each)
            yield each
            return
        yield each
        if each.position < len(self._whole):
            yield from self._hear_prompt(each)
        else:
            yield from self._hear_answer(each)

    def _waits(self, token: AnswerToken) -> bool:
        return self._plan.gate is AlarmGate.REFUSE or token.end is not None

    def _hear_prompt(self, read: TokensWatched) -> Iterator[GuardedStep]:
        """The conversation; once all of it is read, its turns are judged."""
        pieces = self._prompts[read.row]
        pieces.append(read.monitors)
        if read.position + read.monitors.shape[1] < len(self._whole):
            return
        levels, whole = np.concatenate(pieces, axis=1), self._whole
        turns = np.unique(whole.turn[whole.is_content]).tolist()
        for turn in turns:
            here = np.flatnonzero(whole.is_content & (whole.turn == turn)).tolist()
            judged = self._judged(read.row, turn, levels[:, here], here)
            yield from judged
            if turn == turns[-1] and any(isinstance(each, RaisedAlarm) for each in judged):
                yield from self._act(read.row)

    def _hear_answer(self, read: TokensWatched) -> Iterator[GuardedStep]:
        """One more token of an answer."""
        answer, waiting = self._answers[read.row], self._waiting[read.row]
        token = waiting[-1]
        if token.token not in self._special:
            answer.add(read.monitors[:, 0], read.position)
        raised = [
            RaisedAlarm(read.row, monitor, ANSWER, position, level)
            for monitor, position, level in answer.raised(ended=token.end is not None)
        ]
        yield from raised
        if token.end is not None:
            yield JudgedTurn(read.row, ANSWER, answer.levels)
        if raised:
            yield from self._act(read.row)
        if read.row in self.closed:
            return
        if self._plan.gate is AlarmGate.REFUSE:
            if self._by_token or token.end is not None:
                yield from waiting
                waiting.clear()
        elif token.end is not None:
            yield token

    def _judged(
        self, row: int, turn: int, levels: Numbers, positions: Sequence[int]
    ) -> list[GuardedStep]:
        """What a turn of the conversation is, from its tokens' levels [monitors, n]."""
        answer = _AnswerLevels(self._plan)
        for column, position in zip(levels.T, positions, strict=True):
            answer.add(column, int(position))
        raised = [
            RaisedAlarm(row, monitor, turn, position, level)
            for monitor, position, level in answer.raised(ended=True)
        ]
        return [*raised, JudgedTurn(row, turn, answer.levels)]

    def _act(self, row: int) -> Iterator[GuardedStep]:
        """What the gate does to an answer with its first alarm."""
        if self._plan.gate is AlarmGate.REFUSE and row not in self.closed:
            self.closed.add(row)
            waiting = self._waiting[row]
            yield RefusedAnswer(row, waiting[-1].step + 1 if waiting else 0)
        elif self._plan.gate is AlarmGate.STEER and row not in self._steered:
            self._steered.add(row)
            own = self._run.steering
            rows = [
                (*edits, *self._plan.edits) if number == row else edits
                for number, edits in enumerate(own.rows)
            ]
            self._run.steering = Steering(own.model, rows, self._run.length)


class _AnswerLevels:
    """The levels of a turn's tokens as they come, and which monitors have raised the alarm.

    Attributes:
        levels: of each monitor on all tokens so far; NaN without any.
    """

    def __init__(self, plan: GuardPlan) -> None:
        self._poolings = [reader.monitor.pooling for reader in plan.readers]
        self._thresholds = plan.thresholds
        self._tokens: list[Numbers] = []
        self._positions: list[int] = []
        self._said = set[int]()

    def add(self, levels: Numbers, position: int) -> None:
        """One more token, with its level by each monitor [monitors]."""
        self._tokens.append(levels)
        self._positions.append(position)

    @property
    def levels(self) -> tuple[float, ...]:
        own = np.array(self._tokens).reshape(-1, len(self._poolings)).T
        return tuple(pooling.of(row) for pooling, row in zip(self._poolings, own, strict=True))

    def raised(self, ended: bool) -> Iterator[tuple[int, int, float]]:
        """Monitors whose alarm is new: number, position of the strongest token, level."""
        if not self._tokens:
            return
        for number, pooling in enumerate(self._poolings):
            if number in self._said:
                continue
            if pooling is LevelPooling.MAX:
                yield from self._above(number, [float(row[number]) for row in self._fresh(ended)])
            elif ended:
                own = np.array([row[number] for row in self._tokens])
                if (level := pooling.of(own)) > self._thresholds[number]:
                    self._said.add(number)
                    yield number, self._positions[int(own.argmax())], level

    def _fresh(self, ended: bool) -> list[Numbers]:
        """The tokens that were not looked at yet: the last, or all of a turn that came whole."""
        return self._tokens if ended else self._tokens[-1:]

    def _above(self, number: int, levels: Sequence[float]) -> Iterator[tuple[int, int, float]]:
        at = int(np.argmax(levels))
        if levels[at] > self._thresholds[number]:
            self._said.add(number)
            yield number, self._positions[len(self._positions) - len(levels) + at], levels[at]
