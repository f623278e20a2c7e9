"""The models and dictionaries used last, kept loaded as far as there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Hashable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from app.errors import InvalidRequest
from app.worker.protocol.events import Progress
from app.worker.protocol.requests import DictionaryRef, ModelRef
from sae_core.errors import CheckpointError, ModelError

if TYPE_CHECKING:
    from sae_core.dictionaries.dictionary import Dictionary
    from sae_core.language_model.model import LanguageModel

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The values used last, as many as there is room for.

    Attributes:
        room: bytes of all values together.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def get(self, key: K, n_bytes: Callable[[], int], load: Callable[[], V], keep: K) -> V:
        """The value of `key`, loaded if need be; room is made before loading, not after.

        What was used longest ago goes first; `keep` stays.

        Raises:
            ModelError: it takes more room than there is.
        """
        if key not in self._values:
            size = n_bytes()
            self._make_room(size, keep)
            self._values[key] = load(), size
        self._values.move_to_end(key)
        return self._values[key][0]

    def _make_room(self, size: int, keep: K) -> None:
        kept = self._values[keep][1] if keep in self._values else 0
        if size + kept > self.room:
            with_it = f", with the {_gib(kept)} of its model" if kept else ""
            raise ModelError(
                f"This takes {_gib(size)}{with_it}, but the worker has room for {_gib(self.room)}: "
                "set FEATURESCOPE_WORKER_MEMORY to more GiB, or use a smaller dtype."
            )
        used = sum(other for _, other in self._values.values())
        for oldest in [key for key in self._values if key != keep]:
            if used + size <= self.room:
                return
            used -= self._values.pop(oldest)[1]


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.2g} GiB"


class Shelf:
    """Models and dictionaries by path and checksum, read from disk when they are asked for.

    What is loaded stays what it was when the checksum was taken, even if the file changes after.
    Counted are the bytes of the weights; what a request computes comes on top.
    """

    def __init__(self, device: str, room: int) -> None:
        self._device = device
        self._loaded: Recent[tuple[ModelRef, DictionaryRef | None], Any] = Recent(room)

    def holds(self, model: ModelRef, dictionary: DictionaryRef) -> bool:
        """Whether both are loaded already."""
        weights = _weights(model)
        return (weights, None) in self._loaded and (weights, dictionary) in self._loaded

    def model(self, ref: ModelRef) -> LanguageModel:
        """The language model, reading texts with BOS or without.

        Raises:
            ModelError: it cannot be loaded, is not the one that was asked for, or is too large.
        """
        key = (_weights(ref), None)
        model: LanguageModel = self._loaded.get(
            key, lambda: _model_bytes(ref), lambda: _load_model(ref, self._device), key
        )
        return model.opening(ref.prepend_bos)

    def dictionary(self, model_ref: ModelRef, ref: DictionaryRef) -> Dictionary:
        """The dictionary, known to fit its model.

        Raises:
            CheckpointError: it cannot be loaded, is not what was asked for, or does not fit.
            HookPointError: the model has no such hook point, or one of another width.
            ModelError: both together are too large.
        """
        model = self.model(model_ref)
        weights = _weights(model_ref)
        dictionary: Dictionary = self._loaded.get(
            (weights, ref),
            lambda: _dictionary_bytes(ref),
            lambda: _load_dictionary(ref, model, self._device),
            (weights, None),
        )
        return dictionary

    def dictionaries(
        self, model_ref: ModelRef, refs: Iterable[DictionaryRef]
    ) -> Generator[Progress, None, dict[DictionaryRef, Dictionary]]:
        """A model and dictionaries of it, for a job: whatever has to be read is a step of its own.

        Raises:
            ModelError: the model cannot be loaded, or is not the one that was asked for.
            CheckpointError: nor can a dictionary.
        """
        self.model(model_ref)
        loaded: dict[DictionaryRef, Dictionary] = {}
        for ref in dict.fromkeys(refs):
            if not self.holds(model_ref, ref):
                yield Progress(done=0, total=0)
            loaded[ref] = self.dictionary(model_ref, ref)
        return loaded


def _weights(ref: ModelRef) -> ModelRef:
    """What is loaded of a model, the same however its texts are opened."""
    return ref.model_copy(update={"prepend_bos": True})


def _model_bytes(ref: ModelRef) -> int:
    """Bytes of the model's weights once they are loaded, from its files' headers."""
    from sae_core.language_model.folder import find_model
    from sae_core.language_model.model import DTYPES

    if ref.dtype not in DTYPES:
        return 0  # loading says so
    return find_model(Path(ref.path)).n_parameters * DTYPES[ref.dtype].itemsize


def _dictionary_bytes(ref: DictionaryRef) -> int:
    """The same of a dictionary, which is kept in float32; a neuron basis has hardly any."""
    from sae_core.dictionaries.checkpoint import CONFIG, dictionary_files
    from sae_core.language_model.folder import parameters_in

    if ref.path is None:
        return 0
    try:
        folder = Path(ref.path)
        weights = [folder / name for name in dictionary_files(folder) if name != CONFIG]
        return 4 * sum(map(parameters_in, weights))
    except ModelError:  # loading says what is wrong
        return 0


def _load_model(ref: ModelRef, device: str) -> LanguageModel:
    from sae_core.language_model.model import load_model

    model = load_model(Path(ref.path), dtype=ref.dtype, device=device)
    if model.checksum != ref.checksum:
        raise ModelError(
            f"The model in {ref.path} has changed: its checksum is {model.checksum[:12]}…, the "
            f"store was filled from {ref.checksum[:12]}…. Put the old files back or harvest again."
        )
    return model


def _load_dictionary(ref: DictionaryRef, model: LanguageModel, device: str) -> Dictionary:
    from sae_core.dictionaries.checkpoint import dictionary_checksum, load_dictionary, neuron_basis
    from sae_core.dictionaries.places import places_of

    if ref.path is None:
        return neuron_basis(ref.hook_point, model.write_point(ref.hook_point).d_in).to(device)
    if ref.checksum is None:
        raise InvalidRequest("A dictionary on disk needs a checksum.")
    folder = Path(ref.path)
    if (checksum := dictionary_checksum(folder)) != ref.checksum:
        raise CheckpointError(
            f"The dictionary in {folder} has changed: its checksum is {checksum[:12]}…, the store "
            f"was filled from {ref.checksum[:12]}…. Put the old files back or harvest again."
        )
    dictionary = load_dictionary(folder, device)
    if dictionary.hook_point != ref.hook_point:
        raise CheckpointError(
            f"The dictionary in {folder} is for {dictionary.hook_point}, not {ref.hook_point}."
        )
    places_of(model, dictionary)
    return dictionary
