"""Attention patterns and norm denominators held at what they are in one forward pass.

What is left of a transformer's attention and norms is linear in the residual stream. Rather than to
rebuild each architecture, the very functions that they are made of are caught while the model's own
code runs: softmax and fused attention, rsqrt and its like, layer and RMS norms. A first pass notes
the numbers; later ones with other activations get the same ones again. That it holds for a model is
tried (`trial`), not believed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from sae_core.circuits.frozen.mixing import mixed
from sae_core.errors import CircuitError


class Freezing(TorchFunctionMode):
    """Within the block a model's patterns and denominators are constants.

    Attributes:
        constants: in the order of the pass, without gradients.
    """

    def __init__(self, constants: Sequence[Tensor] | None = None) -> None:
        """Note what a pass has.

        Args:
            constants: those of an earlier pass, which are to be had again; None: note them.
        """
        super().__init__()
        self.replays = constants is not None
        self.constants = list(constants or ())
        self._next = 0

    @override
    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        freeze = _FROZEN.get(func)
        if freeze is None:
            return func(*args, **(kwargs or {}))
        return freeze(self, func, *args, **(kwargs or {}))

    def constant(self, shape: torch.Size, compute: Callable[[], Tensor]) -> Tensor:
        """The next constant, of a shape; a batch of several gets what the batch of one had.

        Raises:
            CircuitError: this pass computes something else than the first.
        """
        if not self.replays:
            with torch.no_grad():
                self.constants.append(compute().detach())
            return self.constants[-1]
        if self._next == len(self.constants):
            raise CircuitError("A forward pass of the model computes other things than the first.")
        value = self.constants[self._next]
        self._next += 1
        if value.shape == shape:
            return value
        if value.dim() != len(shape) or shape[0] % value.shape[0] or value.shape[1:] != shape[1:]:
            raise CircuitError("A forward pass of the model has other shapes than the first.")
        return value.repeat(shape[0] // value.shape[0], *[1] * (len(shape) - 1))

    def is_constant(self, x: Tensor) -> bool:
        """Whether these are the numbers of the latest constant, or a view of them."""
        if self.replays or not self.constants:
            return False
        return not x.requires_grad and x.data_ptr() == self.constants[-1].data_ptr()


def _whole(freezing: Freezing, func: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """A function whose result is a constant, as large as its argument."""
    return freezing.constant(x.shape, lambda: func(x, *args, **kwargs))


def _power(freezing: Freezing, func: Any, x: Any, exponent: Any, **kwargs: Any) -> Any:
    """A power, frozen where it is the inverse root that a norm divides by."""
    if isinstance(x, Tensor) and isinstance(exponent, (int, float)) and exponent in (-0.5, 0.5):
        return _whole(freezing, func, x, exponent, **kwargs)
    return func(x, exponent, **kwargs)


def _layer_norm(
    freezing: Freezing, _: Any, x: Tensor, normalized_shape: Sequence[int],
    weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    dims = tuple(range(-len(normalized_shape), 0))
    return _scaled(freezing, x - x.mean(dims, keepdim=True), dims, weight, bias, eps)


def _rms_norm(
    freezing: Freezing, _: Any, x: Tensor, normalized_shape: Sequence[int],
    weight: Tensor | None = None, eps: float | None = None,
) -> Tensor:  # fmt: skip
    dims = tuple(range(-len(normalized_shape), 0))
    epsilon = torch.finfo(x.dtype).eps if eps is None else eps
    return _scaled(freezing, x, dims, weight, None, epsilon)


def _scaled(
    freezing: Freezing,
    x: Tensor,
    dims: tuple[int, ...],
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
) -> Tensor:
    shape = x.shape[: -len(dims)] + (1,) * len(dims)
    scale = freezing.constant(
        torch.Size(shape), lambda: (x.square().mean(dims, keepdim=True) + epsilon).rsqrt()
    )
    x = x * scale
    x = x if weight is None else x * weight
    return x if bias is None else x + bias


def _attention(
    freezing: Freezing, __: Any, query: Tensor, key: Tensor, value: Tensor,
    attn_mask: Tensor | None = None, _dropout: float = 0.0, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False, **_: Any,
) -> Tensor:  # fmt: skip
    """Fused attention: the pattern is the constant, the values go through it."""
    if enable_gqa:
        n = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(n, dim=-3) for x in (key, value))

    def pattern() -> Tensor:
        scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
        mask = attn_mask
        if is_causal:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if mask is not None and mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask, -torch.inf)
        elif mask is not None:
            scores = scores + mask
        # A row that may look at nothing has a pattern of nothing.
        return scores.softmax(dim=-1).nan_to_num(nan=0.0)

    shape = torch.Size((*query.shape[:-1], key.shape[-2]))
    return mixed(freezing.constant(shape, pattern), value)


def _product(freezing: Freezing, func: Any, x: Any, other: Any, *args: Any, **kwargs: Any) -> Any:
    """A product; where its left side is a pattern, values that are mixed."""
    if args or kwargs or not isinstance(x, Tensor) or not freezing.is_constant(x):
        return func(x, other, *args, **kwargs)
    if other.dim() < 3 or x.shape[:-2] != other.shape[:-2] or x.dtype != other.dtype:
        return func(x, other)
    return mixed(x, other)


_WHOLE: tuple[Any, ...] = (
    torch.softmax, Tensor.softmax, functional.softmax, torch.special.softmax,
    torch.rsqrt, Tensor.rsqrt, torch.sqrt, Tensor.sqrt,
)  # fmt: skip
_FROZEN: dict[Any, Callable[..., Any]] = {
    **dict.fromkeys(_WHOLE, _whole),
    **dict.fromkeys((torch.pow, Tensor.pow, Tensor.__pow__), _power),
    **dict.fromkeys((torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm), _product),
    functional.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    functional.rms_norm: _rms_norm,
    functional.scaled_dot_product_attention: _attention,
}
