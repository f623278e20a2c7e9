"""The model that an address names, with its harvested dictionaries."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends

from app.errors import InvalidRequest, NotFound
from app.rendering.tokens import Typeset
from app.store.store import Store
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.web.site import TheSite
from app.worker.client.references import without_model


@dataclass(frozen=True)
class AddressedModel:
    """A model whose features can be asked about.

    Attributes:
        store: what is known of its features.
        dictionaries: the harvested ones by name, those before neuron bases; at least one.
        typeset: its tokens, ready for pages.
    """

    store: Store
    dictionaries: Mapping[str, DictionaryView]
    typeset: Typeset

    @property
    def facts(self) -> DictionaryView:
        """Any of its dictionaries, for what each of them says of the model itself."""
        return next(iter(self.dictionaries.values()))

    @property
    def name(self) -> str:
        """What addresses call it."""
        return self.facts.model

    @property
    def leading(self) -> DictionaryView:
        """The dictionary whose features explain most: of those with features the one that costs the
        model least loss in the activation's place; neurons only where there is nothing else."""

        def cost(view: DictionaryView) -> tuple[bool, float]:
            extra = (view.evaluation or {}).get("extra_loss_fraction")
            if not isinstance(extra, (int, float)) or not math.isfinite(extra):
                extra = math.inf
            return view.is_neurons, float(extra)

        return min(self.dictionaries.values(), key=cost)

    def dictionary(self, name: str, *features: int) -> DictionaryView:
        """The dictionary of that name, which has these features.

        Raises:
            NotFound: there is no such dictionary, naming those that there are.
            InvalidRequest: it has no such feature.
        """
        if (view := self.dictionaries.get(name)) is None:
            known = ", ".join(self.dictionaries)
            raise NotFound(f"{self.name} has no dictionary {name!r}; it has {known}.")
        for index in features:
            if index >= view.d_sae:
                raise unknown(view, index)
        return view

    def row(self, dictionary: DictionaryView, index: int, field: str = "") -> FeatureRow:
        """What the store knows of a feature; `field`: the value that names it, for the error.

        Raises:
            InvalidRequest: there is no such feature.
        """
        row = self.store.rows(dictionary, [index]).get(index)
        if row is None:
            raise unknown(dictionary, index, field)
        return row


def unknown(dictionary: DictionaryView, index: int, field: str = "") -> InvalidRequest:
    """The error that a feature does not exist; `field`: the value that names it."""
    return InvalidRequest(
        f"{dictionary.title} has features 0 to {dictionary.d_sae - 1}; there is no feature "
        f"{index}.",
        field,
    )


def addressed(model: str, site: TheSite) -> AddressedModel:
    """The model of that name.

    Raises:
        NotFound: there is no such model, or nothing was harvested with it.
        InvalidRequest: it was imported without its weights.
    """
    return known_model(site.store, site.typeset, model)


def known_model(
    store: Store, typeset: Callable[[DictionaryView], Typeset], model: str
) -> AddressedModel:
    """The same, for those that have no site.

    Args:
        store: where it is.
        typeset: the tokens of a dictionary's model.
        model: its name.

    Raises:
        NotFound: there is no such model, or nothing was harvested with it.
        InvalidRequest: it was imported without its weights.
    """
    catalogue = store.catalogue()
    views = [view for view in catalogue if view.model == model and view.harvest is not None]
    if any(view.is_imported for view in views):
        raise InvalidRequest(without_model(model))
    if not views:
        usable = [view for view in catalogue if view.harvest is not None and not view.is_imported]
        known = sorted({view.model for view in usable})
        there = f"There are {', '.join(known)}." if known else "Harvest one first."
        raise NotFound(f"There is no harvested model {model!r}. {there}")
    views.sort(key=lambda view: view.is_neurons)
    return AddressedModel(store, {view.name: view for view in views}, typeset(views[0]))


TheModel = Annotated[AddressedModel, Depends(addressed)]
