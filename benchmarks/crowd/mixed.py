"""Two hundred readers of all kinds at once: how long each waits, and whether all get it right.

1. Everything that is asked for is first asked quietly, ablations aside: that is what is right.
2. The crowd asks, over and over, each client one question after the other and again where it was
   refused; what comes back is held against step 1.
3. A part of the ablations, cached by then, is computed anew in a copy of the store without them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.crowd.client import Answer, Client
from benchmarks.crowd.questions import ablation, drawn, equal, events, reading, steering
from benchmarks.served import Served, cpu_seconds_of

PAGES, STEERING, ABLATION, PROMPTS = "pages", "steering", "ablation", "prompts"
CLIENTS = 200
SHARES = {PAGES: 0.5, STEERING: 0.2, ABLATION: 0.2, PROMPTS: 0.1}  # of each client's questions
N_TOKENS = 40  # of a steered text
N_TEXTS = N_PROMPTS = N_PAGES = 24  # different ones
TABLES = ("/", "/d/demo/mlp-4096", "/d/demo/mlp-4096?sort=density&order=desc&page=2")


@dataclass
class Tally:
    """What happened.

    Attributes:
        seconds: from a question to its answer, refusals included, by kind.
        refusals: 503s and streams that failed, by their sentence.
        wrong: answers that are not what was answered quietly, and what they were.
        effects: what was answered about ablations, by feature.
        used: processor seconds of the web process and of the worker.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in SHARES})
    refusals: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    effects: dict[int, Any] = field(default_factory=dict)
    used: Sequence[float] = ()

    def report(self, seconds: float) -> dict[str, str]:
        """A line for each kind, and one for what went wrong."""
        lines = {}
        for kind, times in self.seconds.items():
            p50, p95 = np.percentile(times, (50, 95)) if times else (np.nan, np.nan)
            rate = len(times) / seconds
            lines[f"{kind}, p50, p95"] = f"{p50:.2f} s, {p95:.2f} s ({rate:.1f} a second)"
        lines["processor seconds, web, worker"] = ", ".join(f"{used:.0f}" for used in self.used)
        restarts = sum(n for text, n in self.refusals.items() if "restart" in text.lower())
        lines["refused and asked again"] = (
            f"{sum(self.refusals.values())}, of which {restarts} name a restart"
        )
        kinds = "; ".join(f"{kind} {times}" for kind, times in self.wrong.most_common(3))
        lines["wrong answers"] = f"{sum(self.wrong.values())}{f' ({kinds})' if kinds else ''}"
        return lines


async def verified(served: Served, tally: Tally, n: int = 40) -> str:
    """How many ablations differ from those that another server, left in peace, computes anew."""
    drawn_features = random.Random(1).sample(sorted(tally.effects), min(n, len(tally.effects)))
    wrong = 0
    for feature in drawn_features:
        answer, _ = await Client(served.port).persist(ablation(feature))
        wrong += not equal(answer.json, tally.effects[feature])
    return f"{wrong} of {len(drawn_features)} ablations differ when computed anew"


