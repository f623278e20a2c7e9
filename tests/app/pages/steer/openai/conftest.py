"""The pages and a real worker on sockets, a tiny model in the worker, and OpenAI's own client."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import openai
import pytest
import torch
import uvicorn
from transformers import GPT2Config, GPT2LMHeadModel

from app.application import create_app
from app.listening import listen
from app.settings import Settings
from app.store.store import open_store
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.process.jobs.registry import TorchWorkbench
from app.worker.process.limits import Limits
from app.worker.process.server import create_worker
from app.worker.protocol.chats import ChatRequest
from app.worker.protocol.events import Progress, Result
from app.worker.protocol.requests import DictionaryRef, ModelRef, WorkRequest
from sae_core.files.checksum import folder_checksum
from sae_core.language_model.model import LanguageModel, load_model
from tests.app.pretend.clients import FakeAblations
from tests.published import FILE, published
from tests.sae_core.tiny_models import D_VOCAB, tiny_tokenizer

NEURONS = DictionaryRef(path=None, hook_point="blocks.0.mlp.hook_post")


class TinyWorker(AsyncWorkerClient):
    """A way to a worker that knows the store's samples as one tiny model and its neurons."""

    model: ModelRef

    async def ask(self, request: WorkRequest) -> AsyncGenerator[Result | Progress, None]:
        """The answer for the tiny model."""
        asked = _exchanged(request.model_dump(mode="json"), self.model)
        events = super().ask(ChatRequest.model_validate(asked))
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()


class Endpoint(NamedTuple):
    """The endpoint with its client, and the model that answers."""

    client: openai.OpenAI
    url: str
    model: LanguageModel


def _exchanged(value: Any, model: ModelRef) -> Any:
    """A request's JSON with the tiny model and its neurons in the place of all others."""
    if isinstance(value, list):
        return [_exchanged(each, model) for each in value]
    if not isinstance(value, dict):
        return value
    if "hook_point" in value:
        return NEURONS.model_dump()
    return {
        name: model.model_dump() if name == "model" else _exchanged(each, model)
        for name, each in value.items()
    }


def _save(folder: Path) -> ModelRef:
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=2,
        n_embd=16,
        n_head=2,
        n_inner=24,
        n_positions=128,
        vocab_size=D_VOCAB,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.5,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tiny_tokenizer().save(str(folder / "tokenizer.json"))
    return ModelRef(path=str(folder), checksum=folder_checksum(folder))


@contextmanager
def _serving(app: Any) -> Iterator[str]:
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("endpoint")
    ref = _save(folder / "model")
    settings = Settings(home=folder, worker_threads=1)
    (folder / FILE).write_bytes(published())
    limits = Limits()
    with ExitStack() as stack:
        store = stack.enter_context(open_store(settings))
        worker = create_worker(settings, TorchWorkbench("cpu", 1, limits), limits)
        base = stack.enter_context(_serving(worker))
        live = TinyWorker(lambda: base)
        live.model = ref
        app = create_app(settings, store, FakeAblations(), None, live)  # type: ignore[arg-type]
        url = f"{stack.enter_context(_serving(app))}/v1"
        client = stack.enter_context(
            openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=60)
        )
        yield Endpoint(client, url, load_model(Path(ref.path)))
