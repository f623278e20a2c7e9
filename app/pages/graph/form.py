"""The form of a graph as it is drawn: what may be chosen, and what was."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from app.errors import FeaturescopeError
from app.pages.graph.questions import NEURONS, USUAL_MEMORY, USUAL_NODES, submitted
from app.store.types.catalogue import DictionaryView
from app.web.errors import field_of
from app.web.model import AddressedModel
from app.worker.client.graphs import usual
from app.worker.protocol.requests import MOST_NODES


@dataclass(frozen=True)
class GraphForm:
    """The form.

    Attributes:
        of: the model.
        text: the prompt, as it was typed.
        targets: tokens, as they were typed.
        features: `dictionary:index@position` of each.
        names: chosen dictionaries; `NEURONS`: neurons where there is none.
        nodes: features to keep, as it was typed.
        memory: GiB, as it was typed.
        problem: why it cannot be done; empty: it can, or was not asked.
        place: the field that it is about.
    """

    of: AddressedModel
    text: str
    targets: tuple[str, ...]
    features: tuple[str, ...]
    names: tuple[str, ...]
    nodes: str
    memory: str
    problem: str = ""
    place: str = ""

    most_nodes = MOST_NODES
    neurons = NEURONS

    @classmethod
    def read(cls, model: AddressedModel, fields: Iterable[tuple[str, str]]) -> GraphForm:
        """What an address or a form says; where it makes no sense, `problem` says why."""
        values = list(fields)
        every: dict[str, list[str]] = {}
        for name, value in values:
            every.setdefault(name, []).append(value)
        names = every.get("d") or usual(model.dictionaries) or [NEURONS]
        made = cls(
            of=model,
            text=(every.get("text") or [""])[-1],
            targets=tuple(filter(None, every.get("target", []))),
            features=tuple(filter(None, every.get("feature", []))),
            names=tuple(dict.fromkeys(names)),
            nodes=(every.get("nodes") or [str(USUAL_NODES)])[-1],
            memory=(every.get("memory") or [f"{USUAL_MEMORY:g}"])[-1],
        )
        try:
            submitted(values)
        except FeaturescopeError as error:
            return made.refused(error)
        return made

    def refused(self, error: FeaturescopeError) -> GraphForm:
        """The same with the sentence that says why not."""
        return replace(self, problem=str(error), place=field_of(error))

    @property
    def dictionaries(self) -> list[DictionaryView]:
        """Those with features, transcoders first; neurons are chosen for all layers."""
        views = [view for view in self.of.dictionaries.values() if not view.is_neurons]
        return sorted(views, key=lambda view: (not view.is_transcoder, view.hook_point, view.name))
