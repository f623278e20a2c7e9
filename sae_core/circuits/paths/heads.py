"""The heads of one frozen pass: patterns, values, and the queries and keys that scores come of.

As in `frozen`, no architecture is rebuilt: the products and softmaxes that attention is made of are
seen while the model's own code runs. Rotary embeddings, grouped heads and norms of queries are in
what is seen; a cap or a bias between product and softmax is noticed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from typing_extensions import override

from sae_core.circuits.check import Bench
from sae_core.circuits.frozen.run import FrozenRun, frozen_run
from sae_core.errors import CircuitError, HookPointError
from sae_core.language_model.hook_point import HookKind, HookPoint

_CLOSE = 1e-3
_MASKED = -1e30
_ATTENTION = (HookKind.Z, HookKind.ATTN_RAW, HookKind.ATTN_OUT)
_PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm)
_SOFTMAXES = (torch.softmax, Tensor.softmax, functional.softmax, torch.special.softmax)
_TIMES = (torch.mul, Tensor.mul, Tensor.__mul__)
_DIVIDED = (torch.div, Tensor.div, torch.true_divide, Tensor.__truediv__)
CAPPED = "The model caps this score before the softmax; what is split here is the score before."
BIASED = (
    "The model adds a bias to this score that no feature has a part in; what is split here is the "
    "product of query and key without it."
)


@dataclass
class BlockHeads:
    """The attention of one block in one pass.

    Attributes:
        pattern: [heads, query, key].
        value: what the pattern mixes, [1, heads, key, width]; with its derivative.
        query: [1, heads, query, width]; None: scores are no product of two vectors here.
        key: [1, heads, key, width].
        scale: times query and key is the score.
        caveat: in which way the score that is split is not the one of the softmax; empty: it is.
    """

    pattern: Tensor
    value: Tensor
    query: Tensor | None
    key: Tensor | None
    scale: float
    caveat: str


@dataclass
class _Seen:
    """A score on its way to the softmax."""

    query: Tensor
    key: Tensor
    now: Tensor
    factors: list[float] = field(default_factory=list)
    is_capped: bool = False


class HeadsWatch(TorchFunctionMode):
    """Within the block the attention of each layer is noted.

    Attributes:
        blocks: in the order of the pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[BlockHeads] = []
        self._seen: _Seen | None = None
        self._scores: Tensor | None = None
        self._pattern: Tensor | None = None
        self._turned: tuple[Tensor, Tensor] | None = None

    @override
    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and args and isinstance(args[0], Tensor):
            self._see(func, args, result)
        return result

    def _see(self, func: Any, args: Sequence[Any], result: Tensor) -> None:
        x, seen = args[0], self._seen
        if func in _PRODUCTS:
            self._product(x, args[1], result)
        elif result.dim() == 4 and result.data_ptr() == x.data_ptr() and _is_turned(x, result):
            self._turned = x, result
        elif func in _SOFTMAXES and x.dim() == 4:
            self._scores, self._pattern = x, result
        elif self._pattern is not None and x is self._pattern and result.shape == x.shape:
            self._pattern = result  # the same numbers by another name: cast, detached, without NaN
        elif seen is not None and x is seen.now and not seen.is_capped:
            _follow(seen, func, args, result)

    def _product(self, x: Tensor, other: Tensor, result: Tensor) -> None:
        if x.dim() != 4 or other.dim() != 4:
            return
        pattern = self._pattern
        if pattern is None or self._scores is None or x.data_ptr() != pattern.data_ptr():
            # The library may turn keys where no derivatives are noted: what was turned has them.
            turned = self._turned
            is_same = turned is not None and other is turned[1]
            self._seen = _Seen(x, turned[0] if turned and is_same else other.mT, result)
            return
        seen, scores = self._seen, self._scores.detach()
        self._seen = self._scores = self._pattern = None
        if seen is None or seen.now.shape != x.shape:
            self.blocks.append(BlockHeads(x.detach()[0], other, None, None, 1.0, BIASED))
            return
        scale = 1.0
        for factor in seen.factors:
            scale *= factor
        split = scale * (seen.query.detach() @ seen.key.detach().mT)
        allowed = scores > _MASKED
        off = ((scores - split) * allowed).nan_to_num(0.0, 0.0, 0.0).abs().max()
        is_same = bool(off <= _CLOSE * (1 + (split * allowed).abs().max()))
        caveat = CAPPED if seen.is_capped else "" if is_same else BIASED
        self.blocks.append(BlockHeads(x.detach()[0], other, seen.query, seen.key, scale, caveat))


