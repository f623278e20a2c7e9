"""What is asked of the worker to check a step of an automaton, from what the store knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidRequest
from app.store.store import Store
from app.store.types.automata import TrialArm
from app.store.types.catalogue import DictionaryView
from app.worker.client.references import dictionary_ref, model_ref, opens_with_bos
from app.worker.protocol.events import StepArm
from app.worker.protocol.requests import TryStepRequest
from sae_core.circuits.automata.mining import Step
from sae_core.circuits.automata.text import FiringText
from sae_core.harvest.kept_firings import KeptText, firings_at

STRENGTHS = (1.0, 2.0, 4.0, 8.0)
CONTEXTS = 96
"""Most contexts that a step is tried on, each of a document of its own."""
LENGTH = 24
"""Tokens of each."""
OTHERS = 12
"""Random features that are steered in the source's place."""
SEED = 0
FEWEST = 5
_AT_ONCE = 512  # windows that are unpacked together
_TRIES = 4  # windows that are drawn for each context


def firing_text(
    store: Store,
    dictionary: DictionaryView,
    windows: NDArray[np.int64] | None = None,
    progress: Callable[[range], Iterable[int]] = iter,
) -> FiringText:
    """What a harvest kept, of some windows or of all of them.

    Raises:
        InvalidRequest: nothing is kept.
    """
    text = kept_text(store, dictionary)
    windows = np.arange(len(text.numbers)) if windows is None else windows
    lengths = np.diff(text.bounds)[windows]
    counts, features = [np.zeros(1, dtype=np.int64)], []
    for begin in progress(range(0, len(windows), _AT_ONCE)):
        some = windows[begin : begin + _AT_ONCE]
        packed = store.search.kept.firings(dictionary, some)
        if packed is None:
            raise InvalidRequest(f"{dictionary.title} was harvested again just now: ask again.")
        n = lengths[begin : begin + _AT_ONCE]
        bounds, fired = firings_at(packed, n, np.ones(int(n.sum()), dtype=bool), text.order)
        counts.append(np.diff(bounds))
        features.append(fired)
    tokens = [text.tokens[text.bounds[w] : text.bounds[w + 1]] for w in windows.tolist()]
    return FiringText(
        tokens=np.concatenate(tokens).astype(np.int64),
        windows=np.repeat(np.arange(len(windows)), lengths),
        documents=np.repeat(text.documents[windows], lengths),
        bounds=np.cumsum(np.concatenate(counts)),
        features=np.concatenate(features),
    )


def kept_text(store: Store, dictionary: DictionaryView) -> KeptText:
    """The text that a harvest kept.

    Raises:
        InvalidRequest: it kept none.
    """
    text = store.search.kept.text(dictionary)
    if text is None:
        raise InvalidRequest(
            f"The store keeps no text of {dictionary.title} with what fires on it: harvest it "
            "again with this version, then mine."
        )
    return text


def step_trial(store: Store, dictionary: DictionaryView, step: Step) -> TryStepRequest:
    """What the worker is asked to check a step.

    Raises:
        InvalidRequest: see `trial_request`.
    """
    text = firing_text(store, dictionary, drawn_windows(kept_text(store, dictionary)))
    row = store.rows(dictionary, [step.source]).get(step.source)
    written = () if row is None else tuple(row.raised.ids[row.raised.weights > 0].tolist())
    bos = store.vocabulary(dictionary.model_id).bos
    maxima = store.scales(dictionary).maxima
    return trial_request(dictionary, step, text, bos, maxima, written)


def drawn_windows(text: KeptText) -> NDArray[np.int64]:
    """Places of random windows that are long enough, each of another document, int64 [n]."""
    lengths = np.diff(text.bounds)
    order = np.random.default_rng(SEED).permutation(len(text.numbers))
    order = order[lengths[order] >= LENGTH]
    _, first = np.unique(text.documents[order], return_index=True)
    return np.sort(order[np.sort(first)][: _TRIES * CONTEXTS])


def trial_request(
    dictionary: DictionaryView,
    step: Step,
    text: FiringText,
    bos: int | None,
    maxima: NDArray[np.float64],
    written: tuple[int, ...],
) -> TryStepRequest:
    """The worker's request: contexts are the first tokens of windows on which the source is silent.

    Args:
        dictionary: of both features.
        step: to be checked.
        text: of the windows that may serve, with what fires on them.
        bos: the token that opens a text, where the model has one.
        maxima: largest activation of each feature, [d_sae].
        written: tokens that the source writes.

    Raises:
        InvalidRequest: it was imported without its model, the source never fires, or it is silent
            on too few windows.
    """
    model = model_ref(dictionary)
    starts = np.flatnonzero(np.diff(text.windows, prepend=-1))
    fires = np.zeros(len(text.tokens) + 1, dtype=np.int64)
    at = np.repeat(np.arange(len(text.tokens)), np.diff(text.bounds))
    fires[at[text.features == step.source]] = 1
    silent = [s for s in starts.tolist() if not fires[s : s + LENGTH].any()][:CONTEXTS]
    if len(silent) < FEWEST:
        raise InvalidRequest(
            f"There are {len(silent)} kept contexts on which feature {step.source} is silent, and "
            f"a check needs {FEWEST}."
        )
    lead = (bos,) if bos is not None and opens_with_bos(dictionary) else ()
    alive = np.flatnonzero(maxima > 0)
    alive = alive[~np.isin(alive, (step.source, step.target))]
    others = np.random.default_rng((SEED, step.source)).permutation(alive)[:OTHERS]
    return TryStepRequest(
        model=model,
        dictionary=dictionary_ref(dictionary),
        source=step.source,
        target=step.target,
        maximum=float(maxima[step.source]),
        strengths=STRENGTHS,
        contexts=tuple((*lead, *(int(t) for t in text.tokens[s : s + LENGTH])) for s in silent),
        written=written,
        others=tuple(others.tolist()),
    )


def trial_arm(event: StepArm) -> TrialArm:
    """What the worker says, as the store keeps it."""
    return TrialArm(event.arm, event.strength, event.contexts, event.fired, event.wrote)
