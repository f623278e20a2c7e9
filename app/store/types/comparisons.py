"""Comparisons of dictionaries as they go into the store and come out of it: frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from sae_core.evaluation.comparison.figures import MatchFigures
from sae_core.evaluation.comparison.matches import Matches


@dataclass(frozen=True)
class Recurrence:
    """In how many other dictionaries of its hook point a feature was found again.

    Attributes:
        found: in so many.
        trainings: of so many that its dictionary was compared with.
    """

    found: int
    trainings: int


@dataclass(frozen=True)
class ComparisonSettings:
    """What a comparison was made on, and how.

    Attributes:
        corpus: the text's name.
        source: where it was read, in words.
        fingerprint: of the text.
        n_tokens: on which both fired or not.
        n_documents: that these tokens lie in.
        n_text: tokens of text in a window.
        seed: of the order of the windows and of the nulls.
        bar: least cosine or correlation that was asked for where a feature counts as found.
    """

    corpus: str
    source: str
    fingerprint: str
    n_tokens: int
    n_documents: int
    n_text: int
    seed: int
    bar: float


@dataclass(frozen=True)
class ComparedDictionary:
    """A dictionary of a comparison, as it was then.

    Attributes:
        subject: what the store knows its weights by, whatever they are called.
        model: name of its model.
        dictionary: its name.
        digest: of its harvest; empty: it had none.
        d_sae: its features.
        model_checksum: of its model.
        checksum: of its weights.
        hook_point: where it reads.
        architecture: such as `topk`.
        is_neurons: whether it is the neuron basis.
        silent: features that never fired on the text.
        rare: features that fired on it too seldom to be judged.
    """

    subject: str
    model: str
    dictionary: str
    digest: str
    d_sae: int
    model_checksum: str
    checksum: str
    hook_point: str
    architecture: str
    is_neurons: bool
    silent: int
    rare: int

    @property
    def title(self) -> str:
        """`model/dictionary`, for sentences."""
        return f"{self.model}/{self.dictionary}"


@dataclass(frozen=True)
class PairFigures:
    """What of one dictionary's features was found in another one.

    Attributes:
        source: place of the one in the comparison.
        target: place of the other.
        by_cosine: by decoder; None: their rows mean different coordinates, or are all 0.
        by_correlation: by activations; None: no feature could be judged.
        assigned: whether pairs one to one are the best assignment; else mutual best matches.
    """

    source: int
    target: int
    by_cosine: MatchFigures | None
    by_correlation: MatchFigures | None
    assigned: bool


@dataclass(frozen=True)
class PairMatches:
    """The matches of each feature of one dictionary in another one.

    Attributes:
        figures: what they come to.
        cosines: best matches by decoder; None: they cannot be compared so.
        correlations: best matches by activations.
        partners: one to one, by correlation.
    """

    figures: PairFigures
    cosines: Matches | None
    correlations: Matches
    partners: Matches


@dataclass(frozen=True)
class ComparisonRecord:
    """A comparison to be kept.

    Attributes:
        name: part of its address.
        identity: SHA-256 of all that decides the result.
        settings: how it was made.
        dictionaries: that were compared, in order.
        pairs: of each of them with each other one, both ways.
    """

    name: str
    identity: str
    settings: ComparisonSettings
    dictionaries: tuple[ComparedDictionary, ...]
    pairs: tuple[PairMatches, ...]


@dataclass(frozen=True)
class ComparedNow:
    """What has become of a compared dictionary since.

    Attributes:
        model: name of its model today; as it was where the weights are gone.
        dictionary: its name today; likewise.
        there: whether the store still has these weights.
        harvested: whether anything is published of them.
        anew: whether that is another harvest than at the time.
    """

    model: str
    dictionary: str
    there: bool
    harvested: bool
    anew: bool


@dataclass(frozen=True)
class ComparisonView:
    """A comparison, without the single matches.

    Attributes:
        id: in the store.
        name: part of its address.
        identity: SHA-256 of all that decided the result.
        settings: how it was made.
        dictionaries: that were compared, in order, as they were.
        now: what has become of each.
        pairs: figures by places of source and target.
    """

    id: int
    name: str
    identity: str
    settings: ComparisonSettings
    dictionaries: tuple[ComparedDictionary, ...]
    now: tuple[ComparedNow, ...]
    pairs: dict[tuple[int, int], PairFigures]


@dataclass(frozen=True)
class TwinView:
    """The features of another dictionary that are most like a given one.

    Attributes:
        comparison: name of the comparison.
        source: place of the given feature's dictionary there.
        target: place of the other one.
        other: the other dictionary, as it was.
        now: what has become of it.
        figures: of all features of the pair.
        by_correlation: index and correlation of the best match; None: it cannot be judged.
        by_cosine: index and cosine of the best match; None: there is none.
        partner: index and correlation of the feature it is paired with, one to one; None: none.
        mutual: whether it is in turn the best match by correlation of its own best match.
    """

    comparison: str
    source: int
    target: int
    other: ComparedDictionary
    now: ComparedNow
    figures: PairFigures
    by_correlation: tuple[int, float] | None
    by_cosine: tuple[int, float] | None
    partner: tuple[int, float] | None
    mutual: bool
