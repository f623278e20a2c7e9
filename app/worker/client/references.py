"""What the store knows of a model or a dictionary, as the worker is told of it."""

from __future__ import annotations

from app.errors import InvalidRequest
from app.store.types.catalogue import DictionaryView
from app.worker.protocol.requests import DictionaryRef, ModelRef


def model_ref(dictionary: DictionaryView) -> ModelRef:
    """The language model of a dictionary.

    Raises:
        InvalidRequest: it was imported without its model.
    """
    if dictionary.is_imported:
        raise InvalidRequest(without_model(dictionary.title))
    return ModelRef(
        path=dictionary.model_path,
        checksum=dictionary.model_checksum,
        dtype=dictionary.model_dtype,
        # Harvests of before this was noted had BOS wherever the model has one.
        prepend_bos=bool(dictionary.details.get("prepend_bos", True)),
    )


def without_model(title: str) -> str:
    """Why nothing can be computed for an imported dictionary or model."""
    return (
        f"{title} was imported without its model: its stored contexts, histograms and logits can "
        "be read, but nothing can be ablated, prompted or steered. `featurescope harvest` with the "
        "weights makes a dictionary that can."
    )


def dictionary_ref(dictionary: DictionaryView) -> DictionaryRef:
    """The dictionary; the neuron basis has no path and no checksum."""
    return DictionaryRef(
        path=dictionary.path,
        hook_point=dictionary.hook_point,
        checksum=None if dictionary.path is None else dictionary.checksum,
    )
