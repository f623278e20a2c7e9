"""The steering jobs: what the science says, as messages; exact, in turns, refused with numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.worker.process.failures import failure
from app.worker.process.jobs.registry import TorchWorkbench
from app.worker.process.limits import Limits
from app.worker.protocol.events import (
    DoseBase,
    DosePoint,
    Event,
    FailureCode,
    Generated,
    Pane,
    Progress,
    SideEffects,
    SteerBegan,
    Traits,
)
from app.worker.protocol.requests import (
    DictionaryRef,
    DoseRequest,
    ModelRef,
    Sampling,
    SteerEdit,
    SteerMode,
    SteerRequest,
    SteerScope,
    WorkRequest,
)
from sae_core.dictionaries.checkpoint import load_dictionary, neuron_basis
from sae_core.errors import FeaturescopeError
from sae_core.interventions import dose_response, generation, steering, traits
from sae_core.interventions.next_token import TokenSampling
from sae_core.interventions.prompt import prompt_tokens
from sae_core.language_model.model import LanguageModel, load_model
from tests.app.worker.tiny import (
    D_MLP,
    D_SAE,
    D_VOCAB,
    HOOK_POINT,
    N_CTX,
    save_features,
    save_model,
)

TEXT = "a tiny"
NEURONS = DictionaryRef(path=None, hook_point=HOOK_POINT)
SAMPLING = {"temperature": 0.9, "top_p": 0.95, "top_k": 100, "seed": 4}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return save_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def features(model: ModelRef) -> DictionaryRef:
    return save_features(Path(model.path).parent / "features")


@pytest.fixture(scope="module")
def science(model: ModelRef) -> LanguageModel:
    return load_model(Path(model.path))


@pytest.fixture
def workbench() -> TorchWorkbench:
    made = TorchWorkbench("cpu", None, Limits())
    made.prepare()
    return made


def ask(model: ModelRef, features: DictionaryRef, **changes: Any) -> SteerRequest:
    edits = (
        SteerEdit(dictionary=features, feature=3, mode=SteerMode.CLAMP, strength=2.0, maximum=1.5),
        SteerEdit(dictionary=NEURONS, feature=5, strength=0.0, maximum=1.0),
        SteerEdit(dictionary=NEURONS, feature=7, strength=3.0, maximum=1.0),
    )
    request = {
        "model": model,
        "prompt": TEXT,
        "edits": edits,
        "n_tokens": 9,
        "sampling": Sampling(**SAMPLING),
        "traits": features,
    }
    return SteerRequest(**request | changes)


def ask_dose(model: ModelRef, features: DictionaryRef, **changes: Any) -> DoseRequest:
    request = {
        "model": model,
        "prompt": TEXT,
        "dictionary": features,
        "feature": 3,
        "mode": SteerMode.ADD,
        "maximum": 1.5,
        "strengths": (-2.0, 0.0, 1.0),
        "n_tokens": 5,
        "sampling": Sampling(**SAMPLING),
        "watched": (4, 9),
    }
    return DoseRequest(**request | changes)


def integers(packed: bytes) -> list[int]:
    return np.frombuffer(packed, "<i4").tolist()


def spoken(events: Iterator[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Progress)]


@pytest.mark.parametrize("scope", list(SteerScope))
def test_steered_text_is_that_of_the_science(
    workbench: TorchWorkbench,
    model: ModelRef,
    features: DictionaryRef,
    science: LanguageModel,
    scope: SteerScope,
) -> None:
    request = ask(model, features, scope=scope)
    began, *rest = spoken(workbench.work(request))
    prompt = prompt_tokens(science, TEXT)
    assert isinstance(began, SteerBegan)
    assert integers(began.tokens) == prompt.tolist()
    dictionaries = {
        features: load_dictionary(Path(str(features.path))),
        NEURONS: neuron_basis(HOOK_POINT, D_MLP),
    }
    edits = [
        steering.FeatureEdit(
            dictionaries[e.dictionary], e.feature, steering.Mode(e.mode), e.strength, e.maximum
        )
        for e in request.edits
    ]
    where = generation.Scope(scope)
    texts: tuple[list[int], list[int]] = ([], [])
    for step in generation.generate(science, prompt, edits, 9, TokenSampling(**SAMPLING), where):
        for drawn in step:
            event = rest.pop(0)
            pane = list(Pane)[drawn.row]
            wanted = {name: value for name, value in vars(drawn).items() if name != "row"}
            assert event == Generated(pane=pane, **wanted)
            texts[drawn.row].append(drawn.token)
    assert texts[0] != texts[1]
    found = traits.traits(science, prompt, texts, edits, where, dictionaries[features])
    one, other, effects = (step for step in found if step is not None)
    for event, about in zip(rest[:2], (one, other), strict=True):
        assert isinstance(event, Traits)
        assert isinstance(about, traits.TextTraits)
        assert event.pane == list(Pane)[about.row]
        assert event.unsteered == about.unsteered.tobytes()
        assert event.steered == about.steered.tobytes()
        assert event.features == about.features.tobytes()
        assert event.activations == about.activations.tobytes()
        assert event.perplexity == about.perplexity
    assert isinstance(rest[2], SideEffects)
    assert isinstance(effects, traits.SideEffectFeatures)
    assert rest[2].features == effects.features.tobytes()
    assert rest[2].unsteered == effects.unsteered.tobytes()
    assert rest[2].steered == effects.steered.tobytes()
    assert rest[2].reads == effects.reads
    assert len(rest) == 3


@pytest.mark.parametrize("mode", list(SteerMode))
def test_a_sweep_is_that_of_the_science(
    workbench: TorchWorkbench,
    model: ModelRef,
    features: DictionaryRef,
    science: LanguageModel,
    mode: SteerMode,
) -> None:
    base, *points = spoken(workbench.work(ask_dose(model, features, mode=mode)))
    dictionary = load_dictionary(Path(str(features.path)))
    edit = steering.FeatureEdit(dictionary, 3, steering.Mode(mode), 0.0, 1.5)
    steps = dose_response.dose_response(
        science,
        edit,
        (-2.0, 0.0, 1.0),
        prompt_tokens(science, TEXT),
        5,
        TokenSampling(**SAMPLING),
        watched=(4, 9),
    )
    wanted = [vars(step) for step in steps if step is not None]
    assert isinstance(base, DoseBase)
    assert base.model_dump(exclude={"event"}) == {
        name: value for name, value in wanted[0].items() if name != "text"
    }
    assert all(isinstance(point, DosePoint) for point in points)
    assert [point.model_dump(exclude={"event"}) for point in points] == wanted[1:]


def test_neutral_sliders_give_one_text(
    workbench: TorchWorkbench, model: ModelRef, features: DictionaryRef
) -> None:
    neutral = (
        SteerEdit(dictionary=features, feature=3, mode=SteerMode.ADD, strength=0.0, maximum=2.0),
        SteerEdit(dictionary=features, feature=4, mode=SteerMode.SCALE, strength=1.0, maximum=2.0),
        SteerEdit(dictionary=NEURONS, feature=4, mode=SteerMode.ADD, strength=5.0, maximum=0.0),
    )
    texts = []
    for edits in ((), neutral):
        events = spoken(workbench.work(ask(model, features, edits=edits)))
        drawn = [event for event in events if isinstance(event, Generated)]
        bare = [(event.pane, event.model_dump(exclude={"pane"})) for event in drawn]
        texts += [[event for of, event in bare if of == pane] for pane in Pane]
        one, other = (event for event in events if isinstance(event, Traits))
        assert one.unsteered == one.steered == other.unsteered == other.steered
    assert all(text == texts[0] for text in texts)


def test_without_a_dictionary_for_traits_there_are_none(
    workbench: TorchWorkbench, model: ModelRef, features: DictionaryRef
) -> None:
    events = spoken(workbench.work(ask(model, features, traits=None)))
    assert {type(event) for event in events} == {SteerBegan, Generated}


def test_jobs_take_turns_and_leave_nothing(
    workbench: TorchWorkbench, model: ModelRef, features: DictionaryRef
) -> None:
    """Sliders dragged by several users, sweeps among them, some given up half-way."""
    requests: list[WorkRequest] = [
        ask(model, features),
        ask(model, features, edits=(), scope=SteerScope.GENERATED),
        ask_dose(model, features),
        ask(model, features, scope=SteerScope.GENERATED),
        ask_dose(model, features, mode=SteerMode.SCALE, scope=SteerScope.GENERATED),
    ] * 2
    lone = [list(workbench.work(request)) for request in requests]
    lone = [list(workbench.work(request)) for request in requests]  # all is loaded by now
    jobs = dict(enumerate(map(workbench.work, requests)))
    found: list[list[Event]] = [[] for _ in requests]
    modules = list(workbench._shelf.model(model).module.modules())
    while jobs:
        for number in list(jobs):
            event = next(jobs[number], None)
            if event is not None:
                found[number].append(event)
            if event is None or (number > 6 and len(found[number]) == number):
                jobs.pop(number).close()  # type: ignore[attr-defined]
            assert not any(m._forward_hooks or m._forward_pre_hooks for m in modules)
    for number, events in enumerate(found):
        assert events == (lone[number][:number] if number > 6 else lone[number])


def test_what_is_loaded_is_said(
    workbench: TorchWorkbench, model: ModelRef, features: DictionaryRef
) -> None:
    first = list(workbench.work(ask(model, features)))
    second = list(workbench.work(ask(model, features)))
    assert first[:2] == [Progress(done=0, total=0)] * 2
    # Nothing is loaded, nor computed, for the same question again: nothing to wait for.
    assert second == [event for event in first if not isinstance(event, Progress)]


@pytest.mark.parametrize(
    ("changes", "words", "field"),
    [
        ({"prompt": "tiny " * N_CTX}, [f"at most {N_CTX}"], "prompt"),
        ({"prompt": (0, D_VOCAB)}, [f"token {D_VOCAB}", f"{D_VOCAB} tokens, 0 to"], ""),
        (
            {"n_tokens": N_CTX},
            [f"{N_CTX} tokens after a prompt of", f"at most {N_CTX}"],
            "n_tokens",
        ),
        ({"feature": D_SAE}, [f"no feature {D_SAE}", f"0 to {D_SAE - 1}"], ""),
        ({"strength": 1000.0, "maximum": 1e306}, ["no finite number"], ""),
    ],
)
@pytest.mark.parametrize("dose", [False, True])
def test_requests_that_do_not_fit_name_the_numbers(
    workbench: TorchWorkbench,
    model: ModelRef,
    features: DictionaryRef,
    changes: dict[str, Any],
    words: list[str],
    field: str,
    dose: bool,
) -> None:
    request: WorkRequest
    if dose:
        if "strength" in changes:
            changes = changes | {"strengths": (changes["strength"],)}
        known = {name: value for name, value in changes.items() if name != "strength"}
        request = ask_dose(model, features, **known)
    else:
        edit = {"dictionary": features, "feature": 3, "strength": 1.0, "maximum": 1.0}
        edit |= {name: value for name, value in changes.items() if name in edit}
        known = {name: value for name, value in changes.items() if name not in edit}
        request = ask(model, features, edits=(SteerEdit(**edit),), **known)
    with pytest.raises(FeaturescopeError) as refused:
        list(workbench.work(request))
    told = failure(refused.value)
    assert told.code is FailureCode.INVALID
    assert told.field == field
    for word in words:
        assert word in told.message


def test_edits_that_overflow_are_refused_but_end_no_sweep(
    workbench: TorchWorkbench, model: ModelRef, features: DictionaryRef
) -> None:
    edit = SteerEdit(dictionary=features, feature=3, strength=1000.0, maximum=1e38)
    with pytest.raises(FeaturescopeError, match="no numbers any more: choose smaller strengths"):
        list(workbench.work(ask(model, features, edits=(edit,))))
    request = ask_dose(model, features, strengths=(0.0, 1000.0), maximum=1e38)
    _, still, broken = spoken(workbench.work(request))
    assert isinstance(still, DosePoint)
    assert isinstance(broken, DosePoint)
    assert still.kl == 0
    assert math.isnan(broken.kl)


def test_watched_tokens_are_in_the_vocabulary(
    workbench: TorchWorkbench, model: ModelRef, features: DictionaryRef
) -> None:
    with pytest.raises(FeaturescopeError, match=f"token {D_VOCAB}"):
        list(workbench.work(ask_dose(model, features, watched=(D_VOCAB,))))


def test_an_empty_prompt_is_bos_alone(
    workbench: TorchWorkbench, model: ModelRef, features: DictionaryRef
) -> None:
    began = spoken(workbench.work(ask(model, features, prompt="")))[0]
    assert isinstance(began, SteerBegan)
    assert integers(began.tokens) == [0]
    again = spoken(workbench.work(ask(model, features, prompt=(0,))))[0]
    assert again == began
