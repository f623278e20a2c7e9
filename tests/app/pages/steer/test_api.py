"""Steering as JSON: what the worker is asked, what clients get, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import Settings
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.protocol.requests import SWEPT, DoseRequest, SteerRequest
from tests.app.pretend.clients import Client, filled
from tests.app.pretend.steering import OVERFLOWS, PretendSteering, steering_worker
from tests.app.web.test_stream import parsed
from tests.factories import PIECES

API = "/api/v1/m/demo"
EDIT = {"dictionary": "mlp-12", "feature": 2, "strength": 1.5}


@pytest.fixture(scope="module")
def bench() -> PretendSteering:
    return PretendSteering(step_ms=0)


@pytest.fixture(scope="module")
def site(bench: PretendSteering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder: Path = tmp_path_factory.mktemp("steer-api")
    with (
        steering_worker(bench, Settings(home=folder)) as url,
        filled(folder, AsyncWorkerClient(lambda: url)) as site,
    ):
        yield site


def post(site: Client, path: str, body: Any) -> httpx.Response:
    return site.http.post(f"{API}{path}", json=body)


def raw(site: Client, body: str, kind: str = "application/json") -> httpx.Response:
    return site.http.post(f"{API}/steer", content=body, headers={"Content-Type": kind})


def events(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return parsed(answer.text)


def test_two_texts_with_all_that_is_known_of_them(site: Client, bench: PretendSteering) -> None:
    said = events(post(site, "/steer", {"prompt": "def", "edits": [EDIT], "n_tokens": 4}))
    assert [name for name, _ in said] == [
        "began",
        *["token"] * 8,
        "traits",
        "traits",
        "side_effects",
        "done",
    ]
    assert all(data["event"] == name for name, data in said)
    assert said[0][1] == {
        "event": "began",
        "tokens": [0, 1, 2],
        "text": ["<|endoftext|>", " self", "."],
    }
    tokens = [data for name, data in said if name == "token"]
    assert [(t["pane"], t["step"]) for t in tokens[:3]] == [
        ("unsteered", 0),
        ("steered", 0),
        ("unsteered", 1),
    ]
    for token in tokens:
        assert token["text"] == PIECES[token["token"]].decode()
        assert token["shown"] is None or token["shown"] != token["text"]
        assert token["probability"] == 0.25
    traits = said[9][1]
    assert traits["dictionary"] == "mlp-12"
    assert traits["perplexity"] == 12.0
    assert traits["features"] == [[2, 0]] * 4  # -1 means none
    assert traits["activations"] == [[1.5, 0.5]] * 4
    assert {name["index"] for name in traits["names"]} == {0, 2}
    assert len(traits["names"][0]["raised"]) == 4
    effects = said[11][1]
    assert [(c["feature"]["index"], c["unsteered"], c["steered"]) for c in effects["features"]] == [
        (1, 0.0, 1.25),
        (2, 0.75, 0.25),
    ]
    maximum = site.get("/api/v1/d/demo/mlp-12/2").json()["maximum"]
    assert effects["reads"] == [pytest.approx(1.5 * maximum)]
    assert bench.running == 0


def test_the_worker_is_told_what_the_store_knows(site: Client, bench: PretendSteering) -> None:
    asked = {
        "prompt": "x",
        "edits": [EDIT | {"mode": "clamp"}, EDIT | {"dictionary": "neurons", "on": False}],
        "n_tokens": 3,
        "scope": "generated",
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 7,
        "seed": 5,
    }
    said = events(post(site, "/steer", asked))
    request = bench.asked[-1]
    assert isinstance(request, SteerRequest)
    (edit,) = request.edits  # the other one is off
    assert edit.maximum == site.get("/api/v1/d/demo/mlp-12/2").json()["maximum"]
    assert (edit.mode, edit.strength) == ("clamp", 1.5)
    assert edit.dictionary.path == "demo/dictionaries/mlp-12"
    assert request.traits == edit.dictionary
    assert request.sampling.model_dump() == {"temperature": 0, "top_p": 0.5, "top_k": 7, "seed": 5}
    assert (request.scope, request.n_tokens, request.prompt) == ("generated", 3, "x")
    assert request.model.path == "demo/model"
    assert said[-2][1]["reads"] == [pytest.approx(1.5 * edit.maximum), None]


def test_traits_of_another_dictionary_or_none(site: Client, bench: PretendSteering) -> None:
    said = events(post(site, "/steer", {"n_tokens": 1, "traits": None}))
    assert [name for name, _ in said] == ["began", "token", "token", "done"]
    said = events(post(site, "/steer", {"n_tokens": 1}))
    assert said[3][1]["dictionary"] == "mlp-12"
    said = events(post(site, "/steer", {"n_tokens": 1, "traits": "neurons", "edits": [EDIT]}))
    assert said[3][1]["dictionary"] == "neurons"


def test_a_sweep(site: Client, bench: PretendSteering) -> None:
    asked = {"prompt": "x", "dictionary": "mlp-12", "feature": 2, "strengths": [-1, 0, 4]}
    said = events(post(site, "/dose", asked))
    assert [name for name, _ in said] == ["dose_base", "dose", "dose", "dose", "done"]
    base, points = said[0][1], [data for name, data in said if name == "dose"]
    feature = site.get("/api/v1/d/demo/mlp-12/2").json()
    assert base["maximum"] == feature["maximum"]
    assert len(base["watched"]) == len(base["probabilities"]) == 3
    assert [point["strength"] for point in points] == [-1, 0, 4]
    assert points[2]["kl"] == pytest.approx(0.32)
    request = bench.asked[-1]
    assert isinstance(request, DoseRequest)
    assert list(request.watched) == [token["id"] for token in feature["raised"][:3]]
    events(post(site, "/dose", {"dictionary": "mlp-12", "feature": 2}))
    request = bench.asked[-1]
    assert isinstance(request, DoseRequest)
    assert request.strengths == SWEPT
    assert list(SWEPT) == sorted(set(SWEPT))
    # Dense near 0: most strengths lie where most features leave a text coherent.
    assert sum(abs(strength) <= 1 for strength in SWEPT) > len(SWEPT) / 2


BAD = [
    (
        422,
        "/steer",
        {"edits": [EDIT | {"strength": 1e9}]},
        "at most 1000",
        "edits.0.strength",
    ),
    (
        422,
        "/steer",
        {"edits": [EDIT | {"mode": "boost"}]},
        "mode cannot be 'boost'",
        "edits.0.mode",
    ),
    (
        422,
        "/steer",
        {"edits": [EDIT] * 17},
        "At most 16 features are steered at once; these are 17",
        "edits",
    ),
    (
        422,
        "/steer",
        {"edits": [EDIT | {"feature": 12}]},
        "features 0 to 11; there is no feature 12",
        "edits.0",
    ),
    (
        422,
        "/steer",
        {"edits": [EDIT, EDIT | {"feature": 12, "on": False}]},
        "there is no feature 12",
        "edits.1",
    ),
    (422, "/steer", {"edits": [EDIT | {"feature": -1}]}, "feature cannot be -1", "edits.0.feature"),
    (422, "/steer", {"edits": [EDIT | {"maximum": 5}]}, "maximum cannot be 5", "edits.0.maximum"),
    (422, "/steer", {"temperature": -0.1}, "temperature cannot be -0.1", "temperature"),
    (422, "/steer", {"top_p": 0}, "more than 0", "top_p"),
    (
        422,
        "/steer",
        {"n_tokens": 128},
        "128 tokens do not fit: the context of demo has 128",
        "n_tokens",
    ),
    (422, "/steer", {"prompt": "x" * 200_001}, "200,001 characters", "prompt"),
    (422, "/steer", {"prompt": "refuse"}, "200 tokens, and the model takes 128", "prompt"),
    (
        422,
        "/dose",
        {"dictionary": "mlp-12", "feature": 2, "strengths": []},
        "strengths cannot have 0 entries: it takes at least 1.",
        "strengths",
    ),
    (
        422,
        "/dose",
        {"dictionary": "mlp-12", "feature": 2, "strengths": [0] * 102},
        "strengths cannot have 102 entries: it takes at most 101.",
        "strengths",
    ),
    (
        422,
        "/dose",
        {"dictionary": "mlp-12", "feature": 2, "strengths": [0, 1e9]},
        "strengths cannot be 1000000000.0: it",
        "strengths.1",
    ),
    (422, "/dose", {"dictionary": "mlp-12", "feature": 99}, "there is no feature 99", "feature"),
    (404, "/steer", {"edits": [EDIT | {"dictionary": "no"}]}, "it has mlp-12, neurons", None),
    (404, "/steer", {"traits": "no"}, "no dictionary 'no'", None),
    (404, "/dose", {"dictionary": "no", "feature": 2}, "no dictionary 'no'", None),
]


@pytest.mark.parametrize(("status", "path", "body", "sentence", "field"), BAD)
def test_what_makes_no_sense_is_said(
    site: Client, status: int, path: str, body: Any, sentence: str, field: str | None
) -> None:
    answer = post(site, path, body)
    assert answer.status_code == status
    problem = answer.json()
    assert sentence in problem["detail"]
    assert len(problem["detail"]) < 300
    assert problem.get("field") == field


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_no_number_is_no_strength(site: Client, number: str) -> None:
    edit = json.dumps(EDIT).replace("1.5", number)
    answer = raw(site, f'{{"edits": [{edit}]}}')
    assert answer.status_code == 422
    assert "finite number" in answer.json()["detail"]
    answer = site.http.post(
        f"{API}/dose",
        content=f'{{"dictionary": "mlp-12", "feature": 2, "strengths": [0, {number}]}}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("strengths cannot be ")
    assert answer.json()["field"] == "strengths.1"


def test_a_strength_without_numbers_is_null_and_the_others_stand(site: Client) -> None:
    asked = {"prompt": OVERFLOWS, "dictionary": "mlp-12", "feature": 2, "strengths": [-1, 9, 4]}
    said = events(post(site, "/dose", asked))
    assert [name for name, _ in said] == ["dose_base", "dose", "dose", "dose", "done"]
    assert said[2][1] == {
        "event": "dose",
        "strength": 9.0,
        "kl": None,
        "perplexity": None,
        "activation": None,
        "probabilities": [None] * 3,
        "distinct": None,
        "text": "",
        "shown": "",
    }
    assert None not in said[1][1].values()
    assert None not in said[3][1].values()


@pytest.mark.parametrize("prompt", ["", "x", "   ", "🙂", "\x00", "\u202e", "<script>"])
def test_any_text_is_a_prompt(site: Client, bench: PretendSteering, prompt: str) -> None:
    events(post(site, "/steer", {"prompt": prompt, "n_tokens": 1, "traits": None}))
    request = bench.asked[-1]
    assert isinstance(request, SteerRequest)
    assert request.prompt == prompt


def test_half_a_character_is_refused(site: Client) -> None:
    answer = raw(site, '{"prompt": "\\ud800"}')
    assert answer.status_code == 422
    assert "half a character (U+D800)" in answer.json()["detail"]


def test_pages_elsewhere_cannot_make_the_browser_ask(site: Client) -> None:
    assert raw(site, '{"n_tokens": 1}', "text/plain").status_code == 422


def test_what_is_no_json(site: Client) -> None:
    assert "The body is no JSON" in raw(site, "{").json()["detail"]


def test_an_unknown_model(site: Client) -> None:
    for method, path in (("POST", "steer"), ("GET", "presets"), ("DELETE", "presets/x")):
        answer = site.http.request(method, f"/api/v1/m/other/{path}", json={})
        assert answer.status_code == 404
        assert "There are demo." in answer.json()["detail"]


def test_without_a_worker_it_is_said(tmp_path: Path) -> None:
    with filled(tmp_path) as site:
        answer = post(site, "/steer", {"n_tokens": 1})
        assert answer.status_code == 503
        assert "FEATURESCOPE_WORKER_URL" in answer.json()["detail"]


def test_presets(site: Client) -> None:
    settings = {"prompt": "def", "edits": [EDIT | {"on": False}], "seed": 3}
    assert site.get(f"{API}/presets").json() == {"presets": []}
    kept = post(site, "/presets", {"name": " more/docs 🙂 ", "settings": settings})
    assert kept.status_code == 200
    preset = kept.json()
    assert preset["name"] == "more/docs 🙂"
    assert preset["address"] == "/m/demo/steer?text=def&f=mlp-12:2:add:1.5:off&seed=3"
    assert preset["settings"]["edits"][0]["strength"] == 1.5
    other = {"name": "more/docs 🙂", "settings": settings | {"seed": 4}}
    refused = post(site, "/presets", other)
    assert refused.status_code == 409
    assert "has a preset 'more/docs 🙂' with other settings" in refused.json()["detail"]
    (only,) = site.get(f"{API}/presets").json()["presets"]
    assert only["settings"]["seed"] == 3
    # The same again is no conflict, and whoever says so replaces it.
    assert post(site, "/presets", {"name": "more/docs 🙂", "settings": settings}).status_code == 200
    assert post(site, "/presets", other | {"replace": True}).status_code == 200
    (only,) = site.get(f"{API}/presets").json()["presets"]
    assert only["settings"]["seed"] == 4
    assert "more/docs" in site.get("/m/demo/steer").text
    for body, status in (
        ({"name": "", "settings": settings}, 422),
        ({"name": "x" * 101, "settings": settings}, 422),
        ({"name": " .. ", "settings": settings}, 422),
        ({"name": "x", "settings": {"prompt": "y" * 40_000}}, 422),
        ({"name": "x", "settings": {"edits": [EDIT | {"feature": 99}]}}, 422),
        ({"name": "x", "settings": {"edits": [EDIT | {"dictionary": "no"}]}}, 404),
    ):
        assert post(site, "/presets", body).status_code == status
    assert site.http.delete(f"{API}/presets/more%2Fdocs%20🙂").status_code == 204
    assert site.http.delete(f"{API}/presets/more%2Fdocs%20🙂").status_code == 404
    assert site.get(f"{API}/presets").json() == {"presets": []}


def test_the_description_has_the_streams_with_examples(site: Client) -> None:
    description = site.get("/api/v1/openapi.json").json()
    for path in ("steer", "dose"):
        answer = description["paths"][f"/api/v1/m/{{model}}/{path}"]["post"]["responses"]["200"]
        stream = answer["content"]["text/event-stream"]
        for name, data in parsed(stream["example"]):
            assert json.loads(json.dumps(data))["event"] == name
        data = stream["schema"]["properties"]["data"]
        assert "oneOf" in data["contentSchema"]
        assert (data["type"], "type" in data["contentSchema"]) == ("string", False)
    edit = description["components"]["schemas"]["Edit"]["properties"]
    assert edit["strength"]["minimum"] == -1000


@pytest.mark.parametrize("on", ["true", "off", 1, 0, ""])
def test_whether_an_edit_is_on_is_true_or_false(site: Client, on: object) -> None:
    edit = {"dictionary": "mlp-12", "feature": 3, "strength": 2, "on": on}
    answer = site.http.post(f"{API}/steer", json={"prompt": "x", "edits": [edit]})
    assert answer.status_code == 422
    assert "it has to be true or false" in answer.json()["detail"]
