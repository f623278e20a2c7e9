"""An attribution graph of one prompt.

1. One forward pass, frozen (`frozen.run`), with all that fires in it (`frozen.rows`).
2. Edges into the targets: logits at the last position, or features.
3. Of all features that are not yet in, those of the strongest influence through the edges so far:
   edges into these. Again, until `max_nodes` are in, or none is left that has any influence.
4. What is kept, ordered; what is left out, counted.

After circuit-tracer (`attribute`), which this differs from in what is exact where (see docs). Runs
in float32 whatever the model's own dtype is: in bfloat16 edges are a third off.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.circuits.building.assembly import assembled
from sae_core.circuits.building.ends import chosen_ends
from sae_core.circuits.building.kept_rows import KeptRows
from sae_core.circuits.frozen.parts import Wiring, wire
from sae_core.circuits.frozen.rows import Causes, Targets, causes_of
from sae_core.circuits.graph import Graph, GraphDictionary
from sae_core.circuits.settings import GraphSettings
from sae_core.circuits.steps import finished
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.interventions.prompt import check_token, check_tokens
from sae_core.language_model.model import LanguageModel, load_model

_WIDE = (torch.float32, torch.float64)
_CHUNK = 128  # targets at once, at most
_ROUNDS = 8  # chunks between two looks at what is strongest
_LOADED = 96 << 20  # bytes of what the library loads with its first derivative
_BYTES_OF_AN_EDGE = 160  # while edges are put together
_NARROWEST = 64  # edges of a row


@dataclass(frozen=True)
class GraphProgress:
    """How far a graph is.

    Attributes:
        done: features whose edges are there.
        total: how many there will be at most.
        bytes: what building takes, at most; known from the beginning.
    """

    done: int
    total: int
    bytes: int


@dataclass(frozen=True)
class GraphEstimate:
    """What building a graph takes, as far as it can be said before.

    Attributes:
        bytes: of memory, besides model and dictionaries.
        features: that fire.
        columns: features, tokens and errors.
        chunk: targets at once.
        width: edges kept of each target while the graph grows; all where it is `columns`.
    """

    bytes: int
    features: int
    columns: int
    chunk: int
    width: int


def build_graph(
    model: LanguageModel,
    tokens: Tensor,
    dictionaries: Sequence[Dictionary],
    settings: GraphSettings | None = None,
    on_progress: Callable[[GraphProgress], None] | None = None,
    names: Sequence[str] = (),
) -> Graph:
    """The attribution graph of one prompt.

    Args:
        model: one whose attention can be frozen.
        tokens: of the prompt, int64 [pos], with BOS where the model has one.
        dictionaries: transcoders, neurons (`NeuronBasis`), a cross-layer transcoder, or sparse
            autoencoders. MLPs without one are constants, and error nodes; where a dictionary is of
            the residual stream itself, they are taken by their derivative.
        settings: what decides the graph.
        on_progress: called after every few edges; may raise, to stop.
        names: of the dictionaries; where there are none, their hook points.

    Raises:
        CircuitError: it cannot be built, or not in that memory; the message says why.
        PromptError: there are no such tokens, positions or features.
        HookPointError: a dictionary does not belong to the model.
    """
    return finished(graph_steps(model, tokens, dictionaries, settings, names), on_progress)


def graph_steps(
    model: LanguageModel,
    tokens: Tensor,
    dictionaries: Sequence[Dictionary],
    settings: GraphSettings | None = None,
    names: Sequence[str] = (),
) -> Generator[GraphProgress, None, Graph]:
    """As `build_graph`, one short step at a time; the generator's return value is the graph."""
    growth = _Growth(model, tokens, dictionaries, settings or GraphSettings(), names)
    yield growth.progress()
    while growth.step():
        yield growth.progress()
    return growth.graph()  # documented: what `yield from` gives


def estimate(
    model: LanguageModel,
    tokens: Tensor,
    dictionaries: Sequence[Dictionary],
    settings: GraphSettings | None = None,
) -> GraphEstimate:
    """What building would take; costs one forward pass.

    Raises:
        as `build_graph`.
    """
    return _Growth(model, tokens, dictionaries, settings or GraphSettings(), ()).estimate


def widened(model: LanguageModel) -> LanguageModel:
    """The model itself, or where it is in half precision a copy of it in float32."""
    if model.dtype in _WIDE:
        return model
    return load_model(model.path, "float32", str(model.device)).opening(
        model.vocabulary.bos is not None
    )


