"""By which ways a node reaches a target.

Its whole effect in the real model is split by letting one part after the other answer to its
absence, in the order in which the model computes them:

    direct             everything frozen, all other features held: the edge itself;
    attention of l     patterns and norm denominators of block l answer;
    cuts of l          what dictionaries (or the plain MLP) write in block l answers, too;
    final norm         its denominator answers.

Each step's share is what it adds to those before, so that the shares sum to the total exactly. What
each adds where it answers alone stands beside; what the total has more is what only several do
together. The edge itself is split once more: what goes straight along the stream, and what through
each head, whose pattern is held.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from sae_core.circuits.check import Bench
from sae_core.circuits.frozen.freezing import Freezing
from sae_core.circuits.frozen.rows import Targets
from sae_core.circuits.frozen.run import Replay
from sae_core.circuits.graph import Graph
from sae_core.circuits.paths.composition import straight_row, target_of
from sae_core.circuits.paths.heads import attended_run
from sae_core.circuits.steps import finished
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.language_model.hook_point import HookPoint, Side
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.module_hooks import touching

DIRECT, FINAL = "direct", "final norm"
_STEP = 1 / 16  # of a source, where only a derivative can be what an edge claims
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class SplitEffect:
    """What a target loses without a node, by ways; all in the target's units.

    Attributes:
        names: of the ways: `direct`, `blocks.N.attn`, the hook point of each cut, `final norm`.
        shares: what each adds to those before, float64 [ways].
        alone: what each adds to the direct way where it alone answers, float64 [ways]; of the
            direct way itself the same as its share.
        total: what the target loses in the real model; the sum of the shares.
        layers: block of each head, int64 [heads].
        heads: its number there, int64 [heads].
        through: what of the edge goes through each head at last, float64 [heads].
        straight: what goes along the stream.
    """

    names: tuple[str, ...]
    shares: Numbers
    alone: Numbers
    total: float
    layers: NDArray[np.int64]
    heads: NDArray[np.int64]
    through: Numbers
    straight: float

    @property
    def together(self) -> float:
        """What no way does alone, but several do together."""
        return self.total - float(self.alone.sum())


def split_effect(
    model: LanguageModel, dictionaries: Sequence[Dictionary], graph: Graph, node: int, target: int
) -> SplitEffect:
    """By which ways a node of a graph reaches another.

    Args:
        model: that the graph is of.
        dictionaries: that it was built with.
        graph: with both nodes.
        node: whose effect is asked for.
        target: a feature or logit.

    Raises:
        CircuitError: there are no such nodes, or the graph is not of this model.
    """
    n = len(graph.nodes)
    for place in (node, target):
        if not 0 <= place < n:
            raise CircuitError(f"There is no node {place}: the graph has {n}, 0 to {n - 1}.")
    return finished(split_steps(Bench(model, dictionaries, graph), node, target))


def split_steps(
    bench: Bench, node: int, target: int
) -> Generator[tuple[int, int], None, SplitEffect]:
    """As `split_effect`, a pass at a time: yields how many are done, and of how many; the
    generator's return value is the result."""
    if bench.columns[node] < 0:
        raise CircuitError("A logit has no effect on anything: choose a node below.")
    asked, source = target_of(bench, target), np.array([node])
    first = max(0, int(bench.graph.nodes.layer[node]))
    steps = _ways(bench, first)
    done, n = 0, 2 * len(steps) + 2
    clean = bench.total(source)[0]
    no_row, targets = np.zeros(1, dtype=np.int64), np.array([target], dtype=np.int32)

    def lost(passes: tuple[Replay, Replay, float]) -> float:
        return float(bench.lost(passes, no_row, targets)[0])

    def answering(ways: Sequence[_Way]) -> float:
        held = {way.cut for way in ways if way.cut is not None}
        live = {way.layer for way in ways if way.cut is None}
        return lost((clean, partly_frozen(bench, source, live, held), 1.0))

    edge = lost(bench.frozen(source))
    base = edge if bench.is_linear else answering([])
    losses, alone = [edge], [edge]
    for k, way in enumerate(steps):
        alone.append(answering([way]) - base)
        yield (done := done + 1), n
        last = k == len(steps) - 1
        losses.append(lost(bench.total(source)) if last else answering(steps[: k + 1]))
        yield (done := done + 1), n
    shares = np.diff(np.array(losses), prepend=0.0)
    straight, layers, heads, through = _edge(bench, source, asked, edge)
    yield n, n
    names = (DIRECT, *(way.name for way in steps))
    # Documented: what `yield from` gives.
    return SplitEffect(names, shares, np.array(alone), losses[-1], layers, heads, through, straight)


