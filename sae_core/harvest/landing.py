"""Where a feature's effect lands: the tokens that it helps to predict most in its top contexts.

For each of the n top contexts whose ablation is known, let t be the token whose loss ablating the
feature raises most and g that change, in nats (the earliest such token of equals; special tokens
left out; g = 0, and no token, where ablation raises the loss of none):

1. *mean effect*: the mean of g over the n contexts;
2. *lands on*: for each token t, the mean of g over the contexts in which t is the token, and the
   share of the n contexts that those are. The sum of share times mean is the mean effect.

It is a mean over the strongest contexts alone and over the best token of each: it says how much a
feature can help where it fires most, not what removing it costs on average.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sae_core.harvest.records import (
    ContextEffect,
    ExampleGroup,
    GroupKind,
    Landing,
    Ranking,
    WindowRecord,
)


def landing(
    groups: tuple[ExampleGroup, ...],
    windows: Mapping[int, WindowRecord],
    effects: Mapping[int, ContextEffect],
    is_special: NDArray[np.bool_],
) -> Landing:
    """The mean effect of a feature and the tokens that it lands on.

    Args:
        groups: of the feature; only its top contexts count.
        windows: their windows, by number.
        effects: what ablating the feature does to them, by number; a context without is left out.
        is_special: for each token of the vocabulary whether it counts as no text, [d_vocab].
    """
    numbers = [
        number
        for group in groups
        if group.kind is GroupKind.TOP
        for number in group.examples.windows.tolist()
        if number in effects
    ]
    gains: dict[int, list[float]] = {}
    for number in numbers:
        effect = effects[number]
        tokens = windows[number].tokens[effect.positions]
        changes = np.where(is_special[tokens], 0.0, effect.loss_change.astype(np.float64))
        if len(changes) and changes.max() > 0:
            best = int(changes.argmax())
            gains.setdefault(int(tokens[best]), []).append(float(changes[best]))
    total = {token: sum(sorted(values)) for token, values in gains.items()}
    order = sorted(total, key=lambda token: (-total[token], token))
    n = max(1, len(numbers))
    return Landing(
        effect=sum(total[token] for token in order) / n if numbers else None,
        contexts=len(numbers),
        tokens=Ranking(
            np.array(order, dtype=np.int32),
            np.array([total[token] / len(gains[token]) for token in order], dtype=np.float32),
            np.array([len(gains[token]) / n for token in order], dtype=np.float32),
        ),
    )
