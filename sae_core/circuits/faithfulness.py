"""Whether a graph's nodes are enough for the prediction, and whether it can do without them.

For a set C of features at positions let m(C) be the metric where, in the real model, every feature
outside of C is set to zero: each dictionary encodes what it reads in that very pass, features of C
write, all others do not, and the errors of the clean pass stay (without them no set is judged, but
the dictionary). With M all features and 0 none,

    faithfulness(C) = (m(C) - m(0)) / (m(M) - m(0)),
    completeness(C) = (m(M) - m(M without C)) / (m(M) - m(0)):

both 1 where C is all that matters. After Marks et al. 2024, "Sparse Feature Circuits", where
completeness is the faithfulness of M without C, 1 less ours, and features are set to their means.
The metric is the first target less the mean of the others (of logits; of a single one, and of
features, the value itself). Random sets are of as many features that fire in the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.circuits.build import widened
from sae_core.circuits.frozen.parts import GraphPart, wire
from sae_core.circuits.frozen.rows import Causes, Targets, causes_of
from sae_core.circuits.graph import Graph, NodeKind, Nodes
from sae_core.circuits.influence import influence
from sae_core.circuits.steps import finished
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import CircuitError
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel

_AT_ONCE = 8

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Faithfulness:
    """Curves of one or several prompts.

    Attributes:
        sizes: features in the sets; the strongest of each graph by influence, int64 [sizes].
        kept: faithfulness of these, [prompts, sizes].
        removed: completeness of these, [prompts, sizes].
        random_kept: faithfulness of random sets of that size, mean over draws, [prompts, sizes].
        random_removed: their completeness, [prompts, sizes].
        gap: m(M) - m(0) of each prompt, which all is divided by, [prompts].
    """

    sizes: NDArray[np.int64]
    kept: Numbers
    removed: Numbers
    random_kept: Numbers
    random_removed: Numbers
    gap: Numbers

    def interval(self, curve: Numbers, seed: int = 0, draws: int = 2000) -> tuple[Numbers, Numbers]:
        """The 95 % bootstrap interval over prompts of a curve's mean, [sizes] each."""
        rng = np.random.default_rng(seed)
        n = len(curve)
        times = rng.multinomial(n, np.full(n, 1.0 / n), draws)
        low, high = np.quantile(times @ curve / n, (0.025, 0.975), axis=0)
        return low, high