@dataclass(frozen=True)
class _Way:
    """A part that may answer.

    Attributes:
        name: of it.
        layer: of the block whose patterns and denominators answer; of the final norm behind all.
        cut: what is written there answers instead; None: patterns and denominators.
    """

    name: str
    layer: int
    cut: HookPoint | None = None


def _ways(bench: Bench, first: int) -> list[_Way]:
    """All parts that can answer to something in a block, in order."""
    ways, n = [], bench.model.n_layers
    for layer in range(first, n):
        ways.append(_Way(f"blocks.{layer}.attn", layer))
        cuts = [left.point for left in bench.causes.remainders if left.point.layer == layer]
        ways += [_Way(point.name, layer, point) for point in cuts]
    return [*ways, _Way(FINAL, n)]


class _PartlyFreezing(Freezing):
    """Constants as they were, but in some blocks as they are.

    Attributes:
        live: those blocks.
        layer: that is being computed.
    """

    def __init__(self, constants: Sequence[Tensor], live: set[int]) -> None:
        super().__init__(constants)
        self.live, self.layer = live, 0

    @override
    def constant(self, shape: torch.Size, compute: Callable[[], Tensor]) -> Tensor:
        before = super().constant(shape, compute)
        if self.layer not in self.live:
            return before
        with torch.no_grad():
            return compute()

    def entering(self, layer: int) -> Callable[[Tensor], None]:
        """A touch that notes which block is being computed."""

        def touch(_: Tensor) -> None:
            self.layer = layer

        return touch


def partly_frozen(
    bench: Bench, source: NDArray[np.int64], live: set[int], answering: set[HookPoint]
) -> Replay:
    """The model without a node, where some blocks' patterns and some cuts answer."""
    model = bench.model
    freezing = _PartlyFreezing(bench.run.constants, live)
    held = [point for point in bench.run.written if point not in answering]
    with model.lock, ExitStack() as stack:
        for layer in range(model.n_layers):
            touch = freezing.entering(layer)
            stack.enter_context(touching(model.block(layer), Side.INPUT, touch))
        last = freezing.entering(model.n_layers)
        stack.enter_context(touching(model.block(model.n_layers - 1), Side.OUTPUT, last))
        stack.enter_context(freezing)
        return bench.live(bench.taken(source), 1, held)


def _edge(
    bench: Bench, source: NDArray[np.int64], target: Targets, edge: float
) -> tuple[float, NDArray[np.int64], NDArray[np.int64], Numbers]:
    """What of an edge goes along the stream, and block, number and share of each head."""
    attended = attended_run(bench)
    _, by_z = straight_row(bench, attended, target)
    points = [point for point in attended.points if point is not None and point in by_z]
    moved = _moved(bench, source, points)
    layers, heads, through = [], [], []
    for point in points:
        n = len(attended.blocks[point.layer].pattern)
        product = by_z[point][0] * moved[point]
        shares = product.view(len(product), n, -1).sum(dim=(0, 2))
        layers += [point.layer] * n
        heads += list(range(n))
        through.append(shares.double().cpu().numpy())
    brought = np.concatenate(through) if through else np.zeros(0)
    return edge - float(brought.sum()), np.array(layers), np.array(heads), brought


def _moved(
    bench: Bench, source: NDArray[np.int64], points: Sequence[HookPoint]
) -> dict[HookPoint, Tensor]:
    """By what heads' outputs change in the frozen model without a node, [pos, width] each."""
    seen: list[dict[HookPoint, Tensor]] = []
    shares = (0.0, 1.0) if bench.is_linear else (-_STEP, _STEP)
    for share in shares:
        outputs: dict[HookPoint, Tensor] = {}
        with bench.model.lock, ExitStack() as stack:
            for point in points:
                touch = _keeping(outputs, point)
                stack.enter_context(bench.model.touching(point.layer, point.kind, touch))
            stack.enter_context(Freezing(bench.run.constants))
            bench.live(bench.taken(source, share), 1, list(bench.run.written))
        seen.append(outputs)
    step = shares[1] - shares[0]
    return {point: (seen[0][point] - seen[1][point])[0] / step for point in points}


def _keeping(into: dict[HookPoint, Tensor], point: HookPoint) -> Callable[[Tensor], None]:
    def touch(x: Tensor) -> None:
        into[point] = x.clone()

    return touch
