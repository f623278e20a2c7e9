"""Answers under monitors: alarms while they are written, and what an alarm does to them.

A token is read one step after it was drawn. A monitor that pools by the largest level raises its
alarm with the token that is above the threshold; one that pools otherwise is asked at the end of a
turn, since before that a text has no level. So what is said of a turn is what reading the whole
turn says: tokens that are content, the template's and special ones left out.

The gate is moved by the last turn of the conversation and by the answer; alarms of earlier turns
are told, too, but were dealt with when they came.

    mark     the answer goes on, and a few tokens are read together;
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
    AnswerPart,
    AnswerPlan,
    AnswerToken,
    TokensMonitored,
    TokensWatched,
    Watched,
    answers,
)
from sae_core.interventions.steered_run import SteeredRun
from sae_core.interventions.steering import FeatureEdit, Steering
from sae_core.text.chat.conversation import Conversation

ANSWER = -1  # the number of the answer's turn
TOGETHER = 16  # tokens of an answer that are read at once where no gate waits for them


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
        position: from the beginning, of the first token that is above the threshold; where tokens
            are pooled otherwise, of that with the largest level.
        level: of this token, or of the turn where tokens are pooled otherwise.
        token: its id.
    """

    row: int
    monitor: int
    turn: int
    position: int
    level: float
    token: int


@dataclass(frozen=True)
class JudgedTurn:
    """The levels of a whole turn.

    Attributes:
        row: the answer's row in the batch.
        turn: of the conversation, or ANSWER.
        levels: of each monitor; NaN where nothing was said.
        positions: of the tokens that count, from the beginning, ascending.
        tokens: their levels, float64 [monitors, n].
    """

    row: int
    turn: int
    levels: tuple[float, ...]
    positions: tuple[int, ...]
    tokens: Numbers


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
    together = TOGETHER if plan.gate is AlarmGate.MARK else 1
    watched = Watched(watched.dictionaries, watched.traits, plan.readers, together)
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
        self._answers = [_TurnLevels(plan) for _ in range(n_rows)]
        self._drawn: list[list[AnswerToken]] = [[] for _ in range(n_rows)]
        self._told = [0] * n_rows  # of these, under the gate refuse
        self._special = run.steering.model.vocabulary.special
        self._by_token = all(reader.monitor.pooling is LevelPooling.MAX for reader in plan.readers)
        self.closed = set[int]()

    def hear(self, each: AnswerPart) -> Iterator[GuardedStep]:
        if isinstance(each, TokensWatched):
            yield each
        elif isinstance(each, AnswerToken):
            self._drawn[each.row].append(each)
            if not self._waits(each):
                yield each
        elif each.position < len(self._whole):
            yield from self._hear_prompt(each)
        else:
            yield from self._hear_answer(each)

    def _waits(self, token: AnswerToken) -> bool:
        return self._plan.gate is AlarmGate.REFUSE or token.end is not None

    def _hear_prompt(self, read: TokensMonitored) -> Iterator[GuardedStep]:
        """The conversation; once all of it is read, its turns are judged."""
        pieces = self._prompts[read.row]
        pieces.append(read.levels)
        if read.position + read.levels.shape[1] < len(self._whole):
            return
        levels, whole = np.concatenate(pieces, axis=1), self._whole
        turns = np.unique(whole.turn[whole.is_content]).tolist()
        for turn in turns:
            here = np.flatnonzero(whole.is_content & (whole.turn == turn)).tolist()
            judged = self._judged(read.row, turn, levels[:, here], here)
            yield from judged
            if turn == turns[-1] and any(isinstance(each, RaisedAlarm) for each in judged):
                yield from self._act(read.row)

    def _hear_answer(self, read: TokensMonitored) -> Iterator[GuardedStep]:
        """A few more tokens of an answer."""
        row, answer = read.row, self._answers[read.row]
        begin = read.position - len(self._whole)
        tokens = self._drawn[row][begin : begin + read.levels.shape[1]]
        said = [n for n, token in enumerate(tokens) if token.token not in self._special]
        ids = [tokens[n].token for n in said]
        answer.add(read.levels[:, said], [read.position + n for n in said], ids)
        last = tokens[-1]
        raised = list(answer.raised(row, ANSWER, ended=last.end is not None))
        yield from raised
        if last.end is not None:
            yield answer.judged(row, ANSWER)
        if raised:
            yield from self._act(row)
        if row in self.closed:
            return
        if self._plan.gate is AlarmGate.REFUSE:
            if self._by_token or last.end is not None:
                yield from self._drawn[row][self._told[row] :]
                self._told[row] = len(self._drawn[row])
        elif last.end is not None:
            yield last

    def _judged(
        self, row: int, turn: int, levels: Numbers, positions: Sequence[int]
    ) -> list[GuardedStep]:
        """What a turn of the conversation is, from its tokens' levels [monitors, n]."""
        said = _TurnLevels(self._plan)
        said.add(levels, positions, self._whole.tokens[list(positions)].tolist())
        return [*said.raised(row, turn, ended=True), said.judged(row, turn)]

    def _act(self, row: int) -> Iterator[GuardedStep]:
        """What the gate does to an answer with its first alarm."""
        if self._plan.gate is AlarmGate.REFUSE and row not in self.closed:
            self.closed.add(row)
            yield RefusedAnswer(row, len(self._drawn[row]))
        elif self._plan.gate is AlarmGate.STEER and row not in self._steered:
            self._steered.add(row)
            own = self._run.steering
            rows = [
                (*edits, *self._plan.edits) if number == row else edits
                for number, edits in enumerate(own.rows)
            ]
            self._run.steering = Steering(own.model, rows, self._run.length)


