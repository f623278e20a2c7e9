"""The model that an address names, and its harvested dictionaries."""

from __future__ import annotations

from collections.abc import Mapping

from app.errors import InvalidRequest, NotFound
from app.store.store import Store
from app.store.types.catalogue import DictionaryView, FeatureRow
from app.worker.client.references import without_model

Dictionaries = Mapping[str, DictionaryView]


def dictionaries_of(store: Store, model: str) -> Dictionaries:
    """The harvested dictionaries of a model by name, those before neuron bases.

    Raises:
        NotFound: there is no such model, or nothing was harvested with it.
        InvalidRequest: it was imported without its weights.
    """
    catalogue = store.catalogue()
    found = [view for view in catalogue if view.model == model and view.harvest is not None]
    if any(view.is_imported for view in found):
        raise InvalidRequest(without_model(model))
    if not found:
        usable = [view for view in catalogue if view.harvest is not None and not view.is_imported]
        known = sorted({view.model for view in usable})
        there = f"There are {', '.join(known)}." if known else "Harvest one first."
        raise NotFound(f"There is no harvested model {model!r}. {there}")
    return {view.name: view for view in sorted(found, key=lambda view: view.is_neurons)}


def dictionary_of(dictionaries: Dictionaries, name: str) -> DictionaryView:
    """The dictionary of that name.

    Raises:
        NotFound: there is none, naming those that there are.
    """
    if (found := dictionaries.get(name)) is not None:
        return found
    model = next(iter(dictionaries.values())).model
    raise NotFound(f"{model} has no dictionary {name!r}; it has {', '.join(dictionaries)}.")


def row_of(store: Store, dictionary: DictionaryView, index: int) -> FeatureRow:
    """What the store knows of a feature.

    Raises:
        InvalidRequest: there is no such feature.
    """
    row = store.rows(dictionary, [index]).get(index)
    if row is None:
        raise unknown(dictionary, index, "feature")
    return row


def unknown(dictionary: DictionaryView, index: int, field: str = "") -> InvalidRequest:
    """The error that a feature does not exist; `field`: the value that names it."""
    return InvalidRequest(
        f"{dictionary.title} has features 0 to {dictionary.d_sae - 1}; there is no feature "
        f"{index}.",
        field,
    )
