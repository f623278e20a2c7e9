"""By which ways a node reaches a target.

Its whole effect in the real model is split by letting one part after the other answer to its
absence, in the order in which the model computes them:

    direct      everything frozen, all other features held: the edge itself;
    attention   patterns and norm denominators answer, everywhere at once;
    MLP of l    what dictionaries (or the plain MLP) write in block l answers, too.

Each step's share is what it adds to those before, so that the shares sum to the total exactly;
what two of them do only together counts for the later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.circuits.check import Bench
from sae_core.circuits.graph import Graph
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.language_model.model import LanguageModel


@dataclass(frozen=True)
class SplitEffect:
    """What a target loses without a node, by ways.

    Attributes:
        names: of the ways: `direct`, `attention`, and the hook point of each cut that may answer.
        shares: what each adds, float64 [ways]; the target's units.
        total: what the target loses in the real model; the sum of the shares.
    """

    names: tuple[str, ...]
    shares: NDArray[np.float64]
    total: float


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
    bench = Bench(model, dictionaries, graph)
    source, rows, targets = np.array([node]), np.zeros(1, dtype=np.int64), np.array([target])
    cuts = [left.point for left in bench.causes.remainders]
    passes = [bench.frozen(source), bench.direct(source)]
    passes += [bench.answering(source, cuts[: k + 1]) for k in range(len(cuts))]
    lost = np.array([bench.lost(own, rows, targets.astype(np.int32))[0] for own in passes])
    names = ("direct", "attention", *(point.name for point in cuts))
    return SplitEffect(names, np.diff(lost, prepend=0.0), float(lost[-1]))
