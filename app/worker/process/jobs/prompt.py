"""The jobs behind the prompt page: what fires, what is responsible, what it hangs on."""

from __future__ import annotations

from collections.abc import Iterator

from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.arrays import pack_float32, pack_int32
from app.worker.protocol.events import (
    Attributed,
    Estimated,
    Event,
    FiringsRead,
    MaximaRead,
    Occluded,
    OcclusionBase,
    Progress,
    Together,
    TokensRead,
)
from app.worker.protocol.requests import (
    AttributeRequest,
    MaximaRequest,
    OccludeRequest,
    ReadRequest,
    TogetherRequest,
)


def read_text(request: ReadRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Read a prompt; a step is the pass over it, a dictionary, or loading.

    For example /read
    with a ReadRequest
    """
    from sae_core.interventions.prompt import prompt_firings, prompt_tokens, read_prompt

    dictionaries = yield from shelf.dictionaries(request.model, request.dictionaries)
    model = shelf.model(request.model)
    tokens = prompt_tokens(model, request.prompt)
    points = {ref: model.hook_point(ref.hook_point) for ref in dictionaries}
    reading = read_prompt(model, tokens, tuple(points.values()))
    yield TokensRead(
        tokens=pack_int32(reading.tokens.numpy()),
        loss=pack_float32(reading.loss.float().numpy()),
        predicted=pack_int32(reading.predicted.numpy()),
        probabilities=pack_float32(reading.probabilities.float().numpy()),
    )
    for index, ref in enumerate(request.dictionaries):
        x = reading.activations[points[ref]]
        firings = prompt_firings(model, dictionaries[ref], tokens, x)
        yield FiringsRead(
            index=index,
            positions=pack_int32(firings.rows.numpy()),
            features=pack_int32(firings.features.numpy()),
            values=pack_float32(firings.values.float().numpy()),
        )


def read_maxima(request: MaximaRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Read texts; a step is the pass over one, or loading.

    For example /maxima
    with a MaximaRequest
    """
    import numpy as np

    from sae_core.interventions.prompt import prompt_firings, prompt_tokens, read_prompt

    dictionaries = yield from shelf.dictionaries(request.model, [request.dictionary])
    model, dictionary = shelf.model(request.model), dictionaries[request.dictionary]
    point = model.hook_point(request.dictionary.hook_point)
    for index, text in enumerate(request.texts):
        tokens = prompt_tokens(model, text)
        x = read_prompt(model, tokens, (point,)).activations[point]
        firings = prompt_firings(model, dictionary, tokens, x)
        features, places = np.unique(firings.features.numpy(), return_inverse=True)
        maxima = np.zeros(len(features), dtype=np.float32)
        np.maximum.at(maxima, places, firings.values.float().numpy())
        yield MaximaRead(index=index, features=pack_int32(features), maxima=pack_float32(maxima))


def attribute_prediction(
    request: AttributeRequest, shelf: Shelf, _limits: Limits
) -> Iterator[Event]:
    """Ablate features one by one; a step is a batch of them, the estimates, or loading.

    For example /attribute
    with an AttributeRequest
    """
    import torch

    from sae_core.interventions.attribution import predict

    dictionaries = yield from shelf.dictionaries(request.model, [request.dictionary])
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
        features=pack_int32(prediction.features.numpy()),
        loss_change=pack_float32(estimates.float().numpy()),
    )
    for effects in prediction.effects(estimates):
        yield Attributed(
            features=pack_int32(effects.features.numpy()),
            loss_change=pack_float32(effects.loss_change.float().numpy()),
        )


def ablate_together(request: TogetherRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Ablate several features at once.

    For example /together
    with a TogetherRequest
    """
    import torch

    from sae_core.interventions.attribution import predict

    dictionaries = yield from shelf.dictionaries(request.model, [request.dictionary])
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
    """Leave tokens out one by one; a step is a batch of them, or loading.

    For example /occlude
    with an OccludeRequest
    """
    import torch

    from sae_core.interventions.occlusion import read_feature

    dictionaries = yield from shelf.dictionaries(request.model, [request.dictionary])
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
            positions=pack_int32(occluded.positions.numpy()),
            activations=pack_float32(occluded.activations.float().numpy()),
        )
