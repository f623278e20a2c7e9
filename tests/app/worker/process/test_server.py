"""The worker over a real socket: streaming, refusals, cancellation when the client goes away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from app.errors import InvalidRequest, Overloaded, WorkerUnavailable
from app.settings import Settings
from app.worker.client.blocking import WorkerClient, WorkFailed
from app.worker.client.faults import faults_translated
from app.worker.process.limits import Limits
from app.worker.protocol.arrays import unpack
from app.worker.protocol.events import ContextDone, Failed, FailureCode, HealthPhase
from tests.app.worker.conftest import Until, serving
from tests.app.worker.protocol.test_protocol import equal
from tests.app.worker.workbenches import Behaviour, PretendWorkbench, effect_of, request

JSON = {"Content-Type": "application/json"}


def results(client: WorkerClient, steps_ms: list[int]) -> list[int]:
    """The contexts' indices in the order in which they arrive."""
    events = list(client.ask(request(steps_ms)))
    assert all(isinstance(event, ContextDone) for event in events)
    return [event.index for event in events if isinstance(event, ContextDone)]


def url_of(client: WorkerClient) -> str:
    return client._url("")


def test_effects_arrive_in_order_and_exact(client: WorkerClient) -> None:
    events = list(client.ask(request([1, 2, 3])))
    for index, event in enumerate(events):
        assert isinstance(event, ContextDone)
        assert event.index == index
        assert equal(unpack(event), effect_of([index + 1]))
    assert len(events) == 3


def test_effects_stream_as_they_are_computed(client: WorkerClient) -> None:
    stream = client.ask(request([1, 400, 400, 400]))
    began = time.monotonic()
    next(stream)
    assert time.monotonic() - began < 0.4
    stream.close()


def test_a_short_job_finishes_while_a_long_one_runs(
    client: WorkerClient, workbench: PretendWorkbench
) -> None:
    long = client.ask(request([20] * 200))
    next(long)
    began = time.monotonic()
    assert results(client, [20]) == [0]
    assert time.monotonic() - began < 1.0
    assert workbench.running == 1
    long.close()


def test_a_client_that_leaves_cancels_within_a_step(
    client: WorkerClient, workbench: PretendWorkbench, until: Until
) -> None:
    stream = client.ask(request([30] * 200))
    next(stream)
    stream.close()
    steps = workbench.steps
    until(lambda: workbench.running == 0, seconds=2)
    assert workbench.closed == 1
    # The step under way, and one more that may have begun before the news travelled.
    assert workbench.steps <= steps + 2


def test_a_client_that_leaves_while_it_waits_is_noticed(
    client: WorkerClient, workbench: PretendWorkbench, until: Until
) -> None:
    long = client.ask(request([300] * 20))
    next(long)
    with (
        pytest.raises(httpx.ReadTimeout),
        httpx.stream(
            "POST",
            url_of(client) + "/ablate",
            content=request([300] * 20).model_dump_json(),
            headers=JSON,
            timeout=0.1,
        ) as answer,
    ):
        list(answer.iter_lines())
    until(lambda: client.health().jobs == 1, seconds=3)
    long.close()
    until(lambda: client.health().jobs == 0, seconds=3)


def test_a_full_worker_answers_503_and_recovers(client: WorkerClient, until: Until) -> None:
    streams = [client.ask(request([20] * 200)) for _ in range(4)]
    for stream in streams:
        next(stream)
    with pytest.raises(Overloaded, match="already holds 4 requests") as refused:
        results(client, [1])
    assert refused.value.retry_after >= 1
    answer = httpx.post(
        url_of(client) + "/ablate", content=request([1]).model_dump_json(), headers=JSON
    )
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert Failed.model_validate_json(answer.content).code == FailureCode.OVERLOADED
    for stream in streams:
        stream.close()
    until(lambda: client.health().jobs == 0)
    assert results(client, [1]) == [0]


def test_a_deadline_is_kept_and_named(client: WorkerClient) -> None:
    stream = client.ask(request([30] * 100, seconds=0.2))
    arrived = []
    with pytest.raises(WorkFailed, match=r"within 0\.2 seconds") as failed:
        arrived.extend(stream)
    assert failed.value.code == FailureCode.DEADLINE
    assert 1 <= len(arrived) <= 10


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        (Behaviour.DEFECT, FailureCode.INTERNAL, "a defect"),
        (Behaviour.REFUSAL, FailureCode.REFUSED, "The weights are damaged: copy them again."),
        (Behaviour.MEMORY, FailureCode.MEMORY, "out of memory"),
        (Behaviour.CUDA_MEMORY, FailureCode.MEMORY, "out of memory"),
    ],
)
def test_what_goes_wrong_in_one_request_ends_that_one_alone(
    client: WorkerClient, behaviour: Behaviour, code: FailureCode, words: str
) -> None:
    good = client.ask(request([20] * 10))
    next(good)
    bad = client.ask(request([1, 1], behaviour))
    next(bad)
    with pytest.raises(WorkFailed, match=words) as failed:
        next(bad)
    assert failed.value.code == code
    assert len(list(good)) == 9
    assert results(client, [1]) == [0]


