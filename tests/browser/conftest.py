"""A real browser in front of a real server, over a store of hostile samples."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Page, expect

from app.application import create_app
from app.errors import WorkerUnavailable
from app.listening import listen
from app.settings import Settings
from app.store.store import Store, open_store
from app.store.types.catalogue import DictionaryView
from sae_core.harvest.records import ContextEffect, WindowRecord
from tests import factories
from tests.app.pretend.prompts import PretendPrompts
from tests.app.pretend.served import Served

expect.set_options(timeout=20_000)  # a loaded machine is slow, not wrong

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The browser of the system; without one, that of Playwright."""
    found = os.environ.get("TEST_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    return browser_type_launch_args | ({"executable_path": found} if found else {})


@dataclass
class FakeAblations:
    """Effects without a worker; can be told that there is none."""

    down: bool = False
    asked: list[tuple[int, int]] = field(default_factory=list)

    def effects(
        self, dictionary: DictionaryView, index: int, windows: Sequence[WindowRecord]
    ) -> dict[int, ContextEffect]:
        if self.down:
            raise WorkerUnavailable("The worker stopped and is being started again.")
        self.asked.append((index, len(windows)))
        return {window.number: factories.effect(index, window.number) for window in windows}


@pytest.fixture(scope="session")
def shared_ablations() -> FakeAblations:
    return FakeAblations()


@pytest.fixture
def ablations(shared_ablations: FakeAblations) -> Iterator[FakeAblations]:
    """The worker's stand-in, up at the start and the end of each test."""
    shared_ablations.down = False
    shared_ablations.asked.clear()
    yield shared_ablations
    shared_ablations.down = False


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder: Path = tmp_path_factory.mktemp("browser")
    with open_store(Settings(home=folder)) as store:
        factories.publish(store, factories.sample(d_sae=120))
        factories.publish(store, factories.neurons_sample())
        yield store


@pytest.fixture(scope="session")
def base_url(
    shared_store: Store, shared_ablations: FakeAblations, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of the application, served for all tests."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    app = create_app(settings, shared_store, shared_ablations, None)  # type: ignore[arg-type]
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, ws="none")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server died"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join(5)


@pytest.fixture
def browser_context_args(browser_context_args: dict[str, Any], base_url: str) -> dict[str, Any]:
    """With the address of the test's own folder; pytest-playwright keeps the first for all."""
    return browser_context_args | {"base_url": base_url}


@pytest.fixture(scope="session")
def shared_prompts() -> PretendPrompts:
    return PretendPrompts()


@pytest.fixture
def live(shared_prompts: PretendPrompts) -> Iterator[PretendPrompts]:
    """The worker behind `prompt_site`, at its best at the start and the end of each test."""
    shared_prompts.reset()
    yield shared_prompts
    shared_prompts.reset()


@pytest.fixture(scope="session")
def prompt_site(
    shared_store: Store,
    shared_prompts: PretendPrompts,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The address of an application whose worker pretends to read prompts."""
    with Served(shared_store, tmp_path_factory.mktemp("prompts"), shared_prompts) as address:
        yield address


@pytest.fixture
def complaints(page: Page) -> Iterator[list[str]]:
    """Everything that the page complains about, and each request that leaves this machine.

    A test that expects complaints empties the list; what is left at its end fails it.
    """
    found: list[str] = []
    page.on(
        "console",
        lambda message: (
            found.append(f"console: {message.text}")
            if message.type in ("error", "warning")
            else None
        ),
    )
    page.on("pageerror", lambda error: found.append(f"uncaught: {error}"))
    page.on(
        "response",
        lambda answer: (
            found.append(f"{answer.status}: {answer.url}") if answer.status >= 400 else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("http://127.0.0.1:", "data:"))
            else found.append(f"leaves this machine: {request.url}")
        ),
    )
    yield found
    assert found == []
