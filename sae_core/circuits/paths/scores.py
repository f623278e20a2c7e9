"""Why a head looks where it looks: the score of a query and a key, by the nodes behind both.

A score before the softmax is scale (q . k), and q and k are sums over nodes in the frozen model,
position encodings and norms included. So the score is a sum over pairs of a node on the query's
side and one on the key's (Kamath et al., "Tracing Attention Computation", 2025).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.circuits.check import Bench
from sae_core.circuits.paths.composition import ByNode, by_node, rows_along
from sae_core.circuits.paths.heads import AttendedRun, attended_run
from sae_core.errors import CircuitError

CONSTANT, REST = -1, -2
"""In place of a node: biases, and the nodes that the graph does not have."""
_AT_ONCE = 32  # directions of a head
_PAIRS = 24
_SIDE = 512  # nodes of each side among which the strongest pairs are looked for


@dataclass(frozen=True)
class ScoreSplit:
    """One score of one head.

    Attributes:
        pattern: how much the head looks at each position, [pos].
        score: scale times the product of query and key.
        caveat: in which way it is not the score of the softmax; empty: it is.
        query: the score by the nodes of the query's side.
        key: the score by the nodes of the key's side.
        pairs: the strongest pairs, query's node and key's, int64 [pairs, 2]; `CONSTANT` and `REST`
            stand for what is no node.
        weights: what these add to the score, [pairs].
    """

    pattern: NDArray[np.float64]
    score: float
    caveat: str
    query: ByNode
    key: ByNode
    pairs: NDArray[np.int64]
    weights: NDArray[np.float64]


def score_steps(
    bench: Bench, layer: int, head: int, query: int, key: int
) -> Generator[int, None, ScoreSplit]:
    """The score of one head from one position to another, in steps: yields how many of 3 are done;
    the generator's return value is the result.

    Raises:
        CircuitError: there is no such head, or position that it looks at, or its scores are no
            product of two vectors.
    """
    n_pos = bench.run.tokens.shape[1]
    if not 0 <= layer < bench.model.n_layers:
        raise CircuitError(f"There is no block {layer}: the model has {bench.model.n_layers}.")
    if not 0 <= key <= query < n_pos:
        raise CircuitError(f"The prompt has positions 0 to {n_pos - 1}, and heads look back.")
    attended = attended_run(bench)
    block = attended.blocks[layer]
    if not 0 <= head < len(block.pattern):
        raise CircuitError(f"There is no head {head}: the block has {len(block.pattern)}.")
    if block.query is None or block.key is None:
        raise CircuitError(
            f"In {bench.model.name} a score is no product of a query and a key alone, so that it "
            "cannot be split between features."
        )
    yield 1
    q, asks = _side(bench, attended, layer, "query", block.query, (head, query))
    yield 2
    k, answers = _side(bench, attended, layer, "key", block.key, (head, key))
    yield 3
    pairs, weights = _strongest(bench, asks, q, answers, k, block.scale)
    score = block.scale * float(q @ k)
    # Documented: what `yield from` gives.
    return ScoreSplit(
        pattern=block.pattern[head, query].double().cpu().numpy(),
        score=score,
        caveat=block.caveat,
        query=by_node(bench, block.scale * (k @ asks), score),
        key=by_node(bench, block.scale * (q @ answers), score),
        pairs=pairs,
        weights=weights,
    )


def _side(
    bench: Bench, attended: AttendedRun, layer: int, name: str, x: Tensor, place: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """One vector of a head [width], and what each cause has of it [width, columns]; float64."""
    run, point = attended.reading(layer, name, x)
    vector = x.detach()[0][place]
    parts = []
    for begin in range(0, len(vector), _AT_ONCE):
        some = range(begin, min(begin + _AT_ONCE, len(vector)))
        along = x.detach().new_zeros(len(some), *x.shape[1:])
        for row, n in enumerate(some):
            along[row, place[0], place[1], n] = 1.0
        parts.append(rows_along(bench, run.pull_back(None, {point: along}), len(some)))
    return vector.double(), torch.cat(parts).double()


def _strongest(
    bench: Bench, asks: Tensor, q: Tensor, answers: Tensor, k: Tensor, scale: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The strongest pairs of nodes."""
    left, right = _by_nodes(bench, asks, q), _by_nodes(bench, answers, k)
    names = np.concatenate([np.arange(len(bench.columns)), [CONSTANT, REST]])
    own, other = (side.norm(dim=0).argsort(descending=True)[:_SIDE] for side in (left, right))
    weights = scale * (left[:, own].T @ right[:, other])
    order = weights.abs().flatten().argsort(descending=True, stable=True)[:_PAIRS]
    rows, columns = (order // weights.shape[1]).cpu(), (order % weights.shape[1]).cpu()
    pairs = np.stack([names[own.cpu()[rows]], names[other.cpu()[columns]]], axis=1)
    return pairs, weights.flatten()[order].cpu().numpy()


def _by_nodes(bench: Bench, side: Tensor, vector: Tensor) -> Tensor:
    """A side by the graph's nodes, and behind them what is constant and the rest, [width, n]."""
    columns = torch.from_numpy(bench.columns).to(side.device)
    nodes = torch.where(columns >= 0, side[:, columns.clamp_min(0)], 0.0)
    constant = vector - side.sum(dim=1)
    rest = side.sum(dim=1) - nodes.sum(dim=1)
    return torch.cat([nodes, constant[:, None], rest[:, None]], dim=1)
