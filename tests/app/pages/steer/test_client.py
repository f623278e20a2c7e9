"""The Python client's side of steering, and the program that the page hands out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.client import Edit, FeaturescopeClient, RequestFailed
from app.settings import Settings
from app.store.store import Store
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.protocol.events import Pane
from app.worker.protocol.requests import SteerRequest
from tests.app.pretend.served import Served
from tests.app.pretend.steering import PretendSteering, steering_worker, text_of
from tests.app.web.test_stream import wait
from tests.contract.repository import ROOT

EDIT = Edit(dictionary="mlp-12", feature=2, strength=1.5)


@pytest.fixture
def bench() -> PretendSteering:
    return PretendSteering(step_ms=0)


@pytest.fixture
def url(bench: PretendSteering, sqlite_store: Store, tmp_path: Path) -> Iterator[str]:
    with (
        steering_worker(bench, Settings(home=tmp_path)) as worker,
        Served(sqlite_store, tmp_path, AsyncWorkerClient(lambda: worker)) as url,
    ):
        yield url


def test_steering_is_an_iterator(url: str, bench: PretendSteering) -> None:
    with FeaturescopeClient(url) as client:
        events = list(client.steer("demo", "def", [EDIT], n_tokens=6, seed=3, scope="generated"))
    request = bench.asked[-1]
    assert isinstance(request, SteerRequest)
    assert (request.sampling.seed, request.scope, request.n_tokens) == (3, "generated", 6)
    for pane in Pane:
        said = [e.text for e in events if e.event == "token" and e.pane is pane]
        assert "".join(said) == text_of(request, pane)
    assert [event.event for event in events[-3:]] == ["traits", "traits", "side_effects"]


def test_leaving_the_iterator_ends_the_work(url: str, bench: PretendSteering) -> None:
    bench.step_ms = 20
    with FeaturescopeClient(url) as client:
        for event in client.steer("demo", "def", n_tokens=120):
            if event.event == "token":
                break
    wait(lambda: bench.running == 0)
    assert bench.closed == 1


def test_a_sweep_is_an_iterator(url: str) -> None:
    with FeaturescopeClient(url) as client:
        base, *points = client.dose("demo", "def", "mlp-12", 2, strengths=[-1, 0, 1], n_tokens=5)
    assert base.event == "dose_base"
    assert [point.strength for point in points if point.event == "dose"] == [-1, 0, 1]


def test_refusals_are_sentences(url: str) -> None:
    with FeaturescopeClient(url) as client:
        with pytest.raises(RequestFailed, match="no feature 99") as refused:
            list(client.steer("demo", "def", [EDIT.model_copy(update={"feature": 99})]))
        assert refused.value.status == 422
        with pytest.raises(RequestFailed, match="temperature") as refused:
            list(client.steer("demo", "def", temperature=-1))
        with pytest.raises(RequestFailed, match="There are demo") as refused:
            list(client.steer("other", "def"))
        assert refused.value.status == 404


def test_the_program_of_a_page_gives_its_texts(url: str, bench: PretendSteering) -> None:
    page = (
        "/m/demo/steer/python?text=def%20%22%0A%F0%9F%99%82&f=mlp-12:2:clamp:-2.5"
        "&f=neurons:1:add:1:off&n=7&temperature=0.5&scope=generated"
    )
    program = httpx.get(f"{url}{page}").text
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.stderr == ""
    request = bench.asked[-1]
    assert isinstance(request, SteerRequest)
    assert request.prompt == 'def "\n🙂'
    assert [(e.feature, e.mode, e.strength) for e in request.edits] == [(2, "clamp", -2.5)]
    assert (request.n_tokens, request.sampling.temperature) == (7, 0.5)
    assert request.scope == "generated"
    effects, texts = ran.stdout.splitlines()[:2], ran.stdout.splitlines()[2:]
    assert effects == ["1 0.0 1.25", "2 0.75 0.25"]
    assert texts == [f"{pane}: {text_of(request, pane)!r}" for pane in Pane]


def test_a_page_that_makes_no_sense_is_no_program(url: str) -> None:
    answer = httpx.get(f"{url}/m/demo/steer/python?temperature=-1")
    assert answer.status_code == 422
