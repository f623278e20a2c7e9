"""The jobs of the prompt page: what they say is what the science says, in the right order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from app.worker.process.failures import failure
from app.worker.process.jobs.registry import JOBS, TorchWorkbench
from app.worker.process.limits import Limits
from app.worker.protocol.events import (
    Attributed,
    Estimated,
    Event,
    FailureCode,
    FiringsRead,
    MaximaRead,
    Occluded,
    OcclusionBase,
    Progress,
    Together,
    TokensRead,
)
from app.worker.protocol.kinds import REQUESTS
from app.worker.protocol.requests import (
    AttributeRequest,
    DictionaryRef,
    MaximaRequest,
    ModelRef,
    OccludeRequest,
    ReadRequest,
    TogetherRequest,
    WorkRequest,
)
from sae_core.dictionaries.checkpoint import load_dictionary, neuron_basis
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import PromptError
from sae_core.interventions.attribution import predict
from sae_core.interventions.occlusion import read_feature
from sae_core.interventions.prompt import prompt_tokens
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.language_model.pace import Pace
from tests.app.worker.tiny import (
    D_MLP,
    D_SAE,
    D_VOCAB,
    HOOK_POINT,
    N_CTX,
    save_features,
    save_model,
)

E = TypeVar("E", bound=Event)
NEURONS = DictionaryRef(path=None, hook_point="blocks.1.mlp.hook_post")
TOKENS = (0, 9, 80, 33, 71, 100, 9, 44, 250)


@pytest.fixture(scope="module")
def ref(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return save_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def features(ref: ModelRef) -> DictionaryRef:
    return save_features(Path(ref.path).parent / "features")


@pytest.fixture(scope="module")
def model(ref: ModelRef) -> LanguageModel:
    return load_model(Path(ref.path))


@pytest.fixture(scope="module")
def dictionary(features: DictionaryRef) -> Dictionary:
    assert features.path is not None
    return load_dictionary(Path(features.path))


@pytest.fixture
def workbench() -> TorchWorkbench:
    made = TorchWorkbench("cpu", None, Limits())
    made.prepare()
    return made


def results(events: Iterator[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Progress)]


def of_kind(events: list[Event], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def int32(packed: bytes) -> NDArray[np.int32]:
    return np.frombuffer(packed, "<i4")


def float32(packed: bytes) -> NDArray[np.float32]:
    return np.frombuffer(packed, "<f4")


def test_every_request_has_a_job() -> None:
    assert set(JOBS) == set(REQUESTS)


def test_a_prompt_is_read_for_several_dictionaries(
    workbench: TorchWorkbench,
    ref: ModelRef,
    features: DictionaryRef,
    model: LanguageModel,
    dictionary: Dictionary,
) -> None:
    request = ReadRequest(model=ref, prompt="a tiny text", dictionaries=(features, NEURONS))
    first = list(workbench.work(request))
    assert isinstance(first[0], Progress)
    read, *firings = results(iter(first))
    assert isinstance(read, TokensRead)
    tokens = prompt_tokens(model, "a tiny text")
    assert int32(read.tokens).tolist() == tokens.tolist()
    n = len(tokens)
    log_p = model.logits(tokens[None])[0].log_softmax(-1)
    loss = float32(read.loss)
    assert np.isnan(loss[0])
    wanted = -log_p[torch.arange(n - 1), tokens[1:]].numpy()
    np.testing.assert_allclose(loss[1:], wanted, rtol=0, atol=1e-5)
    best = log_p.exp().topk(5)
    probabilities = float32(read.probabilities).reshape(n, 5)
    np.testing.assert_allclose(probabilities, best.values.numpy(), rtol=0, atol=1e-5)
    assert int32(read.predicted).reshape(n, 5).tolist() == best.indices.tolist()
    assert [event.index for event in of_kind(firings, FiringsRead)] == [0, 1]
    for event, made in zip(
        of_kind(firings, FiringsRead),
        (dictionary, neuron_basis(NEURONS.hook_point, D_MLP)),
        strict=True,
    ):
        x = model.capture(tokens[None], model.hook_point(made.hook_point))[0]
        acts = made.encode(x).detach()
        acts[0] = 0.0
        found = np.zeros(acts.shape, dtype=np.float32)
        found[int32(event.positions), int32(event.features)] = float32(event.values)
        np.testing.assert_allclose(found, acts.numpy(), rtol=0, atol=1e-5)
        assert len(float32(event.values)) == int((acts > 0).sum()) > 0
    # Once more: nothing is loaded now, and token ids say the same as their text.
    again = ReadRequest(model=ref, prompt=tuple(tokens.tolist()), dictionaries=(features, NEURONS))
    assert list(workbench.work(again)) == results(iter(first))


def test_a_prompt_without_dictionaries(workbench: TorchWorkbench, ref: ModelRef) -> None:
    (read,) = workbench.work(ReadRequest(model=ref, prompt="", dictionaries=()))
    assert isinstance(read, TokensRead)
    assert int32(read.tokens).tolist() == [0]


@pytest.mark.parametrize(
    "question",
    [{"position": 8}, {"position": 9, "target": 5}, {"position": 8, "features": (7, 3, 3)}],
)
def test_attribution_is_that_of_the_science(
    question: dict[str, Any],
    workbench: TorchWorkbench,
    ref: ModelRef,
    features: DictionaryRef,
    model: LanguageModel,
    dictionary: Dictionary,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Pace, "rows", lambda self, length: 3)
    request = AttributeRequest(model=ref, dictionary=features, tokens=TOKENS, **question)
    estimated, *exact = results(workbench.work(request))
    assert isinstance(estimated, Estimated)
    prediction = predict(
        model,
        dictionary,
        torch.tensor(TOKENS),
        question["position"],
        question.get("target"),
        question.get("features"),
    )
    estimates = prediction.estimates()
    assert estimated.log_probability == pytest.approx(prediction.log_probability, abs=1e-6)
    assert int32(estimated.features).tolist() == prediction.features.tolist()
    np.testing.assert_array_equal(float32(estimated.loss_change), estimates.numpy())
    assert len(exact) == len(of_kind(exact, Attributed)) > 0
    wanted = list(prediction.effects(estimates))
    for event, effects in zip(of_kind(exact, Attributed), wanted, strict=True):
        assert int32(event.features).tolist() == effects.features.tolist()
        np.testing.assert_array_equal(float32(event.loss_change), effects.loss_change.numpy())
    named = np.concatenate([int32(event.features) for event in of_kind(exact, Attributed)])
    assert sorted(named.tolist()) == prediction.features.tolist()


def test_together_is_that_of_the_science(
    workbench: TorchWorkbench,
    ref: ModelRef,
    features: DictionaryRef,
    model: LanguageModel,
    dictionary: Dictionary,
) -> None:
    chosen = tuple(range(0, D_SAE, 2))
    request = TogetherRequest(
        model=ref, dictionary=features, tokens=TOKENS, position=7, features=chosen
    )
    (event,) = results(workbench.work(request))
    assert isinstance(event, Together)
    wanted = predict(model, dictionary, torch.tensor(TOKENS), 7, None, chosen).together()
    assert event.loss_change == pytest.approx(wanted, abs=1e-6)
    assert wanted != 0.0


@pytest.mark.parametrize("question", [{}, {"position": 6}, {"replacement": 17}])
def test_occlusion_is_that_of_the_science(
    question: dict[str, int],
    workbench: TorchWorkbench,
    ref: ModelRef,
    features: DictionaryRef,
    model: LanguageModel,
    dictionary: Dictionary,
) -> None:
    request = OccludeRequest(model=ref, dictionary=features, feature=4, tokens=TOKENS, **question)
    base, *missing = results(workbench.work(request))
    assert isinstance(base, OcclusionBase)
    reading = read_feature(model, dictionary, 4, torch.tensor(TOKENS), question.get("position"))
    assert base.position == reading.position
    assert base.activation == pytest.approx(reading.activation, abs=1e-6)
    events = of_kind(missing, Occluded)
    assert len(events) == len(missing)
    positions = np.concatenate([int32(event.positions) for event in events])
    activations = np.concatenate([float32(event.activations) for event in events])
    assert sorted(positions.tolist()) == list(range(1, 9))
    wanted = list(reading.occlusions(question.get("replacement")))
    assert positions.tolist() == torch.cat([found.positions for found in wanted]).tolist()
    np.testing.assert_allclose(
        activations, torch.cat([found.activations for found in wanted]).numpy(), rtol=0, atol=1e-6
    )


def test_interleaved_jobs_do_not_mix(
    workbench: TorchWorkbench,
    ref: ModelRef,
    features: DictionaryRef,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Pace, "rows", lambda self, length: 2)
    about = {"model": ref, "dictionary": features, "tokens": TOKENS}
    requests: list[WorkRequest] = [
        ReadRequest(model=ref, prompt="text", dictionaries=(features, NEURONS)),
        AttributeRequest(**about, position=8),
        AttributeRequest(**about | {"dictionary": NEURONS}, position=9, target=3),
        TogetherRequest(**about, position=8, features=(1, 2, 3)),
        OccludeRequest(**about, feature=4),
        AttributeRequest(**about, position=5),
    ]
    alone = [results(workbench.work(request)) for request in requests]
    jobs = [workbench.work(request) for request in requests]
    found: list[list[Event]] = [[] for _ in jobs]
    running = set(range(len(jobs)))
    while running:
        for number in sorted(running):
            event = next(jobs[number], None)
            if event is None:
                running.discard(number)
            else:
                found[number].append(event)
            if number == 5 and len(found[5]) == 4:
                jobs[5].close()  # type: ignore[attr-defined]
    for number in range(5):
        assert results(iter(found[number])) == alone[number]


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (ReadRequest, {"prompt": tuple([0] + [1] * N_CTX)}, [f"{N_CTX + 1} tokens", f"{N_CTX}"]),
        (ReadRequest, {"prompt": "x" * 100_000}, ["100001 tokens", f"at most {N_CTX}"]),
        (ReadRequest, {"prompt": (0, D_VOCAB)}, [f"token {D_VOCAB}", f"0 to {D_VOCAB - 1}"]),
        (AttributeRequest, {"position": 10}, ["position 10", "9 tokens"]),
        (AttributeRequest, {"position": 9}, ["position 9", "9 tokens", "name the one"]),
        (AttributeRequest, {"target": D_VOCAB}, [f"token {D_VOCAB}", f"{D_VOCAB} tokens"]),
        (AttributeRequest, {"features": (D_SAE,)}, [f"feature {D_SAE}", f"{D_SAE} features"]),
        (AttributeRequest, {"tokens": (0,) * (N_CTX + 1)}, [f"{N_CTX + 1} tokens", f"{N_CTX}"]),
        (TogetherRequest, {"features": (1, D_SAE)}, [f"feature {D_SAE}", f"0 to {D_SAE - 1}"]),
        (TogetherRequest, {"position": 99}, ["position 99", "9 tokens"]),
        (OccludeRequest, {"feature": D_SAE}, [f"feature {D_SAE}", f"{D_SAE} features"]),
        (OccludeRequest, {"position": 9}, ["position 9", "9 tokens", "0 to 8"]),
        (OccludeRequest, {"replacement": D_VOCAB}, [f"token {D_VOCAB}", f"{D_VOCAB} tokens"]),
        (OccludeRequest, {"tokens": (0, D_VOCAB)}, [f"token {D_VOCAB}", f"{D_VOCAB} tokens"]),
    ],
)
def test_what_does_not_fit_is_refused_with_the_numbers(
    kind: type[WorkRequest],
    changes: dict[str, object],
    words: list[str],
    workbench: TorchWorkbench,
    ref: ModelRef,
    features: DictionaryRef,
) -> None:
    fields: dict[str, object] = {
        "prompt": "a",
        "dictionaries": (features,),
        "dictionary": features,
        "tokens": TOKENS,
        "position": 8,
        "features": (0,),
        "feature": 0,
    }
    fields = {name: value for name, value in fields.items() if name in kind.model_fields}
    request = kind(model=ref, **fields | changes)
    with pytest.raises(PromptError) as refused:
        list(workbench.work(request))
    for word in words:
        assert word in str(refused.value)
    assert failure(refused.value).code is FailureCode.INVALID


def test_the_hook_point_of_the_dictionary_is_the_one_that_counts(
    workbench: TorchWorkbench, ref: ModelRef, features: DictionaryRef
) -> None:
    assert features.hook_point == HOOK_POINT != NEURONS.hook_point
    first, second = (
        of_kind(results(workbench.work(request)), FiringsRead)[0]
        for request in (
            ReadRequest(model=ref, prompt="text", dictionaries=(made,))
            for made in (NEURONS, NEURONS.model_copy(update={"hook_point": HOOK_POINT}))
        )
    )
    assert first.values != second.values


def test_maxima_are_those_of_the_firings_on_each_text(
    workbench: TorchWorkbench, ref: ModelRef, features: DictionaryRef
) -> None:
    texts = ("a tiny text", "x", "other text")
    request = MaximaRequest(model=ref, dictionary=features, texts=texts)
    read = of_kind(results(workbench.work(request)), MaximaRead)
    assert [event.index for event in read] == [0, 1, 2]
    for text, event in zip(texts, read, strict=True):
        asked = ReadRequest(model=ref, prompt=text, dictionaries=(features,))
        [fired] = of_kind(results(workbench.work(asked)), FiringsRead)
        largest: dict[int, float] = {}
        for feature, value in zip(int32(fired.features), float32(fired.values), strict=True):
            largest[int(feature)] = max(float(value), largest.get(int(feature), 0.0))
        assert int32(event.features).tolist() == sorted(largest)
        assert float32(event.maxima).tolist() == [largest[n] for n in sorted(largest)]
