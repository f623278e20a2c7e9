"""How fast a chat answers: `python -m benchmarks.chat FOLDER`, about two minutes.

FOLDER holds a chat model. Its unsteered and steered answers together, through the worker's own job,
against `generate` of the transformers library, which writes two unsteered answers in one batch: the
same conversation, both greedy, in turns, on as many threads as OMP_NUM_THREADS says. The unsteered
answer is held to that of `generate`. Then the time from a slider's last event to the first new
word, over HTTP: each strength is another request, sent while the answer before it is being written,
and that one is dropped; once with both answers asked for, and once as the page asks while the
unsteered answer is there: for the steered one alone, of a long conversation, too.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from app.errors import FeaturescopeError
from app.listening import listen
from app.settings import Settings
from app.worker.client.chats import chat
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.process.jobs.registry import TorchWorkbench
from app.worker.process.limits import Limits
from app.worker.process.server import create_worker
from app.worker.protocol.chats import ChatPane, ChatRequest, ChatStep, ChatTurn
from app.worker.protocol.requests import DictionaryRef, ModelRef, Sampling, SteerEdit

QUESTION = "Tell me a long story about a dog and a cat who live in a small town."
N_TOKENS = 60
ROUNDS = 4
DRAGS = 20
LONG_TURNS = 20
RATIO_AT_LEAST = 1.0


def main() -> int:
    """Measure, and say whether the promise was kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of a chat model")
    folder: Path = parser.parse_args().folder
    from sae_core.language_model.model import load_model

    model = load_model(folder)
    ref = ModelRef(path=str(folder), checksum=model.checksum, prepend_bos=model.own_opening)
    hook_point = f"blocks.{model.n_layers // 2}.mlp.hook_post"
    workbench = TorchWorkbench("cpu", None, Limits())
    workbench.prepare()
    kept = throughput(workbench, model, ref, hook_point)
    for turns in (1, LONG_TURNS):
        for alone in (False, True):
            asyncio.run(drags(workbench, ref, hook_point, turns, alone))
    return 0 if kept else 1


def throughput(workbench: TorchWorkbench, model: Any, ref: ModelRef, hook_point: str) -> bool:
    """Print tokens a second beside those of `generate`; whether the promise was kept."""
    library = ChatLibrary(model, workbench, ask(ref, hook_point, 0.5))
    pairs = []
    for number in range(ROUNDS):
        theirs = library.write()
        # Equal requests are answered from what is kept: each round asks for another strength.
        request = ask(ref, hook_point, 0.6 + 0.01 * number)
        began, n = time.perf_counter(), 0
        texts: dict[ChatPane, list[int]] = {pane: [] for pane in ChatPane}
        for event in workbench.work(request):
            if isinstance(event, ChatStep):
                texts[event.pane].append(event.token)
                n += 1
        pairs.append((theirs, n / (time.perf_counter() - began)))
        own = texts[ChatPane.UNSTEERED]
        if own != library.text[: len(own)]:
            raise FeaturescopeError("the unsteered answer is not that of generate")
    # Whatever else runs on the machine only slows a round down.
    theirs, ours = (max(column) for column in zip(*pairs, strict=True))
    median = statistics.median(our / their for their, our in pairs)
    print(
        f"{ours:.1f} tokens/s, unsteered and steered together; generate {theirs:.1f}; ratio "
        f"{ours / theirs:.2f} (median of {ROUNDS} rounds {median:.2f}), promised {RATIO_AT_LEAST:g}"
    )
    return ours / theirs >= RATIO_AT_LEAST


class ChatLibrary:
    """`generate` of the unsteered model, two answers in one batch.

    Attributes:
        text: tokens of one of the two, which are equal.
    """

    def __init__(self, model: Any, workbench: TorchWorkbench, request: ChatRequest) -> None:
        import torch

        from app.worker.protocol.arrays import unpack_int32

        began: Any = next(e for e in workbench.work(request) if e.event == "chat_began")
        prompt = torch.from_numpy(unpack_int32(began.tokens).astype("int64"))
        self._prompt = prompt.expand(2, -1).to(model.device)
        self._module = model.module
        self.text: list[int] = []

    def write(self) -> float:
        """Write both answers; tokens a second."""
        import torch

        began = time.perf_counter()
        written = self._module.generate(
            self._prompt,
            attention_mask=torch.ones_like(self._prompt),
            max_new_tokens=N_TOKENS,
            do_sample=False,
        )[:, self._prompt.shape[1] :]
        self.text = written[0].tolist()
        return float(written.numel() / (time.perf_counter() - began))


def ask(
    ref: ModelRef, hook_point: str, strength: float, turns: int = 1, alone: bool = False
) -> ChatRequest:
    """What a page asks when a slider stands at that strength, of a conversation of that length."""
    edit = SteerEdit(
        dictionary=DictionaryRef(path=None, hook_point=hook_point),
        feature=5,
        strength=strength,
        maximum=2.0,
    )
    return ChatRequest(
        model=ref,
        turns=(ChatTurn(role="user", content=QUESTION),) * turns,
        alone=alone,
        edits=(edit,),
        n_tokens=N_TOKENS,
        sampling=Sampling(temperature=0.0),
    )


async def drags(
    workbench: TorchWorkbench, ref: ModelRef, hook_point: str, turns: int, alone: bool
) -> None:
    """Print the time from a slider's event to the first new word."""
    with serving(workbench) as url:
        worker = AsyncWorkerClient(lambda: url, silence_seconds=60)
        seconds = []
        dropped = None
        for number in range(DRAGS + 1):
            began = time.perf_counter()
            if dropped is not None:
                await dropped.aclose()
            events = chat(worker, ask(ref, hook_point, 0.1 + 0.05 * number, turns, alone))
            async for event in events:
                if isinstance(event, ChatStep) and event.pane is ChatPane.STEERED:
                    break
            dropped = events
            seconds.append(time.perf_counter() - began)
        async with aclosing(events):
            pass
        await worker.close()
    later = sorted(seconds[1:])  # the first request loads the model
    p95 = later[int(0.95 * (len(later) - 1))]
    what = "the steered answer alone" if alone else "both answers"
    print(
        f"first new word after a slider's event, {turns} turns, {what}: "
        f"p50 {1000 * statistics.median(later):.0f} ms, p95 {1000 * p95:.0f} ms, over HTTP, "
        f"{len(later)} events"
    )


@contextmanager
def serving(workbench: TorchWorkbench) -> Iterator[str]:
    """A worker on a socket, in a thread."""
    with listen("127.0.0.1", 0) as listening:
        app = create_worker(Settings(), workbench)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FeaturescopeError as error:
        sys.exit(str(error))
