"""Automata of a dictionary: mined from what its harvest kept, and checked by steering."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.store.store import Store
from app.store.types.automata import MinedAutomata, TriedStep
from app.store.types.catalogue import DictionaryView
from app.worker.client.steps import firing_text, step_trial, trial_arm
from app.worker.protocol.events import Event, StepArm
from app.worker.protocol.requests import TryStepRequest
from sae_core.circuits.automata.mining import Mined, MiningSettings, Step, mining_steps
from sae_core.circuits.automata.shapes import automata

METHOD = 2
"""Counted up when automata come out differently."""
_ROWS = 1024  # features that are read together

Work = Callable[[TryStepRequest], Iterable[Event]]


def mine_automata(store: Store, dictionary: DictionaryView, settings: MiningSettings) -> Mined:
    """Mine half of a dictionary's kept documents, with bars, and keep the automata with what
    becomes of their steps on the other half.

    Nothing is kept before all is mined: where it is interrupted, those of before stay.

    Raises:
        InvalidRequest: its harvest kept no text.
        NotFound: nothing is published of the dictionary.
    """
    text = firing_text(store, dictionary, progress=lambda steps: tqdm(steps, desc="reading"))
    written, weights = _written(store, dictionary)
    text, held = text.halves()
    steps = mining_steps(text, written, weights, settings, held)
    with tqdm(desc="mining", unit="pairs") as bar:
        while True:
            try:
                done, total = next(steps)
            except StopIteration as end:
                mined: Mined = end.value
                break
            bar.total = total
            bar.update(done - bar.n)
    parameters = {
        "method": METHOD,
        **asdict(settings),
        "tested": mined.tested,
        "supported": mined.supported,
        "steps": len(mined.steps),
        "n_tokens": mined.n_tokens,
        "n_documents": mined.n_documents,
        "held_documents": mined.held_documents,
        "held_above": mined.held_above,
        "held_beyond": mined.held_beyond,
    }
    store.search.automata.save(dictionary, MinedAutomata(automata(mined.steps), parameters))
    return mined


def check_steps(
    store: Store, dictionary: DictionaryView, steps: Iterable[Step], work: Work
) -> Iterator[TriedStep]:
    """Check steps by steering, one after the other, and keep what each check says."""
    for step in steps:
        events = work(step_trial(store, dictionary, step))
        arms = tuple(trial_arm(event) for event in events if isinstance(event, StepArm))
        tried = TriedStep(step.source, step.target, arms)
        store.search.automata.save_trial(dictionary, tried)
        yield tried


def _written(
    store: Store, dictionary: DictionaryView
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tokens that each feature writes, and their logit weights, [d_sae, k]."""
    k = 10
    written = np.full((dictionary.d_sae, k), -1, dtype=np.int64)
    weights = np.zeros((dictionary.d_sae, k))
    for begin in range(0, dictionary.d_sae, _ROWS):
        rows = store.rows(dictionary, range(begin, min(dictionary.d_sae, begin + _ROWS)))
        for index, row in rows.items():
            n = min(k, len(row.raised.ids))
            written[index, :n], weights[index, :n] = row.raised.ids[:n], row.raised.weights[:n]
    return written, weights
