"""The steering page in front of a worker that pretends to steer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from app.settings import Settings
from app.store.store import Store
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.protocol.events import Pane
from app.worker.protocol.requests import SteerRequest
from tests.app.pretend.served import Served
from tests.app.pretend.steering import PretendSteering, steering_worker, text_of
from tests.app.web.test_stream import wait

STEER = "/m/demo/steer"
ONE = f"{STEER}?text=def&f=mlp-12:2:add:1&n=12"


@pytest.fixture(scope="session")
def bench() -> PretendSteering:
    return PretendSteering(step_ms=0)


@pytest.fixture(scope="session")
def base_url(
    bench: PretendSteering, shared_store: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The application in front of a worker that pretends to steer."""
    home: Path = tmp_path_factory.mktemp("steer")
    with (
        steering_worker(bench, Settings(home=home)) as worker,
        Served(shared_store, home, AsyncWorkerClient(lambda: worker)) as url,
    ):
        yield url


@pytest.fixture(autouse=True)
def quiet(bench: PretendSteering) -> Iterator[None]:
    """Each test begins with a worker that is fast and has nothing to do."""
    bench.step_ms = 0
    yield
    bench.step_ms = 0
    wait(lambda: bench.running == 0)


def complete(page: Page) -> None:
    """Wait until the texts are those of the page, and its address says so."""
    steer = page.locator("#steer")
    here = ""

    def settled() -> bool:
        nonlocal here
        before, here = here, page.evaluate("location.pathname + location.search")
        busy = page.locator("#steered").get_attribute("aria-busy") == "true"
        if here == before == steer.get_attribute("data-complete") and not busy:
            return True
        page.wait_for_timeout(300)  # longer than the address lags behind
        return False

    wait(settled)


def written(page: Page, pane: Pane) -> str:
    """What a pane says after the prompt, white space left out."""
    said = page.locator(f"#{pane} .written bdi").all_inner_texts()
    return re.sub(r"[\s⏎⇥␍]", "", "".join(said))


def alone(bench: PretendSteering, pane: Pane) -> str:
    """What a lone run of the last request says, as pages show it."""
    request = bench.asked[-1]
    assert isinstance(request, SteerRequest)
    text = re.sub(r"\s", "", text_of(request, pane))
    return text.replace("\u202e", "U+202E").replace("\x00", "␀")


def slider(page: Page, place: int = 0) -> Locator:
    return page.locator("#sliders input[type=range]").nth(place)


def drag(page: Page, steps: int, by: float) -> None:
    """Press on the slider's thumb and move it, step by step; it stays pressed."""
    box = slider(page).bounding_box()
    assert box is not None
    value = float(slider(page).input_value())
    x = box["x"] + 9 + (box["width"] - 18) * (value + 76) / 152
    y = box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, steps + 1):
        page.mouse.move(x + by * step, y)
