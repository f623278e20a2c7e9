"""Levels of a stored monitor on the texts of an experiment, read by the unsteered model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from app.errors import InvalidRequest
from app.store.store import Store
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.process.shelf import Shelf
from sae_core.audit.monitors.levels import monitor_levels

_TOGETHER = 512  # texts between two steps of the bar


class TextMonitors:
    """Reads monitors of one model.

    Args:
        store: of the monitors.
        shelf: loads model and dictionaries.
        model: name of the model whose texts are read.
    """

    def __init__(self, store: Store, shelf: Shelf, model: str) -> None:
        self._store, self._shelf, self._model = store, shelf, model

    def check(self, name: str) -> str:
        """What identifies a monitor, by its name.

        Raises:
            NotFound: there is no such monitor, or no dictionary of it.
            InvalidRequest: it is of another model.
        """
        record = self._store.audit.monitors.view(name).record
        if record.model != self._model:
            raise InvalidRequest(
                f"The monitor {name!r:.80} is of the model {record.model}, the experiment of "
                f"{self._model}."
            )
        self._store.dictionary(record.model, record.dictionary)
        return record.question

    def levels(self, name: str, texts: Sequence[Sequence[Sequence[str]]]) -> NDArray[np.float64]:
        """The level of each text [prompts][arms][samples]; NaN where a text has no token."""
        record = self._store.audit.monitors.view(name).record
        view = self._store.dictionary(record.model, record.dictionary)
        ref = model_ref(view)
        model = self._shelf.model(ref)
        dictionary = self._shelf.dictionary(ref, dictionary_ref(view))
        different = list(dict.fromkeys(text for own in texts for arm in own for text in arm))
        known: dict[str, float] = {}
        with tqdm(desc=f"monitor {name}", total=len(different), unit="texts") as bar:
            for begin in range(0, len(different), _TOGETHER):
                some = different[begin : begin + _TOGETHER]
                read = monitor_levels(model, dictionary, record.details.monitor, some)
                known |= dict(zip(some, read.tolist(), strict=True))
                bar.update(len(some))
        return np.array([[[known[text] for text in arm] for arm in own] for own in texts])
