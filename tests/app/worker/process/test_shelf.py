"""The workbench that computes, on a tiny random model: exact, interleaved, cached, refusing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from app.errors import InvalidRequest
from app.settings import Settings
from app.worker.client.blocking import WorkerClient
from app.worker.client.supervisor import WorkerPhase, WorkerProcess
from app.worker.process.jobs.registry import TorchWorkbench
from app.worker.process.limits import Limits
from app.worker.process.shelf import Recent
from app.worker.protocol.arrays import unpack
from app.worker.protocol.events import ContextDone, Event, Progress
from app.worker.protocol.requests import AblateRequest, DictionaryRef, ModelRef
from sae_core.dictionaries.checkpoint import dictionary_checksum, load_dictionary, neuron_basis
from sae_core.errors import CheckpointError, FeaturescopeError, HookPointError, ModelError
from sae_core.harvest.records import ContextEffect
from sae_core.interventions.ablation import ablate
from sae_core.language_model.folder import find_model
from sae_core.language_model.model import load_model
from tests.app.worker.conftest import Until
from tests.app.worker.protocol.test_protocol import equal
from tests.app.worker.tiny import (
    D_MLP,
    D_SAE,
    D_VOCAB,
    HOOK_POINT,
    N_CTX,
    save_features,
    save_model,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    return save_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def features(model: ModelRef) -> DictionaryRef:
    return save_features(Path(model.path).parent / "features")


NEURONS = DictionaryRef(path=None, hook_point=HOOK_POINT)


@pytest.fixture
def workbench() -> TorchWorkbench:
    made = TorchWorkbench("cpu", None, Limits(contexts=50))
    made.prepare()
    return made


def contexts(n: int, length: int = N_CTX, seed: int = 0) -> tuple[tuple[int, ...], ...]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, D_VOCAB, (n, length), generator=generator)
    tokens[:, 0] = 0
    return tuple(tuple(row) for row in tokens.tolist())


def ask(
    model: ModelRef, dictionary: DictionaryRef, feature: int = 0, n: int = 3, seed: int = 0
) -> AblateRequest:
    return AblateRequest(
        model=model, dictionary=dictionary, feature=feature, contexts=contexts(n, seed=seed)
    )


def effects(events: Iterator[Event]) -> list[ContextEffect]:
    return [unpack(event) for event in events if isinstance(event, ContextDone)]


def expected(request: AblateRequest) -> list[ContextEffect]:
    """As the science says, without the worker."""
    model = load_model(Path(request.model.path))
    ref = request.dictionary
    dictionary = (
        neuron_basis(ref.hook_point, D_MLP) if ref.path is None else load_dictionary(Path(ref.path))
    )
    rows = [torch.tensor(tokens) for tokens in request.contexts]
    return list(ablate(model, dictionary, request.feature, rows))


@pytest.mark.parametrize("feature", [0, D_MLP - 1])
def test_effects_are_those_of_the_science(
    workbench: TorchWorkbench, model: ModelRef, features: DictionaryRef, feature: int
) -> None:
    for dictionary in (features, NEURONS):
        request = ask(model, dictionary, feature)
        found, wanted = effects(workbench.work(request)), expected(request)
        assert len(found) == len(wanted) == 3
        assert all(equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert sum(len(effect.positions) for effect in found) > 0


def test_interleaved_work_does_not_mix(
    workbench: TorchWorkbench,
    model: ModelRef,
    features: DictionaryRef,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Generators advance in turns over one model: nothing may stay hooked between two steps."""
    monkeypatch.setattr("sae_core.interventions.ablation.ablate.__defaults__", (2 * N_CTX,))
    requests = [
        ask(model, dictionary, f, 6, f) for f in range(3) for dictionary in (features, NEURONS)
    ]
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
            if number == 2 and len(found[2]) == 2:
                jobs[2].close()
    for number, request in enumerate(requests):
        ours, wanted = effects(iter(found[number])), expected(request)
        assert len(ours) == (len(wanted) if number != 2 else len(ours))
        assert all(equal(one, other) for one, other in zip(ours, wanted, strict=False))


def test_a_first_request_says_when_it_has_loaded(
    workbench: TorchWorkbench, model: ModelRef, features: DictionaryRef
) -> None:
    first, second = (list(workbench.work(ask(model, features))) for _ in range(2))
    assert first[0] == Progress(done=0, total=3)
    assert first[1:] == second


def test_loaded_weights_outlive_their_files(
    workbench: TorchWorkbench, model: ModelRef, tmp_path: Path
) -> None:
    folder = tmp_path / "features"
    request = ask(model, save_features(folder))
    before = effects(workbench.work(request))
    shutil.rmtree(folder)
    after = effects(workbench.work(request))
    assert all(equal(one, other) for one, other in zip(before, after, strict=True))


def test_the_shelf_forgets_what_was_used_longest_ago() -> None:
    loads: list[str] = []

    def load(name: str) -> str:
        loads.append(name)
        return name.upper()

    recent: Recent[str, str] = Recent(room=2)

    def get(name: str, size: int = 1, keep: str = "") -> str:
        return recent.get(name, lambda: size, lambda: load(name), keep or name)

    for name in "abacab":
        assert get(name) == name.upper()
    assert loads == ["a", "b", "c", "b"]
    assert "c" not in recent
    get("large", 2)
    assert "a" not in recent
    assert "b" not in recent
    with pytest.raises(
        ModelError, match=r"takes 2\.8e-09 GiB.*room for 1\.9e-09 GiB.*WORKER_MEMORY"
    ):
        get("larger", 3)
    assert "large" in recent
    get("a")
    get("of a", 1, keep="a")
    get("other of a", 1, keep="a")
    assert "a" in recent
    assert "of a" not in recent
    with pytest.raises(ModelError, match=r", with the 9\.3e-10 GiB of its model"):
        get("too much for a", 2, keep="a")


