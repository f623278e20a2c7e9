"""Edges and nodes of a graph, held against what the model does when their sources are taken out.

A source s is taken out as in `ablation`: what it writes is subtracted where it writes it. How much
a target loses by that is asked three times.

    frozen   in the frozen model, with all other features and errors held: the edge itself, by
             another road;
    direct   in the real model, with all other features and errors held, so that only attention
             and norms answer, which the graph holds constant;
    total    in the real model as it is: everything behind s answers.

An edge claims `direct`. Of `total` a node claims what the paths of the graph from it sum to, each
feature in between changing in proportion to its activation.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.circuits.build import widened
from sae_core.circuits.frozen.parts import Firing, wire
from sae_core.circuits.frozen.rows import Causes, causes_of
from sae_core.circuits.frozen.run import Replay
from sae_core.circuits.graph import Graph, NodeKind
from sae_core.circuits.influence import predicted_effects
from sae_core.circuits.steps import finished
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.language_model.hook_point import HookPoint, Side
from sae_core.language_model.model import LanguageModel
from sae_core.language_model.module_hooks import touching

_AT_ONCE = 32
_STEP = 1 / 16  # of a source, where only a derivative can be what an edge claims

Numbers = NDArray[np.float64]
Done = tuple[int, int]
"""How many are done, and of how many."""


@dataclass(frozen=True)
class EdgeChecks:
    """What ablations say of edges; all in the target's units, [n] each.

    Attributes:
        edges: which of the graph's.
        weights: what they claim.
        frozen: what the target loses in the frozen model.
        direct: what it loses in the real model, other features held.
        total: what it loses in the real model as it is.
    """

    edges: NDArray[np.int64]
    weights: Numbers
    frozen: Numbers
    direct: Numbers
    total: Numbers

    @property
    def confirmed(self) -> NDArray[np.bool_]:
        """Whose direct effect has the sign and, within a factor of two, the size of the edge."""
        return confirmed(self.weights, self.direct)


@dataclass(frozen=True)
class NodeChecks:
    """What ablations say of nodes' whole effect on the graph's targets, [n] each.

    Attributes:
        nodes: which of the graph's.
        predicted: what the paths of the graph sum to, targets weighted.
        total: what the targets lose in the real model, weighted alike.
    """

    nodes: NDArray[np.int64]
    predicted: Numbers
    total: Numbers

    @property
    def denied(self) -> NDArray[np.bool_]:
        """Whose sign is another in the real model."""
        return np.sign(self.predicted) * np.sign(self.total) < 0

    @property
    def confirmed(self) -> NDArray[np.bool_]:
        """Whose effect has the sign and, within a factor of two, the size that is predicted."""
        return confirmed(self.predicted, self.total)


def confirmed(claimed: Numbers, measured: Numbers) -> NDArray[np.bool_]:
    """Whether signs agree, and sizes within a factor of two."""
    size = np.abs(measured)
    close = (size >= np.abs(claimed) / 2) & (size <= np.abs(claimed) * 2)
    agree: NDArray[np.bool_] = close & (np.sign(claimed) == np.sign(measured))
    return agree


def check_edges(
    model: LanguageModel,
    dictionaries: Sequence[Dictionary],
    graph: Graph,
    edges: NDArray[np.int64] | None = None,
    on_progress: Callable[[Done], None] | None = None,
) -> EdgeChecks:
    """Ablate the sources of edges, and look at their targets.

    Args:
        model: that the graph is of.
        dictionaries: that it was built with.
        graph: with its tokens.
        edges: which; None: all.
        on_progress: called with how many sources are done, and of how many.

    Raises:
        CircuitError: the graph is not of this model and these dictionaries.
    """
    return finished(edge_check_steps(model, dictionaries, graph, edges), on_progress)


def edge_check_steps(
    model: LanguageModel,
    dictionaries: Sequence[Dictionary],
    graph: Graph,
    edges: NDArray[np.int64] | None = None,
) -> Generator[Done, None, EdgeChecks]:
    """As `check_edges`, some sources at a time; the generator's return value is the result."""
    chosen = np.arange(len(graph.edges)) if edges is None else np.asarray(edges, dtype=np.int64)
    bench = Bench(model, dictionaries, graph)
    source, target = graph.edges.source[chosen], graph.edges.target[chosen]
    results = np.zeros((3, len(chosen)))
    sources = np.unique(source).astype(np.int64)
    for done in range(0, len(sources), _AT_ONCE):
        some = sources[done : done + _AT_ONCE]
        own = np.flatnonzero(np.isin(source, some))
        rows = np.searchsorted(some, source[own])
        for n, replays in enumerate((bench.frozen(some), bench.direct(some), bench.total(some))):
            results[n, own] = bench.lost(replays, rows, target[own])
        yield min(done + _AT_ONCE, len(sources)), len(sources)
    weights = graph.edges.weight[chosen].astype(np.float64)
    return EdgeChecks(chosen, weights, *results)  # documented: what `yield from` gives


