"""The application on a real socket, in front of some worker."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import uvicorn

from app.application import create_app
from app.listening import listen
from app.serving import server_config
from app.settings import Settings
from app.store.store import Store
from app.worker.client.ablations import Ablations
from app.worker.client.streaming import LiveWorker
from tests.app.pretend.clients import FakeAblations


class Served:
    """Serves while it is entered; its value is the address."""

    def __init__(
        self, store: Store, home: Path, live: LiveWorker, ablations: Ablations | None = None
    ) -> None:
        effects: Any = ablations or FakeAblations()
        app = create_app(Settings(home=home), store, effects, None, live)
        self._listening = listen("127.0.0.1", 0)
        config = server_config(app)
        config.timeout_graceful_shutdown = 1
        config.ws = "none"
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listening]}
        )

    def __enter__(self) -> str:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server died"
            time.sleep(0.01)
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._listening.close()
        assert not self._thread.is_alive()
