"""What the store knows of a model or a dictionary, as the worker is told of it."""

from __future__ import annotations

from collections.abc import Sequence

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
        prepend_bos=opens_with_bos(dictionary),
    )


def opens_with_bos(dictionary: DictionaryView) -> bool:
    """Whether texts are read with BOS before them, as this dictionary was harvested.

    Harvests of before this was noted had BOS wherever the model has one.
    """
    return bool(dictionary.details.get("prepend_bos", True))


def check_alike(views: Sequence[DictionaryView], field: str) -> None:
    """Refuse to read one text with dictionaries that read texts in different ways.

    Raises:
        InvalidRequest: naming one of each.
    """
    with_bos = [view.name for view in views if opens_with_bos(view)]
    without = [view.name for view in views if not opens_with_bos(view)]
    if with_bos and without:
        raise InvalidRequest(
            f"{with_bos[0]} reads texts with the token that opens them, {without[0]} without: one "
            "text cannot be both. Ask about one of them at a time.",
            field,
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