class _TurnLevels:
    """The levels of a turn's tokens as they come, and which monitors have raised the alarm."""

    def __init__(self, plan: GuardPlan) -> None:
        self._poolings = [reader.monitor.pooling for reader in plan.readers]
        self._thresholds = plan.thresholds
        self._pieces: list[Numbers] = [np.zeros((len(plan.readers), 0))]
        self._positions: list[int] = []
        self._ids: list[int] = []
        self._said = set[int]()

    def add(self, levels: Numbers, positions: Sequence[int], ids: Sequence[int]) -> None:
        """More tokens, with their levels by each monitor [monitors, n]."""
        self._pieces.append(levels)
        self._positions += positions
        self._ids += ids

    def judged(self, row: int, turn: int) -> JudgedTurn:
        """All of it, at its end."""
        own = np.concatenate(self._pieces, axis=1)
        levels = tuple(pooling.of(each) for pooling, each in zip(self._poolings, own, strict=True))
        return JudgedTurn(row, turn, levels, tuple(self._positions), own)

    def raised(self, row: int, turn: int, ended: bool) -> Iterator[RaisedAlarm]:
        """The alarms that are new with the tokens that were added last."""
        fresh = self._pieces[-1]
        for monitor, pooling in enumerate(self._poolings):
            threshold = self._thresholds[monitor]
            if pooling is LevelPooling.MAX:
                if monitor in self._said or not (fresh[monitor] > threshold).any():
                    continue
                self._said.add(monitor)
                # The first token that is above it, whatever comes behind.
                at = int((fresh[monitor] > threshold).argmax())
                place = len(self._positions) - fresh.shape[1] + at
                level = float(fresh[monitor, at])
                yield self._alarm(row, monitor, turn, place, level)
            elif ended and self._positions:
                own = np.concatenate([piece[monitor] for piece in self._pieces])
                if (level := pooling.of(own)) > threshold:
                    yield self._alarm(row, monitor, turn, int(own.argmax()), level)

    def _alarm(self, row: int, monitor: int, turn: int, place: int, level: float) -> RaisedAlarm:
        return RaisedAlarm(row, monitor, turn, self._positions[place], level, self._ids[place])