def check_nodes(
    model: LanguageModel,
    dictionaries: Sequence[Dictionary],
    graph: Graph,
    nodes: NDArray[np.int64] | None = None,
    on_progress: Callable[[Done], None] | None = None,
) -> NodeChecks:
    """Ablate nodes, and look at the graph's targets, weighted.

    Args:
        nodes: which; None: all features. The others as in `check_edges`.
        model: as there.
        dictionaries: as there.
        graph: as there.
        on_progress: as there.

    Raises:
        CircuitError: as `check_edges`.
    """
    return finished(node_check_steps(model, dictionaries, graph, nodes), on_progress)


def node_check_steps(
    model: LanguageModel,
    dictionaries: Sequence[Dictionary],
    graph: Graph,
    nodes: NDArray[np.int64] | None = None,
) -> Generator[Done, None, NodeChecks]:
    """As `check_nodes`, some nodes at a time; the generator's return value is the result."""
    of_features = np.flatnonzero(graph.nodes.kind == NodeKind.FEATURE)
    chosen = of_features if nodes is None else np.asarray(nodes, dtype=np.int64)
    bench, total = Bench(model, dictionaries, graph), np.zeros(len(chosen))
    n = len(graph.targets)
    for done in range(0, len(chosen), _AT_ONCE):
        some = chosen[done : done + _AT_ONCE]
        rows, targets = np.repeat(np.arange(len(some)), n), np.tile(graph.targets, len(some))
        lost = bench.lost(bench.total(some), rows, targets).reshape(len(some), n)
        total[done : done + _AT_ONCE] = lost @ graph.target_weights
        yield min(done + _AT_ONCE, len(chosen)), len(chosen)
    predicted = predicted_effects(graph)[chosen]
    return NodeChecks(chosen, predicted, total)  # documented: what `yield from` gives


