"""What graphs and circuits are made of: a model, and dictionaries of it or its neurons."""

from __future__ import annotations

from app.exchange.report.bench import RecomputingBench
from app.exchange.report.schema import ReportPart
from app.store.store import Store
from app.store.types.catalogue import DictionaryView
from app.worker.client.graphs import DTYPE
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.language_model.model import LanguageModel


class TracedDictionary(ReportPart):
    """A dictionary: its name, where it reads, and the checksum of its weights; empty: neurons."""

    name: str
    hook_point: str
    checksum: str


class TracedModel(ReportPart):
    """A model and dictionaries of it.

    Attributes:
        model: its name.
        checksum: of its weights and tokenizer.
        dictionaries: by place.
    """

    model: str
    checksum: str
    dictionaries: tuple[TracedDictionary, ...]

    def loaded(self, bench: RecomputingBench) -> tuple[LanguageModel, list[Dictionary]]:
        """Both, in float32.

        Raises:
            CannotRecompute: they are not here.
        """
        parts = [(part.hook_point, part.checksum) for part in self.dictionaries]
        return bench.traced(self.model, self.checksum, parts, DTYPE)


def views_of(store: Store, traced: TracedModel) -> tuple[DictionaryView, ...]:
    """Those of the dictionaries that the store has, for what a report says of weights and text."""
    own = {part.checksum for part in traced.dictionaries}
    return tuple(
        view
        for view in store.catalogue()
        if view.model == traced.model and view.checksum in own and not view.is_neurons
    )