class Crowd:
    """All clients of one server.

    Args:
        served: the server.
        features: that fire; those that are ablated are drawn from them.
        seconds: how long the crowd goes on.
    """

    def __init__(self, served: Served, features: Sequence[int], seconds: float) -> None:
        self._served = served
        self._pids = (served.pid, served.worker)
        self._texts = features[:N_TEXTS]
        self._pages = features[N_TEXTS : N_TEXTS + N_PAGES]
        self._ablated = features[N_TEXTS + N_PAGES :]
        self._seconds = seconds
        self._right: dict[tuple[str, int], Any] = {}
        self._tally = Tally()
        self._end = 0.0

    async def run(self) -> Tally:
        """Ask quietly, then all at once."""
        quiet = Client(self._served.port, 0)
        for feature in self._texts:
            await self._steer(quiet, feature)
        for feature in self._pages:
            await self._look(quiet, f"/d/demo/mlp-4096/{feature}", feature)
        for number in range(N_PROMPTS):
            await self._read(quiet, number)
        self._tally = Tally()
        self._end = time.monotonic() + self._seconds
        used = [cpu_seconds_of(pid) for pid in self._pids]
        await asyncio.gather(
            *(self._go_on(Client(self._served.port, number)) for number in range(1, CLIENTS + 1))
        )
        self._tally.used = [
            now - before for now, before in zip(map(cpu_seconds_of, self._pids), used, strict=True)
        ]
        return self._tally

    async def _go_on(self, client: Client) -> None:
        """One client's questions."""
        draw = random.Random(client.number)
        await asyncio.sleep(draw.uniform(0, 2))
        kinds, shares = list(SHARES), list(SHARES.values())
        while time.monotonic() < self._end:
            (kind,) = draw.choices(kinds, shares)
            await self._next(kind, client, draw)

    def _next(self, kind: str, client: Client, draw: random.Random) -> Coroutine[Any, Any, None]:
        if kind == STEERING:
            return self._steer(client, draw.choice(self._texts))
        if kind == ABLATION:
            return self._ablate(client, draw.choice(self._ablated))
        if kind == PROMPTS:
            return self._read(client, draw.randrange(N_PROMPTS))
        if draw.random() < 0.3:
            return self._look(client, draw.choice(TABLES))
        feature = draw.choice(self._pages)
        return self._look(client, f"/d/demo/mlp-4096/{feature}", feature)

    async def _look(self, client: Client, target: str, feature: int | None = None) -> None:
        """A page; of a feature's, the same must be written each time."""
        body = await self._asked(PAGES, client, target)
        if feature is not None and body is not None:
            self._hold(PAGES, feature, body, bytes.__eq__)

    async def _read(self, client: Client, number: int) -> None:
        """What fires on a prompt."""
        if (body := await self._asked(PROMPTS, client, *reading(number))) is not None:
            self._hold(PROMPTS, number, Answer(200, body).json, equal)

    async def _ablate(self, client: Client, feature: int) -> None:
        """A feature's contexts with their effects."""
        if (body := await self._asked(ABLATION, client, ablation(feature))) is not None:
            answer = Answer(200, body).json
            kept = self._tally.effects.setdefault(feature, answer)
            if not equal(kept, answer):
                self._tally.wrong[ABLATION] += 1

    async def _steer(self, client: Client, feature: int) -> None:
        """A steered text, up to its end; asked again where it breaks off."""
        began = time.monotonic()
        target, question = steering(feature, N_TOKENS)
        while time.monotonic() < began + 300:
            answer, refusals = await client.persist(target, question)
            self._note(refusals)
            last = list(events(answer.body))[-1:] or [{"event": "cut off", "detail": "cut off"}]
            if answer.status == 200 and last[0]["event"] == "done":
                self._tally.seconds[STEERING].append(time.monotonic() - began)
                self._hold(STEERING, feature, drawn(answer.body), list.__eq__)
                return
            self._tally.refusals[str(last[0].get("detail"))] += 1
            await asyncio.sleep(last[0].get("retry_after") or 1.0)
        self._tally.wrong[f"{STEERING}: none"] += 1

    async def _asked(
        self, kind: str, client: Client, target: str, question: Any = None
    ) -> bytes | None:
        """What a patient client is answered; None where it is no answer."""
        began = time.monotonic()
        answer, refusals = await client.persist(target, question)
        self._tally.seconds[kind].append(time.monotonic() - began)
        self._note(refusals)
        if answer.status == 200:
            return answer.body
        self._tally.wrong[f"{kind}: {answer.status}"] += 1
        return None

    def _note(self, refusals: Sequence[Answer]) -> None:
        for answer in refusals:
            text = answer.body.decode("utf-8", "replace")
            self._tally.refusals[text if "{" in text else str(answer.status)] += 1

    def _hold(self, kind: str, key: int, given: Any, same: Callable[[Any, Any], bool]) -> None:
        """Hold an answer against the quiet one, which is the first."""
        if not same(self._right.setdefault((kind, key), given), given):
            self._tally.wrong[kind] += 1
