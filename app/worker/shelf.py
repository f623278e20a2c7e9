"""The last few models and dictionaries used, kept loaded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from app.errors import InvalidRequest
from app.worker.protocol import DictionaryRef, ModelRef
from sae_core.errors import CheckpointError, ModelError

if TYPE_CHECKING:
    from sae_core.dictionary import Dictionary
    from sae_core.language_model import LanguageModel

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The `capacity` values used last."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._values: OrderedDict[K, V] = OrderedDict()

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def get(self, key: K, load: Callable[[], V]) -> V:
        """The value of `key`, loaded if need be; room is made before loading, not after."""
        if key not in self._values:
            while len(self._values) >= self.capacity:
                self._values.popitem(last=False)
            self._values[key] = load()
        self._values.move_to_end(key)
        return self._values[key]


class Shelf:
    """Models and dictionaries by path and checksum, read from disk when they are asked for.

    What is loaded stays what it was when the checksum was taken, even if the file changes after.
    """

    def __init__(self, device: str, models: int, dictionaries: int) -> None:
        self._device = device
        self._models: Recent[ModelRef, LanguageModel] = Recent(models)
        self._dictionaries: Recent[tuple[ModelRef, DictionaryRef], Dictionary] = Recent(
            dictionaries
        )

    def holds(self, model: ModelRef, dictionary: DictionaryRef) -> bool:
        """Whether both are loaded already."""
        return model in self._models and (model, dictionary) in self._dictionaries

    def model(self, ref: ModelRef) -> LanguageModel:
        """The language model.

        Raises:
            ModelError: it cannot be loaded, or is not the one that was asked for.
        """
        return self._models.get(ref, lambda: _load_model(ref, self._device))

    def dictionary(self, model_ref: ModelRef, ref: DictionaryRef) -> Dictionary:
        """The dictionary, known to fit its model.

        Raises:
            CheckpointError: it cannot be loaded, is not what was asked for, or does not fit.
            HookPointError: the model has no such hook point, or one of another width.
        """
        model = self.model(model_ref)
        return self._dictionaries.get(
            (model_ref, ref), lambda: _load_dictionary(ref, model, self._device)
        )


def _load_model(ref: ModelRef, device: str) -> LanguageModel:
    from sae_core.language_model import load_model

    model = load_model(Path(ref.path), dtype=ref.dtype, device=device)
    if model.checksum != ref.checksum:
        raise ModelError(
            f"The model in {ref.path} has changed: its checksum is {model.checksum[:12]}…, the "
            f"store was filled from {ref.checksum[:12]}…. Put the old files back or harvest again."
        )
    return model


def _load_dictionary(ref: DictionaryRef, model: LanguageModel, device: str) -> Dictionary:
    from sae_core.checkpoint import dictionary_checksum, load_dictionary, neuron_basis

    if ref.path is None:
        return neuron_basis(ref.hook_point, model.hook_point(ref.hook_point).d_in).to(device)
    if ref.checksum is None:
        raise InvalidRequest("A dictionary on disk needs a checksum.")
    folder = Path(ref.path)
    if (found := dictionary_checksum(folder)) != ref.checksum:
        raise CheckpointError(
            f"The dictionary in {folder} has changed: its checksum is {found[:12]}…, the store "
            f"was filled from {ref.checksum[:12]}…. Put the old files back or harvest again."
        )
    dictionary = load_dictionary(folder, device)
    if dictionary.hook_point != ref.hook_point:
        raise CheckpointError(
            f"The dictionary in {folder} is for {dictionary.hook_point}, not {ref.hook_point}."
        )
    model.hook_point(ref.hook_point, dictionary.d_in)
    return dictionary
