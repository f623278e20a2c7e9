"""The kinds of work: each a generator of events that runs on the device thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from app.errors import InvalidRequest
from app.worker.limits import Limits
from app.worker.packing import pack
from app.worker.protocol import AblateRequest, Event, Progress
from app.worker.shelf import Shelf
from sae_core.errors import ModelError

if TYPE_CHECKING:
    from sae_core.dictionary import Dictionary
    from sae_core.language_model import LanguageModel


class Workbench(Protocol):
    """What the worker's application needs of the part that computes."""

    def prepare(self) -> None:
        """Make ready to work; the first thing the device thread does."""

    def ablate(self, request: AblateRequest) -> Iterator[Event]:
        """Steps whose events are ContextDone in the order of the contexts, and Progress."""


class TorchWorkbench:
    """The workbench that computes. Everything but its construction runs on the device thread."""

    def __init__(self, device: str, threads: int | None, limits: Limits) -> None:
        self._device = device
        self._threads = threads
        self._limits = limits
        self._shelf = Shelf(device, limits.models, limits.dictionaries)

    def prepare(self) -> None:
        """Import all that loading a model needs, which takes seconds, and look for the device.

        Raises:
            ModelError: this machine has no such device.
        """
        import torch
        from transformers import AutoModelForCausalLM, PreTrainedModel  # noqa: F401

        import sae_core.ablation  # noqa: F401

        if self._threads is not None:
            torch.set_num_threads(self._threads)
        try:
            torch.zeros(1, device=self._device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ModelError(
                f"This machine has no usable device {self._device!r} ({error}); set "
                "FEATURESCOPE_DEVICE=cpu, or leave it away."
            ) from error

    def ablate(self, request: AblateRequest) -> Iterator[Event]:
        """Remove a feature from each context; a step is a batch of contexts, or loading."""
        import torch

        from sae_core.ablation import ablate

        total = len(request.contexts)
        loading = not self._shelf.holds(request.model, request.dictionary)
        model = self._shelf.model(request.model)
        dictionary = self._shelf.dictionary(request.model, request.dictionary)
        check_ablation(request, model, dictionary, self._limits)
        if loading:
            yield Progress(done=0, total=total)
        contexts = [torch.tensor(tokens, dtype=torch.long) for tokens in request.contexts]
        effects = ablate(model, dictionary, request.feature, contexts)
        for index, effect in enumerate(effects):
            yield pack(index, effect)


def check_ablation(
    request: AblateRequest, model: LanguageModel, dictionary: Dictionary, limits: Limits
) -> None:
    """Refuse what the model or the dictionary has no answer to.

    Raises:
        InvalidRequest: naming the two numbers that disagree.
    """
    if request.feature >= dictionary.d_sae:
        raise InvalidRequest(
            f"There is no feature {request.feature}: the dictionary has {dictionary.d_sae} "
            f"features, 0 to {dictionary.d_sae - 1}."
        )
    if len(request.contexts) > limits.contexts:
        raise InvalidRequest(
            f"{len(request.contexts)} contexts are more than the {limits.contexts} that one "
            "request may have."
        )
    for number, tokens in enumerate(request.contexts):
        if not tokens:
            raise InvalidRequest(f"Context {number} has no tokens.")
        if len(tokens) > model.n_ctx:
            raise InvalidRequest(
                f"Context {number} has {len(tokens)} tokens, but the model takes at most "
                f"{model.n_ctx}."
            )
        if max(tokens) >= model.d_vocab:
            raise InvalidRequest(
                f"Context {number} has token {max(tokens)}, but the model's vocabulary has "
                f"{model.d_vocab} tokens, 0 to {model.d_vocab - 1}."
            )