def faithfulness(
    model: LanguageModel,
    dictionaries: Sequence[Dictionary],
    graphs: Sequence[Graph],
    sizes: Sequence[int],
    draws: int = 5,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Faithfulness:
    """Keep, and take out, the strongest features of graphs, beside random ones.

    Args:
        model: that the graphs are of.
        dictionaries: that they were built with.
        graphs: of one prompt each.
        sizes: how many features; more than a graph has are all of its.
        draws: random sets of each size.
        seed: of these.
        on_progress: called with how many prompts are done, and of how many.

    Raises:
        CircuitError: a graph is not of this model and these dictionaries.
    """
    steps = faithfulness_steps(model, dictionaries, graphs, sizes, draws, seed)
    before = 0

    def tell(done: int) -> None:
        nonlocal before
        if on_progress is not None and done > before:
            on_progress(done, len(graphs))
        before = done

    return finished(steps, tell)


def faithfulness_steps(
    model: LanguageModel,
    dictionaries: Sequence[Dictionary],
    graphs: Sequence[Graph],
    sizes: Sequence[int],
    draws: int = 5,
    seed: int = 0,
) -> Generator[int, None, Faithfulness]:
    """As `faithfulness`, some sets at a time: yields how many prompts are done; the generator's
    return value is the result."""
    curves = np.zeros((4, len(graphs), len(sizes)))
    gap = np.zeros(len(graphs))
    wide = widened(model)
    for n, graph in enumerate(graphs):
        prompt = _Prompt(wide, dictionaries, graph)
        gap[n] = prompt.all - prompt.none
        ranked = prompt.ranked()
        rng = np.random.default_rng((seed, n))
        random = [rng.permutation(prompt.n_features) for _ in range(draws)]
        sets = [order[:size] for size in sizes for order in (ranked, *random)]
        metrics = []
        for keeps in (True, False):
            parts = []
            for begin in range(0, len(sets), _AT_ONCE):
                parts.append(prompt.metrics(sets[begin : begin + _AT_ONCE], kept=keeps))
                yield n
            metrics.append(np.concatenate(parts).reshape(len(sizes), -1))
        kept, left = metrics
        enough, needed = (kept - prompt.none) / gap[n], (prompt.all - left) / gap[n]
        curves[:, n] = (
            enough[:, 0], needed[:, 0], enough[:, 1:].mean(axis=1), needed[:, 1:].mean(axis=1)
        )  # fmt: skip
        yield n + 1
    kept_alone, removed, random_kept, random_removed = curves
    # Documented: what `yield from` gives.
    return Faithfulness(np.array(sizes), kept_alone, removed, random_kept, random_removed, gap)


class _Prompt:
    """One graph's prompt, with sets of features kept or taken out."""

    def __init__(
        self, model: LanguageModel, dictionaries: Sequence[Dictionary], graph: Graph
    ) -> None:
        self.model, self.graph = model, graph
        self.wiring = wire(model, dictionaries)
        self.causes = causes_of(model, torch.from_numpy(graph.tokens), self.wiring)
        self.n_features = self.causes.n_features
        self._targets = _targets(self.causes, graph)
        nothing = np.empty(0, dtype=np.int64)
        self.none, self.all = (
            float(self.metrics([nothing], kept=kept)[0]) for kept in (True, False)
        )

    def ranked(self) -> NDArray[np.int64]:
        """The graph's features as numbers among all that fire, the strongest first.

        Raises:
            CircuitError: one does not fire.
        """
        nodes, own = self.graph.nodes, self.causes.nodes()
        features = np.flatnonzero(nodes.kind == NodeKind.FEATURE)
        features = features[np.argsort(-influence(self.graph)[features], kind="stable")]
        begin, end = self.causes.begins[0], self.causes.begins[-1]
        number = {key: n for n, key in enumerate(_keys(own, np.arange(begin, end)))}
        try:
            return np.array([number[key] for key in _keys(nodes, features)], dtype=np.int64)
        except KeyError as error:
            raise CircuitError(
                "A feature of the graph does not fire when its prompt is run: the graph was built "
                "with another model, or other dictionaries."
            ) from error

    @torch.no_grad()
    def metrics(self, sets: Sequence[NDArray[np.int64]], kept: bool) -> Numbers:
        """The metric with each set kept alone, or with all but it, [sets], in one pass."""
        written = _Written(self.causes, [torch.from_numpy(some) for some in sets], kept)
        with self.model.lock, ExitStack() as stack:
            for point in {**self.causes.run.read, **self.causes.run.written}:
                touch = written.touch(point)
                stack.enter_context(self.model.touching(point.layer, point.kind, touch))
            hidden = self.model.final_hidden(self.causes.run.tokens.expand(len(sets), -1))
        values = written.values(self._targets, hidden)
        if values.shape[1] > 1 and len(self._targets.logits):
            values = values[:, :1] - values[:, 1:].mean(dim=1, keepdim=True)
        result: Numbers = values[:, 0].double().cpu().numpy()
        return result


@dataclass
class _Written:
    """One pass in which some features write and others do not.

    Attributes:
        causes: the prompt's.
        sets: numbers of features among all that fire, for each row of the batch.
        kept: whether the sets are all that writes, or all that does not.
        acts: activations that write, by part, [batch, pos, features of the part].
        read: what stands where parts read.
    """

    causes: Causes
    sets: Sequence[Tensor]
    kept: bool
    acts: dict[GraphPart, Tensor] = field(default_factory=dict)
    read: dict[HookPoint, Tensor] = field(default_factory=dict)

    def touch(self, point: HookPoint) -> Callable[[Tensor], Tensor | None]:
        def see(x: Tensor) -> Tensor | None:
            if point in self.causes.run.read:
                self._encode(point, x.clone())
            return self._write(point, x) if point in self.causes.run.written else None

        return see

    def values(self, targets: Targets, hidden: Tensor) -> Tensor:
        """What targets are in this pass, [batch, n]."""
        model, causes = self.causes.run.model, self.causes
        parts = [hidden[:, -1] @ model.logit_directions(targets.logits.to(hidden.device)).T]
        for firing, begin in zip(causes.firings, causes.begins, strict=False):
            end = begin + len(firing.features)
            own = targets.features[(targets.features >= begin) & (targets.features < end)] - begin
            if len(own):
                x = self.read[firing.part.read][:, firing.positions[own].to(hidden.device)]
                acts = firing.part.encode(x.flatten(0, 1)).view(*x.shape[:2], -1)
                inside = firing.features[own.to(hidden.device)] - firing.part.first
                parts.append(acts[:, torch.arange(len(own)), inside])
        return torch.cat(parts, dim=1)

    def _encode(self, point: HookPoint, x: Tensor) -> None:
        self.read[point] = x
        for firing, begin in zip(self.causes.firings, self.causes.begins, strict=False):
            part, first = firing.part, begin - self.causes.begins[0]
            if part.read != point:
                continue
            acts = part.encode(x.flatten(0, 1)).view(*x.shape[:2], -1).to(x.dtype)
            chosen = torch.zeros_like(acts, dtype=torch.bool)
            for row, numbers in enumerate(self.sets):
                own = numbers[(numbers >= first) & (numbers < first + len(firing.features))] - first
                where = firing.positions[own].to(x.device)
                chosen[row, where, firing.features[own.to(x.device)] - part.first] = True
            acts = torch.where(chosen == self.kept, acts, 0.0)
            # Special tokens are not read.
            self.acts[part] = torch.where(self.causes.is_text.to(x.device)[:, None], acts, 0.0)

    def _write(self, point: HookPoint, x: Tensor) -> Tensor:
        """Clean error and constant, and what features write."""
        left = next(left for left in self.causes.remainders if left.point == point)
        y = (left.error + left.constant).expand_as(x).clone()
        for part in (firing.part for firing in self.causes.firings):
            if point in part.writes:
                y += part.written_by_all(self.acts[part], point)
        skip = self.causes.run.skips.get(point)
        return y if skip is None else y + self.read[skip[0]] @ skip[1].T


def _targets(causes: Causes, graph: Graph) -> Targets:
    nodes = graph.nodes
    own = {key: n for n, key in enumerate(_keys(causes.nodes(), np.arange(len(causes))))}
    logits = [n for n in graph.targets.tolist() if nodes.kind[n] == NodeKind.LOGIT]
    features = np.array([n for n in graph.targets.tolist() if n not in logits], dtype=np.int64)
    columns = [own.get(key, -1) for key in _keys(nodes, features)]
    if -1 in columns:
        raise CircuitError("A target of the graph does not fire when its prompt is run.")
    return Targets(
        torch.from_numpy(nodes.index[np.array(logits, dtype=np.int64)]),
        torch.tensor(columns, dtype=torch.int64),
    )


def _keys(nodes: Nodes, some: NDArray[np.int64]) -> list[tuple[int, ...]]:
    columns = (nodes.layer, nodes.position, nodes.index, nodes.place)
    return list(zip(*(column[some].tolist() for column in columns), strict=True))
