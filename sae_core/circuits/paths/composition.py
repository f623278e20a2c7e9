"""What a node's activation is made of, in the frozen model.

A target t reads r_t at its place and position p. What stands there is a sum, and so is t:

    t = r_t . token's embedding + sum over heads h and positions k of A_h[p, k] (r_t W_O W_V x_k)
        + sum over features and errors at p of what they write + constant,

with everything between writing and reading (norms) as it was. What one head brings splits once
more, by the nodes behind it: their edges through that head.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.circuits.check import Bench
from sae_core.circuits.frozen.rows import Targets
from sae_core.circuits.frozen.run import Gradients
from sae_core.circuits.graph import NodeKind
from sae_core.circuits.paths.heads import AttendedRun, attended_run
from sae_core.errors import CircuitError

Numbers = NDArray[np.float64]
STRONGEST = 8  # heads whose sources are looked for


@dataclass(frozen=True)
class ByNode:
    """A sum by the nodes of a graph.

    Attributes:
        nodes: what each has a part of, [nodes].
        rest: what nodes have that were not kept in the graph.
        constant: biases.
    """

    nodes: Numbers
    rest: float
    constant: float

    @property
    def total(self) -> float:
        """All together."""
        return float(self.nodes.sum()) + self.rest + self.constant


@dataclass(frozen=True)
class Composition:
    """What a node is made of; all in its own units.

    Attributes:
        value: activation of a feature; of a logit the logit less the mean of all.
        straight: what nodes write where it reads, without any attention; with the constant.
        layers: block of each head, int64 [heads].
        heads: its number in the block, int64 [heads].
        through: what each head brings from each position, [heads, pos].
        strongest: of these heads, those that bring most, int64 [some].
        behind: for each of the strongest by which nodes it has that.
    """

    value: float
    straight: ByNode
    layers: NDArray[np.int64]
    heads: NDArray[np.int64]
    through: Numbers
    strongest: NDArray[np.int64]
    behind: tuple[ByNode, ...]


def composition_steps(bench: Bench, node: int) -> Generator[int, None, Composition]:
    """What a node is made of, in steps: yields how many of 3 are done; the generator's return value
    is the result.

    Raises:
        CircuitError: it is neither a feature nor a logit of the graph, or the model's heads cannot
            be told apart.
    """
    target = target_of(bench, node)
    attended = attended_run(bench)
    yield 1
    n_pos = bench.run.tokens.shape[1]
    row, by_z = straight_row(bench, attended, target)
    layers, heads, through, weights = [], [], [], []
    for layer, (point, block) in enumerate(zip(attended.points, attended.blocks, strict=True)):
        n = len(block.pattern)
        if point is None or point not in by_z:
            continue
        gradient = by_z[point][0].view(n_pos, n, -1).transpose(0, 1)  # heads, pos, width
        moved = block.pattern.mT @ gradient  # by each value
        layers += [layer] * n
        heads += list(range(n))
        through.append((moved * block.value.detach()[0]).sum(dim=-1))
        weights += list(moved)
    yield 2
    brought = torch.cat(through) if through else row.new_zeros(0, n_pos)
    value = float(bench.causes.values(target)[0])
    amount = brought.double().cpu().numpy()
    straight = by_node(bench, row, value - float(amount.sum()))
    strongest = np.argsort(-np.abs(amount.sum(axis=1)), kind="stable")[:STRONGEST]
    behind = []
    for n in strongest.tolist():
        rows = _through(bench, attended, layers[n], heads[n], weights[n])
        behind.append(by_node(bench, rows[0], float(amount[n].sum())))
    yield 3
    # Documented: what `yield from` gives.
    return Composition(
        value, straight, np.array(layers, dtype=np.int64), np.array(heads, dtype=np.int64), amount,
        strongest, tuple(behind),
    )  # fmt: skip


def target_of(bench: Bench, node: int) -> Targets:
    """A node as a target.

    Raises:
        CircuitError: there is no such node, or it is neither feature nor logit.
    """
    nodes = bench.graph.nodes
    if not 0 <= node < len(nodes):
        raise CircuitError(f"There is no node {node}: the graph has {len(nodes)}, from 0.")
    kind, none = nodes.kind[node], torch.empty(0, dtype=torch.int64)
    if kind == NodeKind.LOGIT:
        return Targets(torch.tensor([int(nodes.index[node])]), none)
    if kind == NodeKind.FEATURE:
        return Targets(none, torch.tensor([int(bench.columns[node])]))
    raise CircuitError("Only features and logits are made of something: choose one of them.")


def straight_row(
    bench: Bench, attended: AttendedRun, target: Targets
) -> tuple[Tensor, dict[object, Tensor]]:
    """What causes write where a target reads, [1, columns], and its derivative by the heads' output
    in each block, [1, pos, width]."""
    run, by_z = attended.straight, dict[object, Tensor]()
    gradients = run.pull_back(*bench.causes.weights(target, run))

    def noting() -> Iterator[Gradients]:
        for some in gradients:
            by_z.update((p, g) for p, g in some.by.items() if p in attended.points and p)
            yield some

    return rows_along(bench, noting(), 1), by_z


def rows_along(bench: Bench, gradients: Iterator[Gradients], n: int) -> Tensor:
    """What each cause adds to n things, of their derivatives, [n, columns]."""
    rows = bench.run.leaving[-1].detach().new_zeros(n, len(bench.causes))
    last = bench.run.tokens.shape[1] - 1
    for some in gradients:
        bench.causes.add(rows, some, last)
    return rows


def by_node(bench: Bench, row: Tensor, total: float) -> ByNode:
    """A row by the graph's nodes; what it lacks to a total is constant."""
    every = row.double().reshape(-1).cpu().numpy()
    there = bench.columns >= 0
    nodes = np.zeros(len(bench.columns))
    nodes[there] = every[bench.columns[there]]
    return ByNode(nodes, float(every.sum() - nodes.sum()), float(total - every.sum()))


def _through(bench: Bench, attended: AttendedRun, layer: int, head: int, weights: Tensor) -> Tensor:
    """What causes add along a weighting of one head's values [pos, width], [1, columns]."""
    value = attended.blocks[layer].value
    run, point = attended.reading(layer, "value", value)
    along = torch.zeros_like(value.detach())
    along[0, head] = weights
    return rows_along(bench, run.pull_back(None, {point: along}), 1)
