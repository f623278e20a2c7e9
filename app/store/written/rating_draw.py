"""Which features a study rates: drawn evenly among those that fire, or matched by density."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.store.types.catalogue import DictionaryView
from app.store.types.ratings import RatedSource
from app.store.written.texts import subject

MOST_ITEMS = 1000
MOST_SOURCES = 6
ALIKE = 1.25
"""Matched features fire at most this many times as often as each other."""


def check_sources(views: Sequence[DictionaryView], n: int, least: int) -> None:
    """Refuse dictionaries that readers could tell apart by more than their features.

    Raises:
        InvalidRequest: it is so, or numbers are out of range; the sentence says which.
    """
    if not 2 <= len(views) <= MOST_SOURCES:
        raise InvalidRequest(
            f"A study compares 2 to {MOST_SOURCES} dictionaries; {len(views)} "
            f"{'is' if len(views) == 1 else 'are'} named.",
            "dictionaries",
        )
    if n < 1 or n * len(views) > MOST_ITEMS:
        raise InvalidRequest(
            f"A study has at most {MOST_ITEMS:,} features in all, and at least one of each "
            f"dictionary: {n:,} of each of {len(views)} is not possible.",
            "features",
        )
    if not 1 <= least < 1 << 40:
        raise InvalidRequest("Features have to fire at least once to be rated.", "firings")
    first = views[0]
    for i, view in enumerate(views):
        if view.harvest is None or view.corpus is None:
            raise InvalidRequest(
                f"{view.title} is not harvested yet: there is nothing to show of its features.",
                "dictionaries",
            )
        if subject(view) in {subject(other) for other in views[:i]}:
            raise InvalidRequest(f"{view.title} is named twice.", "dictionaries")
        if view.model_checksum != first.model_checksum or view.hook_point != first.hook_point:
            raise InvalidRequest(
                f"{view.title} reads {view.hook_point} of {view.model}, {first.title} reads "
                f"{first.hook_point} of {first.model}: a study compares dictionaries of one hook "
                "point.",
                "dictionaries",
            )
        if _shown(view) != _shown(first):
            raise InvalidRequest(
                f"{view.title} was harvested from another text, or cut otherwise, than "
                f"{first.title}: contexts would tell which is which. Harvest both alike.",
                "dictionaries",
            )


def _shown(view: DictionaryView) -> tuple[object, ...]:
    """What contexts look like beside what a feature does."""
    assert view.harvest is not None
    return view.is_imported, view.harvest.fingerprint, view.harvest.n_ctx


def draw(
    views: Sequence[DictionaryView],
    firings: Sequence[NDArray[np.int64]],
    n: int,
    seed: int,
    matched: bool,
    least: int,
) -> tuple[list[RatedSource], list[list[int]]]:
    """The features of each dictionary, by index.

    Args:
        views: the dictionaries.
        firings: of each of their features, over one text.
        n: features of each.
        seed: of the draw.
        matched: whether each feature has one that fires about as often in each other dictionary.
        least: firings of a feature that is drawn.

    Raises:
        InvalidRequest: there are too few; the sentence says how many there are.
    """
    pools = [np.flatnonzero(counts >= least) for counts in firings]
    rng = np.random.default_rng(seed)
    if matched:
        chosen = _matched(pools, firings, n, rng)
    else:
        chosen = [pool[rng.permutation(len(pool))[:n]].tolist() for pool in pools]
    for view, pool, some in zip(views, pools, chosen, strict=True):
        if len(some) < n:
            if matched:
                raise InvalidRequest(
                    f"Only {len(some):,} features can be matched: the others fire more than "
                    f"{ALIKE:g} times as often, or as seldom, as any of the other dictionary. Ask "
                    "for fewer, or without matching.",
                    "features",
                )
            raise InvalidRequest(
                f"{view.title} has {len(pool):,} features that fire at least {least:,} times; "
                f"{n:,} are asked for.",
                "features",
            )
    sources = [
        RatedSource(
            subject=subject(view),
            model=view.model,
            dictionary=view.name,
            neurons=view.is_neurons,
            hook_point=view.hook_point,
            digest=view.digest,
            alive=view.alive,
            eligible=len(pool),
            drawn=n,
        )
        for view, pool in zip(views, pools, strict=True)
    ]
    return sources, chosen


def _matched(
    pools: Sequence[NDArray[np.int64]],
    firings: Sequence[NDArray[np.int64]],
    n: int,
    rng: np.random.Generator,
) -> list[list[int]]:
    """Features of the smallest pool in random order, each with the nearest unused one of the
    others, as far as these lie near enough."""
    densities = [np.log(counts[pool]) for counts, pool in zip(firings, pools, strict=True)]
    start = min(range(len(pools)), key=lambda i: len(pools[i]))
    free = [np.ones(len(pool), bool) for pool in pools]
    chosen: list[list[int]] = [[] for _ in pools]
    for own in rng.permutation(len(pools[start])).tolist():
        if len(chosen[start]) == n:
            break
        partners = []
        for i, own_densities in enumerate(densities):
            if i == start:
                partners.append(own)
                continue
            distance = np.abs(own_densities - densities[start][own])
            distance[~free[i]] = np.inf
            nearest = int(distance.argmin()) if len(distance) else -1
            if nearest < 0 or distance[nearest] > np.log(ALIKE):
                break
            partners.append(nearest)
        else:
            for i, place in enumerate(partners):
                free[i][place] = False
                chosen[i].append(int(pools[i][place]))
    return chosen
