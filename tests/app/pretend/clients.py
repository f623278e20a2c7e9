"""An application over a store, without a network and without a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from starlette.testclient import TestClient

from app.application import create_app
from app.errors import FeaturescopeError
from app.settings import Settings
from app.store.store import Store, open_store
from app.store.types.catalogue import DictionaryView
from app.worker.client.prompts import PromptWork
from app.worker.client.streaming import LiveWorker
from sae_core.harvest.records import ContextEffect, WindowRecord
from tests import factories
from tests.published import FILE, published

HX = {"HX-Request": "true"}


@dataclass
class FakeAblations:
    """Effects without a worker, or the error that it would raise."""

    error: FeaturescopeError | None = None
    asked: list[tuple[str, int, list[int]]] = field(default_factory=list)

    def effects(
        self, dictionary: DictionaryView, index: int, windows: Sequence[WindowRecord]
    ) -> dict[int, ContextEffect]:
        self.asked.append((dictionary.name, index, [window.number for window in windows]))
        if self.error:
            raise self.error
        return {window.number: factories.effect(index, window.number) for window in windows}

    async def close(self) -> None:
        pass


@dataclass
class Client:
    """Asks for pages."""

    http: TestClient
    store: Store
    ablations: FakeAblations

    def get(self, address: str, **headers: str) -> httpx.Response:
        """A page as a document; redirects are not followed."""
        return self.http.get(address, headers=headers, follow_redirects=False)

    def post(self, address: str, fields: Any, **headers: str) -> httpx.Response:
        """A form, sent."""
        return self.http.post(
            address,
            content=urlencode(fields),
            headers={"Content-Type": "application/x-www-form-urlencoded"} | headers,
            follow_redirects=False,
        )

    def forget_prompts(self) -> None:
        """Let the application ask the worker anew about every prompt."""
        app: Any = self.http.app
        site = app.state.site
        app.state.site = replace(site, prompts=PromptWork(site.live))

    def fragment(self, address: str) -> httpx.Response:
        """A page as htmx asks for it."""
        return self.http.get(address, headers=HX, follow_redirects=False)


@contextmanager
def client(
    store: Any, home: Path, live: LiveWorker | None = None, **settings: Any
) -> Iterator[Client]:
    """An application that runs; `store` may be a stand-in."""
    ablations = FakeAblations()
    app = create_app(Settings(home=home, **settings), store, ablations, None, live)  # type: ignore[arg-type]
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as http:
        yield Client(http, store, ablations)


@contextmanager
def filled(folder: Path, live: LiveWorker | None = None) -> Iterator[Client]:
    """An application over the samples `demo/mlp-12` and `demo/neurons` in a store of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_bytes(published())
    with open_store(Settings(home=folder)) as store, client(store, folder, live) as made:
        yield made


class Broken:
    """A store whose every method raises."""

    def __init__(self, error: Callable[[], Exception]) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object) -> None:
            raise self._error()

        return fail
