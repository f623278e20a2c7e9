"""Two dictionaries compared: best matches both ways, one to one, and the figures of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.evaluation.comparison.correlation import (
    correlation_matches,
    left_out_correlations,
)
from sae_core.evaluation.comparison.directions import cosine_matches, random_cosines
from sae_core.evaluation.comparison.figures import (
    DirectedComparison,
    MatchFigures,
    match_figures,
)
from sae_core.evaluation.comparison.firings import TokenFirings
from sae_core.evaluation.comparison.limits import BAR, FEWEST_FIRINGS
from sae_core.evaluation.comparison.matches import Matches, mutual, turned
from sae_core.evaluation.comparison.pairing import assigned, room_for_all

N_GROUPS = 20  # of documents, for intervals


@dataclass(frozen=True)
class Compared:
    """One of the two dictionaries.

    Attributes:
        dictionary: its weights.
        firings: on the text, the same tokens for both.
    """

    dictionary: Dictionary
    firings: TokenFirings

    @property
    def silent(self) -> int:
        """Features that never fire on the text."""
        return int((self.firings.counts == 0).sum())

    @property
    def rare(self) -> int:
        """Features that fire on it, but too seldom to be judged."""
        return int((self.firings.counts < FEWEST_FIRINGS).sum()) - self.silent


@dataclass(frozen=True)
class PairComparison:
    """Two dictionaries, both ways.

    Attributes:
        forth: the first's features, found in the second.
        back: the second's, found in the first.
        assigned: whether the pairs one to one are the best assignment; else mutual best matches.
    """

    forth: DirectedComparison
    back: DirectedComparison
    assigned: bool


def compare_pair(
    first: Compared,
    second: Compared,
    documents: NDArray[np.int64],
    seed: int,
    bar: float = BAR,
    same_space: bool = True,
    on_step: Callable[[float], None] | None = None,
) -> PairComparison:
    """Compare two dictionaries.

    Args:
        first: one of them.
        second: the other one.
        documents: of each token, int64 [n_tokens].
        seed: of the nulls.
        bar: least value at which a feature counts as found again.
        same_space: whether decoder rows of both mean the same coordinates.
        on_step: told what share of the work is done.
    """
    tell = on_step or _nobody
    table = room_for_all(first.firings, second.firings)
    best = correlation_matches(first.firings, second.firings, keep=table)
    tell(0.2)
    nulls = []
    for distance in _distances(first.firings.n_tokens, seed):
        nulls.append(correlation_matches(first.firings, second.firings.shifted(distance)))
        tell(0.2 + 0.2 * len(nulls))
    if table is None:
        pairs = mutual(best.rows, best.columns)
    else:
        pairs = assigned(first.firings, second.firings, table)
    tell(0.8)
    cosines = cosine_matches(first.dictionary, second.dictionary) if same_space else None
    tell(0.9)
    forth = DirectedComparison(
        cosines=cosines.rows if cosines else None,
        correlations=best.rows,
        partners=pairs,
        by_cosine=_by_decoder(first, second, cosines.rows, seed, bar) if cosines else None,
        by_correlation=_by_text(
            first, second, best.rows, [null.rows for null in nulls], documents, bar
        ),
    )
    back = DirectedComparison(
        cosines=cosines.columns if cosines else None,
        correlations=best.columns,
        partners=turned(pairs, second.firings.d_sae),
        by_cosine=_by_decoder(second, first, cosines.columns, seed, bar) if cosines else None,
        by_correlation=_by_text(
            second, first, best.columns, [null.columns for null in nulls], documents, bar
        ),
    )
    tell(1.0)
    return PairComparison(forth, back, assigned=table is not None)


def _nobody(_: float) -> None:
    pass


def _distances(n_tokens: int, seed: int) -> list[int]:
    """How far the text is moved for each of two nulls: far from itself, and from each other."""
    draw = np.random.default_rng(seed).uniform((0.2, 0.6), (0.4, 0.8))
    return [int(share * n_tokens) for share in draw]


def _by_decoder(
    first: Compared, second: Compared, matches: Matches, seed: int, bar: float
) -> MatchFigures | None:
    nulls = [
        random_cosines(first.dictionary, second.dictionary, 2 * seed + draw) for draw in (0, 1)
    ]
    return match_figures(matches, (nulls[0], nulls[1]), bar)


def _by_text(
    first: Compared,
    second: Compared,
    matches: Matches,
    nulls: list[Matches],
    documents: NDArray[np.int64],
    bar: float,
) -> MatchFigures | None:
    left_out = left_out_correlations(first.firings, second.firings, matches, documents % N_GROUPS)
    values = [null.values[null.known] for null in nulls]
    return match_figures(matches, (values[0], values[1]), bar, left_out)