def test_many_clients_at_once(settings: Settings, workbench: PretendWorkbench) -> None:
    with serving(settings, workbench, Limits(jobs=40)) as client:
        found: list[list[int]] = []

        def ask() -> None:
            found.append(results(client, [1] * 5))

        threads = [threading.Thread(target=ask) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert found == [list(range(5))] * 30


def test_empty_lines_keep_a_slow_stream_alive(
    settings: Settings, workbench: PretendWorkbench
) -> None:
    limits = Limits(heartbeat_seconds=0.1)
    with serving(settings, workbench, limits) as client:
        patient = WorkerClient(lambda: url_of(client), silence_seconds=0.4)
        assert len(list(patient.ask(request([1000])))) == 1
        patient.close()


def test_health_answers_while_the_device_works(client: WorkerClient) -> None:
    stream = client.ask(request([1, 500, 500]))
    next(stream)
    began = time.monotonic()
    health = client.health()
    assert time.monotonic() - began < 0.3
    assert health.phase == HealthPhase.READY
    assert (health.jobs, health.capacity, health.device) == (1, 4, "cpu")
    stream.close()


def test_health_answers_before_torch_is_imported(settings: Settings) -> None:
    imported = threading.Event()

    class Slow(PretendWorkbench):
        def prepare(self) -> None:
            imported.wait(10)

    with serving(settings, Slow(), Limits()) as client:
        assert client.health().phase == HealthPhase.STARTING
        threading.Timer(0.1, imported.set).start()
        assert results(client, [1]) == [0]
        assert client.health().phase == HealthPhase.READY


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        ("{}", {"Content-Type": "text/plain"}, 415, "application/json"),
        ("{", JSON, 422, "malformed"),
        ("{}", JSON, 422, "malformed at model: Field required"),
        ("x" * 20_001, JSON, 413, "20000 bytes"),
    ],
)
def test_malformed_requests_are_refused_with_a_sentence(
    client: WorkerClient, body: str, headers: dict[str, str], status: int, words: str
) -> None:
    answer = httpx.post(url_of(client) + "/ablate", content=body, headers=headers)
    assert answer.status_code == status
    assert words in Failed.model_validate_json(answer.content).message


def test_a_body_of_unknown_length_is_cut_off(client: WorkerClient) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000

    answer = httpx.post(url_of(client) + "/ablate", content=pieces(), headers=JSON)
    assert answer.status_code == 413


def test_a_body_that_never_comes_is_given_up(settings: Settings) -> None:
    with serving(settings, PretendWorkbench(), Limits(body_seconds=0.2)) as client:

        def pieces() -> Iterator[bytes]:
            yield b"{"
            time.sleep(0.6)
            yield b"}"

        answer = httpx.post(url_of(client) + "/ablate", content=pieces(), headers=JSON)
        assert answer.status_code == 408


def test_too_large_a_request_is_an_invalid_one_for_the_client(client: WorkerClient) -> None:
    with pytest.raises(InvalidRequest, match="20000 bytes"):
        list(client.ask(request([1] * 20_000)))


def test_no_worker_at_all() -> None:
    client = WorkerClient(lambda: "http://127.0.0.1:9")
    with pytest.raises(WorkerUnavailable, match="tries again by itself"):
        list(client.ask(request([1])))
    with pytest.raises(WorkerUnavailable):
        client.health()
    client.close()
    nowhere = WorkerClient(lambda: None)
    with pytest.raises(WorkerUnavailable, match="FEATURESCOPE_WORKER_URL"):
        nowhere.health()
    nowhere.close()


def test_limits_that_forbid_everything_are_refused() -> None:
    with pytest.raises(ValueError, match="jobs is 0"):
        Limits(jobs=0)


def test_another_server_on_that_port_is_told_apart(settings: Settings) -> None:
    class Strange(PretendWorkbench):
        pass

    with serving(settings, Strange(), Limits()) as client:
        wrong = WorkerClient(lambda: url_of(client) + "/elsewhere")
        with pytest.raises(WorkerUnavailable, match="same version"):
            wrong.health()
        with pytest.raises(WorkerUnavailable, match="same version"):
            list(wrong.ask(request([1])))
        wrong.close()


def test_a_worker_with_a_secret_works_for_nobody_else(
    settings: Settings, workbench: PretendWorkbench
) -> None:
    guarded = settings.model_copy(update={"worker_secret": SecretStr("between us")})
    with serving(guarded, workbench, Limits(heartbeat_seconds=0.2)) as stranger:
        with pytest.raises(InvalidRequest, match="FEATURESCOPE_WORKER_SECRET"):
            list(stranger.ask(request([1])))
        assert workbench.steps == 0
        assert stranger.health().phase is not None  # says nothing that is not known
        known = WorkerClient(lambda: url_of(stranger), secret="between us")
        assert len(list(known.ask(request([1])))) == 1
        known.close()


@pytest.mark.parametrize("late", [httpx.ConnectTimeout("late"), httpx.WriteTimeout("late")])
def test_a_crowd_is_not_called_a_restart(late: httpx.TimeoutException) -> None:
    with pytest.raises(Overloaded) as raised, faults_translated(1.0):
        raise late
    assert "restart" not in str(raised.value)
    assert raised.value.retry_after > 0
