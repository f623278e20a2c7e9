"""Which features are most specific to the places in a text where a phrase stands.

For a feature that fires F times in the text, h of these on tokens of the phrase's n places:

1. *precision*: h / F, the share of its firings that the phrase has;
2. *recall*: the share of the n places with a firing on any of their tokens, with a 95 % interval
   over documents (`DocumentTokens`): places in one document resemble each other;
3. *score*: the harmonic mean of both (F1); by it features are ranked;
4. *lift*: how many times as often it fires on a token of these places as on any token;
5. *p*: of at least h firings on the phrase's tokens, if its F firings were dealt out over all
   tokens of the text at random (hypergeometric, Fisher's exact test, one-sided), and *corrected*
   for looking at every feature that fires at all (Bonferroni). It takes tokens as independent, so
   it says too much where few documents hold the phrase; how many do stands beside it.

Where only a part of the places was read, h counts in that part, and precision is estimated: h times
all places over those read, at most F.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sae_core.harvest.density import DocumentTokens

LEAST_P = 1e-300  # smaller ones are given as this


@dataclass(frozen=True)
class PhraseFirings:
    """What fires at the places of a phrase that were read.

    Attributes:
        first: first token of each place, ascending, int64 [n_places].
        last: its last token, int64 [n_places].
        documents: document of each place, int64 [n_places].
        tokens: every token of any place once, ascending, int64 [n_tokens].
        bounds: token n has `features[bounds[n]:bounds[n + 1]]`, int64 [n_tokens + 1].
        features: that fire, int64.
    """

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    documents: NDArray[np.int64]
    tokens: NDArray[np.int64]
    bounds: NDArray[np.int64]
    features: NDArray[np.int64]


@dataclass(frozen=True)
class SpecificFeature:
    """How specific a feature is to a phrase.

    Attributes:
        feature: its index.
        score: harmonic mean of precision and recall.
        precision: share of its firings that lie in the phrase.
        recall: share of the phrase's places in which it fires.
        recall_interval: 95 %, over documents; None: there are too few.
        lift: of its rate on the phrase's tokens over that on all.
        p_value: one-sided, at least `LEAST_P`.
        corrected: the same, for all features that fire.
        inside: firings in the places that were read.
        firings: in the whole text.
        hits: places with a firing, of those that were read.
        documents: that these lie in.
        places: share of the places in which it fires on the phrase's first token, second, …; as
            many as `n_parts`, over places of so many tokens.
        example: number of the first place in which it fires.
    """

    feature: int
    score: float
    precision: float
    recall: float
    recall_interval: tuple[float, float] | None
    lift: float
    p_value: float
    corrected: float
    inside: int
    firings: int
    hits: int
    documents: int
    places: tuple[float, ...]
    example: int


def most_specific(
    read: PhraseFirings,
    counts: NDArray[np.int64],
    n_tokens: int,
    n_places: int,
    n_parts: int,
    most: int,
) -> tuple[SpecificFeature, ...]:
    """The features of the highest scores, those of equal ones by index.

    Args:
        read: at least one place.
        counts: firings of each feature in the whole text, int64 [d_sae].
        n_tokens: of the whole text.
        n_places: of the phrase in it, at least those that were read.
        n_parts: tokens that the phrase mostly has.
        most: features that are returned.
    """
    fired, inside = np.unique(read.features, return_counts=True)
    if not len(fired):
        return ()
    place, part, feature = _fired(read)
    # A feature that fires twice in a place hits it once.
    n_read = len(read.first)
    hit = np.unique(np.searchsorted(fired, feature) * n_read + place)
    bounds = np.searchsorted(hit, np.arange(len(fired) + 1) * n_read)
    hits = np.diff(bounds)
    recall = hits / n_read
    precision = np.minimum(1.0, inside * (n_places / n_read) / counts[fired])
    score = 2 * precision * recall / (precision + recall)
    documents = _Documents(read.documents)
    whole = read.last - read.first + 1 == n_parts
    alive = int((counts > 0).sum())
    made = []
    for n in np.lexsort((fired, -score))[:most].tolist():
        index, total = int(fired[n]), int(counts[fired[n]])
        p_value = least_by_chance(int(inside[n]), total, len(read.tokens), n_tokens)
        where = hit[bounds[n] : bounds[n + 1]] % n_read
        at = part[(feature == index) & whole[place]]
        made.append(
            SpecificFeature(
                feature=index,
                score=float(score[n]),
                precision=float(precision[n]),
                recall=float(recall[n]),
                recall_interval=documents.interval(where),
                lift=float(inside[n] / len(read.tokens) / (total / n_tokens)),
                p_value=p_value,
                corrected=min(1.0, p_value * alive),
                inside=int(inside[n]),
                firings=total,
                hits=int(hits[n]),
                documents=len(np.unique(read.documents[where])),
                places=tuple(
                    (np.bincount(at, minlength=n_parts) / max(1, int(whole.sum()))).tolist()
                ),
                example=int(where[0]),
            )
        )
    return tuple(made)


def least_by_chance(inside: int, firings: int, chosen: int, n_tokens: int) -> float:
    """The probability that of `firings` different tokens, drawn from `n_tokens`, at least `inside`
    are among `chosen` ones; at least `LEAST_P`."""
    from scipy.special import gammaln, logsumexp  # slow to import, and pages import this module

    if inside <= max(0, firings + chosen - n_tokens):
        return 1.0
    k = np.arange(inside, min(firings, chosen) + 1, dtype=np.float64)

    def log_choose(n: int, k: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gammaln(n + 1.0) - gammaln(k + 1) - gammaln(n - k + 1))

    logs = log_choose(chosen, k) + log_choose(n_tokens - chosen, firings - k)
    total = float(logsumexp(logs) - log_choose(n_tokens, np.array([firings], np.float64))[0])
    return min(1.0, math.exp(total)) if total > math.log(LEAST_P) else LEAST_P


class _Documents:
    """Places by document."""

    def __init__(self, documents: NDArray[np.int64]) -> None:
        _, self._of_place, counts = np.unique(documents, return_inverse=True, return_counts=True)
        self._tokens = DocumentTokens(counts)

    def interval(self, places: NDArray[np.int64]) -> tuple[float, float] | None:
        """Of the share of places that these are."""
        return self._tokens.density_interval(*np.unique(self._of_place[places], return_counts=True))


def _fired(
    read: PhraseFirings,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Place, token within it and feature of each firing; tokens in two places count in both."""
    lengths = read.last - read.first + 1
    place = np.repeat(np.arange(len(lengths)), lengths)
    part = np.arange(len(place)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    token = np.searchsorted(read.tokens, read.first[place] + part)
    begins, ends = read.bounds[token], read.bounds[token + 1]
    counts = ends - begins
    at = np.repeat(begins - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
    return np.repeat(place, counts), np.repeat(part, counts), read.features[at]