def test_a_model_too_large_for_the_worker_is_a_sentence(
    model: ModelRef, features: DictionaryRef
) -> None:
    small = TorchWorkbench("cpu", None, Limits(memory_bytes=1000))
    assert "FEATURESCOPE_WORKER_MEMORY" in str(refuse(small, ask(model, features)))
    folder = find_model(Path(model.path))
    loaded = load_model(folder.path)
    assert folder.n_parameters == sum(p.numel() for p in loaded.module.parameters())


def refuse(workbench: TorchWorkbench, request: AblateRequest) -> FeaturescopeError:
    with pytest.raises(FeaturescopeError) as refused:
        list(workbench.work(request))
    return refused.value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"feature": D_SAE}, [f"no feature {D_SAE}", f"0 to {D_SAE - 1}"]),
        ({"contexts": ((0,) * (N_CTX + 1),)}, [f"{N_CTX + 1} tokens", f"at most {N_CTX}"]),
        ({"contexts": ((0, D_VOCAB),)}, [f"token {D_VOCAB}", f"{D_VOCAB} tokens, 0 to"]),
        ({"contexts": ((0, 1), ())}, ["Context 1 has no tokens"]),
        ({"contexts": ((0, 1),) * 51}, ["51 contexts", "the 50"]),
    ],
)
def test_requests_that_do_not_fit_name_the_numbers(
    workbench: TorchWorkbench,
    model: ModelRef,
    features: DictionaryRef,
    changes: dict[str, object],
    words: list[str],
) -> None:
    request = ask(model, features)
    error = refuse(workbench, AblateRequest.model_validate(request.model_dump() | changes))
    assert isinstance(error, InvalidRequest)
    for word in words:
        assert word in str(error)


def test_other_weights_than_were_asked_for_are_refused(
    workbench: TorchWorkbench, model: ModelRef, features: DictionaryRef
) -> None:
    error = refuse(workbench, ask(model, features.model_copy(update={"checksum": "0" * 64})))
    assert isinstance(error, CheckpointError)
    assert features.checksum is not None
    for word in ("has changed", "000000000000", features.checksum[:12], "harvest again"):
        assert word in str(error)
    error = refuse(workbench, ask(model.model_copy(update={"checksum": "0" * 64}), features))
    assert isinstance(error, ModelError)
    for word in ("has changed", "000000000000", model.checksum[:12]):
        assert word in str(error)


def test_a_refused_load_is_tried_anew(
    workbench: TorchWorkbench, model: ModelRef, tmp_path: Path
) -> None:
    ref = save_features(tmp_path / "features")
    weights = tmp_path / "features" / "sae_weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    assert "has changed" in str(refuse(workbench, ask(model, ref)))
    damaged = ref.model_copy(update={"checksum": dictionary_checksum(tmp_path / "features")})
    assert "damaged" in str(refuse(workbench, ask(model, damaged)))
    weights.write_bytes(whole)
    assert len(effects(workbench.work(ask(model, ref)))) == 3


def test_dictionaries_that_do_not_fit_are_refused(
    workbench: TorchWorkbench, model: ModelRef, features: DictionaryRef, tmp_path: Path
) -> None:
    other = features.model_copy(update={"hook_point": "blocks.1.mlp.hook_post"})
    assert "blocks.1.mlp.hook_post" in str(refuse(workbench, ask(model, other)))
    narrow = save_features(tmp_path / "narrow", d_in=7)
    error = refuse(workbench, ask(model, narrow))
    assert "7" in str(error)
    assert str(D_MLP) in str(error)
    missing = NEURONS.model_copy(update={"hook_point": "blocks.9.mlp.hook_post"})
    assert isinstance(refuse(workbench, ask(model, missing)), HookPointError)
    unchecked = features.model_copy(update={"checksum": None})
    assert isinstance(refuse(workbench, ask(model, unchecked)), InvalidRequest)
    gone = model.model_copy(update={"path": str(tmp_path / "gone")})
    assert isinstance(refuse(workbench, ask(gone, features)), ModelError)
    strange = model.model_copy(update={"dtype": "int8"})
    assert "int8" in str(refuse(workbench, ask(strange, features)))


def test_a_device_that_is_missing_is_named() -> None:
    device = "mps" if torch.cuda.is_available() else "cuda"
    with pytest.raises(ModelError, match=f"no usable device '{device}'"):
        TorchWorkbench(device, None, Limits()).prepare()


def test_the_real_worker_end_to_end(
    settings: Settings, model: ModelRef, features: DictionaryRef, until: Until
) -> None:
    """A child process as serving starts it; only this test pays for a second torch."""
    process = WorkerProcess(settings)
    client = WorkerClient(process.url, secret=process.secret, silence_seconds=60)
    process.start()
    try:
        health = client.health(seconds=30)
        assert health.device == "cpu"
        request = ask(model, features, feature=5)
        found = effects(client.ask(request))
        until(lambda: process.state.phase == WorkerPhase.READY)
        wanted = expected(request)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert one.positions.tolist() == other.positions.tolist()
            assert one.loss_change == pytest.approx(other.loss_change, abs=1e-5)
        with pytest.raises(InvalidRequest, match="no feature"):
            list(client.ask(request.model_copy(update={"feature": 10**6})))
    finally:
        client.close()
        process.stop()
    assert process.log_path.read_text() == ""
