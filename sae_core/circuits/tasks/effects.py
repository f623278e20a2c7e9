"""What a target owes everything in a prompt, along all paths of the frozen replacement at once.

With features in between that lose a share of their activation taking that share of all they add,
the effect of a column is its value times the derivative of the target in the frozen model whose
features are linear in what they read. So one pass backwards, block by block, has what a graph with
every node would give (`influence.predicted_effects`), and no node is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sae_core.circuits.frozen.parts import Firing
from sae_core.circuits.frozen.rows import Causes
from sae_core.circuits.frozen.run import derivatives
from sae_core.language_model.hook_point import HookPoint


@torch.no_grad()
def feature_effects(causes: Causes, by_hidden: Tensor) -> list[Tensor]:
    """Effects of all features on one target.

    Args:
        causes: of the prompt.
        by_hidden: the target's derivative by the final hidden states, [pos, d_model].

    Returns:
        For each of `causes.firings` the effects of what fires, [n], in the target's units.
    """
    run = causes.run
    at_cuts: dict[HookPoint, Tensor] = {}
    effects = [torch.zeros_like(firing.values) for firing in causes.firings]
    leaving = by_hidden[None]
    for layer in range(len(run.leaving) - 1, -1, -1):
        cuts = [point for point in run.written if point.layer == layer]
        entering = torch.zeros_like(run.entering[layer].detach())
        waiting = [(run.leaving[layer], leaving)]
        own = [n for n, firing in enumerate(causes.firings) if firing.part.read.layer == layer]
        # From the last that is computed: what it reads may hold what earlier ones write.
        for n in (None, *sorted(own, key=lambda n: causes.firings[n].part.order, reverse=True)):
            if n is not None:
                firing = causes.firings[n]
                along = _along(firing, at_cuts)
                effects[n] = along * firing.values
                waiting = [(run.read[firing.part.read], _read(firing, along, causes))]
            inputs = [run.entering[layer], *(run.written[point] for point in cuts)]
            into, *rest = derivatives(waiting, inputs)
            entering += 0.0 if into is None else into
            for point, gradient in zip(cuts, rest, strict=True):
                if gradient is not None:
                    at_cuts[point] = at_cuts.get(point, 0.0) + gradient[0]
        leaving = entering
    return effects


def _along(firing: Firing, at_cuts: Mapping[HookPoint, Tensor]) -> Tensor:
    """The target's derivative by each firing feature's activation, [n]."""
    result = torch.zeros_like(firing.values)
    for point in firing.part.writes:
        if (gradient := at_cuts.get(point)) is None:
            continue
        for position in range(gradient.shape[0]):
            here = firing.at(position)
            if len(features := firing.features[here]):
                vector = gradient[position][None]
                result[here] += firing.part.along_writes(vector, features, point)[0]
    return result


def _read(firing: Firing, along: Tensor, causes: Causes) -> Tensor:
    """The target's derivative by what the features of a part read, [1, pos, width]."""
    x = causes.run.read[firing.part.read].detach()[0]
    gradient = torch.zeros_like(x)
    for position in range(len(x)):
        here = firing.at(position)
        if len(features := firing.features[here]):
            rows = firing.part.read_rows(features, x[position].expand(len(features), -1))
            gradient[position] = along[here] @ rows.to(x.dtype)
    return gradient[None]