class _Growth:
    """A graph while it grows."""

    def __init__(
        self,
        model: LanguageModel,
        tokens: Tensor,
        dictionaries: Sequence[Dictionary],
        settings: GraphSettings,
        names: Sequence[str],
    ) -> None:
        if len(tokens) < 2:
            raise CircuitError(
                "A graph needs a prompt of at least two tokens: of a single one there is nothing "
                "that could be carried from one position to another."
            )
        if not dictionaries:
            raise CircuitError("A graph needs a dictionary, or neurons, whose features are nodes.")
        check_tokens(model, tokens.tolist())
        for token in settings.target_tokens:
            check_token(model, token)
        self.model, self.settings = widened(model), settings
        self.dictionaries, self.names = dictionaries, names
        self.wiring = wire(self.model, dictionaries)
        self.causes = causes_of(self.model, tokens, self.wiring)
        self.nodes = self.causes.nodes()
        self.levels = self.causes.levels()
        self.visited = np.zeros(self.causes.n_features, dtype=bool)
        self.ends = chosen_ends(self.causes, self.nodes, dictionaries, settings)
        self.total = min(settings.max_nodes, self.causes.n_features)
        self.estimate = _estimate(self.causes, self.wiring, self.total, settings)
        self.started = False
        self.waiting: list[NDArray[np.int64]] = []
        self.rows = KeptRows(len(self.causes), self.estimate.width)

    def progress(self) -> GraphProgress:
        return GraphProgress(int(self.visited.sum()), self.total, self.estimate.bytes)

    def step(self) -> bool:
        """Add edges into a chunk of targets; False: there are none."""
        if not self.started:
            self.started = True
            self._add(self.ends.logits, self.ends.features)
            return True
        if not self.waiting:
            self.waiting = self._strongest()
        if not self.waiting:
            return False
        self._add(self.ends.logits[:0], self.waiting.pop(0) + self.causes.begins[0])
        return True

    def _strongest(self) -> list[NDArray[np.int64]]:
        """Some chunks of features that are not in yet, those of the strongest influence so far."""
        left = self.total - int(self.visited.sum())
        if left <= 0:
            return []
        strength = self.rows.influence()[self._of_features]
        strength[self.visited] = 0.0
        few = min(left, _ROUNDS * self.estimate.chunk)
        chosen = np.argsort(-strength, kind="stable")[:few]
        chosen = chosen[strength[chosen] > 0]
        # Together what looks at as many blocks and as much of the prompt.
        positions = self.nodes.position[self._of_features][chosen]
        order = np.lexsort((chosen, -self.levels[chosen], self.causes.reaching(positions)))
        parts = np.split(chosen[order], range(self.estimate.chunk, few, self.estimate.chunk))
        return [some for some in parts if len(some)]

    @property
    def _of_features(self) -> slice:
        return slice(self.causes.begins[0], self.causes.begins[-1])

    def _add(self, logits: Tensor, columns: NDArray[np.int64]) -> None:
        targets = Targets(logits, torch.from_numpy(columns))
        rows = self.causes.rows(targets).float().cpu().numpy()
        own = columns - self.causes.begins[0]
        self.visited[own] = True
        n, ends = len(logits), self.ends
        weights = np.where(np.isin(columns, ends.features), 1 / max(1, len(ends.features)), 0.0)
        self.rows.add(
            rows,
            np.concatenate([np.full(n, -1), columns]),
            np.concatenate([np.full(n, len(self.levels) + 1), self.levels[own]]),
            np.concatenate([ends.logit_weights[:n], weights]),
        )

    def graph(self) -> Graph:
        """All that was kept, in order."""
        dictionaries = tuple(
            GraphDictionary(
                self.names[place] if self.names else dictionary.hook_point,
                dictionary.hook_point,
                dictionary.output_hook_point,
                dictionary.d_sae,
                isinstance(dictionary, NeuronBasis),
            )
            for place, dictionary in enumerate(self.dictionaries)
        )
        return assembled(
            self.causes, self.rows, self.visited, self.ends, dictionaries, self.settings
        )


def _estimate(causes: Causes, wiring: Wiring, total: int, settings: GraphSettings) -> GraphEstimate:
    """How the memory is divided.

    Raises:
        CircuitError: it is too little for one target.
    """
    run = causes.run
    model, n_pos = run.model, run.tokens.shape[1]
    size = run.entering[0].element_size()
    held = [
        x
        for own in (*causes.shorter, run)
        for x in (*own.entering, *own.read.values(), *own.written.values(), *own.constants)
    ]
    fixed = _LOADED + 64 * len(causes)
    fixed += 2 * sum(x.numel() * x.element_size() for x in held)
    widths = [part.read.d_in for part in wiring.parts] + [model.d_model]
    each = n_pos * (6 * model.d_model + 3 * max(widths)) * size + len(causes) * (2 * size + 16)
    n_rows = total + settings.max_logits + len(settings.target_tokens)
    narrow = min(len(causes), _NARROWEST)
    ends = _BYTES_OF_AN_EDGE * min(settings.max_edges, n_rows * len(causes))
    rest = settings.memory - fixed - max(each, ends)
    if rest < n_rows * narrow * 16:
        needed = -(-(fixed + max(each, ends) + n_rows * narrow * 16) >> 20)
        raise CircuitError(
            f"A graph of {n_pos} tokens and {causes.n_features:,} firing features takes at least "
            f"{needed:,} MiB here, and {settings.memory >> 20:,} MiB are allowed: allow more, "
            "shorten the prompt, or keep fewer features and edges."
        )
    # Half for what is kept, the rest for what is being computed, and in the end put together.
    width = len(causes)
    if n_rows * width * 8 > rest // 2:
        width = max(narrow, min(width, rest // 2 // (n_rows * 16)))
    kept = n_rows * width * (8 if width == len(causes) else 16)
    chunk = max(1, min(_CHUNK, (settings.memory - fixed - kept) // each))
    work = max(chunk * each, ends)
    return GraphEstimate(fixed + kept + work, causes.n_features, len(causes), chunk, width)
