"""Edges into targets: for each a row over all that may cause it.

A target t reads the vector r_t at its hook point and position (a feature), or of the final hidden
state (a logit). With g its derivative by what stands at a cut in the frozen model,

    edge from feature s = sum over where s writes of a_s (g . d_s),
    edge from an error e = g . e,    from a token's embedding v = g . v,

and what the edges lack to the target's own value is its constant: biases that reach it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.circuits.frozen.parts import Firing, Remainder, Wiring, firings, remainder
from sae_core.circuits.frozen.run import FrozenRun, Gradients, frozen_run
from sae_core.circuits.graph import NodeKind, Nodes
from sae_core.interventions.prompt import text_positions
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel

_LONG = 16  # tokens, from which on parts of a prompt are run as well


@dataclass(frozen=True)
class Targets:
    """A batch of targets: logits at the last position, and features; logits first.

    Attributes:
        logits: ids, int64 [n].
        features: columns of `Causes`, int64 [m], on the CPU.
    """

    logits: Tensor
    features: Tensor

    def __len__(self) -> int:
        return len(self.logits) + len(self.features)


@dataclass(frozen=True)
class Causes:
    """All that may cause something in one prompt, in columns: tokens, features, errors.

    Attributes:
        run: the frozen model.
        shorter: that of parts of the prompt from its beginning, the shortest first: what is read
            there has no causes behind.
        firings: features, by part.
        remainders: errors, by cut.
        begins: the first column of each part's features, and of the errors.
        errors: for each cut the positions at which there is an error, int64, on the CPU.
        is_text: which positions are text, and are read, bool [pos].
    """

    run: FrozenRun
    shorter: tuple[FrozenRun, ...]
    firings: tuple[Firing, ...]
    remainders: tuple[Remainder, ...]
    begins: tuple[int, ...]
    errors: tuple[Tensor, ...]
    is_text: Tensor

    def __len__(self) -> int:
        return self.begins[-1] + sum(len(positions) for positions in self.errors)

    @property
    def n_features(self) -> int:
        """Columns that are features: they come behind the tokens."""
        return self.begins[-1] - self.begins[0]

    def nodes(self) -> Nodes:
        """All columns as nodes."""
        n_pos = self.run.tokens.shape[1]
        ids = self.run.tokens[0].cpu()
        columns = [_columns(NodeKind.TOKEN, -1, torch.arange(n_pos), ids, None, -1)]
        for firing in self.firings:
            part = firing.part
            columns.append(
                _columns(
                    *(NodeKind.FEATURE, part.read.layer, firing.positions, firing.features.cpu()),
                    *(firing.values.cpu(), part.place),
                )
            )
        for left, where in zip(self.remainders, self.errors, strict=True):
            none = torch.full_like(where, -1)
            layer, place = left.point.layer, left.place
            columns.append(_columns(NodeKind.ERROR, layer, where, none, None, place))
        return Nodes(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    def levels(self) -> NDArray[np.int64]:
        """In which order the model computes features, int64 [n_features]; rises."""
        orders = sorted({firing.part.order for firing in self.firings})
        return np.concatenate(
            [np.empty(0, dtype=np.int64)]
            + [np.full(len(f.features), orders.index(f.part.order)) for f in self.firings]
        )

    def reaching(self, positions: NDArray[np.int32]) -> NDArray[np.int64]:
        """How much of the prompt is looked at for what is read at some positions, [n]: a number of
        `shorter`, or behind these the whole."""
        ends = np.array([run.tokens.shape[1] for run in self.shorter])
        return np.searchsorted(ends, positions, side="right")

    def values(self, targets: Targets) -> Tensor:
        """What targets are: activations of features, logits less the mean of all; [batch]."""
        hidden = self.run.leaving[-1].detach()[0, -1]
        logits = self.run.model.logit_directions(targets.logits.to(hidden.device)) @ hidden
        acts = torch.cat([hidden.new_empty(0)] + [firing.values for firing in self.firings])
        return torch.cat([logits, acts[(targets.features - self.begins[0]).to(acts.device)]])

    def rows(self, targets: Targets) -> Tensor:
        """Edges into some targets from all columns, [batch, columns]."""
        own = torch.cat([torch.empty(0, dtype=torch.int64)] + [f.positions for f in self.firings])
        last = self.run.tokens.shape[1] - 1
        if not len(targets.logits):
            last = int(own[targets.features - self.begins[0]].max())
        run = (*self.shorter, self.run)[int(self.reaching(np.array([last], dtype=np.int32))[0])]
        rows = run.leaving[-1].detach().new_zeros(len(targets), len(self))
        for gradients in run.pull_back(*self.weights(targets, run)):
            self.add(rows, gradients, last)
        return rows

    def weights(
        self, targets: Targets, run: FrozenRun
    ) -> tuple[Tensor | None, dict[HookPoint, Tensor]]:
        """By what targets depend on what they read in a run of the prompt, [batch, pos, width]
        each: on the final hidden states, where any does, and on what stands at hook points."""
        hidden = run.leaving[-1].detach()
        by_hidden = None
        if len(targets.logits):
            by_hidden = hidden.new_zeros(len(targets), *hidden.shape[1:])
            directions = self.run.model.logit_directions(targets.logits.to(hidden.device))
            by_hidden[: len(directions), -1] = directions
        by_read: dict[HookPoint, Tensor] = {}
        for firing, begin in zip(self.firings, self.begins, strict=False):
            end = begin + len(firing.features)
            chosen = ((targets.features >= begin) & (targets.features < end)).nonzero()[:, 0]
            if not len(chosen):
                continue
            here = targets.features[chosen] - begin
            positions, features = firing.positions[here], firing.features[here.to(hidden.device)]
            x = run.read[firing.part.read].detach()[0]
            if (weights := by_read.get(firing.part.read)) is None:
                weights = by_read[firing.part.read] = x.new_zeros(len(targets), *x.shape)
            where = positions.to(x.device)
            vectors = firing.part.read_rows(features, x[where]).to(x.dtype)
            weights[(chosen + len(targets.logits)).to(x.device), where] = vectors
        return by_hidden, by_read

    def add(self, rows: Tensor, gradients: Gradients, last: int) -> None:
        """Add to rows [batch, columns] what one block's gradients say; at positions behind the last
        they are zero."""
        for point, gradient in gradients.by.items():
            if point is None:
                v = self.run.entering[0].detach()[0, : gradient.shape[1]]
                rows[:, : len(v)] = (gradient * v).sum(dim=-1)
                continue
            for firing, begin in zip(self.firings, self.begins, strict=False):
                if point not in firing.part.writes:
                    continue
                for position in range(last + 1):
                    here = firing.at(position)
                    features, values = firing.features[here], firing.values[here]
                    if len(features):
                        columns = slice(begin + here.start, begin + here.stop)
                        along = firing.part.along_writes(gradient[:, position], features, point)
                        rows[:, columns] += along * values
            begin = self.begins[-1]
            for left, where in zip(self.remainders, self.errors, strict=True):
                if left.point == point:
                    some = where[where <= last].to(gradient.device)
                    added = (gradient[:, some] * left.error[some]).sum(dim=-1)
                    rows[:, begin : begin + len(some)] = added
                begin += len(where)


def causes_of(model: LanguageModel, tokens: Tensor, wiring: Wiring) -> Causes:
    """Run one prompt and list all that may cause something in it.

    Args:
        model: in float32 or float64.
        tokens: int64 [pos].
        wiring: of the dictionaries.

    Raises:
        CircuitError: the model cannot be frozen, or not at these places.
    """
    writers = wiring.writers
    run, *shorter = (
        frozen_run(model, tokens[None, :n], wiring.reads, list(writers), wiring.skips)
        for n in _lengths(len(tokens))
    )
    text = text_positions(model, tokens)
    with torch.no_grad():
        of = {part: firings(part, run.read[part.read].detach()[0], text) for part in wiring.parts}
        remainders = tuple(
            remainder(
                *(point, run.written[point].detach()[0], [of[part] for part in parts]),
                *(lambda read: run.read[read].detach()[0], text),
            )
            for point, parts in sorted(writers.items(), key=lambda item: _where(item[0]))
        )
    errors = tuple(left.error.any(dim=-1).nonzero()[:, 0].cpu() for left in remainders)
    lengths = [len(tokens), *(len(firing.features) for firing in of.values())]
    begins = tuple(np.cumsum(lengths).tolist())
    is_text = torch.isin(torch.arange(len(tokens)), text)
    shorter = [part for part in reversed(shorter) if _same(part, run)]
    return Causes(run, tuple(shorter), tuple(of.values()), remainders, begins, errors, is_text)


def _lengths(n: int) -> list[int]:
    """Of the whole prompt, and of parts of it where that saves anything; falling."""
    return [n, *(n * quarters // 4 for quarters in (3, 2, 1))] if n >= _LONG else [n]


def _same(part: FrozenRun, whole: FrozenRun) -> bool:
    """Whether a part of the prompt is run as it is in the whole (some positions depend on that)."""
    n = part.tokens.shape[1]
    pairs = zip(part.entering, whole.entering, strict=True)
    return all(
        float((a - b[:, :n]).detach().abs().max()) <= 1e-4 * float(b.detach().abs().max())
        for a, b in pairs
    )


def _where(point: HookPoint) -> tuple[int, str]:
    return point.layer, point.name


def _columns(
    kind: NodeKind, layer: int, positions: Tensor, index: Tensor, values: Tensor | None, place: int
) -> tuple[NDArray[np.generic], ...]:
    n = len(positions)
    ones = np.ones(n, dtype=np.float32)
    return (
        np.full(n, kind, dtype=np.int8),
        np.full(n, layer, dtype=np.int16),
        positions.numpy().astype(np.int32),
        index.numpy().astype(np.int64),
        ones if values is None else values.float().numpy(),
        np.full(n, place, dtype=np.int8),
    )
