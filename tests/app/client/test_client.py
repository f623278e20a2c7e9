"""The Python client against a running server: the same numbers, typed; refusals as one error."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import httpx
import pytest

from app import client as module
from app.client import FeaturescopeClient, RequestFailed
from app.errors import Overloaded, WorkerUnavailable
from app.pages.prompt.schema import AttributedEvent, EstimatedEvent
from app.settings import Settings
from app.store.store import open_store
from app.worker.protocol.requests import AttributeRequest
from tests import factories
from tests.app.pretend.prompt_site import BOTH, PROMPT, ROW, address
from tests.app.pretend.prompts import PretendPrompts, change_of, tokens_of
from tests.app.pretend.served import Served

OTHER = " self. word20 word29 word30"


@pytest.fixture(scope="module")
def live() -> PretendPrompts:
    return PretendPrompts()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, live: PretendPrompts) -> Iterator[str]:
    home = tmp_path_factory.mktemp("client")
    with open_store(Settings(home=home)) as store:
        factories.publish(store, factories.sample())
        factories.publish(store, factories.neurons_sample())
        with Served(store, home, live) as address:
            yield address


@pytest.fixture
def client(base: str, live: PretendPrompts) -> Iterator[FeaturescopeClient]:
    live.reset()
    with FeaturescopeClient(base) as made:
        yield made


def test_it_is_imported_without_torch_and_without_a_server() -> None:
    program = "import sys, app.client; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"torch", "transformers", "fastapi", "starlette", "sqlalchemy"} & set(loaded)


def test_activations_in_every_order(client: FeaturescopeClient) -> None:
    read = client.activations("demo", PROMPT)
    assert [token.id for token in read.tokens] == tokens_of(PROMPT)
    for sort in ("activation", "share", "rarity"):
        sizes = [getattr(feature, sort) for _, feature in read.active(sort)]
        assert sizes == sorted(sizes, reverse=True)
    whole = {(name, f.index): f for name, f in read.active()}
    there = read.active(position=3)
    assert there
    for name, feature in there:
        place = feature.positions.index(3)
        assert feature.activation == feature.values[place]
        before = whole[name, feature.index]
        assert feature.share == pytest.approx(before.share * feature.activation / before.activation)
    assert len(read.active(position=99)) == len(whole)
    assert [d.name for d in client.activations("demo", PROMPT, ["neurons"]).dictionaries] == [
        "neurons"
    ]
    assert client.activations("demo", tokens_of(PROMPT)).tokens == read.tokens


def test_ablation_occlusion_and_sets(client: FeaturescopeClient) -> None:
    ablated = client.ablate("demo", PROMPT, "mlp-12", 8)
    assert len(ablated.effect.positions) == len(ablated.effect.loss_change) > 0
    why = client.occlude("demo", PROMPT, "mlp-12", 8, replacement=" word30")
    assert why.replacement is not None
    assert why.replacement.id == 30
    joint = client.together("demo", PROMPT, "mlp-12", [1, 8], position=5)
    assert joint.singles == [change_of(1, 5, 21), change_of(8, 5, 21)]


def test_attribution_comes_event_by_event_and_can_be_left(
    client: FeaturescopeClient, live: PretendPrompts
) -> None:
    first, *rest = list(client.attribute("demo", PROMPT, "mlp-12", position=5))
    assert isinstance(first, EstimatedEvent)
    assert all(isinstance(event, AttributedEvent) for event in rest)
    known = {f: c for event in rest for f, c in zip(event.features, event.loss_change, strict=True)}
    assert known == {feature: change_of(feature, 5, 21) for feature in first.features}
    live.step_seconds = 5.0
    events = client.attribute("demo", PROMPT, "mlp-12", position=5)
    assert isinstance(next(events), EstimatedEvent)
    events.close()


@pytest.mark.parametrize(
    ("ask", "status", "words"),
    [
        (lambda c: c.activations("nobody", "a"), 404, "There are demo."),
        (lambda c: c.activations("demo", ""), 422, "empty"),
        (lambda c: c.activations("demo", "a", ["nothing"]), 404, "mlp-12, neurons"),
        (lambda c: c.ablate("demo", "a", "mlp-12", 99), 422, "there is no feature 99"),
        (lambda c: c.ablate("demo", "a", "mlp-12", -1), 422, "feature cannot be used"),
        (lambda c: list(c.attribute("demo", "a", "mlp-12", position=9)), 422, "a token 9"),
        (lambda c: c.together("demo", "a", "mlp-12", []), 422, "features cannot be used"),
        (lambda c: c.occlude("demo", "a", "mlp-12", 1, replacement="no token"), 422, "not one"),
    ],
)
def test_refusals_are_sentences(
    client: FeaturescopeClient, ask: Any, status: int, words: str
) -> None:
    with pytest.raises(RequestFailed, match=words) as found:
        ask(client)
    assert found.value.status == status
    assert found.value.retry_after is None


@pytest.mark.parametrize(
    ("error", "after"),
    [(WorkerUnavailable("It is starting."), 2.0), (Overloaded("It is busy.", 7), 7.0)],
)
def test_it_says_when_to_ask_again(
    client: FeaturescopeClient, live: PretendPrompts, error: Any, after: float
) -> None:
    live.error = error
    for ask in (
        lambda: client.activations("demo", "not asked before"),
        lambda: list(client.attribute("demo", PROMPT, "mlp-12", features=[3])),
    ):
        with pytest.raises(RequestFailed, match=str(error)) as found:
            ask()
        assert (found.value.status, found.value.retry_after) == (503, after)


def test_a_stream_that_breaks_is_an_error(client: FeaturescopeClient, live: PretendPrompts) -> None:
    client.activations("demo", PROMPT, [])
    live.error, live.breaks_after = WorkerUnavailable("It died."), 2
    events = client.attribute("demo", PROMPT, "mlp-12")
    assert isinstance(next(events), EstimatedEvent)
    with pytest.raises(RequestFailed) as found:
        list(events)
    assert found.value.retry_after == 1


def test_where_no_server_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with (
        FeaturescopeClient(f"http://127.0.0.1:{port}") as client,
        pytest.raises(RequestFailed, match="does not answer") as found,
    ):
        client.activations("demo", "a")
    assert found.value.status == 0


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"<html>", "makes no sense"), (b'event: estimated\ndata: {"event":"x"}\n\n', "no sense")],
)
def test_an_answer_of_something_else(body: bytes, words: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    with FeaturescopeClient("http://x", http=httpx.Client(transport=transport)) as client:
        with pytest.raises(RequestFailed, match=words):
            client.activations("demo", "a")
        if body.startswith(b"event"):
            with pytest.raises(RequestFailed, match=words):
                list(client.attribute("demo", "a", "m"))


def test_a_page_is_read_as_its_twin_says_it() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, content=b"<html>" if len(asked) > 2 else b'{"index": 3}')

    http = httpx.Client(transport=httpx.MockTransport(answer))
    with FeaturescopeClient("http://x/", http=http) as client:
        assert client.read("/d/demo/mlp-12/3?width=full") == {"index": 3}
        client.read("/")
        with pytest.raises(RequestFailed, match="makes no sense"):
            client.read("/runs")
    assert asked == [
        "http://x/api/v1/d/demo/mlp-12/3?width=full",
        "http://x/api/v1",
        "http://x/api/v1/runs",
    ]


def test_a_stream_that_just_ends_was_lost_and_an_odd_refusal_has_its_status() -> None:
    answers = iter([httpx.Response(200, content=b": still at it\n\n"), httpx.Response(418)])
    transport = httpx.MockTransport(lambda _: next(answers))
    with FeaturescopeClient("http://x", http=httpx.Client(transport=transport)) as client:
        with pytest.raises(RequestFailed, match="was lost"):
            list(client.attribute("demo", "a", "m"))
        with pytest.raises(RequestFailed, match="418") as found:
            client.activations("demo", "a")
    assert found.value.status == 418


def program(page: str) -> str:
    found = re.search(r"<pre[^>]*><code>(.*?)</code></pre>", page, re.S)
    assert found
    return unescape(found[1])


def run(source: str) -> tuple[list[str], dict[str, Any]]:
    """What a program prints, and its names."""
    out = io.StringIO()
    scope: dict[str, Any] = {}
    with contextlib.redirect_stdout(out):
        exec(compile(source, "snippet", "exec"), scope)
    scope["client"].close()
    return out.getvalue().splitlines(), scope


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"sort": "rarity"},
        {"sort": "share", "token": 3},
        {"token": 8},
        {"d": "neurons"},
        {"d": BOTH},
    ],
)
def test_the_snippet_prints_the_rows_of_the_page(
    base: str, live: PretendPrompts, query: dict[str, object]
) -> None:
    live.reset()
    page = httpx.get(base + address(**query)).text
    shown = [(int(place), int(index)) for place, index, _ in ROW.findall(page)]
    names = ["neurons"] if query.get("d") == "neurons" else BOTH
    printed = [line.split() for line in run(program(page))[0]]
    assert [(names.index(name), int(index)) for name, index, *_ in printed] == shown
    values = re.findall(r'data-name="activation">([\d.]+)<', page)
    assert [float(line[2]) for line in printed] == pytest.approx(
        [float(value) for value in values], abs=0.006
    )


def test_the_snippet_does_everything_that_the_page_does(base: str, live: PretendPrompts) -> None:
    live.reset()
    query: dict[str, object] = {
        "feature": "mlp-12:8",
        "why": "replaced",
        "neutral": "word30",
        "target": 5,
        "instead": "word31",
        "a": ["mlp-12:1", "mlp-12:8", "neurons:3"],
        "exact": 1,
        "d": BOTH,
    }
    page = httpx.get(base + address(**query)).text
    printed = "\n".join(run(program(page))[0])
    for dictionary in ("mlp-12", "neurons"):
        assert f"{dictionary} estimated [" in printed
        assert f"{dictionary} attributed [" in printed
    joint = 0.8 * (change_of(1, 5, 31) + change_of(8, 5, 31))
    assert f"{joint} {change_of(1, 5, 31) + change_of(8, 5, 31)}" in printed
    once = [repr(one) for one in live.asked if not isinstance(one, AttributeRequest)]
    assert len(once) == len(set(once)), "what the page asked is remembered for the program"


def test_the_snippet_compares_as_the_page_does(base: str, live: PretendPrompts) -> None:
    live.reset()
    page = httpx.get(base + address(other=OTHER, all=1)).text
    printed = [line.split() for line in run(program(page))[0]]
    for kind in ("gained", "lost", "stronger", "weaker"):
        shown = re.findall(rf'<tr id="{kind}-(\d+)-(\d+)"', page)
        said = [(name, index) for first, name, index, *_ in printed if first == kind]
        names = ["mlp-12", "neurons"]
        assert [(names.index(name), int(index)) for name, index in said] == [
            (int(place), int(index)) for place, index in shown
        ]


@pytest.mark.parametrize("text", ["'''\"\\\n\t", "é世界🙂\u202e", "{base}{0}%s", "\\x00"])
def test_hostile_prompts_are_literals_in_the_snippet(
    base: str, live: PretendPrompts, text: str
) -> None:
    live.reset()
    source = program(httpx.get(base + address(text)).text)
    assert source.isascii()
    assert run(source)[1]["prompt"] == text


def test_the_documentation_of_the_client_runs(base: str, live: PretendPrompts) -> None:
    live.reset()
    assert module.__doc__
    source = textwrap.dedent(module.__doc__.partition("\n\n")[2])
    assert len(run(source.replace("http://127.0.0.1:8000", base))[0]) == 10


def test_features_are_searched_by_words_and_by_example(client: FeaturescopeClient) -> None:
    answer = client.search.find("7", dictionary="demo/mlp-12", kind="number")
    [group] = answer.groups
    assert [(hit.dictionary, hit.index) for hit in group.hits] == [("mlp-12", 7)]
    fire, quiet = [f"fox {n}" for n in range(8)], [f"dog {n}" for n in range(8)]
    assert client.search.by_example("demo/mlp-12", fire, quiet).features[0].index == 5
    off = client.search.by_meaning("sockets", "demo/mlp-12")
    assert "featurescope embed demo/mlp-12" in off.note
    with pytest.raises(RequestFailed, match="at most 400 characters"):
        client.search.find("x" * 500)


@pytest.mark.parametrize(
    "ask",
    [
        lambda client, text: client.search.by_phrase(text, dictionary="demo/mlp-12"),
        lambda client, text: client.maps.hits("demo", "mlp-12", text),
        lambda client, text: client.comparisons.of(text),
        lambda client, text: client.ratings.results(text, rater=text),
        lambda client, text: client.labels.of("demo", text, 0),
    ],
)
def test_half_a_character_travels_and_the_server_answers(
    client: FeaturescopeClient, ask: Callable[[FeaturescopeClient, str], object]
) -> None:
    with contextlib.suppress(RequestFailed):  # whatever the server says of it, it was asked
        ask(client, "\ud800 half")
