"""What a graph's targets are in the real model where some of its features write more or less.

At its position each feature f of a set writes s a_f d_f instead of a_f d_f, with the a_f that it
has on the prompt; its error, and all that comes behind, is the model's own. s = 1 changes nothing,
s = 0 takes the features out. Beside them sets of other features that fire as strongly, at the same
positions where there are any, are scaled alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.circuits.check import Bench
from sae_core.circuits.graph import NodeKind
from sae_core.errors import CircuitError
from sae_core.language_model.hook_point import HookPoint

Numbers = NDArray[np.float64]
_CLOSEST = 6  # of the features most alike, among which one is drawn


@dataclass(frozen=True)
class ScaledTargets:
    """Rows: as it is; the features scaled; then each set of like features scaled.

    Attributes:
        values: logits, or activations of features, [rows, targets].
        probabilities: of logits; NaN for features, [rows, targets].
    """

    values: Numbers
    probabilities: Numbers


def scaled_targets(
    bench: Bench, nodes: Sequence[int], factor: float, draws: int = 3, seed: int = 0
) -> ScaledTargets:
    """What a graph's targets are where features of it write `factor` times what they do.

    Raises:
        CircuitError: there is no such feature.
    """
    kinds = bench.graph.nodes.kind
    for node in nodes:
        if not 0 <= node < len(kinds) or kinds[node] != NodeKind.FEATURE:
            raise CircuitError(f"Node {node} is no feature of the graph: only these are scaled.")
    chosen = np.unique(np.array(nodes, dtype=np.int64))
    sets = [chosen, *_alike(bench, chosen, draws, seed)]
    taken: dict[HookPoint | None, Tensor] = {}
    for row, some in enumerate(sets):
        for point, write in bench.taken(some, 1 - factor).items():
            if point not in taken:
                taken[point] = write.new_zeros(1 + len(sets), *write.shape[1:])
            taken[point][1 + row] = write.sum(dim=0)
    replay = bench.live(taken, 1 + len(sets))
    graph = bench.graph
    values = np.zeros((1 + len(sets), len(graph.targets)))
    probabilities = np.full_like(values, np.nan)
    with torch.no_grad():
        logits = bench.model.head(replay.hidden[:, -1:])[:, 0].double()
    spread = logits.softmax(dim=-1).cpu().numpy()
    rows = np.arange(1 + len(sets))
    for n, target in enumerate(graph.targets.tolist()):
        index = int(graph.nodes.index[target])
        if kinds[target] == NodeKind.LOGIT:
            values[:, n] = logits[:, index].cpu().numpy()
            probabilities[:, n] = spread[:, index]
            continue
        lost = bench.lost(
            (bench.total(chosen[:1])[0], replay, 1.0), rows, np.full(len(rows), target, np.int32)
        )
        values[:, n] = float(graph.nodes.activation[target]) - lost
    return ScaledTargets(values, probabilities)


def _alike(
    bench: Bench, chosen: NDArray[np.int64], draws: int, seed: int
) -> list[NDArray[np.int64]]:
    """Sets of as many other features of the graph, each of like activation; none: it has none."""
    nodes, rng = bench.graph.nodes, np.random.default_rng(seed)
    of_features = np.flatnonzero(nodes.kind == NodeKind.FEATURE)
    others = np.setdiff1d(of_features, [*chosen.tolist(), *bench.graph.targets.tolist()])
    sets = []
    for _ in range(draws if len(others) else 0):
        left, drawn = others, []
        for node in chosen.tolist():
            if not len(left):
                break
            size = np.abs(np.log(np.abs(nodes.activation[left]) / abs(nodes.activation[node])))
            far = np.where(nodes.position[left] == nodes.position[node], 0.0, 10.0)
            far += np.where(nodes.place[left] == nodes.place[node], 0.0, 100.0)
            closest = left[np.argsort(size + far, kind="stable")[:_CLOSEST]]
            drawn.append(int(rng.choice(closest)))
            left = left[left != drawn[-1]]
        sets.append(np.array(drawn, dtype=np.int64))
    return sets
