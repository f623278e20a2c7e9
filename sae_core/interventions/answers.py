"""Answers of a chat model: drawn token by token, with what was watched on each of them.

All answers to one conversation grow in one batch, each row under its own edits, and no row has
numbers that depend on the edits of another. A token is read when it is fed, one step after it was
drawn: what is watched on it comes with the next step, and of the last token with one step more.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import SteeringError
from sae_core.interventions.generation import NO_NUMBERS, end_tokens
from sae_core.interventions.next_token import Sampler, TokenSampling
from sae_core.interventions.steered_run import SteeredRun
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.predictions import wide
from sae_core.text.chat.stops import StopTexts

N_STRONGEST = 8  # features of each dictionary


class AnswerEnd(StrEnum):
    """Why an answer ends."""

    TOKEN = "token"  # noqa: S105 - of text
    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True)
class TraitLevel:
    """A weighted sum of features' activations.

    Attributes:
        members: dictionary, feature and weight of each.
    """

    members: tuple[tuple[Dictionary, int, float], ...]


class TokenLevels(Protocol):
    """What makes one number of the activation of each token."""

    @property
    def point(self) -> HookPoint:
        """Where it reads."""

    def levels(self, x: Tensor, /) -> NDArray[np.float64]:
        """The numbers, [n], of activations [n, d_in]."""


@dataclass(frozen=True)
class Watched:
    """What is read on every token.

    Attributes:
        dictionaries: whose strongest features are told.
        traits: whose levels are told.
        monitors: whose levels are told, in full precision.
        together: tokens of an answer that monitors read at once, at most: one product for several.
    """

    dictionaries: tuple[Dictionary, ...] = ()
    traits: tuple[TraitLevel, ...] = ()
    monitors: tuple[TokenLevels, ...] = ()
    together: int = 1

    @property
    def all(self) -> tuple[Dictionary, ...]:
        """Every dictionary that is read."""
        of_traits = (member[0] for trait in self.traits for member in trait.members)
        return tuple(dict.fromkeys((*self.dictionaries, *of_traits)))


class AnswerPlan(NamedTuple):
    """How answers are drawn.

    Attributes:
        n_tokens: in each at most.
        sampling: with the same random numbers for all.
        stops: texts that end an answer.
        ends: tokens that end it, besides those that end every text of the model.
        alternatives: likeliest tokens told of each step.
    """

    n_tokens: int
    sampling: TokenSampling = TokenSampling()
    stops: tuple[str, ...] = ()
    ends: frozenset[int] = frozenset()
    alternatives: int = 0


@dataclass(frozen=True)
class AnswerToken:
    """One more token of one answer.

    Attributes:
        row: the answer's row in the batch.
        step: number of the token in the answer, from 0.
        token: its id.
        log_probability: under the model that drew it, before temperature, nats.
        alternatives: the likeliest tokens and their log-probabilities.
        text: the answer so far, in whole characters, without what may become a stop text.
        end: why the answer ends with it; None: it goes on.
    """

    row: int
    step: int
    token: int
    log_probability: float
    alternatives: tuple[tuple[int, float], ...]
    text: str
    end: AnswerEnd | None


@dataclass(frozen=True)
class TokensWatched:
    """What was watched on some tokens of one row, under the model that writes it.

    Attributes:
        row: the answer's row in the batch.
        position: of the first of the tokens.
        levels: of each trait, 0 on special tokens, float32 [traits, n].
        features: of each dictionary the most active, strongest first; -1: none, int32 [n, k].
        activations: theirs, model units, float32 [n, k].
    """

    row: int
    position: int
    levels: NDArray[np.float32]
    features: tuple[NDArray[np.int32], ...]
    activations: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class TokensMonitored:
    """The levels of monitors on some tokens of one row, under the model that writes it.

    Attributes:
        row: the answer's row in the batch.
        position: of the first of the tokens.
        levels: of each monitor, on special tokens, too, float64 [monitors, n].
    """

    row: int
    position: int
    levels: NDArray[np.float64]


AnswerPart = AnswerToken | TokensWatched | TokensMonitored


def answers(
    run: SteeredRun,
    tokens: Tensor,
    asked: AnswerPlan,
    watched: Watched,
    closed: Collection[int] = (),
) -> Iterator[tuple[AnswerPart, ...]]:
    """Answer a conversation in every row of a run.

    Each step is short: a piece of the conversation, or one token of each answer that goes on.

    Args:
        run: no text yet, and the edits of each row.
        tokens: the conversation, int64 [n].
        asked: how answers are drawn.
        watched: what is read on the way.
        closed: rows that go no further; looked at before each step, and may grow on the way.

    Yields:
        What was drawn or read by the step; nothing (an empty tuple) where it completes neither.

    Raises:
        SteeringError: the edits drive the model out of its numbers.
    """
    reader = _Reader(run, watched)
    n_rows = len(run.steering.rows)
    # Read the conversation.
    position = 0
    for fed in run.feed_in_pieces(tokens.expand(n_rows, -1), reader.points):
        n = fed.hidden.shape[1]
        piece, rows = [tokens[position : position + n].tolist()] * n_rows, range(n_rows)
        yield (
            *reader.read(fed.x, piece, position, rows),
            *reader.read_later(fed.x, position, rows, at_once=True),
        )
        position += n
        hidden = fed.hidden
    logits = run.next_logits(hidden[:, -1])
    # Draw the answers, a token of each that goes on at a time.
    writer = _Writer(run.steering.model, n_rows, asked)
    open_rows = [row for row in range(n_rows) if row not in closed]
    for step in range(asked.n_tokens):
        if not open_rows:
            return
        drawn = writer.draw(logits, step, open_rows)
        yield tuple(drawn)
        last = all(each.end for each in drawn)
        if last and not reader.points:
            return
        # An answer that has ended stays in the batch: the others' last bits depend on its shape.
        logits, x = run.read_step(writer.tokens, reader.points)
        if reader.points:
            ended = any(each.end for each in drawn)
            column = [[token] for token in writer.tokens]
            read: tuple[AnswerPart, ...] = (
                *reader.read(x, column, position, open_rows),
                *reader.read_later(x, position, open_rows, at_once=ended),
            )
            if read:
                yield read
        if last:
            return
        open_rows = [each.row for each in drawn if each.end is None and each.row not in closed]
        position += 1


class _Writer:
    """The answers as they grow.

    Attributes:
        tokens: the last of each.
    """

    def __init__(self, model: LanguageModel, n_rows: int, asked: AnswerPlan) -> None:
        self._model = model
        self._asked = asked
        self._ends = end_tokens(model) | asked.ends
        self._sampler = Sampler(asked.sampling, asked.n_tokens)
        self._decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(n_rows)]
        self._texts = [StopTexts(asked.stops) for _ in range(n_rows)]
        self.tokens = [0] * n_rows

    def draw(self, logits: Tensor, step: int, rows: Sequence[int]) -> list[AnswerToken]:
        """A token of each of these answers, from logits [rows, d_vocab]."""
        draws = self._sampler.draw(logits, step)
        if not all(math.isfinite(draws.probabilities[row]) for row in rows):
            raise SteeringError(NO_NUMBERS)
        log_p = wide(logits.cpu()).log_softmax(dim=-1)
        drawn = []
        for row in rows:
            token = self.tokens[row] = draws.tokens[row]
            last = step + 1 == self._asked.n_tokens
            end = self._write(row, token, last)
            text = self._texts[row].whole if end else self._texts[row].settled
            best = _likeliest(log_p[row], self._asked.alternatives)
            drawn.append(AnswerToken(row, step, token, float(log_p[row, token]), best, text, end))
        return drawn

    def _write(self, row: int, token: int, last: bool) -> AnswerEnd | None:
        ends = token in self._ends
        # A control token says nothing; a character may be spelt in the bytes of several tokens.
        silent = ends or token in self._model.vocabulary.special
        piece = b"" if silent else self._model.vocabulary.pieces[token]
        text = self._texts[row]
        text.add(self._decoders[row].decode(piece, final=ends or last))
        if text.stopped:
            return AnswerEnd.STOP
        if ends:
            return AnswerEnd.TOKEN
        return AnswerEnd.LENGTH if last else None


def _likeliest(log_p: Tensor, n: int) -> tuple[tuple[int, float], ...]:
    """Tokens and log-probabilities, of log-probabilities [d_vocab]."""
    if not n:
        return ()
    best = log_p.topk(min(n, len(log_p)))
    return tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))


class _Reader:
    """Reads features where a run is watched.

    Attributes:
        points: the hook points that are watched.
    """

    def __init__(self, run: SteeredRun, watched: Watched) -> None:
        self._watched = watched
        model = run.steering.model
        self._special = model.vocabulary.special
        self._reads = bool(watched.all)
        self._later: list[Mapping[HookPoint, Tensor]] = []
        self._places = {d: model.hook_point(d.hook_point, d.d_in) for d in watched.all}
        places = (*self._places.values(), *(monitor.point for monitor in watched.monitors))
        self.points: tuple[HookPoint, ...] = tuple(dict.fromkeys(places))

    def read(
        self,
        x: Mapping[HookPoint, Tensor],
        tokens: Sequence[Sequence[int]],
        position: int,
        rows: Sequence[int],
    ) -> Iterator[TokensWatched]:
        """What dictionaries and traits are on tokens [rows, n] that were fed, in these rows."""
        if self._reads:
            for row in rows:
                plain = [token not in self._special for token in tokens[row]]
                yield self._row(row, position, {p: each[row] for p, each in x.items()}, plain)

    def read_later(
        self, x: Mapping[HookPoint, Tensor], position: int, rows: Sequence[int], at_once: bool
    ) -> list[TokensMonitored]:
        """Monitors' levels on what was fed, now or once there are several tokens.

        Args:
            x: activations [rows, n, d_in].
            position: of the first token.
            rows: that are read; as long as tokens wait they are the same.
            at_once: whether nothing may wait.
        """
        monitors = self._watched.monitors
        if not monitors:
            return []
        self._later.append(x)
        if not at_once and len(self._later) < self._watched.together:
            return []
        first = position + 1 - len(self._later)
        levels = np.stack([self._levels(own) for own in monitors])
        self._later.clear()
        return [TokensMonitored(row, first, levels[:, row]) for row in rows]

    @torch.inference_mode()
    def _levels(self, own: TokenLevels) -> NDArray[np.float64]:
        """Of all rows and tokens that wait, [rows, n]: one product."""
        x = [each[own.point] for each in self._later]
        both = x[0] if len(x) == 1 else torch.cat(x, dim=1)
        return own.levels(both.flatten(0, 1)).reshape(both.shape[:2])

    @torch.inference_mode()
    def _row(
        self, row: int, position: int, x: Mapping[HookPoint, Tensor], plain: Sequence[bool]
    ) -> TokensWatched:
        mask = torch.tensor(plain)
        levels = np.zeros((len(self._watched.traits), len(plain)), dtype=np.float32)
        for number, trait in enumerate(self._watched.traits):
            for dictionary, feature, weight in trait.members:
                acts = dictionary.encode_feature(x[self._places[dictionary]], feature)
                levels[number] += weight * acts.float().cpu().numpy()
        levels[:, ~mask.numpy()] = 0
        features, activations = [], []
        for dictionary in self._watched.dictionaries:
            acts = dictionary.encode(x[self._places[dictionary]]).float().cpu()
            best = acts.masked_fill(~mask[:, None], 0.0).topk(min(N_STRONGEST, dictionary.d_sae))
            features.append(best.indices.masked_fill(best.values <= 0, -1).numpy().astype(np.int32))
            activations.append(best.values.numpy().astype(np.float32))
        return TokensWatched(row, position, levels, tuple(features), tuple(activations))
