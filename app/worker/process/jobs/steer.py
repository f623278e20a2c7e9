"""The jobs behind the sliders: steered text beside unsteered, and sweeps of strengths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.worker.process.limits import Limits
from app.worker.process.shelf import Shelf
from app.worker.protocol.arrays import pack_float32, pack_int32
from app.worker.protocol.events import (
    DoseBase,
    DosePoint,
    Event,
    Generated,
    Pane,
    Progress,
    SideEffects,
    SteerBegan,
    Traits,
)
from app.worker.protocol.requests import DoseRequest, SteerRequest

if TYPE_CHECKING:
    from sae_core.interventions import dose_response, traits

PANES = (Pane.UNSTEERED, Pane.STEERED)  # by row of the batch


def steer_text(request: SteerRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Continue a prompt twice, then say what stands in the texts.

    A step is a piece of the prompt, a token of both texts, a piece of what comes after, or loading.

    For example /steer
    with a SteerRequest
    """
    from sae_core.interventions.generation import Scope, check_room, generate
    from sae_core.interventions.next_token import TokenSampling
    from sae_core.interventions.prompt import prompt_tokens
    from sae_core.interventions.steering import FeatureEdit, Mode
    from sae_core.interventions.traits import traits

    def wait(done: int) -> Progress:
        return Progress(done=done, total=request.n_tokens)

    # Load the model and every dictionary that is written or read.
    wanted = [edit.dictionary for edit in request.edits]
    wanted += [request.traits] if request.traits else []
    dictionaries = yield from shelf.dictionaries(request.model, wanted)
    model = shelf.model(request.model)
    edits = [
        FeatureEdit(
            dictionaries[edit.dictionary],
            edit.feature,
            Mode(edit.mode),
            edit.strength,
            edit.maximum,
        )
        for edit in request.edits
    ]
    prompt = prompt_tokens(model, request.prompt)
    check_room(model, len(prompt), request.n_tokens)
    yield SteerBegan(tokens=pack_int32(prompt.numpy()))
    # Continue the prompt, a token of both texts a step.
    scope, sampling = Scope(request.scope), TokenSampling(**request.sampling.model_dump())
    texts: tuple[list[int], list[int]] = ([], [])
    for step in generate(model, prompt, edits, request.n_tokens, sampling, scope):
        if not step:
            yield wait(0)
        for drawn in step:
            texts[drawn.row].append(drawn.token)
            yield Generated(
                pane=PANES[drawn.row],
                step=drawn.step,
                token=drawn.token,
                probability=drawn.probability,
                text=drawn.text,
                end=drawn.end,
            )
    # Read both texts again for what stands in them.
    if request.traits:
        for trait in traits(model, prompt, texts, edits, scope, dictionaries[request.traits]):
            yield wait(request.n_tokens) if trait is None else _traits_event(trait)


def sweep_strengths(request: DoseRequest, shelf: Shelf, _limits: Limits) -> Iterator[Event]:
    """Steer one feature by one strength after another; a step is a piece of work, or loading.

    For example /dose
    with a DoseRequest
    """
    from sae_core.interventions.dose_response import dose_response
    from sae_core.interventions.generation import Scope
    from sae_core.interventions.next_token import TokenSampling
    from sae_core.interventions.prompt import prompt_tokens
    from sae_core.interventions.steering import FeatureEdit, Mode

    def wait(done: int) -> Progress:
        return Progress(done=done, total=len(request.strengths))

    dictionaries = yield from shelf.dictionaries(request.model, [request.dictionary])
    edit = FeatureEdit(
        dictionaries[request.dictionary], request.feature, Mode(request.mode), 0.0, request.maximum
    )
    model = shelf.model(request.model)
    points = dose_response(
        model,
        edit,
        request.strengths,
        prompt_tokens(model, request.prompt),
        request.n_tokens,
        TokenSampling(**request.sampling.model_dump()),
        Scope(request.scope),
        request.watched,
    )
    done = 0
    for point in points:
        if point is None:
            yield wait(done)
        else:
            event = _dose_event(point)
            done += isinstance(event, DosePoint)
            yield event


def _traits_event(trait: traits.TextTraits | traits.SideEffectFeatures) -> Event:
    from sae_core.interventions.traits import TextTraits

    if isinstance(trait, TextTraits):
        return Traits(
            pane=PANES[trait.row],
            unsteered=pack_float32(trait.unsteered),
            steered=pack_float32(trait.steered),
            features=pack_int32(trait.features),
            activations=pack_float32(trait.activations),
            perplexity=trait.perplexity,
        )
    return SideEffects(
        features=pack_int32(trait.features),
        unsteered=pack_float32(trait.unsteered),
        steered=pack_float32(trait.steered),
        reads=trait.reads,
    )


def _dose_event(point: dose_response.DoseBaseline | dose_response.DoseMeasurement) -> Event:
    from sae_core.interventions.dose_response import DoseMeasurement

    if isinstance(point, DoseMeasurement):
        return DosePoint(**vars(point))
    return DoseBase(
        perplexity=point.perplexity,
        activation=point.activation,
        probabilities=point.probabilities,
        distinct=point.distinct,
    )
