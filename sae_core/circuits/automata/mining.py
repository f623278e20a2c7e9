"""Steps from one feature to the next, mined from a text that is kept with its firings.

A *step* f -> g happens at position t of a window where f fires at t, the token at t + 1 is one of
those that f's logit weights raise most (f *writes* it), and g fires at t + 1. Of each pair:

1. *support*: how often the step happens, s, and in how many documents;
2. *share*: s over the firings of f that a token follows, with a jackknife interval over documents;
3. *lift*: the share over the base rate of g, which is how often it fires on any such token;
4. *mechanism*: of the logit weight that f puts on its written tokens, the part that lies on tokens
   of g: those on which g fires at least `OWN` times, and `TIMES` as often as on any token;
5. *lift beyond the tokens*: s over the number expected if the firings of f were dealt out at random
   among all places with the same token: e = sum of q(tok_t) over the firings of f, q(u) being the
   share of the places with token u where a written token with g on it follows. This holds fixed
   what the tokens' bigrams give without f: a feature that fires on every "_" has exactly 1;
6. *p*: one-sided, of the sum over documents of s - e against 0, Student's t with documents as the
   units and Satterthwaite's freedom. *corrected* after Benjamini and Hochberg over all pairs with
   the mechanism; those with too little support or share count with p = 1.

Firings are taken as they are kept, without their strengths: any firing counts. Cost: one sparse
product of firings by firings for the counts, then for each pair with support and mechanism the
firings of its two features.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from sae_core.evaluation.contrast.ranks import benjamini_hochberg
from sae_core.evaluation.document_sums import interval

Numbers = NDArray[np.int64]
OWN = 5
"""Firings on a token from which on it can be a token of a feature."""
TIMES = 2.0
"""How many times as often as anywhere a feature fires on its tokens."""
_FEATURES_AT_ONCE = 512  # of the sparse product
_NOTHING = 1e-9  # firings: what is less is rounding alone


@dataclass(frozen=True)
class FiringText:
    """A text with what fires on it.

    Attributes:
        tokens: ids, one window after the other, int64 [n_tokens].
        windows: of each token, int64 [n_tokens], never falling.
        documents: number of each token's document from 0, int64 [n_tokens].
        bounds: token n has `features[bounds[n]:bounds[n + 1]]`, int64 [n_tokens + 1].
        features: that fire, int64.
    """

    tokens: Numbers
    windows: Numbers
    documents: Numbers
    bounds: Numbers
    features: Numbers

    @cached_property
    def followed_places(self) -> NDArray[np.bool_]:
        """Whether each token has a next one in its window."""
        return np.append(self.windows[1:] == self.windows[:-1], False)


@dataclass(frozen=True)
class MiningSettings:
    """What counts as a step.

    Attributes:
        support: fewest times that it happens.
        documents: fewest documents that it happens in.
        mechanism: least part of the written weight on tokens of the next feature.
        share: least share of the first feature's firings.
        lift: least lift.
        beyond: least lift beyond the tokens.
        corrected: largest p after correction.
    """

    support: int = 30
    documents: int = 10
    mechanism: float = 0.3
    share: float = 0.1
    lift: float = 2.0
    beyond: float = 1.5
    corrected: float = 0.001


@dataclass(frozen=True)
class Step:
    """A step from one feature to the next; the module says what its figures are.

    Attributes:
        source: the feature that writes.
        target: the feature that fires next.
        support: times.
        documents: in which it happens.
        firings: of the source that a token follows.
        share: support over firings.
        low: lower end of its 95 % interval over documents; NaN: too few.
        high: upper end.
        base: how often the target fires on any token that follows another.
        lift: share over base.
        mechanism: part of the written weight.
        beyond: lift beyond the tokens.
        p: of the test.
        corrected: over all pairs tested.
        tokens: that come at the step, the most frequent first, with how often.
    """

    source: int
    target: int
    support: int
    documents: int
    firings: int
    share: float
    low: float
    high: float
    base: float
    lift: float
    mechanism: float
    beyond: float
    p: float
    corrected: float
    tokens: tuple[tuple[int, int], ...]

    @property
    def strength(self) -> float:
        """By which steps are ranked: information about the next firing that a firing carries."""
        return self.share * float(np.log2(max(self.lift, 1.0)))


@dataclass(frozen=True)
class Mined:
    """All steps that count.

    Attributes:
        steps: by source and target.
        tested: pairs with the mechanism, over which p is corrected.
        supported: of these, pairs with enough support, whose p was computed.
        n_tokens: of the text.
        n_documents: of the text.
    """

    steps: tuple[Step, ...]
    tested: int
    supported: int
    n_tokens: int
    n_documents: int


@dataclass(frozen=True)
class _Firings:
    """The text, sorted by feature: feature f fires at `places[starts[f]:starts[f + 1]]`."""

    places: Numbers
    starts: Numbers

    def of(self, feature: int) -> Numbers:
        return self.places[self.starts[feature] : self.starts[feature + 1]]


def mine(
    text: FiringText,
    written: Numbers,
    weights: NDArray[np.floating],
    settings: MiningSettings | None = None,
) -> Mined:
    """See `mining_steps`, all at once."""
    settings = settings or MiningSettings()
    steps = mining_steps(text, written, weights, settings)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            mined: Mined = end.value
            return mined


def mining_steps(
    text: FiringText, written: Numbers, weights: NDArray[np.floating], settings: MiningSettings
) -> Generator[tuple[int, int], None, Mined]:
    """Mine, yielding what is done and how much there is; returns a `Mined`.

    Args:
        text: with what fires on it.
        written: the tokens that each feature's logit weights raise most, int64 [d_sae, k]; -1 where
            there are fewer.
        weights: their logit weights, [d_sae, k]; those not above 0 do not count.
        settings: what counts as a step.
    """
    d_sae = len(written)
    weights = np.where((written >= 0) & np.isfinite(weights), np.maximum(weights, 0.0), 0.0)
    at = np.repeat(np.arange(len(text.tokens)), np.diff(text.bounds))
    order = np.argsort(text.features, kind="stable")
    starts = np.searchsorted(text.features[order], np.arange(d_sae + 1))
    firings = _Firings(at[order], starts)
    mechanism = _mechanism(text, at, written, weights)
    pairs = _supported(text, firings, written, weights, mechanism, settings)
    tested = int((mechanism.data >= settings.mechanism).sum())
    measure = _Measure(text, firings, written, weights)
    made: list[dict[str, Any]] = []
    p_values = np.ones(tested)
    for n, (source, target) in enumerate(pairs):
        if n % 256 == 0:
            yield n, len(pairs)
        made.append(measure.of(source, target))
        p_values[n] = made[-1]["p"]
    corrected = benjamini_hochberg(p_values) if tested else p_values
    steps = [
        Step(
            **values,
            mechanism=float(mechanism[values["source"], values["target"]]),
            corrected=float(c),
        )
        for values, c in zip(made, corrected, strict=False)
    ]
    yield len(pairs), len(pairs)
    n_documents = len(np.unique(text.documents))
    kept = tuple(step for step in steps if _counts(step, settings))
    return Mined(kept, tested, len(pairs), len(text.tokens), n_documents)


def _counts(step: Step, settings: MiningSettings) -> bool:
    return (
        step.documents >= settings.documents
        and step.share >= settings.share
        and step.lift >= settings.lift
        and step.beyond >= settings.beyond
        and step.corrected <= settings.corrected
    )


def _mechanism(
    text: FiringText, at: Numbers, written: Numbers, weights: NDArray[np.floating]
) -> sparse.csr_matrix:
    """Part of each feature's written weight that lies on tokens of each, [d_sae, d_sae]."""
    d_sae, k = written.shape
    d_vocab = int(max(text.tokens.max(initial=0), written.max(initial=0))) + 1
    counts = np.maximum(np.bincount(text.tokens, minlength=d_vocab), 1)
    rates = np.bincount(text.features, minlength=d_sae) / max(1, len(text.tokens))
    # Only the tokens that somebody writes are needed.
    used = np.zeros(d_vocab, dtype=bool)
    used[written[weights > 0]] = True
    some = used[text.tokens[at]]
    on_token = (
        sparse.coo_matrix(
            (
                np.ones(int(some.sum()), dtype=np.int32),
                (text.tokens[at[some]], text.features[some]),
            ),
            shape=(d_vocab, d_sae),
        )
        .tocsr()
        .tocoo()
    )
    own = (on_token.data >= OWN) & (
        on_token.data >= TIMES * counts[on_token.row] * rates[on_token.col]
    )
    of_feature = sparse.csr_matrix(
        (np.ones(int(own.sum())), (on_token.row[own], on_token.col[own])), shape=(d_vocab, d_sae)
    )
    total = np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    writes = sparse.csr_matrix(
        (
            (weights / total).reshape(-1),
            (np.repeat(np.arange(d_sae), k), np.maximum(written, 0).reshape(-1)),
        ),
        shape=(d_sae, d_vocab),
    )
    return (writes @ of_feature).tocsr()