class Bench:
    """One graph's prompt, with anything taken out.

    Attributes:
        causes: all that may cause something in it.
        run: its frozen model.
        columns: of each node among the causes, int64 [nodes]; -1 for logits.
        is_linear: whether no MLP is taken by its derivative.
    """

    def __init__(
        self, model: LanguageModel, dictionaries: Sequence[Dictionary], graph: Graph
    ) -> None:
        self.model, self.graph = widened(model), graph
        self.wiring = wire(self.model, dictionaries)
        self.causes = causes_of(self.model, torch.from_numpy(graph.tokens), self.wiring)
        self.run = self.causes.run
        self.columns = _columns_of(self.causes, graph)
        self._clean: dict[str, Replay] = {}
        self.is_linear = self.wiring.is_linear(self.model.n_layers)

    def frozen(self, sources: NDArray[np.int64]) -> tuple[Replay, Replay, float]:
        """The frozen model with each source as it is and taken out (or less and more of it)."""
        n = len(sources)
        if self.is_linear:
            taken = self._held(self.taken(sources), n, True)
            return self._as_it_is("frozen", lambda: self._held({}, 1, True)), taken, 1.0
        less, more = (self._held(self.taken(sources, s), n, True) for s in (_STEP, -_STEP))
        return more, less, 2 * _STEP

    def direct(self, sources: NDArray[np.int64]) -> tuple[Replay, Replay, float]:
        """The real model, all else that is written held."""
        taken = self._held(self.taken(sources), len(sources), False)
        return self._as_it_is("direct", lambda: self._held({}, 1, False)), taken, 1.0

    def answering(
        self, sources: NDArray[np.int64], cuts: Sequence[HookPoint]
    ) -> tuple[Replay, Replay, float]:
        """The real model in which only some cuts answer, and all others are held."""
        held = [point for point in self.run.written if point not in cuts]
        taken = self.live(self.taken(sources), len(sources), held)
        return self._as_it_is("total", lambda: self.live({}, 1)), taken, 1.0

    def total(self, sources: NDArray[np.int64]) -> tuple[Replay, Replay, float]:
        """The real model as it is."""
        clean = self._as_it_is("total", lambda: self.live({}, 1))
        return clean, self.live(self.taken(sources), len(sources)), 1.0

    @torch.no_grad()
    def lost(
        self,
        passes: tuple[Replay, Replay, float],
        rows: NDArray[np.int64],
        targets: NDArray[np.int32],
    ) -> Numbers:
        """What targets lose from one pass to the other, [n]; rows say which of the second's."""
        before, after, step = passes
        nodes, result = self.graph.nodes, np.zeros(len(rows))
        logits = np.flatnonzero(nodes.kind[targets] == NodeKind.LOGIT)
        ids = torch.from_numpy(nodes.index[targets[logits]]).to(self.model.device)
        moved = (before.hidden[:, -1] - after.hidden[:, -1])[torch.from_numpy(rows[logits])]
        along = (self.model.logit_directions(ids) * moved).sum(dim=-1)
        result[logits] = along.double().cpu().numpy()
        columns = self.columns[targets]
        for firing, begin in zip(self.causes.firings, self.causes.begins, strict=False):
            inside = (columns >= begin) & (columns < begin + len(firing.features))
            own = np.flatnonzero(inside & (nodes.kind[targets] == NodeKind.FEATURE))
            if len(own):
                here = torch.from_numpy(columns[own] - begin)
                lost = _lost(
                    firing, here, self.run.read, before, after, torch.from_numpy(rows[own])
                )
                result[own] = lost.double().cpu().numpy()
        return result / step

    def _as_it_is(self, name: str, run: Callable[[], Replay]) -> Replay:
        if name not in self._clean:
            self._clean[name] = run()
        return self._clean[name]

    def _held(self, taken: Mapping[HookPoint | None, Tensor], n: int, frozen: bool) -> Replay:
        edits: dict[HookPoint, Tensor] = {}
        for point, write in taken.items():
            if point is not None:
                edits[point] = self.run.written[point].detach() - write
        with self._entering(taken.get(None)):
            return self.run.again(edits, n, frozen)

    def live(
        self, taken: Mapping[HookPoint | None, Tensor], n: int, held: Sequence[HookPoint] = ()
    ) -> Replay:
        """A pass of n rows in the real model that goes without some writes."""
        replay = Replay()
        with torch.no_grad(), self._entering(taken.get(None)) as stack:
            for point in {**self.run.read, **self.run.written}:
                touch = self._lessened(replay, point, taken.get(point), point in held)
                stack.enter_context(self.model.touching(point.layer, point.kind, touch))
            replay.hidden = self.model.final_hidden(self.run.tokens.expand(n, -1))
        return replay

    def _lessened(
        self, replay: Replay, point: HookPoint, write: Tensor | None, held: bool
    ) -> Callable[[Tensor], Tensor | None]:
        """A touch that notes what is read, and takes `write` off what stands there, or is held."""

        def touch(x: Tensor) -> Tensor | None:
            if point in self.run.read:
                replay.read[point] = x.clone()
            if held:
                added = self.run.skipped(replay.read, point)
                x = self.run.written[point].detach().expand_as(x) + (0 if added is None else added)
            elif write is None:
                return None
            return x if write is None else x - write

        return touch

    def _entering(self, write: Tensor | None) -> ExitStack:
        """Within the block less of the tokens' embeddings enters the model."""
        stack = ExitStack()
        stack.enter_context(self.model.lock)
        if write is not None:
            block = self.model.block(0)
            stack.enter_context(touching(block, Side.INPUT, lambda x: x - write))
        return stack

    def taken(
        self, sources: NDArray[np.int64], share: float = 1.0
    ) -> dict[HookPoint | None, Tensor]:
        """What sources write at cuts, each in a row of its own, [n, pos, width]."""
        taken: dict[HookPoint | None, Tensor] = {}
        for row, node in enumerate(sources.tolist()):
            position = int(self.graph.nodes.position[node])
            for point, write in self._writes(int(self.columns[node])):
                if point not in taken:
                    like = self.run.entering[0] if point is None else self.run.written[point]
                    taken[point] = like.detach().new_zeros(len(sources), *like.shape[1:])
                taken[point][row, position] += share * write
        return taken

    def _writes(self, column: int) -> Iterator[tuple[HookPoint | None, Tensor]]:
        """Where and what a column writes."""
        causes, begins = self.causes, self.causes.begins
        if column < begins[0]:
            yield None, self.run.entering[0].detach()[0, column]
            return
        for firing, begin in zip(causes.firings, begins, strict=False):
            if begin <= column < begin + len(firing.features):
                here = column - begin
                for point in firing.part.writes:
                    like = self.run.written[point].detach()[0, 0]
                    write = firing.part.written(firing.features[here], point, like)
                    yield point, firing.values[here] * write
                return
        begin = begins[-1]
        for left, where in zip(causes.remainders, causes.errors, strict=True):
            if column < begin + len(where):
                yield left.point, left.error[where[column - begin]]
                return
            begin += len(where)


def _lost(
    firing: Firing,
    here: Tensor,
    read: Mapping[HookPoint, Tensor],
    before: Replay,
    after: Replay,
    rows: Tensor,
) -> Tensor:
    """What firing features lose, [n]: `here` among those of their part, `rows` of `after`."""
    point, positions = firing.part.read, firing.positions[here]
    features = firing.features[here.to(firing.features.device)]
    x = read[point].detach()[0, positions]
    moved = before.read[point].expand_as(after.read[point])[rows, positions]
    moved = moved - after.read[point][rows, positions]
    return (firing.part.read_rows(features, x).to(moved.dtype) * moved).sum(dim=-1)


def _columns_of(causes: Causes, graph: Graph) -> NDArray[np.int64]:
    """The column of each node; -1 for logits.

    Raises:
        CircuitError: a node is not there.
    """
    own, nodes = causes.nodes(), graph.nodes
    columns = {
        key: n
        for n, key in enumerate(zip(*(getattr(own, name).tolist() for name in _KEY), strict=True))
    }
    keys = zip(*(getattr(nodes, name).tolist() for name in _KEY), strict=True)
    found = np.array([columns.get(key, -1) for key in keys], dtype=np.int64)
    if (found[nodes.kind != NodeKind.LOGIT] < 0).any():
        raise CircuitError(
            "A node of the graph is not there when its prompt is run: the graph was built with "
            "another model, or other dictionaries."
        )
    return found


_KEY = ("kind", "layer", "position", "index", "place")