def _is_turned(x: Tensor, result: Tensor) -> bool:
    """Whether the last two dimensions have changed places."""
    return x.dim() == 4 and result.stride() == (*x.stride()[:2], x.stride(3), x.stride(2))


def _follow(seen: _Seen, func: Any, args: Sequence[Any], result: Tensor) -> None:
    """A score that is scaled or capped."""
    if func in (torch.tanh, Tensor.tanh):
        # What a cap divides by before is multiplied again behind it.
        seen.is_capped = True
        del seen.factors[-1:]
        return
    if len(args) < 2 or isinstance(args[1], Tensor):
        return
    if func in _TIMES:
        seen.factors.append(float(args[1]))
        seen.now = result
    elif func in _DIVIDED:
        seen.factors.append(1 / float(args[1]))
        seen.now = result


@dataclass(frozen=True)
class AttendedRun:
    """One prompt's frozen model with its heads in view.

    Attributes:
        whole: through which everything reaches a target.
        straight: in which the heads are inputs of their own, so that only what is written where a
            target reads reaches it.
        points: the heads' output in each block; None: dictionaries have the place of the heads.
        blocks: the heads of each block.
    """

    whole: FrozenRun
    straight: FrozenRun
    points: tuple[HookPoint | None, ...]
    blocks: tuple[BlockHeads, ...]

    def reading(self, layer: int, name: str, x: Tensor) -> tuple[FrozenRun, HookPoint]:
        """The whole run with a tensor of a block as something that is read, and its name."""
        point = HookPoint(f"blocks.{layer}.{name}", layer, HookKind.Z, x.shape[-1], True)
        return replace(self.whole, read={**self.whole.read, point: x}), point


def attended_run(bench: Bench) -> AttendedRun:
    """Run a graph's prompt with its heads in view.

    Raises:
        CircuitError: the model's attention has no heads that could be told apart.
    """
    model, run = bench.model, bench.run
    try:
        every = [model.hook_point(f"blocks.{n}.{HookKind.Z}") for n in range(model.n_layers)]
    except HookPointError as error:
        raise CircuitError(
            f"The heads of {model.name} cannot be told apart: {error} What passes through "
            "attention is not split here."
        ) from error
    own = {point.layer for point in run.written if point.kind in _ATTENTION}
    points = tuple(None if point.layer in own else point for point in every)
    free = [point for point in points if point is not None]
    reads = dict.fromkeys((*run.read, *every))
    with HeadsWatch() as watch:
        whole = frozen_run(model, run.tokens, list(reads), list(run.written), run.skips)
    straight = frozen_run(model, run.tokens, list(reads), [*run.written, *free], run.skips)
    if not _fits(watch.blocks, [whole.read[point] for point in every]):
        raise CircuitError(
            f"The heads of {model.name} ({model.architecture}) are not patterns times values, so "
            "that what passes through attention is not split here."
        )
    return AttendedRun(whole, straight, points, tuple(watch.blocks))


def _fits(blocks: Sequence[BlockHeads], outputs: Sequence[Tensor]) -> bool:
    """Whether patterns times values are what heads return."""
    if len(blocks) != len(outputs):
        return False
    for block, z in zip(blocks, outputs, strict=True):
        made = (block.pattern @ block.value.detach()[0]).transpose(0, 1).flatten(1)
        z = z.detach()[0]
        if made.shape != z.shape or (made - z).abs().max() > _CLOSE * (1e-6 + z.abs().max()):
            return False
    return True
