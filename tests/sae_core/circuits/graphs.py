"""Small random graphs."""

from __future__ import annotations

import numpy as np

from sae_core.circuits.graph import Edges, Graph, GraphDictionary, NodeKind, Nodes

N_LAYERS = 3


def random_graph(seed: int = 0, n_pos: int = 5, per_place: int = 3) -> Graph:
    """Tokens, some features and an error at each place of three layers, four logits."""
    draw = np.random.default_rng(seed)
    rows: list[tuple[NodeKind, int, int, int, int]] = [
        (NodeKind.TOKEN, -1, position, 100 + position, -1) for position in range(n_pos)
    ]
    for layer in range(N_LAYERS):
        for position in range(n_pos):
            rows.append((NodeKind.ERROR, layer, position, -1, layer))
            features = sorted(draw.choice(50, per_place, replace=False).tolist())
            rows.extend((NodeKind.FEATURE, layer, position, n, layer) for n in features)
    rows += [(NodeKind.LOGIT, N_LAYERS, n_pos - 1, 7 * token, -1) for token in range(4)]
    kind, layer, position, index, place = np.array(rows).T
    probability = np.array([0.5, 0.2, 0.15, 0.05], dtype=np.float32)
    activation = np.where(kind == NodeKind.FEATURE, draw.gamma(2.0, size=len(kind)), 1.0)
    activation[-4:] = probability
    earlier = (layer[None] < layer[:, None]) & (position[None] <= position[:, None])
    fed = (kind == NodeKind.FEATURE) | (kind == NodeKind.LOGIT)
    target, source = np.nonzero(earlier & fed[:, None] & (draw.random(earlier.shape) < 0.7))
    return Graph(
        model="random",
        tokens=np.arange(100, 100 + n_pos),
        token_strings=tuple(f" t{n}" for n in range(n_pos)),
        dictionaries=tuple(
            GraphDictionary(
                f"d{n}", f"blocks.{n}.mlp.hook_in", f"blocks.{n}.hook_mlp_out", 50, False
            )
            for n in range(N_LAYERS)
        ),
        n_layers=N_LAYERS,
        nodes=Nodes(
            kind.astype(np.int8),
            layer.astype(np.int16),
            position.astype(np.int32),
            index.astype(np.int64),
            activation.astype(np.float32),
            place.astype(np.int8),
        ),
        edges=Edges(
            source.astype(np.int32),
            target.astype(np.int32),
            draw.normal(size=len(source)).astype(np.float32),
        ),
        targets=np.arange(len(kind) - 4, len(kind), dtype=np.int32),
        target_weights=probability / probability.sum(),
    )
