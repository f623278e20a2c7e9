"""What the colours of a map stand for: a byte for each feature, and what its ends mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.pages.dictionary.map.schema import Colour
from app.rendering.numbers import number, percent
from app.store.types.catalogue import DictionaryView
from app.store.types.maps import FeatureMap
from app.web.site import Site

STEPS = 254  # levels of a scale, from 1; 255 is free for who draws
TITLES: dict[Colour, str] = {"density": "density", "score": "rule F1", "head": "attention head"}


@dataclass(frozen=True)
class FeatureColours:
    """A colour for each feature.

    Attributes:
        name: as addresses call it.
        title: as people call it.
        levels: uint8 [d_sae]; 0: it has no value, else from 1 for `low` to `STEPS` for `high`, or,
            of kinds, the kind from 1.
        values: by which features are ordered, float [d_sae]; those without a value have the least.
        low: what level 1 means, as written.
        high: what level `STEPS` means, as written.
        none: what level 0 means.
        kinds: how many kinds there are; 0: it is a scale.
    """

    name: Colour
    title: str
    levels: NDArray[np.uint8]
    values: NDArray[np.floating]
    low: str
    high: str
    none: str
    kinds: int = 0


def columns_of(dictionary: DictionaryView, drawn: FeatureMap) -> tuple[Colour, ...]:
    """The colours that a map can have."""
    return tuple(_names(dictionary, drawn))


def _names(dictionary: DictionaryView, drawn: FeatureMap) -> Iterator[Colour]:
    if dictionary.harvest is not None:
        yield "density"
        yield "score"
    if drawn.heads.size:
        yield "head"


def column(
    site: Site, dictionary: DictionaryView, drawn: FeatureMap, name: Colour
) -> FeatureColours | None:
    """One of `columns_of`; None: no feature has a value."""
    if name == "density":
        firings = site.store.maps.firings(dictionary)
        return _known(_density(firings / max(1, dictionary.n_tokens)))
    if name == "score":
        return _known(_score(site.store.rules.scores(dictionary)))
    kinds = int(drawn.heads.max()) + 1
    levels = np.minimum(drawn.heads + 1, STEPS).astype(np.uint8)
    levels[~drawn.placed] = 0
    return FeatureColours(
        "head",
        TITLES["head"],
        levels,
        -drawn.heads.astype(np.float64),
        "0",
        str(kinds - 1),
        "no direction",
        min(kinds, STEPS),
    )


def _known(made: FeatureColours) -> FeatureColours | None:
    return made if made.levels.any() else None


def _density(density: NDArray[np.float64]) -> FeatureColours:
    there = density > 0
    low, high = (float(density[there].min()), float(density.max())) if there.any() else (1.0, 1.0)
    with np.errstate(divide="ignore"):
        place = np.log(density / low) / max(np.log(high / low), 1e-9)
    return FeatureColours(
        "density",
        TITLES["density"],
        _levels(place, there),
        density,
        percent(low),
        percent(high),
        "never fires",
    )


def _score(scores: NDArray[np.float32]) -> FeatureColours:
    return FeatureColours(
        "score",
        TITLES["score"],
        _levels(scores, scores >= 0),
        scores,
        number(0.0, 1),
        number(1.0, 1),
        "no rule above its null",
    )


def _levels(place: NDArray[np.floating], there: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Places from 0 to 1 on a scale as levels."""
    known = np.where(there, place, 0.0)
    return np.where(there, 1 + np.rint((STEPS - 1) * np.clip(known, 0, 1)), 0).astype(np.uint8)
