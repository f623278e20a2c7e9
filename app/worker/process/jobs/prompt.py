"""The jobs behind the prompt page: what fires, what is responsible, what it hangs on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.worker.process.limits import Limits
from app.worker.process.loading import load_dictionaries
from app.worker.process.shelf import Shelf
from app.worker.protocol.events import (
    Attributed,
    Estimated,
    Event,
    FiringsRead,
    Occluded,
    OcclusionBase,
    Progress,
    PromptRead,
    Together,
)
from app.worker.protocol.requests import (
    AttributeRequest,
    OccludeRequest,
    ReadRequest,
    TogetherRequest,
)

if TYPE_CHECKING:
    from torch import Tensor


def read_text(request: ReadRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Read a prompt; a step is the pass over it, a dictionary, or loading."""
    from sae_core.interventions.prompt import prompt_firings, prompt_tokens, read_prompt

    dictionaries = yield from load_dictionaries(request, shelf, request.dictionaries)
    model = shelf.model(request.model)
    tokens = prompt_tokens(model, request.prompt)
    points = {ref: model.hook_point(ref.hook_point) for ref in dictionaries}
    reading = read_prompt(model, tokens, tuple(points.values()))
    yield PromptRead(
        tokens=_int32(reading.tokens),
        loss=_float32(reading.loss),
        predicted=_int32(reading.predicted),
        probabilities=_float32(reading.probabilities),
    )
    for index, ref in enumerate(request.dictionaries):
        x = reading.activations[points[ref]]
        firings = prompt_firings(model, dictionaries[ref], tokens, x)
        yield FiringsRead(
            index=index,
            positions=_int32(firings.rows),
            features=_int32(firings.features),
            values=_float32(firings.values),
        )


def attribute_prediction(
    request: AttributeRequest, shelf: Shelf, _limits: Limits
) -> Iterator[Event]:
    """Ablate features one by one; a step is a batch of them, the estimates, or loading."""
    import torch

    from sae_core.interventions.attribution import predict

    dictionaries = yield from load_dictionaries(request, shelf, [request.dictionary])
    prediction = predict(
        shelf.model(request.model),
        dictionaries[request.dictionary],
        torch.tensor(request.tokens),
        request.position,
        request.target,
        request.features,
    )
    total = len(prediction.features)
    yield Progress(done=0, total=total)
    estimates = prediction.estimates()
    yield Estimated(
        log_probability=prediction.log_probability,
        features=_int32(prediction.features),
        loss_change=_float32(estimates),
    )
    for effects in prediction.effects(estimates):
        yield Attributed(
            features=_int32(effects.features), loss_change=_float32(effects.loss_change)
        )


def ablate_together(request: TogetherRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Ablate several features at once."""
    import torch

    from sae_core.interventions.attribution import predict

    dictionaries = yield from load_dictionaries(request, shelf, [request.dictionary])
    prediction = predict(
        shelf.model(request.model),
        dictionaries[request.dictionary],
        torch.tensor(request.tokens),
        request.position,
        request.target,
        request.features,
    )
    yield Progress(done=0, total=1)
    yield Together(loss_change=prediction.together())


def occlude_tokens(request: OccludeRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Leave tokens out one by one; a step is a batch of them, or loading."""
    import torch

    from sae_core.interventions.occlusion import read_feature

    dictionaries = yield from load_dictionaries(request, shelf, [request.dictionary])
    reading = read_feature(
        shelf.model(request.model),
        dictionaries[request.dictionary],
        request.feature,
        torch.tensor(request.tokens),
        request.position,
    )
    occlusions = reading.occlusions(request.replacement)
    yield OcclusionBase(position=reading.position, activation=reading.activation)
    for occluded in occlusions:
        yield Occluded(
            positions=_int32(occluded.positions), activations=_float32(occluded.activations)
        )


def _int32(tensor: Tensor) -> bytes:
    return tensor.numpy().astype("<i4").tobytes()


def _float32(tensor: Tensor) -> bytes:
    return tensor.float().numpy().astype("<f4").tobytes()
