"""Forward passes of prompts with features set to zero wherever they fire, in the real model.

At each place x - sum of a_f d_f over the features that are taken out, with a_f as it is in that
very pass, so that what answers to their absence answers. All else, errors included, stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sae_core.circuits.frozen.parts import GraphPart, Wiring
from sae_core.interventions.prompt import text_positions
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel

Chosen = tuple[int, int]
"""A feature: place of its dictionary, number in it."""


@torch.no_grad()
def hidden_without(
    model: LanguageModel, wiring: Wiring, tokens: Tensor, features: Sequence[Chosen]
) -> Tensor:
    """What the unembedding reads at the last position without some features, [batch, d_model].

    Args:
        model: in float32.
        wiring: of the dictionaries.
        tokens: prompts of one length, int64 [batch, pos].
        features: that are set to zero, at every position that is text.
    """
    own = {part: _of_part(part, features, tokens.device) for part in wiring.parts}
    taken = {part: numbers for part, numbers in own.items() if len(numbers)}
    absent = _Absent(taken, torch.stack([_is_text(model, row) for row in tokens]))
    with model.lock, ExitStack() as stack:
        points = {point: None for part in taken for point in (part.read, *part.writes)}
        for point in points:
            touch = absent.touch(point)
            stack.enter_context(model.touching(point.layer, point.kind, touch))
        return model.final_hidden(tokens)[:, -1]


@dataclass
class _Absent:
    """What a pass goes without.

    Attributes:
        taken: numbers of the features by part.
        is_text: bool [batch, pos]; other positions are not read.
        writes: what is still to be taken off what stands at a place, [batch, pos, width].
    """

    taken: Mapping[GraphPart, Tensor]
    is_text: Tensor
    writes: dict[HookPoint, list[Tensor]] = field(default_factory=lambda: defaultdict(list))

    def touch(self, point: HookPoint) -> Callable[[Tensor], Tensor | None]:
        def see(x: Tensor) -> Tensor | None:
            for part in self.taken:
                if part.read == point:
                    self._read(part, x)
            missing = self.writes.pop(point, None)
            return x - sum(missing) if missing else None

        return see

    def _read(self, part: GraphPart, x: Tensor) -> None:
        numbers = self.taken[part]
        acts = part.encode(x.flatten(0, 1))[:, numbers - part.first].view(*x.shape[:2], -1)
        acts = torch.where(self.is_text.to(x.device)[..., None], acts, 0.0).to(x.dtype)
        for point in part.writes:
            rows = part.write_rows(numbers, point).to(x.dtype)
            self.writes[point].append(acts @ rows)


def _of_part(part: GraphPart, features: Sequence[Chosen], device: torch.device) -> Tensor:
    size = part.n_features
    numbers = [
        number
        for place, number in features
        if place == part.place and part.first <= number < part.first + size
    ]
    return torch.tensor(numbers, dtype=torch.int64, device=device)


def _is_text(model: LanguageModel, row: Tensor) -> Tensor:
    is_text = torch.zeros(len(row), dtype=torch.bool)
    is_text[text_positions(model, row)] = True
    return is_text
