"""Comparing dictionaries of the store, and keeping the result."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from tqdm import tqdm

from app.errors import Conflict, InvalidRequest, NotFound
from app.jobs.comparison.parts import ComparedPart, ReadText, open_parts, read_text
from app.settings import Settings
from app.store.names import check_name
from app.store.store import Store, open_store
from app.store.tables.catalogue import canonical
from app.store.tables.comparisons.comparisons import another_comparison
from app.store.types.catalogue import DictionaryView
from app.store.types.comparisons import (
    ComparedDictionary,
    ComparisonRecord,
    ComparisonSettings,
    ComparisonView,
    PairFigures,
    PairMatches,
)
from app.store.written.texts import subject
from sae_core.evaluation.comparison.compare import Compared, compare_pair
from sae_core.evaluation.comparison.figures import DirectedComparison
from sae_core.evaluation.comparison.limits import BAR
from sae_core.evaluation.comparison.spaces import same_coordinates

TOKENS = 262_144
MOST_COMPARED = 12
_FULL = 100  # steps of the bar for each pair


@dataclass(frozen=True)
class ComparisonSpec:
    """What is compared, as the command names it.

    Attributes:
        targets: names of model and dictionary of each, in the store.
        name: part of the comparison's address; None: made of the dictionaries' names.
        tokens: how many are read, rounded up to whole windows.
        seed: of the order of the windows, and of the nulls.
        bar: least cosine or correlation at which a feature counts as found again.
        corpus: the text; None: the one that the first dictionary was harvested on.
        n_ctx: positions in a window; None: as in that harvest.
    """

    targets: tuple[tuple[str, str], ...]
    name: str | None = None
    tokens: int = TOKENS
    seed: int = 0
    bar: float = BAR
    corpus: str | None = None
    n_ctx: int | None = None

    def __post_init__(self) -> None:
        if len(self.targets) < 2:
            raise InvalidRequest("Name at least two dictionaries: MODEL/DICTIONARY each.")
        if len(self.targets) > MOST_COMPARED:
            raise InvalidRequest(
                f"At most {MOST_COMPARED} dictionaries are compared at once, each with every "
                f"other; these are {len(self.targets)}."
            )
        twice = [target for target in self.targets if self.targets.count(target) > 1]
        if twice:
            raise InvalidRequest(
                f"{'/'.join(twice[0])} is named twice: a dictionary is found again in itself."
            )
        if not 0 < self.bar <= 1:
            raise InvalidRequest(f"A bar of {self.bar:g} is none: give one above 0, up to 1.")
        check_name(self.title, "with --name")

    @property
    def title(self) -> str:
        """The comparison's name."""
        if self.name is not None:
            return self.name
        names = [name for _, name in self.targets]
        rest = names[1] if len(names) == 2 else f"{len(names) - 1} others"
        return f"{names[0]} with {rest}"


def compare(settings: Settings, spec: ComparisonSpec, replace: bool = False) -> ComparisonView:
    """Compare each dictionary with every other one; what is made already is not made again.

    It is kept at once, when all of it is known: interrupted, it leaves nothing behind.

    Args:
        settings: where the store is, and what is computed on.
        spec: what is compared.
        replace: let another comparison of the same name go.

    Raises:
        FeaturescopeError: something is missing or cannot be compared; the sentence says what.
    """
    with open_store(settings) as store:
        views = [store.dictionary(*target) for target in spec.targets]
        there = _there(store, spec.title)
    parts = open_parts(settings, views, spec.corpus, spec.n_ctx)
    windows = parts[0].windows
    order = windows.select(spec.tokens, spec.seed)
    identity = _identity(spec, parts)
    if there is not None:
        same = there.identity == identity
        if same and [d.digest for d in there.dictionaries] == [view.digest for view in views]:
            return there
        if not (same or replace):
            raise Conflict(another_comparison(spec.title))
    with tqdm(
        total=int(windows.lengths(order).sum()), desc="reading", unit="tok", unit_scale=True
    ) as bar:
        text = read_text(parts, order, bar.update)
    record = _record(spec, identity, parts, text)
    with open_store(settings) as store:
        store.comparisons.save(record, replace)
        return store.comparisons.view(spec.title)


def _there(store: Store, name: str) -> ComparisonView | None:
    try:
        return store.comparisons.view(name)
    except NotFound:
        return None


def _identity(spec: ComparisonSpec, parts: Sequence[ComparedPart]) -> str:
    """A hash of all that decides the result."""
    windows = parts[0].windows
    facts = {
        "dictionaries": [
            [
                *spec.targets[place],
                *(part.view.checksum, part.view.model_checksum, part.view.hook_point),
                part.model.vocabulary.bos is not None,
            ]
            for place, part in enumerate(parts)
        ],
        "text": [windows.corpus.fingerprint, windows.n_text, spec.tokens, spec.seed],
        "bar": spec.bar,
        "torch": torch.__version__,
    }
    return hashlib.sha256(canonical(facts).encode()).hexdigest()


def _record(
    spec: ComparisonSpec, identity: str, parts: Sequence[ComparedPart], text: ReadText
) -> ComparisonRecord:
    compared = [
        Compared(part.dictionary, firings)
        for part, firings in zip(parts, text.firings, strict=True)
    ]
    pairs: list[PairMatches] = []
    each = list(combinations(range(len(parts)), 2))
    with tqdm(total=_FULL * len(each), desc="comparing", unit="%", miniters=1) as bar:
        for number, (first, second) in enumerate(each):
            bar.set_postfix_str(f"{parts[first].view.name} with {parts[second].view.name}")

            def show(share: float, number: int = number) -> None:
                bar.update(round(_FULL * (number + share)) - bar.n)

            result = compare_pair(
                compared[first],
                compared[second],
                text.documents,
                spec.seed,
                spec.bar,
                _same_space(parts[first], parts[second]),
                show,
            )
            pairs.append(_pair(first, second, result.forth, result.assigned))
            pairs.append(_pair(second, first, result.back, result.assigned))
    windows = parts[0].windows
    return ComparisonRecord(
        name=spec.title,
        identity=identity,
        settings=ComparisonSettings(
            corpus=windows.corpus.name,
            source=windows.corpus.source,
            fingerprint=windows.corpus.fingerprint,
            n_tokens=len(text.documents),
            n_documents=len(set(text.documents.tolist())),
            n_text=windows.n_text,
            seed=spec.seed,
            bar=spec.bar,
        ),
        dictionaries=tuple(
            _compared(part.view, one) for part, one in zip(parts, compared, strict=True)
        ),
        pairs=tuple(pairs),
    )


def _same_space(first: ComparedPart, second: ComparedPart) -> bool:
    """Whether decoder rows of both mean the same coordinates."""
    same_model = first.view.model_checksum == second.view.model_checksum
    return same_model and same_coordinates(first.places.write, second.places.write)


def _pair(source: int, target: int, result: DirectedComparison, assigned: bool) -> PairMatches:
    return PairMatches(
        figures=PairFigures(
            source, target, result.by_cosine, result.by_correlation, assigned=assigned
        ),
        cosines=result.cosines,
        correlations=result.correlations,
        partners=result.partners,
    )


def _compared(view: DictionaryView, one: Compared) -> ComparedDictionary:
    return ComparedDictionary(
        subject=subject(view),
        model=view.model,
        dictionary=view.name,
        digest=view.digest,
        d_sae=view.d_sae,
        model_checksum=view.model_checksum,
        checksum=view.checksum,
        hook_point=view.hook_point,
        architecture=view.architecture,
        is_neurons=view.is_neurons,
        silent=one.silent,
        rare=one.rare,
    )
