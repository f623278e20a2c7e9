"""What explainers and judges see of each feature, and of directions without meaning."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.jobs.explain.excerpts import Excerpt, for_scoring, over_the_range
from app.jobs.explain.explainers import Evidence
from app.jobs.explain.text_pool import PooledFirings, TextPool
from app.jobs.explain.verdicts import HeldOut
from app.store.types.catalogue import FeatureView
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.harvest.records import Ranking
from sae_core.language_model.vocabulary import Vocabulary

N_EVIDENCE = 20  # excerpts that an explainer sees
N_CONTRAST = 10
N_FIRING = 20  # excerpts, held out, in which a judged feature fires
N_HARD = N_RANDOM = 10
FEWEST = 4  # excerpts on either side, below which a feature is not explained
N_NEAREST = 5  # features whose firings are hard negatives
N_TOKENS = 10  # of a feature's logit weights
_RANDOM_TRIED = 400  # places looked at for excerpts in which a feature is silent


@dataclass(frozen=True)
class Subject:
    """A feature, or a direction without meaning, that is to be explained.

    Attributes:
        dictionary: it belongs to.
        feature: its index there.
        density: share of tokens on which it fires.
        maximum: its largest activation, model units.
        nearest: features of the same dictionary whose firings make hard negatives.
        raised: tokens whose logits it raises most.
        lowered: those it lowers most.
    """

    dictionary: Dictionary
    feature: int
    density: float
    maximum: float
    nearest: tuple[int, ...] = ()
    raised: tuple[str, ...] = ()
    lowered: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[int, int]:
        """Unique in a run."""
        return id(self.dictionary), self.feature


@dataclass(frozen=True)
class Material:
    """What is shown of one subject.

    Attributes:
        subject: what it is of.
        evidence: for explainers.
        held_out: for judges; no document is in both.
    """

    subject: Subject
    evidence: Evidence
    held_out: HeldOut

    @property
    def too_little(self) -> str:
        """Why it cannot be explained; empty where it can."""
        shown, judged = len(self.evidence.firing), len(self.held_out.firing)
        if min(shown, judged) >= FEWEST:
            return ""
        return (
            f"It fires in {shown} documents to explain it by and {judged} to judge that by, of the "
            f"text that was read; {FEWEST} of each are needed: read more with --tokens."
        )


def stored_subject(
    dictionary: Dictionary, view: FeatureView, vocabulary: Vocabulary, d_sae: int
) -> Subject:
    """A feature of the store."""
    record = view.record
    nearest = tuple(int(i) for i in record.nearest.ids[:N_NEAREST] if 0 <= i < d_sae)
    if not nearest:  # neurons have no directions in common
        nearest = tuple(int(i) for i in record.coactive.ids[:N_NEAREST])
    return Subject(
        dictionary=dictionary,
        feature=record.index,
        density=view.density,
        maximum=record.maximum,
        nearest=nearest,
        raised=_tokens(record.raised, vocabulary),
        lowered=_tokens(record.lowered, vocabulary),
    )


def example_windows(views: Sequence[FeatureView]) -> NDArray[np.int64]:
    """The windows of all examples of some features: rare ones fire nowhere else."""
    parts = [group.examples.windows for view in views for group in view.record.groups]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def materials(
    pool: TextPool,
    subjects: Sequence[Subject],
    seed: int,
    on_windows: Callable[[int], object] = lambda _: None,
) -> list[Material]:
    """Read the pool once, and draw what is shown of each subject."""
    wanted: dict[Dictionary, set[int]] = {}
    for subject in subjects:
        wanted.setdefault(subject.dictionary, set()).update((subject.feature, *subject.nearest))
    firings = pool.firings(wanted, on_windows)
    places = pool.places(seed)
    return [
        _material(pool, subject, firings[subject.dictionary], places, seed) for subject in subjects
    ]


def _material(
    pool: TextPool,
    subject: Subject,
    firings: Mapping[int, PooledFirings],
    places: NDArray[np.int64],
    seed: int,
) -> Material:
    own = firings[subject.feature]
    rng = np.random.default_rng([seed, subject.feature])
    firing = pool.excerpts(own)
    around = np.concatenate([firings[other].places for other in subject.nearest] or [places[:0]])
    hard = pool.silent_excerpts(own, rng.permutation(around)[:_RANDOM_TRIED])
    taken = {excerpt.document for excerpt in hard}
    begin = int(rng.integers(max(1, len(places) - _RANDOM_TRIED)))
    random = [
        excerpt
        for excerpt in pool.silent_excerpts(own, places[begin : begin + _RANDOM_TRIED])
        if excerpt.document not in taken
    ]
    parts = {
        scoring: (
            over_the_range(_half(firing, scoring, seed), n, seed),
            _half(hard, scoring, seed),
            _half(random, scoring, seed),
        )
        for scoring, n in ((False, N_EVIDENCE), (True, N_FIRING))
    }
    shown, judged = parts[False], parts[True]
    # Where similar features are rare, any text is taken instead.
    hard_ones = judged[1][:N_HARD]
    n_random = N_HARD + N_RANDOM - len(hard_ones)
    return Material(
        subject,
        Evidence(shown[0], (shown[1] or shown[2])[:N_CONTRAST], subject.raised, subject.lowered),
        HeldOut(judged[0], hard_ones, judged[2][:n_random]),
    )


def _half(excerpts: Collection[Excerpt], scoring: bool, seed: int) -> list[Excerpt]:
    return [e for e in excerpts if for_scoring(e.document, seed) is scoring]


def _tokens(ranking: Ranking, vocabulary: Vocabulary) -> tuple[str, ...]:
    pieces = (vocabulary.pieces[token] for token in ranking.ids[:N_TOKENS])
    return tuple(piece.decode("utf-8", "replace") for piece in pieces)