def _written_next(
    text: FiringText, firings: _Firings, written: Numbers, weights: NDArray[np.floating], f: int
) -> Numbers:
    """The places where a feature fires and a token that it writes follows."""
    places = firings.of(f)
    places = places[text.followed_places[places]]
    return places[np.isin(text.tokens[places + 1], written[f][weights[f] > 0])]


def _supported(
    text: FiringText,
    firings: _Firings,
    written: Numbers,
    weights: NDArray[np.floating],
    mechanism: sparse.csr_matrix,
    settings: MiningSettings,
) -> list[tuple[int, int]]:
    """Pairs with mechanism and support, by source and target."""
    d_sae = len(written)
    fires = sparse.csr_matrix(
        (np.ones(len(text.features), dtype=np.int32), text.features, text.bounds),
        shape=(len(text.tokens), d_sae),
    )
    pairs: list[tuple[int, int]] = []
    for begin in range(0, d_sae, _FEATURES_AT_ONCE):
        end = min(d_sae, begin + _FEATURES_AT_ONCE)
        own = [_written_next(text, firings, written, weights, f) for f in range(begin, end)]
        bounds = np.cumsum([0, *map(len, own)])
        nexts = np.concatenate(own) + 1
        first = sparse.csr_matrix(
            (np.ones(len(nexts), dtype=np.int32), nexts, bounds),
            shape=(end - begin, len(text.tokens)),
        )
        times = (first @ fires).toarray()
        fired = np.diff(firings.starts)[begin:end, None]
        enough = (times >= np.maximum(settings.support, settings.share * fired)) & (
            mechanism[begin:end].toarray() >= settings.mechanism
        )
        sources, targets = np.nonzero(enough)
        pairs += zip((sources + begin).tolist(), targets.tolist(), strict=True)
    return pairs


