"""The job behind the underlines: one feature removed from stored contexts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.errors import InvalidRequest
from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.arrays import pack
from app.worker.protocol.events import Event, Progress
from app.worker.protocol.requests import AblateRequest

if TYPE_CHECKING:
    from sae_core.dictionaries.dictionary import Dictionary
    from sae_core.language_model.model import LanguageModel


def ablate_contexts(request: AblateRequest, shelf: Shelf, limits: Limits) -> Iterator[Event]:
    """Remove a feature from each context; a step is a batch of contexts, or loading.

    For example /ablate
    with an AblateRequest
    """
    import torch

    from sae_core.interventions.ablation import ablate

    total = len(request.contexts)
    loading = not shelf.holds(request.model, request.dictionary)
    model = shelf.model(request.model)
    dictionary = shelf.dictionary(request.model, request.dictionary)
    check_ablation(request, model, dictionary, limits)
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
