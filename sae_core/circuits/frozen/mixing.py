"""Values mixed over positions by a constant pattern, and gradients taken back through it.

    out = P v,    by v: P^T g.

A batch of gradients goes back in one product a stretch of positions: what lies behind (a causal
pattern is zero there, a window zero further away) and what no gradient reaches costs nothing, and
the pattern is not repeated for each of the batch, as the library's own rule does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from typing_extensions import override

_STRETCH = 128  # positions


def mixed(pattern: Tensor, value: Tensor) -> Tensor:
    """Values [..., key, width] by a pattern [..., query, key] that has no gradient."""
    out: Tensor = _Mixed.apply(pattern, value)  # type: ignore[no-untyped-call]
    return out


class _Mixed(Function):
    @staticmethod
    @override
    def forward(pattern: Tensor, value: Tensor) -> Tensor:
        return pattern @ value

    @staticmethod
    @override
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])

    @staticmethod
    @override
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        (pattern,) = ctx.saved_tensors
        return None, _Unmixed.apply(pattern, grads[0])  # type: ignore[no-untyped-call]


class _Unmixed(Function):
    """The transposed pattern, with a rule of its own for batches of gradients."""

    @staticmethod
    @override
    def forward(pattern: Tensor, gradient: Tensor) -> Tensor:
        return pattern.mT @ gradient

    @staticmethod
    @override
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        pass  # gradients of gradients are not asked for

    @staticmethod
    @override
    def vmap(
        info: Any, in_dims: tuple[int | None, int | None], pattern: Tensor, gradient: Tensor
    ) -> tuple[Tensor, int]:
        batched = in_dims[1]
        assert in_dims[0] is None  # the pattern is one constant
        assert batched is not None
        g = gradient.movedim(batched, -2)  # [..., query, batch, width]
        out = g.new_zeros(*g.shape[:-3], pattern.shape[-1], *g.shape[-2:])
        width = g.shape[-2] * g.shape[-1]
        for place in torch.cartesian_prod(*map(torch.arange, g.shape[:-3])).reshape(
            -1, g.dim() - 3
        ):
            at = tuple(place.tolist())
            _add_transposed(pattern[at], g[at].reshape(-1, width), out[at].view(-1, width))
        return out, out.dim() - 2


def _add_transposed(pattern: Tensor, gradient: Tensor, out: Tensor) -> None:
    """Add pattern^T @ gradient, by stretches of queries, without what is zero at either end."""
    for begin in range(0, len(gradient), _STRETCH):
        some = gradient[begin : begin + _STRETCH]
        if not bool(some.any()):
            continue
        rows = pattern[begin : begin + _STRETCH]
        keys = rows.any(dim=0).nonzero()[:, 0]
        if not len(keys):
            continue
        reached = slice(int(keys[0]), int(keys[-1]) + 1)
        out[reached].addmm_(rows[:, reached].T, some)