class _Measure:
    """What is measured of a pair; what concerns the source alone is kept while it is the same."""

    def __init__(
        self,
        text: FiringText,
        firings: _Firings,
        written: Numbers,
        weights: NDArray[np.floating],
    ) -> None:
        self._text = text
        self._firings = firings
        self._written = written
        self._weights = weights
        _, self._documents = np.unique(text.documents, return_inverse=True)
        self._n_documents = int(self._documents.max(initial=-1)) + 1
        followed = text.followed_places
        self._n_followed = int(followed.sum())
        self._d_vocab = int(max(text.tokens.max(initial=0), written.max(initial=0))) + 1
        self._of_token = np.maximum(np.bincount(text.tokens[followed], minlength=self._d_vocab), 1)
        self._source = -1

    def _take(self, source: int) -> None:
        text = self._text
        places = self._firings.of(source)
        self._places = places[text.followed_places[places]]
        self._fires = np.zeros(len(text.tokens), dtype=bool)
        self._fires[self._places] = True
        self._writes = np.zeros(self._d_vocab, dtype=bool)
        self._writes[self._written[source][self._weights[source] > 0]] = True
        self._by_document = self._per_document(self._places)
        self._source = source

    def _per_document(
        self, places: Numbers, weights: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        counted = np.bincount(self._documents[places], weights, minlength=self._n_documents)
        return counted.astype(np.float64)

    def of(self, source: int, target: int) -> dict[str, Any]:
        """The figures of one pair but its mechanism and its corrected p."""
        if source != self._source:
            self._take(source)
        text = self._text
        # Places before the target's firings, a written token between: with or without the source.
        before = self._firings.of(target) - 1
        before = before[before >= 0]
        before = before[text.followed_places[before]]
        base = len(before) / max(1, self._n_followed)
        before = before[self._writes[text.tokens[before + 1]]]
        chance = np.bincount(text.tokens[before], minlength=self._d_vocab) / self._of_token
        steps = before[self._fires[before]]
        happened = self._per_document(steps)
        expected = self._per_document(self._places, chance[text.tokens[self._places]])
        n, support = len(self._places), len(steps)
        share = support / max(1, n)
        ends = interval(share, _left_out(happened, self._by_document), 0.0)
        low, high = ends or (np.nan, np.nan)
        kinds, times = np.unique(text.tokens[steps + 1], return_counts=True)
        order = np.argsort(-times, kind="stable")
        return {
            "source": source,
            "target": target,
            "support": support,
            "documents": int((happened > 0).sum()),
            "firings": n,
            "share": share,
            "low": float(low),
            "high": float(min(1.0, high)),
            "base": base,
            "lift": share / base if base else 0.0,
            "beyond": float(support / expected.sum()) if expected.sum() else 0.0,
            "p": _p(happened - expected),
            "tokens": tuple(zip(kinds[order].tolist(), times[order].tolist(), strict=True)),
        }


def _left_out(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part over whole without each document that has any of the whole."""
    some = whole > 0
    rest = whole.sum() - whole[some]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((part.sum() - part[some]) / rest)


def _p(excess: NDArray[np.float64]) -> float:
    """One-sided p of a sum of independent excesses that is expected to be 0."""
    squares = np.where(np.abs(excess) < _NOTHING, 0.0, excess) ** 2
    total = float(squares.sum())
    if total == 0:
        return 1.0
    freedom = max(1.0, total**2 / float((squares**2).sum()) - 1.0)
    return float(special.stdtr(freedom, -float(excess.sum()) / np.sqrt(total)))
