"""Controls of an arm: random features in place of its own, as active and as long.

A feature's control is drawn from those of its dictionary that fire about as often, and steered so
that what is written has the same length: its maximum is taken as m_f |d_f| / |d_r|. A direction of
no dictionary has a random direction of the same length.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.errors import ExperimentError
from sae_core.interventions.steering import FeatureEdit

N_ALIKE = 100  # features that fire most nearly as often, among which one is drawn


def like_feature(
    firings: NDArray[np.int64], feature: int, barred: Collection[int], seed: int
) -> int:
    """A feature that fires about as often as another one.

    Args:
        firings: how often each fires, int64 [d_sae].
        feature: the one it is like.
        barred: features that it is not.
        seed: of the draw.

    Raises:
        ExperimentError: no other feature fires.
    """
    alive = np.flatnonzero(firings > 0)
    alive = alive[~np.isin(alive, [feature, *barred])]
    if not len(alive):
        raise ExperimentError(
            f"No other feature fires, so that feature {feature} has no control: leave controls out."
        )
    apart = np.abs(np.log(firings[alive]) - np.log(max(1, firings[feature])))
    alike = np.sort(alive[np.argsort(apart, kind="stable")[:N_ALIKE]])
    return int(np.random.default_rng([seed, feature]).choice(alike))


def as_long(edit: FeatureEdit, feature: int) -> FeatureEdit:
    """The same edit of another feature, which writes a vector of the same length.

    Raises:
        ExperimentError: the other feature writes nothing.
    """
    own, other = (
        float(edit.dictionary.decoder_row(index).double().norm())
        for index in (edit.feature, feature)
    )
    if other == 0:
        raise ExperimentError(f"Feature {feature} writes nothing: choose another seed.")
    return replace(edit, feature=feature, maximum=edit.maximum * own / other)


def direction(hook_point: str, vector: Tensor) -> StandardDictionary:
    """A dictionary whose only feature writes a vector [d_in], which it never reads."""
    single = StandardDictionary(hook_point, len(vector), 1)
    with torch.no_grad():
        single.W_dec.copy_(vector[None])
    return single.requires_grad_(False).to(vector.device)


def random_direction(edit: FeatureEdit, seed: int) -> FeatureEdit:
    """The same edit along a random direction of the same length."""
    row = edit.dictionary.decoder_row(edit.feature)
    noise = torch.randn(len(row), generator=torch.Generator().manual_seed(seed)).to(row)
    vector = noise * (row.norm() / noise.norm())
    return replace(edit, dictionary=direction(edit.dictionary.hook_point, vector), feature=0)
