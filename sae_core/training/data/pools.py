"""Training text in seeded order, and its activations pool by pool."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.errors import TrainingError
from sae_core.language_model.hook_point import HookPoint, in_every_block
from sae_core.language_model.model import LanguageModel
from sae_core.text.tokenized import Windows

POOL_TOKENS = 1 << 18
_FORWARD_TOKENS = 1 << 13


class PoolSource(Protocol):
    """Pools of shuffled activations, numbered through all epochs; each is a function of its number.

    A row holds one token's activations at one hook point or at several, side by side.

    Attributes:
        widths: of what is read and, for a transcoder, of what is written; their sum is a row's
            width.
        dtype: the dtype that a pool is rounded to.
        device: where pools lie.
        identity: SHA-256 of all that the pools depend on.
    """

    @property
    def widths(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def dtype(self) -> torch.dtype: ...  # noqa: D102
    @property
    def device(self) -> torch.device: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102

    def n_tokens(self, number: int) -> int:
        """Text tokens in a pool; the model is not run."""

    def pool(self, number: int) -> Tensor:
        """Activations of a pool in random order, [n_tokens, width]."""


class TextPools:
    """The training text in seeded order, its activations computed pool by pool.

    An epoch is a seeded permutation of the windows of all documents that are not held out, cut into
    pools of nearly equal size; within a pool the activations of all tokens are shuffled. Every
    epoch draws both anew. Special tokens (BOS, padding, those inside the text) are left out.

    Memory: one pool, which is about `pool_tokens` * width * 2 bytes in bfloat16 (268 MB for 262,144
    tokens at width 512), whatever the size of the corpus; besides it 16 bytes for each window of
    the corpus, and the activations of one forward pass.

    How well it mixes. Let a batch be B tokens of a pool of N windows with T tokens each, out of M
    windows in the epoch. A batch is a random subset of its pool, so each of a token's T - 1
    companions in its window is in its batch with probability (B - 1) / (N T - 1): a token meets

        (B - 1)(T - 1) / (N T - 1)  ~  B / N

    others of its own window. A fully shuffled epoch is the case N = M. With the defaults (B 2048,
    T 127, N 2064) it is 0.98 tokens, 0.05 % of the batch. A document of w windows has on average
    (w - 1)(N - 1) / (M - 1) of its other windows in the same pool, since the epoch's permutation
    scatters them, so a token meets

        (B - 1) / (N T - 1) * (T - 1 + T (w - 1)(N - 1) / (M - 1))

    others of its own document, against (B - 1)(w T - 1) / (M T - 1) when fully shuffled: the
    difference is again below B / N, however long the document is.

    Attributes:
        widths: of what is read and, for a transcoder, of what is written.
        dtype: the dtype that activations of a pool are rounded to.
    """

    def __init__(
        self,
        model: LanguageModel,
        hook_point: str,
        windows: Windows,
        seed: int = 0,
        pool_tokens: int = POOL_TOKENS,
        dtype: torch.dtype = torch.bfloat16,
        output_hook_point: str | None = None,
    ) -> None:
        """Plan the order; nothing is computed yet.

        Args:
            model: the language model whose activations they are.
            hook_point: where they are read; the heads of `hook_z` lie side by side, and so do all
                blocks where `*` stands for the number of one.
            windows: the text.
            seed: what the order of windows and the shuffles are made from.
            pool_tokens: about how many tokens are shuffled together.
            dtype: the dtype of a pool; bfloat16 rounds by at most 2^-9 of each value.
            output_hook_point: what stands beside it, for a transcoder; None: nothing.

        Raises:
            TrainingError: the training text is shorter than one context.
            HookPointError: the model has no such hook point.
        """
        ends = [
            [model.hook_point(place) for place in in_every_block(name, model.n_layers)]
            for name in (hook_point, output_hook_point)
            if name is not None
        ]
        self._hook_points = tuple(point for end in ends for point in end)
        self.widths = tuple(sum(point.d_in for point in end) for end in ends)
        self.dtype = dtype
        self._model, self._windows, self._seed = model, windows, seed
        self._pool_tokens = pool_tokens
        self._allowed = windows.of_documents(held_out=False)
        # Where no document is as long as a context, short ones still make up for it together.
        n_text = int(windows.lengths(self._allowed).sum())
        if n_text < windows.n_text:
            raise TrainingError(
                f"The training text of {windows.corpus.name} has {n_text} tokens, less than one "
                f"context of {windows.n_text}: give more text or a shorter context."
            )
        per_pool = max(1, -(-pool_tokens // windows.n_text))
        self._per_epoch = -(-len(self._allowed) // per_pool)
        self._epoch: tuple[int, NDArray[np.int64]] | None = None

    @property
    def per_epoch(self) -> int:
        """Pools in an epoch."""
        return self._per_epoch

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return self._model.device

    @cached_property
    def identity(self) -> str:
        """SHA-256 of model, hook points, text, order and dtype."""
        facts = [
            self._model.checksum,
            str(self._model.dtype),
            *(point.name for point in self._hook_points),
            self._windows.corpus.fingerprint,
            f"{self._windows.n_ctx} {self._windows.bos} {self._seed} {self._pool_tokens}",
            str(self.dtype),
        ]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()

    def windows_of(self, number: int) -> NDArray[np.int64]:
        """Numbers of the windows in a pool, those of equal length together."""
        epoch, part = divmod(number, self._per_epoch)
        if self._epoch is None or self._epoch[0] != epoch:
            draw = np.random.default_rng((self._seed, epoch))
            self._epoch = epoch, draw.permutation(self._allowed)
        order = self._epoch[1]
        begin, end = (len(order) * edge // self._per_epoch for edge in (part, part + 1))
        chosen = order[begin:end]
        by_length: NDArray[np.int64] = chosen[
            np.argsort(self._windows.lengths(chosen), kind="stable")
        ]
        return by_length

    def n_tokens(self, number: int) -> int:
        """Text tokens in a pool; the model is not run."""
        return sum(int(mask.sum()) for _, mask in self._batches(number))

    @torch.no_grad()
    def pool(self, number: int) -> Tensor:
        """Activations of a pool in random order, [n_tokens, width].

        Raises:
            TrainingError: an activation is not a finite number.
        """
        # Each activation goes to its shuffled place as soon as it is computed.
        batches = list(self._batches(number))
        n = sum(int(mask.sum()) for _, mask in batches)
        draw = np.random.default_rng((self._seed, number, 1))
        places = torch.from_numpy(draw.permutation(n)).to(self.device)
        pool = torch.empty(n, sum(self.widths), dtype=self.dtype, device=self.device)
        done = 0
        for tokens, mask in batches:
            here = places[done : done + int(mask.sum())]
            begin = 0
            captured = self._model.capture_each(torch.from_numpy(tokens), self._hook_points)
            for hook_point, x in zip(self._hook_points, captured, strict=True):
                x = x[torch.from_numpy(mask).to(x.device)].to(self.dtype)
                self._check(x, tokens, mask, hook_point)
                pool[here, begin : begin + hook_point.d_in] = x
                begin += hook_point.d_in
            done += len(here)
        return pool

    def _batches(self, number: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        """Tokens and the mask of text among them, [n, pos] each, for one forward pass each."""
        chosen = self.windows_of(number)
        at_once = max(1, _FORWARD_TOKENS // self._windows.n_ctx)
        for begin in range(0, len(chosen), at_once):
            tokens, mask = self._windows.gather(chosen[begin : begin + at_once])
            longest = int(np.flatnonzero(mask.any(axis=0))[-1]) + 1
            tokens, mask = tokens[:, :longest], mask[:, :longest]
            yield tokens, mask & ~self._model.vocabulary.is_special[tokens]

    def _check(
        self,
        x: Tensor,
        tokens: NDArray[np.int64],
        mask: NDArray[np.bool_],
        hook_point: HookPoint,
    ) -> None:
        """Refuse activations of text that are not finite, by the first token that has one."""
        bad = ~x.isfinite().all(dim=-1)
        if bool(bad.any()):
            first = int(bad.nonzero()[0])
            token = int(tokens[mask][first])
            raise TrainingError(
                f"{self._model.name} gives NaN or infinity at {hook_point.name} for token "
                f"{token} ({self._model.tokenizer.decode([token])!r}) in the training text: try "
                "another hook point, or the model in float32."
            )
