"""`verify`: a sample of what the store says of a dictionary, computed again from its weights."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.errors import InvalidRequest
from app.jobs.source import open_windows
from app.settings import Settings
from app.store.store import open_store
from app.store.types.catalogue import DictionaryView
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.process.shelf import Shelf
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.harvest.recomputation import (
    Check,
    check_activations,
    check_consistency,
    check_densities,
    check_weights,
)
from sae_core.harvest.records import FeatureRecord, WindowRecord
from sae_core.language_model.model import LanguageModel
from sae_core.text.reading import Packing, TextReading

CONTEXTS = 12  # of a feature, drawn from all of its groups


@dataclass(frozen=True)
class Verification:
    """What came of it.

    Attributes:
        title: `model/dictionary`.
        features: the sample, by index.
        checks: by kind.
    """

    title: str
    features: tuple[int, ...]
    checks: tuple[Check, ...]

    @property
    def differ(self) -> int:
        """Figures that are not what the weights give."""
        return sum(check.differ for check in self.checks)


def verify(
    settings: Settings,
    model: str,
    dictionary: str,
    n_features: int,
    seed: int = 0,
    corpus: str | None = None,
    column: str = "text",
    tokens: int = 16_384,
    say: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Compute figures of `n_features` features again and compare.

    That model and dictionary are those the store was filled from is checked by their checksums.

    Args:
        settings: where the store is, and the device.
        model: name of the model.
        dictionary: name of the dictionary.
        n_features: how many features are drawn; of the living ones as long as there are any.
        seed: of the draw.
        corpus: the harvested text, as the command was given it; None: densities are not counted.
        column: of that text, where it is in columns.
        tokens: how much of that text to count on.
        say: receives a sentence on what happens next.

    Raises:
        NotFound: nothing is published of such a dictionary.
        FeaturescopeError: the weights are gone, or are others than those of the harvest.
    """
    with open_store(settings, upgrade=False) as store:
        view = store.dictionary(model, dictionary)
        firings = store.scales(view).firings
        sample = _sample(firings > 0, n_features, seed)
        pages = [store.feature(view, index) for index in sample]
    say(f"Loading {view.title}")
    shelf = Shelf(settings.device, sys.maxsize)  # one model and one dictionary, whatever their size
    loaded = shelf.model(model_ref(view))
    weights = shelf.dictionary(model_ref(view), dictionary_ref(view))
    say(f"Comparing {len(sample)} features")
    records = [page.record for page in pages]
    windows: dict[int, WindowRecord] = {}
    for page in pages:
        windows |= {number: page.windows[number] for number in _contexts(page.record, seed)}
    checks = [check_activations(loaded, weights, records, windows)]
    checks += check_weights(loaded, weights, records)
    checks.append(check_consistency(records))
    if corpus is not None:
        say(f"Counting on {tokens:,} tokens of {corpus}")
        reading = _reading(view, corpus, column)
        checks += _densities(settings, view, loaded, weights, firings, reading, tokens, seed)
    return Verification(view.title, tuple(sample), tuple(checks))


def _sample(alive: np.ndarray[tuple[int], np.dtype[np.bool_]], count: int, seed: int) -> list[int]:
    living, dead = np.flatnonzero(alive).tolist(), np.flatnonzero(~alive).tolist()
    draw = random.Random(seed)  # noqa: S311
    chosen = draw.sample(living, min(count, len(living)))
    return sorted(chosen + draw.sample(dead, min(count - len(chosen), len(dead))))


def _contexts(record: FeatureRecord, seed: int) -> list[int]:
    numbers = sorted({n for group in record.groups for n in group.examples.windows.tolist()})
    draw = random.Random(seed)  # noqa: S311
    return draw.sample(numbers, min(CONTEXTS, len(numbers)))


def _reading(view: DictionaryView, corpus: str, column: str) -> TextReading:
    """A text read as far, in the order and packed as the store says of the harvested one."""
    assert view.corpus is not None
    details = view.corpus.details
    order = re.search(r"seed (\d+)", str(details.get("order", "")))
    read = re.search(r"([\d,]+) tokens", str(details.get("read", "")))
    return TextReading(
        corpus,
        column=column,
        n_tokens=int(read[1].replace(",", "")) if read else None,
        shuffle=int(order[1]) if order else None,
        packing=Packing.JOINED if "end to end" in str(details.get("packing", "")) else Packing.NONE,
    )


def _densities(
    settings: Settings,
    view: DictionaryView,
    model: LanguageModel,
    dictionary: Dictionary,
    firings: np.ndarray[tuple[int], np.dtype[np.int64]],
    reading: TextReading,
    tokens: int,
    seed: int,
) -> list[Check]:
    """Counts on windows drawn from those that were harvested."""
    assert view.harvest is not None
    windows = open_windows(settings, model, reading, view.harvest.n_ctx)
    if (fingerprint := windows.corpus.fingerprint) != view.harvest.fingerprint:
        raise InvalidRequest(
            f"{reading.corpus} is not the text that {view.title} was harvested on: its fingerprint "
            f"is {fingerprint[:12]}…, the harvest's {view.harvest.fingerprint[:12]}…."
        )
    harvested = windows.select(None, view.harvest.seed)[: view.harvest.n_windows]
    drawn = np.random.default_rng(seed).permutation(harvested)
    until = int(np.searchsorted(np.cumsum(windows.lengths(drawn)), tokens)) + 1
    return check_densities(
        model, dictionary, windows, np.sort(drawn[:until]), firings, view.n_tokens
    )
