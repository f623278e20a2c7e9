"""Where a graph ends: the logits or features whose causes are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.circuits.frozen.rows import Causes
from sae_core.circuits.graph import NodeKind, Nodes
from sae_core.circuits.settings import GraphSettings
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.interventions.prompt import check_feature


@dataclass(frozen=True)
class Ends:
    """The targets of a graph: logits or features.

    Attributes:
        logits: ids, int64 [n], on the CPU.
        probabilities: of these, float64 [n].
        features: columns of `Causes`, int64 [m].
    """

    logits: Tensor
    probabilities: NDArray[np.float64]
    features: NDArray[np.int64]

    @property
    def logit_weights(self) -> NDArray[np.float64]:
        """How much each logit counts, float64 [n]; sum 1."""
        total = self.probabilities.sum()
        return self.probabilities / total if total else self.probabilities


def chosen_ends(
    causes: Causes, nodes: Nodes, dictionaries: Sequence[Dictionary], settings: GraphSettings
) -> Ends:
    """The targets that settings ask for.

    Raises:
        CircuitError, PromptError: there is no such feature, position or dictionary.
    """
    if settings.target_features:
        none = torch.empty(0, dtype=torch.int64)
        wanted = [_column(causes, nodes, dictionaries, *at) for at in settings.target_features]
        return Ends(none, np.empty(0), np.array(wanted, dtype=np.int64))
    return Ends(*_logits(causes, settings), np.empty(0, dtype=np.int64))


@torch.no_grad()
def _logits(causes: Causes, settings: GraphSettings) -> tuple[Tensor, NDArray[np.float64]]:
    """Ids of logits, and their probabilities as the model itself gives them."""
    hidden = causes.run.leaving[-1].detach()[0, -1:]
    probabilities = causes.run.model.head(hidden)[0].double().softmax(dim=-1).cpu()
    if settings.target_tokens:
        ids = torch.tensor(settings.target_tokens)
        return ids, probabilities[ids].numpy()
    values, ids = probabilities.sort(descending=True, stable=True)
    reached = values.cumsum(0)[: settings.max_logits] >= settings.desired_probability
    n = int(reached.int().argmax()) + 1 if bool(reached.any()) else settings.max_logits
    return ids[:n], values[:n].numpy()


def _column(
    causes: Causes,
    nodes: Nodes,
    dictionaries: Sequence[Dictionary],
    place: int,
    position: int,
    feature: int,
) -> int:
    n_pos = causes.run.tokens.shape[1]
    if not 0 <= place < len(dictionaries):
        raise CircuitError(
            f"There is no dictionary {place + 1}: the graph has {len(dictionaries)}."
        )
    check_feature(dictionaries[place], feature)
    if not 0 <= position < n_pos:
        raise CircuitError(
            f"There is no position {position}: the prompt has {n_pos} tokens, 0 to {n_pos - 1}."
        )
    same = (nodes.kind == NodeKind.FEATURE) & (nodes.place == place)
    here = same & (nodes.position == position) & (nodes.index == feature)
    if not here.any():
        raise CircuitError(
            f"Feature {feature} does not fire at position {position}, so that nothing can be its "
            "cause there."
        )
    return int(here.argmax())
