"""What the store knows of a model or a dictionary, as the worker is told of it."""

from __future__ import annotations

from app.views import DictionaryView
from app.worker.protocol import DictionaryRef, ModelRef


def model_ref(dictionary: DictionaryView) -> ModelRef:
    """The language model of a dictionary."""
    return ModelRef(
        path=dictionary.model_path,
        checksum=dictionary.model_checksum,
        dtype=dictionary.model_dtype,
    )


def dictionary_ref(dictionary: DictionaryView) -> DictionaryRef:
    """The dictionary; the neuron basis has no path and no checksum."""
    return DictionaryRef(
        path=dictionary.path,
        hook_point=dictionary.hook_point,
        checksum=None if dictionary.path is None else dictionary.checksum,
    )
