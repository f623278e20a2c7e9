"""What decides an attribution graph."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sae_core.errors import CircuitError

_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class GraphSettings:
    """What decides a graph.

    Attributes:
        max_logits: at most so many logits are targets, the most probable ones.
        desired_probability: as many of them as together are as probable as this.
        target_tokens: ids of the logits that are targets, instead.
        target_features: features that are targets, instead: place (number of the dictionary),
            position in the prompt, number of the feature.
        max_nodes: features that are kept, those of the strongest influence.
        max_edges: edges that are kept, those of the strongest influence.
        memory: bytes that building may take.
    """

    max_logits: int = 10
    desired_probability: float = 0.95
    target_tokens: tuple[int, ...] = ()
    target_features: tuple[tuple[int, int, int], ...] = ()
    max_nodes: int = 4096
    max_edges: int = 500_000
    memory: int = 2048 * _MEBIBYTE

    def __post_init__(self) -> None:
        counts = {
            "max_logits": self.max_logits,
            "max_nodes": self.max_nodes,
            "max_edges": self.max_edges,
            "memory": self.memory,
        }
        for name, value in counts.items():
            if value < 1:
                raise CircuitError(f"{name} is {value}: it has to be at least 1.")
        if not 0 < self.desired_probability <= 1:
            raise CircuitError(
                f"The targets' probability is {self.desired_probability}: give more than 0 and at "
                "most 1."
            )
        if self.target_tokens and self.target_features:
            raise CircuitError(
                "The targets of a graph are tokens or features, not both: weights of the two "
                "cannot be compared."
            )
        for name, items in (("token", self.target_tokens), ("feature", self.target_features)):
            if len(set(items)) < len(items):
                raise CircuitError(f"A target {name} is given twice.")

    def as_json(self) -> dict[str, Any]:
        """All that decides the graph; memory does not."""
        values = asdict(self)
        del values["memory"]
        return values
