"""The stream of effects: all dictionaries at once, drawn off the event loop, remembered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from app.errors import WorkerUnavailable
from app.pages.prompt import effects_stream as prompt_stream
from app.pages.prompt.effects_stream import EffectsStream, merged
from app.pages.prompt.ranking import EffectRanking, ranking
from app.worker.client.attributions import Attribution
from app.worker.client.prompts import Remembered
from app.worker.protocol.events import Attributed, Estimated, Progress, Result
from app.worker.protocol.requests import AttributeRequest, DictionaryRef, ModelRef
from tests import own_loop
from tests.app.pretend.prompts import PretendPrompts

TOKENS = (0, 1, 2, 20, 3, 21, 22, 1)


class Work:
    """Remembers as `PromptWork` does."""

    def __init__(self, most_bytes: int = 2**20) -> None:
        self._known = Remembered(100, most_bytes)

    def known_attribution(self, request: AttributeRequest) -> Attribution | None:
        found: Attribution | None = self._known.get(request)
        return found

    def remember(self, request: AttributeRequest, attribution: Attribution) -> None:
        self._known.put(request, attribution, attribution.nbytes)


def request(dictionary: str) -> AttributeRequest:
    return AttributeRequest(
        model=ModelRef(path="m", checksum="0" * 64),
        dictionary=DictionaryRef(hook_point="h", path=dictionary, checksum=None),
        tokens=TOKENS,
        position=5,
        target=21,
    )


REQUESTS = {name: request(name) for name in ("one", "two", "three")}


def draw(known: EffectRanking) -> str:
    return f"{known.known} of {len(known.names)}"


def stream(live: PretendPrompts, work: Work | None = None) -> EffectsStream:
    return EffectsStream(live, work or Work(), REQUESTS, draw)  # type: ignore[arg-type]


async def all_of(found: EffectsStream) -> list[Result | Progress]:
    async with aclosing(found.events()) as events:
        return [event async for event in events]


def test_the_estimates_of_all_dictionaries_come_before_any_waits_for_exact_effects() -> None:
    async def read() -> tuple[list[Result | Progress], list[str]]:
        found, said = stream(PretendPrompts(step_seconds=0.05)), []
        events = []
        async with aclosing(found.events()) as coming:
            async for event in coming:
                events.append(event)
                if (table := await found.say(event)) is not None:
                    said.append(table.html)
        return events, said

    events, said = own_loop.run(read())
    n = len(REQUESTS)
    assert all(isinstance(event, Estimated) for event in events[:n])
    assert sum(isinstance(event, Estimated) for event in events) == n
    total = sum(len(event.features) // 4 for event in events[:n])
    assert said[0] == f"0 of {total}"
    assert said[-1] == f"{total} of {total}"
    assert said.count(said[-1]) == 1


def test_estimates_that_come_late_are_shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_stream, "REDRAW_SECONDS", 3600.0)
    early = asyncio.Event()

    class Late(PretendPrompts):
        async def ask(self, request: AttributeRequest) -> AsyncGenerator[Result | Progress, None]:
            if request == REQUESTS["two"]:
                await early.wait()
            async with aclosing(super().ask(request)) as events:
                async for event in events:
                    yield event

    async def read() -> list[str]:
        found, said = stream(Late(step_seconds=0.01)), []
        async with aclosing(found.events()) as events:
            async for event in events:
                if (table := await found.say(event)) is not None:
                    said.append(table.html)
                if isinstance(event, Attributed):
                    early.set()
        return said

    said = own_loop.run(read())
    shown = [int(html.rpartition(" ")[2]) for html in said]
    assert len(shown) == 3  # some estimates, all of them, all exact effects
    assert shown[0] < shown[1] == shown[2]
    assert said[-1] == f"{shown[2]} of {shown[2]}"


def test_a_reader_who_leaves_ends_all_streams() -> None:
    async def leave() -> PretendPrompts:
        live = PretendPrompts(step_seconds=60)
        async with aclosing(stream(live).events()) as events:
            async for event in events:
                assert isinstance(event, Estimated)
                break
        assert len(asyncio.all_tasks()) == 1
        return live

    live = own_loop.run(leave())
    assert live.closed == len(live.asked) == len(REQUESTS)


def test_an_error_of_one_ends_all() -> None:
    class Mixed(PretendPrompts):
        async def ask(self, request: AttributeRequest) -> AsyncGenerator[Result | Progress, None]:
            if request == REQUESTS["two"]:
                raise WorkerUnavailable("It died.")
            async with aclosing(super().ask(request)) as events:
                async for event in events:
                    yield event

    async def read(live: PretendPrompts) -> None:
        with pytest.raises(WorkerUnavailable, match="It died"):
            await all_of(stream(live))
        assert len(asyncio.all_tasks()) == 1

    live = Mixed(step_seconds=60)
    own_loop.run(read(live))
    assert live.closed == len(REQUESTS) - 1


def test_an_answer_that_does_not_fit_ends_all() -> None:
    class Strange(PretendPrompts):
        async def ask(self, request: AttributeRequest) -> AsyncGenerator[Result | Progress, None]:
            yield Attributed(features=b"\1\0\0\0", loss_change=b"\0\0\0\0")

    with pytest.raises(WorkerUnavailable):
        own_loop.run(all_of(stream(Strange())))


def test_merging_keeps_the_order_of_each_and_is_slowed_by_its_reader() -> None:
    ahead = 0

    async def count(name: str) -> AsyncGenerator[tuple[str, int], None]:
        nonlocal ahead
        for number in range(20):
            ahead += 1
            yield name, number

    async def read() -> list[tuple[str, int]]:
        nonlocal ahead
        found, most = [], 0
        async with aclosing(merged([count("a"), count("b")])) as both:
            async for one in both:
                found.append(one)
                ahead -= 1
                await asyncio.sleep(0)
                most = max(most, ahead)
        assert most <= 3  # one of each waits to be put, one is in the box
        return found

    found = own_loop.run(read())
    for name in "ab":
        assert [number for one, number in found if one == name] == list(range(20))


def test_the_table_is_worked_out_in_a_thread_and_only_when_it_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads = []

    def counted(*given: object) -> EffectRanking:
        threads.append(threading.get_ident())
        return ranking(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(prompt_stream, "ranking", counted)
    monkeypatch.setattr(prompt_stream, "REDRAW_SECONDS", 3600.0)

    async def read() -> list[bool]:
        found = stream(PretendPrompts())
        async with aclosing(found.events()) as events:
            return [await found.say(event) is not None async for event in events]

    drawn = own_loop.run(read())
    assert len(threads) == sum(drawn) < len(drawn)
    assert threading.get_ident() not in threads
    assert drawn[0]
    assert any(drawn[1:])


def test_what_is_streamed_counts_with_its_size() -> None:
    async def read(work: Work) -> None:
        await all_of(stream(PretendPrompts(), work))

    roomy = Work()
    own_loop.run(read(roomy))
    sizes = [found.nbytes for one in REQUESTS.values() if (found := roomy.known_attribution(one))]
    assert len(sizes) == len(REQUESTS)
    assert min(sizes) > 0
    narrow = Work(most_bytes=sum(sizes) - 1)
    own_loop.run(read(narrow))
    kept = [one for one in REQUESTS.values() if narrow.known_attribution(one)]
    assert len(kept) == len(REQUESTS) - 1


def test_half_an_answer_is_remembered_and_never_in_place_of_a_whole_one() -> None:
    async def read(live: PretendPrompts, work: Work) -> None:
        async with aclosing(stream(live, work).events()) as events:
            async for event in events:
                if isinstance(event, Attributed):
                    return

    work, one = Work(), REQUESTS["one"]
    own_loop.run(read(PretendPrompts(step_seconds=0.01), work))
    half = work.known_attribution(one)
    assert half is not None
    assert half.begun
    assert not half.complete

    async def meanwhile() -> Attribution | None:
        """Another reader has the whole answer before this one has the estimates."""
        slow = stream(PretendPrompts(), work)
        coming = slow.events()
        begun = asyncio.create_task(anext(coming))
        await asyncio.sleep(0)  # it has looked what is known, and has nothing yet
        whole = Attribution()
        async for event in PretendPrompts().ask(one):
            whole.take(event)
        work.remember(one, whole)
        await begun
        assert work.known_attribution(one) is whole
        async for _ in coming:
            pass
        return work.known_attribution(one)

    last = own_loop.run(meanwhile())
    assert last is not None
    assert last.complete
