"""Texts of one batch that grow together, each row under its own edits."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor

from sae_core.interventions.steering import Steering
from sae_core.language_model.decoding import body, empty_past, head, shortcuts
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.module_hooks import keep

# How much of a text is run at a time, so that no piece takes long. What a piece gives depends, in
# its last bits, on its size: pieces are cut by what is known beforehand, never by the clock.
_PIECE_FLOPS = 2e10
_MOST_TOKENS = 512
_LEAST_TOKENS = 16
_TOKENS_ON_DEVICE = 4096


class Fed(NamedTuple):
    """What a run computed for the tokens that it was fed.

    Attributes:
        hidden: final hidden states, which the unembedding reads, [rows, pos, d_model].
        x: activations at the hook points that were watched, after the edits, [rows, pos, d_in].
    """

    hidden: Tensor
    x: Mapping[HookPoint, Tensor]


class SteeredRun:
    """A batch of texts, equally long so far; keys and values of what was fed are kept.

    Hooks are on the model while `feed` runs and at no other time, so that any number of runs can
    take turns. What a row gets depends on its own edits and on the number of rows, but not on the
    other rows' edits: unsteered text is the same bit for bit whatever stands beside it.

    Attributes:
        steering: the edits of each row.
        length: tokens fed so far.
    """

    def __init__(self, steering: Steering, cached: bool | None = None) -> None:
        """Begin with empty texts.

        Args:
            steering: the edits of each row.
            cached: whether to keep keys and values rather than to run from the start each time;
                None: where the model can.
        """
        self.steering = steering
        self.length = 0
        self._fed = torch.empty(len(steering.rows), 0, dtype=torch.int64)
        if cached is None:
            cached = shortcuts(steering.model).past
        self._past = empty_past(steering.model) if cached else None
        self._body = body(steering.model)
        self._head = head(steering.model)

    # No gradients are taken of what a run computes; inference mode saves a tenth of a small model's
    # step.
    @torch.inference_mode()
    def feed(self, tokens: Tensor, watched: Sequence[HookPoint] = ()) -> Fed:
        """Append tokens [rows, pos], int64 on the CPU, and run them through the model."""
        model = self.steering.model
        position, known = self.length, 0
        self.length += tokens.shape[1]
        if self._past is None:
            # Without kept keys and values the whole text runs again; only its new end is returned.
            self._fed = tokens = torch.cat([self._fed, tokens], dim=1)
            position, known = 0, position
        seen: dict[HookPoint, list[Tensor]] = {point: [] for point in watched}
        with ExitStack() as stack:
            stack.enter_context(model.lock)
            stack.enter_context(self.steering.applied(tokens.tolist(), position))
            for point, kept in seen.items():
                stack.enter_context(model.touching(point.layer, point.kind, keep(kept)))
            hidden = model.final_hidden(tokens, self._past)
        return Fed(hidden[:, known:], {point: x[:, known:] for point, (x,) in seen.items()})

    def feed_in_pieces(self, tokens: Tensor, watched: Sequence[HookPoint] = ()) -> Iterator[Fed]:
        """Feed tokens [rows, pos] a few positions at a time, so that no piece takes long."""
        at_once = tokens_at_once(self.steering.model) // len(tokens)
        for piece in torch.split(tokens, max(1, at_once), dim=1):
            yield self.feed(piece, watched)

    @torch.inference_mode()
    def next_logits(self, hidden: Tensor) -> Tensor:
        """Logits [rows, d_vocab] of final hidden states [rows, d_model]."""
        logits = self._head(hidden)
        # Rows without edits are one text under one model: they get the very same numbers.
        first, *others = self.steering.plain or [0]
        if others:
            logits[others] = logits[first].clone()
        return logits

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> Tensor:
        """Append one token to each text and return the logits of the next, [rows, d_vocab].

        The logits equal `next_logits` of what `feed` returns; this way is faster for one token.
        """
        return self.read_step(tokens)[0]

    @torch.inference_mode()
    def read_step(
        self, tokens: Sequence[int], watched: Sequence[HookPoint] = ()
    ) -> tuple[Tensor, Mapping[HookPoint, Tensor]]:
        """As `step`; besides, what it has at hook points after the edits, [rows, 1, d_in]."""
        column = torch.tensor(tokens)[:, None]
        if self._past is None:
            fed = self.feed(column, watched)
            return self.next_logits(fed.hidden[:, -1]), fed.x
        model = self.steering.model
        seen: dict[HookPoint, list[Tensor]] = {point: [] for point in watched}
        with ExitStack() as stack:
            stack.enter_context(model.lock)
            stack.enter_context(self.steering.applied([[token] for token in tokens], self.length))
            for point, kept in seen.items():
                stack.enter_context(model.touching(point.layer, point.kind, keep(kept)))
            hidden = self._body(column.to(model.device), self.length, self._past)
        self.length += 1
        return self.next_logits(hidden[:, -1]), {point: x for point, (x,) in seen.items()}

    @property
    def keeps_past(self) -> bool:
        """Whether keys and values are kept, so that edits can change between two tokens."""
        return self._past is not None

    @torch.inference_mode()
    def forked(self, steering: Steering) -> SteeredRun:
        """A run that goes on from this one's only text under each row of other edits."""
        other = SteeredRun(steering, cached=self._past is not None)
        other.length = self.length
        other._fed = self._fed.expand(len(steering.rows), -1)
        if self._past is not None:
            other._past = copy.deepcopy(self._past)
            other._past.batch_repeat_interleave(len(steering.rows))
        return other


def tokens_at_once(model: LanguageModel) -> int:
    """Tokens, of all rows together, that make one piece of work."""
    if model.device.type != "cpu":
        return _TOKENS_ON_DEVICE
    flops = 2 * sum(parameter.numel() for parameter in model.module.parameters())
    return int(min(_MOST_TOKENS, max(_LEAST_TOKENS, _PIECE_FLOPS // flops)))
