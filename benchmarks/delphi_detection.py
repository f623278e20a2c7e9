"""How long delphi's detection scorer takes against a server that answers at once.

    ENV/bin/pip install --no-deps eai-delphi==0.1.3 && ENV/bin/pip install torch numpy pandas orjson
    ENV/bin/pip install httpx transformers jaxtyping simple-parsing
    ENV/bin/python benchmarks/delphi_detection.py 64

Run it in an environment of its own, for which this is all that the scorer needs of what delphi asks
for. Each feature is scored as delphi does by default: fifty contexts on which it fires and fifty on
which it does not, 32 tokens each, five in a prompt. The server is a process beside it that sends
the same few bytes whatever it is asked, so what is measured is the scorer, not a language model.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import sys
import time
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

CONTEXTS, TOKENS, SHOWN = 50, 32, 5
AT_ONCE = 10  # features


def _serve(ready: Connection) -> None:
    """Answer every request with the same words, on connections that stay open."""
    answer = {"choices": [{"message": {"content": str([n % 2 for n in range(SHOWN)])}}]}
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(request.split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                writer.write(head.encode() + b"\r\n\r\n" + body)
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


class _Anything(ModuleType):
    """A module that has a class of whatever name."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__init__": lambda *_, **__: None})


def _delphi() -> tuple[Any, Any, Any]:
    """Its scorer, its client and its records, without what they import and do not use."""

    while True:
        try:
            from delphi.clients.openrouter import OpenRouter
            from delphi.latents import latents
            from delphi.scorers.classifier.detection import DetectionScorer
        except ModuleNotFoundError as error:
            name = str(error.name)
            sys.modules[name] = _Anything(name)
        else:
            break
    return DetectionScorer, OpenRouter, latents


def main(n_features: int) -> None:
    """Print how long so many features took."""
    import torch

    scorer_class, client_class, latents = _delphi()
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=_serve, args=(there,), daemon=True)
    server.start()
    client = client_class("none", base_url=f"http://127.0.0.1:{here.recv()}/v1/chat/completions")
    scorer = scorer_class(client, n_examples_shown=SHOWN)
    words = random.Random(0)

    def example(fires: bool) -> Any:
        text = [words.choice((" self", "(", "return", " x", ",")) for _ in range(TOKENS)]
        values = torch.zeros(TOKENS)
        values[7] = float(fires)
        kind = latents.ActivatingExample if fires else latents.NonActivatingExample
        return kind(
            tokens=torch.zeros(TOKENS, dtype=torch.long), activations=values, str_tokens=text
        )

    records = []
    for index in range(n_features):
        record = latents.LatentRecord(latents.Latent("mlp", index))
        record.test = [example(True) for _ in range(CONTEXTS)]
        record.not_active = [example(False) for _ in range(CONTEXTS)]
        record.explanation = "the word self"
        records.append(record)

    async def score() -> int:
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(record: Any) -> int:
            async with turn:
                return len((await scorer(record)).score)

        return sum(await asyncio.gather(*map(one, records)))

    begin, cpu = time.perf_counter(), time.process_time()
    scored = asyncio.run(score())
    wall, own = time.perf_counter() - begin, time.process_time() - cpu
    server.terminate()
    print(
        f"delphi's detection, {n_features} features, {scored} contexts: {wall:.1f} s "
        f"({own:.1f} s of its own), {1000 * wall / n_features:.0f} ms a feature "
        f"({1000 * own / n_features:.0f} ms)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 64)
