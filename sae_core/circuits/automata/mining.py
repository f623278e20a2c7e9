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

What counts as a step is chosen on the text that is mined. Its figures on another text, of other
documents, are *held out*: nothing was chosen by them.

Firings are taken as they are kept, without their strengths: any firing counts. Cost: one sparse
product of firings by firings for the counts, then for each pair with support and mechanism the
firings of its two features.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from sae_core.audit.contrast.ranks import benjamini_hochberg
from sae_core.circuits.automata.measure import Measure, TextFirings, mechanisms
from sae_core.circuits.automata.text import FiringText, Numbers

_FEATURES_AT_ONCE = 512  # of the sparse product


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
class HeldFigures:
    """A step's figures on documents by which nothing was chosen, as in `Step`.

    Attributes:
        support: times.
        firings: of the source that a token follows.
        share: support over firings; 0: no firings.
        lift: share over the target's rate there; 0: it never fires.
        mechanism: part of the written weight, with the target's tokens as they are there.
        beyond: lift beyond the tokens there.
    """

    support: int
    firings: int
    share: float
    lift: float
    mechanism: float
    beyond: float


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
        held: its figures on other documents; None: there were none.
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
    held: HeldFigures | None = None

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
        held_documents: of the held-out text; 0: there was none.
    """

    steps: tuple[Step, ...]
    tested: int
    supported: int
    n_tokens: int
    n_documents: int
    held_documents: int = 0

    @property
    def held_above(self) -> int:
        """Steps whose lift is above 1 on the held-out text, too."""
        return sum(step.held is not None and step.held.lift > 1 for step in self.steps)

    @property
    def held_beyond(self) -> int:
        """Steps whose lift beyond the tokens is above 1 there, too."""
        return sum(step.held is not None and step.held.beyond > 1 for step in self.steps)


def mine(
    text: FiringText,
    written: Numbers,
    weights: NDArray[np.floating],
    settings: MiningSettings | None = None,
    held: FiringText | None = None,
) -> Mined:
    """See `mining_steps`, all at once."""
    settings = settings or MiningSettings()
    steps = mining_steps(text, written, weights, settings, held)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            mined: Mined = end.value
            return mined


def mining_steps(
    text: FiringText,
    written: Numbers,
    weights: NDArray[np.floating],
    settings: MiningSettings,
    held: FiringText | None = None,
) -> Generator[tuple[int, int], None, Mined]:
    """Mine, yielding what is done and how much there is; returns a `Mined`.

    Args:
        text: with what fires on it.
        written: the tokens that each feature's logit weights raise most, int64 [d_sae, k]; -1 where
            there are fewer.
        weights: their logit weights, [d_sae, k]; those not above 0 do not count.
        settings: what counts as a step.
        held: text of other documents, on which the steps are measured again.
    """
    d_sae = len(written)
    weights = np.where((written >= 0) & np.isfinite(weights), np.maximum(weights, 0.0), 0.0)
    firings = TextFirings.of_text(text, d_sae)
    mechanism = mechanisms(text, written, weights)
    pairs = _supported(text, firings, written, weights, mechanism, settings)
    tested = int((mechanism.data >= settings.mechanism).sum())
    measure = Measure(text, firings, written, weights)
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
    if held is None or not kept:
        return Mined(kept, tested, len(pairs), len(text.tokens), n_documents)
    kept = tuple(_held_out(kept, held, written, weights))
    others = len(np.unique(held.documents))
    return Mined(kept, tested, len(pairs), len(text.tokens), n_documents, others)


def _held_out(
    steps: Sequence[Step], held: FiringText, written: Numbers, weights: NDArray[np.floating]
) -> Iterator[Step]:
    mechanism = mechanisms(held, written, weights)
    measure = Measure(held, TextFirings.of_text(held, len(written)), written, weights)
    for step in steps:
        values = measure.of(step.source, step.target)
        figures = {name: values[name] for name in ("support", "firings", "share", "lift", "beyond")}
        part = float(mechanism[step.source, step.target])
        yield replace(step, held=HeldFigures(**figures, mechanism=part))


def _counts(step: Step, settings: MiningSettings) -> bool:
    return (
        step.documents >= settings.documents
        and step.share >= settings.share
        and step.lift >= settings.lift
        and step.beyond >= settings.beyond
        and step.corrected <= settings.corrected
    )


def _written_next(
    text: FiringText, firings: TextFirings, written: Numbers, weights: NDArray[np.floating], f: int
) -> Numbers:
    """The places where a feature fires and a token that it writes follows."""
    places = firings.of(f)
    places = places[text.followed_places[places]]
    return places[np.isin(text.tokens[places + 1], written[f][weights[f] > 0])]


def _supported(
    text: FiringText,
    firings: TextFirings,
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
