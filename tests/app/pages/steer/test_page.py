"""The steering page as a document: state kept, sentences in their places, texts without scripts."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from app.settings import Settings
from app.store.store import Store
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.protocol.events import Pane
from app.worker.protocol.requests import SteerRequest
from tests.app.pretend.clients import Client, filled
from tests.app.pretend.served import Served
from tests.app.pretend.steering import (
    PretendSteering,
    drawn,
    steering_child,
    steering_worker,
    strengths_of,
)
from tests.app.web.test_stream import parsed, wait
from tests.factories import PIECES

STEER = "/m/demo/steer"
LABEL = "<b>bold</b>\u202e"


@pytest.fixture(scope="module")
def bench() -> PretendSteering:
    return PretendSteering(step_ms=0)


@pytest.fixture(scope="module")
def site(bench: PretendSteering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("steer-pages")
    with (
        steering_worker(bench, Settings(home=folder)) as url,
        filled(folder, AsyncWorkerClient(lambda: url)) as site,
    ):
        site.store.labels.add(site.store.dictionary("demo", "mlp-12"), 5, LABEL)
        yield site


def problem(html: str, name: str) -> str:
    """The sentence in the place for a field; empty where it is hidden."""
    place = rf'<p class="problem" id="problem-{name}" role="alert"( hidden)?>(.*?)</p>'
    found = re.search(place, html, re.S)
    assert found is not None
    assert bool(found[1]) == (found[2] == "")
    return found[2]


def test_an_address_restores_the_page(site: Client) -> None:
    answer = site.get(
        f"{STEER}?text=%0Adef%20%3Cb%3E&f=mlp-12:2:clamp:-2.5&f=neurons:1:add:3:off"
        "&scope=generated&n=12&temperature=0.5&top_p=0.9&top_k=5&seed=7"
    )
    assert answer.status_code == 200
    html = answer.text
    assert ">\n\ndef &lt;b&gt;</textarea>" in html
    assert re.findall(r'<input type="hidden" name="f" value="([^"]+)">\n<div', html) == [
        "mlp-12:2:clamp:-2.5",
        "neurons:1:add:3:off",
    ]
    assert "<option selected>clamp</option>" in html
    assert html.count('name="on"') == 2
    assert len(re.findall(r'name="on"[^>]* checked', html)) == 1
    for name, value in (("n", "12"), ("temperature", "0.5"), ("top_p", "0.9"), ("seed", "7")):
        assert f'name="{name}" id="{name}" value="{value}"' in html
    assert '<option value="generated" selected>' in html
    assert 'href="/d/demo/mlp-12/2"' in html
    assert 'href="/m/demo/prompt?text=%0Adef%20%3Cb%3E"' in html


@pytest.mark.parametrize(
    ("query", "place", "sentence"),
    [
        ("temperature=-1", "temperature", "temperature cannot be &#39;-1&#39;"),
        ("n=0", "n", "tokens cannot be"),
        ("n=128", "n", "the context of demo has 128 positions"),
        ("top_p=nan", "top_p", "finite number"),
        ("scope=x", "scope", "scope cannot be"),
        ("f=nothing", "f", "names no feature"),
        ("&".join(["f=mlp-12:1"] * 17), "f", "these are 17"),
    ],
)
def test_what_cannot_be_used_is_said_beside_its_field(
    site: Client, query: str, place: str, sentence: str
) -> None:
    answer = site.get(f"{STEER}?seed=7&{query}&run=1")
    assert answer.status_code == 422
    assert sentence in problem(answer.text, place)
    assert 'id="seed" value="7"' in answer.text
    assert problem(answer.text, "seed") == ""


@pytest.mark.parametrize(
    ("feature", "sentence"),
    [
        ("mlp-12:99:add:1", "features 0 to 11; there is no feature 99"),
        ("mlp-12:x:add:1", "feature cannot be &#39;x&#39;"),
        ("mlp-12:1:add:nan", "finite number"),
        ("mlp-12:1:add:-1e99", "at least -1000"),
        ("no:1:add:1", "it has mlp-12, neurons"),
        ("mlp-12:" + "9" * 30 + ":add:1", "less than 9223372036854775808"),
    ],
)
def test_a_slider_that_cannot_be_says_why(site: Client, feature: str, sentence: str) -> None:
    answer = site.get(f"{STEER}?f=mlp-12:2:add:1&f={feature}")
    assert answer.status_code == 422
    cards = answer.text.split('<li class="slider')[1:]
    assert len(cards) == 2
    assert sentence not in cards[0]
    assert sentence in cards[1]
    assert f'name="f" value="{feature}"' in cards[1]


def test_what_html_cannot_hold_is_kept_beside(site: Client) -> None:
    html = site.get(f"{STEER}?text=%22%3Cb%3E%00%27").text
    assert 'data-text="&#34;\\&#34;\\u003cb\\u003e\\u0000\\u0027&#34;"' in html
    assert "data-text" not in site.get(f"{STEER}?text=%22%3Cb%3E").text


def test_dead_features_are_named(site: Client) -> None:
    said = "dead: it never fires, and mode add does nothing"
    assert said in site.get(f"{STEER}?f=mlp-12:3:add:1").text


def test_unknown_models_and_parts(site: Client) -> None:
    assert site.get("/m/other/steer").status_code == 404
    assert "There are demo." in site.get("/m/other/steer").text
    assert site.get(f"{STEER}/search?dictionary=no&q=1").status_code == 404
    assert site.get(f"{STEER}/slider?f=nothing").status_code == 422
    assert site.get(f"{STEER}/slider?f=mlp-12:x").status_code == 422
    assert site.get(f"{STEER}/slider?f=mlp-12:99").status_code == 422


def test_a_slider_by_itself(site: Client) -> None:
    html = site.get(f"{STEER}/slider?f=mlp-12:2").text
    assert html.startswith('<li class="slider" data-feature="mlp-12:2"')
    assert 'value="mlp-12:2:add:0.25"' in html


def test_features_are_found_by_number_label_and_token(site: Client) -> None:
    def found(typed: str, dictionary: str = "mlp-12") -> list[str]:
        html = site.get(f"{STEER}/search?dictionary={dictionary}&q={quote(typed)}").text
        return re.findall(r'data-add="([^"]+)"', html)

    assert found("7")[0] == "mlp-12:7"
    assert found("BOLD") == ["mlp-12:5"]
    assert found("   ") == []
    view = site.store.dictionary("demo", "mlp-12")
    row = site.store.rows(view, [4])[4]
    token = PIECES[row.raised.ids.tolist()[0]].decode("utf-8", "replace").strip()
    assert "mlp-12:4" in found(token)
    assert "neurons:7" in found("7", "neurons")
    assert "Nothing fits" in site.get(f"{STEER}/search?q=zzzz").text
    assert site.get(f"{STEER}/search?q={'9' * 300}").status_code == 200
    assert "&lt;b&gt;" in site.get(f"{STEER}/search?q=bold").text
    assert "<b>bold" not in site.get(f"{STEER}?q=bold&f=mlp-12:5:add:1").text


def test_without_scripts_the_form_becomes_an_address(site: Client) -> None:
    form = "form=1&text=a%0D%0Ab&n=3&f=mlp-12:2:add:1&m=scale&s=0.5&f=mlp-12:4:add:1&m=add&s=3&on=1"
    answer = site.get(f"{STEER}?{form}")
    assert answer.status_code == 303
    to = answer.headers["location"]
    assert to == f"{STEER}?text=a%0Ab&f=mlp-12:2:scale:0.5:off&f=mlp-12:4:add:3&n=3&run=1"


def test_without_scripts_both_texts_are_waited_for(site: Client, bench: PretendSteering) -> None:
    html = site.get(f"{STEER}?text=def&f=mlp-12:2:add:4&n=6&run=1").text
    request = bench.asked[-1]
    assert isinstance(request, SteerRequest)
    for pane in Pane:
        shown = html.split(f'id="{pane}"')[1].split("</section>")[0]
        assert shown.count("<bdi") == 6
        assert "perplexity" in shown
        for token in drawn(request, pane, strengths_of(request)):
            piece = PIECES[token].decode()
            if piece.isalnum():
                assert piece in shown
    assert 'href="/d/demo/mlp-12/1"' in html.split('id="effects"')[1]
    assert "<script>alert" not in html


def test_without_scripts_failures_are_said_with_the_state(site: Client) -> None:
    answer = site.get(f"{STEER}?text=refuse&seed=3&run=1")
    assert answer.status_code == 422
    assert "the model takes 128 at most" in answer.text.split('class="broken"')[1]
    assert 'id="seed" value="3"' in answer.text


def test_without_a_worker_the_page_stands(tmp_path: Path) -> None:
    with filled(tmp_path) as site:
        assert site.get(f"{STEER}?f=mlp-12:2:add:1").status_code == 200
        answer = site.get(f"{STEER}?f=mlp-12:2:add:1&run=1")
        assert answer.status_code == 503
        assert "FEATURESCOPE_WORKER_URL" in answer.text


def test_a_preset_is_a_link(site: Client) -> None:
    settings = {"prompt": "def", "edits": [{"dictionary": "mlp-12", "feature": 2, "strength": 1}]}
    site.store.save_preset("demo", "<i>mine</i>", settings)
    html = site.get(STEER).text
    assert (
        '<a href="/m/demo/steer?text=def&amp;f=mlp-12:2:add:1">&lt;i&gt;mine&lt;/i&gt;</a>' in html
    )
    site.store.delete_preset("demo", "<i>mine</i>")


def test_a_browser_that_leaves_ends_the_work_within_a_step(
    sqlite_store: Store, tmp_path: Path
) -> None:
    bench = PretendSteering(step_ms=30)
    with (
        steering_worker(bench, Settings(home=tmp_path)) as worker,
        Served(sqlite_store, tmp_path, AsyncWorkerClient(lambda: worker)) as url,
    ):
        api = f"{url}/api/v1/m/demo"
        with httpx.stream("POST", f"{api}/steer", json={"n_tokens": 120}) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: began"
            steps = bench.steps
        wait(lambda: bench.running == 0)
        assert bench.closed == 1
        # The step under way, and those begun while the news travelled through two processes.
        assert bench.steps <= steps + 4


def test_many_streams_end_as_lone_ones_whatever_the_others_do(
    sqlite_store: Store, tmp_path: Path
) -> None:
    bench = PretendSteering(step_ms=0)
    with (
        steering_worker(bench, Settings(home=tmp_path)) as worker,
        Served(sqlite_store, tmp_path, AsyncWorkerClient(lambda: worker)) as url,
    ):
        api = f"{url}/api/v1/m/demo"
        threads = threading.active_count()
        answers: dict[int, str] = {}

        def one(number: int) -> None:
            body = {"prompt": str(number), "n_tokens": 20, "traits": None}
            with (
                httpx.Client(timeout=60) as client,
                client.stream("POST", f"{api}/steer", json=body) as answer,
            ):
                if number % 3 == 0:
                    answer.close()
                    return
                answers[number] = answer.read().decode()

        asking = [threading.Thread(target=one, args=(number,)) for number in range(40)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        wait(lambda: bench.running == 0)
        asked = {r.prompt: r for r in bench.asked if isinstance(r, SteerRequest)}
        for number, text in answers.items():
            events = parsed(text)
            if events[-1][0] != "done":  # the worker's queue was full
                assert "as many as it takes on" in events[-1][1]["detail"]
                continue
            request = asked[str(number)]
            for pane in Pane:
                tokens = [data["token"] for _, data in events[1:-1] if data["pane"] == pane]
                assert tokens == drawn(request, pane, ())
        assert threading.active_count() <= threads + 40  # the pool of plain routes, no more


def test_a_worker_that_dies_is_said_and_the_next_request_is_answered(
    sqlite_store: Store, tmp_path: Path
) -> None:
    with (
        steering_child(Settings(home=tmp_path / "home")) as process,
        Served(
            sqlite_store, tmp_path, AsyncWorkerClient(process.url, secret=process.secret)
        ) as url,
    ):
        api = f"{url}/api/v1/m/demo"
        answer = httpx.post(f"{api}/steer", json={"prompt": "die", "n_tokens": 50}, timeout=60)
        events = parsed(answer.text)
        assert events[0][0] == "began"
        assert events[-1][0] == "failed"
        assert events[-1][1]["status"] == 503
        assert "restarting" in events[-1][1]["detail"]
        assert events[-1][1]["retry_after"] >= 1

        def again() -> bool:
            found = httpx.post(f"{api}/steer", json={"n_tokens": 3, "traits": None}, timeout=60)
            return found.status_code == 200 and parsed(found.text)[-1][0] == "done"

        wait(again)
