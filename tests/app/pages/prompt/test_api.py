"""Prompts as JSON: the numbers are those of the worker and the store, refusals are sentences."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from app.errors import Overloaded, WorkerUnavailable
from app.worker.client.faults import WorkFailed
from app.worker.protocol.events import FailureCode
from app.worker.protocol.requests import DictionaryRef, ReadRequest
from tests import factories
from tests.app.pretend.clients import Client, filled
from tests.app.pretend.prompts import (
    PretendPrompts,
    change_of,
    firings_of,
    predictions_of,
    tokens_of,
)

API = "/api/v1/m/demo"
PROMPT = " self. word20 word21"
TOKENS = tokens_of(PROMPT)
MLP = DictionaryRef(path="p", hook_point="blocks.0.mlp.hook_post", checksum="c")
NAMES = ("activations", "ablation", "attribution", "together", "occlusion")
BODIES: dict[str, dict[str, Any]] = {
    "activations": {},
    "ablation": {"dictionary": "mlp-12", "feature": 8},
    "attribution": {"dictionary": "mlp-12"},
    "together": {"dictionary": "mlp-12", "features": [8, 1]},
    "occlusion": {"dictionary": "mlp-12", "feature": 8},
}


@pytest.fixture(scope="module")
def live() -> PretendPrompts:
    return PretendPrompts()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, live: PretendPrompts) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site"), live) as made:
        yield made


@pytest.fixture
def site(shared: Client, live: PretendPrompts) -> Client:
    live.reset()
    shared.forget_prompts()
    return shared


def post(site: Client, name: str, prompt: Any = PROMPT, **body: Any) -> httpx.Response:
    content = json.dumps({"prompt": prompt} | BODIES[name] | body)
    headers = {"Content-Type": "application/json"}
    return site.http.post(f"{API}/{name}", content=content, headers=headers)


def answer(site: Client, name: str, prompt: Any = PROMPT, **body: Any) -> Any:
    found = post(site, name, prompt, **body)
    assert found.status_code == 200, found.text
    return found.json()


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_activations_are_the_workers_beside_the_stores(site: Client) -> None:
    said = answer(site, "activations")
    assert [token["id"] for token in said["tokens"]] == TOKENS
    assert [token["text"] for token in said["tokens"]][1:3] == [" self", "."]
    ids, shares = predictions_of(TOKENS)
    for position, token in enumerate(said["tokens"]):
        if position == 0:
            assert (token["loss"], token["expected"]) == (None, [])
            continue
        assert [one["id"] for one in token["expected"]] == ids[position - 1].tolist()
        probabilities = [one["probability"] for one in token["expected"]]
        assert np.array_equal(np.array(probabilities, np.float32), shares[position - 1])
    assert [one["id"] for one in said["next"]] == ids[-1].tolist()
    assert [one["name"] for one in said["dictionaries"]] == ["mlp-12", "neurons"]
    assert [one["is_neurons"] for one in said["dictionaries"]] == [False, True]
    for dictionary in said["dictionaries"]:
        view = site.store.dictionary("demo", dictionary["name"])
        positions, features, values = firings_of(
            TOKENS, DictionaryRef(path=view.path, hook_point="h")
        )
        rows = site.store.rows(view, features.tolist())
        assert {one["index"] for one in dictionary["features"]} == set(features.tolist())
        sizes = [one["activation"] for one in dictionary["features"]]
        assert sizes == sorted(sizes, reverse=True)
        for one in dictionary["features"]:
            mine = features == one["index"]
            assert one["positions"] == positions[mine].tolist()
            assert np.array_equal(np.array(one["values"], np.float32), values[mine])
            assert one["activation"] == values[mine].max()
            assert one["total"] == pytest.approx(values[mine].sum())
            row = rows[one["index"]]
            assert one["density"] == row.density
            ever = row.maximum or float(values[mine].max())
            assert one["share"] == pytest.approx(values[mine].max() / ever)
            fired = (row.firings or 0.5) / view.n_tokens
            assert one["rarity"] == pytest.approx(one["share"] * -math.log10(fired))
            assert len(one["raised"]) == 4


def test_dictionaries_can_be_named_and_a_prompt_may_be_tokens(
    site: Client, live: PretendPrompts
) -> None:
    said = answer(site, "activations", TOKENS, dictionaries=["neurons"])
    assert [one["name"] for one in said["dictionaries"]] == ["neurons"]
    assert said["tokens"] == answer(site, "activations")["tokens"]
    asked = live.asked[0]
    assert isinstance(asked, ReadRequest)
    assert asked.prompt == tuple(TOKENS)
    none = answer(site, "activations", dictionaries=[])
    assert none["dictionaries"] == []


def test_ablation_is_the_effect_on_the_prompt(site: Client) -> None:
    said = answer(site, "ablation")
    expected = factories.effect(8, len(TOKENS))
    kept = expected.positions < len(TOKENS)
    assert said["effect"]["positions"] == expected.positions[kept].tolist()
    assert np.array_equal(
        np.array(said["effect"]["loss_change"], np.float32), expected.loss_change[kept]
    )
    assert [token["id"] for token in said["tokens"]] == TOKENS


@pytest.mark.parametrize(
    ("body", "position", "target"),
    [
        ({"position": 2}, 2, 2),
        ({"position": 2, "target": 30}, 2, 30),
        ({"position": 2, "target": "word30"}, 2, 30),
        ({}, 5, (21 * 3 + 1) % 64),
        ({"target": " self"}, 5, 1),
        ({"position": 5, "target": "\n"}, 5, 3),
    ],
)
def test_attribution_streams_estimates_then_exact_changes(
    site: Client, body: dict[str, Any], position: int, target: int
) -> None:
    found = post(site, "attribution", **body)
    assert found.headers["content-type"] == "text/event-stream; charset=utf-8"
    first, *exact, last = events(found.text)
    assert last == {"event": "done"}
    assert (first["position"], first["target"]["id"]) == (position, target)
    assert first["log_probability"] == -0.75
    positions, features, _ = firings_of(TOKENS, MLP)
    assert first["features"] == sorted(set(features[positions < position].tolist()))
    changes = {
        feature: change
        for event in exact
        for feature, change in zip(event["features"], event["loss_change"], strict=True)
    }
    assert changes == {one: change_of(one, position, target) for one in first["features"]}


def test_only_some_features_are_attributed(site: Client) -> None:
    first, *_ = events(post(site, "attribution", features=[8, 1, 8]).text)
    assert set(first["features"]) <= {1, 8}


def test_features_together_beside_each_alone(site: Client) -> None:
    said = answer(site, "together", position=3)
    assert said["features"] == [1, 8]
    singles = [change_of(1, 3, 20), change_of(8, 3, 20)]
    active = set(firings_of(TOKENS[:3], MLP)[1].tolist())
    assert said["singles"] == [
        change if one in active else 0.0 for one, change in zip([1, 8], singles, strict=True)
    ]
    assert said["loss_change"] == pytest.approx(0.8 * sum(singles))
    assert said["target"] == {"id": 20, "text": " word20"}


def test_occlusion_says_what_is_put_in_and_what_is_left(site: Client) -> None:
    out = answer(site, "occlusion")
    assert out["replacement"] is None
    assert [token["position"] for token in out["tokens"]] == list(range(1, len(TOKENS)))
    missing = out["tokens"][out["position"] - 1]
    assert (missing["activation"], missing["change"]) == (None, None)
    for token in out["tokens"]:
        if token["change"] is not None:
            assert token["change"] == pytest.approx(token["activation"] - out["activation"])
    put = answer(site, "occlusion", replacement="word30", position=3)
    assert put["replacement"] == {"id": 30, "text": " word30"}
    assert put["position"] == 3
    assert answer(site, "occlusion", replacement=30)["replacement"]["id"] == 30


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"prompt": ""}, 422, "The prompt is empty"),
        ({"prompt": []}, 422, "The prompt is empty"),
        ({"prompt": "x" * 200_001}, 422, "The prompt has 200,001 characters; at most 200,000"),
        ({"prompt": [-1]}, 422, "The prompt's token ids are whole numbers from 0."),
        ({"prompt": [True]}, 422, "The prompt's token ids are whole numbers from 0."),
        ({"prompt": 5}, 422, "The prompt is a text, or a list of token ids."),
        ({"prompt": " word20" * 200}, 422, "201 tokens, but the model takes at most 128"),
        ({"prompt": "a\ud800"}, 422, "half a character (U+D800)"),
        ({"nonsense": 1}, 422, "nonsense"),
    ],
)
def test_prompts_that_are_none(
    site: Client, name: str, body: dict[str, Any], status: int, words: str
) -> None:
    found = post(site, name, **body)
    assert found.status_code == status
    assert words in found.json()["detail"]
    assert len(found.json()["detail"]) < 500
    assert found.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("prompt", ["x", " ", "\n", "🙂", "مرحبا", "a\0b", "\u202e"])
def test_unusual_prompts_are_read(site: Client, prompt: str) -> None:
    assert [t["id"] for t in answer(site, "activations", prompt)["tokens"]] == tokens_of(prompt)


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("activations", {"dictionaries": ["nothing"]}, 404, "it has mlp-12, neurons"),
        ("activations", {"dictionaries": ["d"] * 17}, 422, "16"),
        ("ablation", {"dictionary": "nothing"}, 404, "it has mlp-12, neurons"),
        ("ablation", {"feature": 12}, 422, "features 0 to 11; there is no feature 12"),
        ("ablation", {"feature": -1}, 422, "feature"),
        ("ablation", {"feature": math.inf}, 422, "feature"),
        ("attribution", {"position": 0}, 422, "tokens 1 to 4 are predicted"),
        ("attribution", {"position": 6}, 422, "There is no prediction of a token 6"),
        ("attribution", {"target": "no token"}, 422, "is not one token"),
        ("attribution", {"target": ""}, 422, "No token was typed"),
        ("attribution", {"target": 64}, 422, "the vocabulary has 64"),
        ("attribution", {"target": "\udc00"}, 422, "half a character (U+DC00)"),
        ("attribution", {"target": -1}, 422, "A token is named by its text, or by its id"),
        ("attribution", {"features": [99]}, 422, "there is no feature 99"),
        ("together", {"features": []}, 422, "features"),
        ("together", {"features": [12]}, 422, "there is no feature 12"),
        ("occlusion", {"position": 5}, 422, "There is no token 5: the prompt has 5"),
        ("occlusion", {"replacement": 64}, 422, "There is no token 64"),
    ],
)
def test_what_cannot_be_asked(
    site: Client, name: str, body: dict[str, Any], status: int, words: str
) -> None:
    found = post(site, name, **body)
    assert found.status_code == status
    assert words in found.json()["detail"]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_does_not_exist(site: Client, name: str) -> None:
    found = site.http.post(f"/api/v1/m/nobody/{name}", json={"prompt": "a"} | BODIES[name])
    assert found.status_code == 404
    assert "There are demo." in found.json()["detail"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("error", "after"),
    [
        (WorkerUnavailable("It is starting."), "2"),
        (Overloaded("It is busy.", 7), "7"),
        (WorkFailed("The weights are damaged.", FailureCode.REFUSED), None),
    ],
)
def test_while_the_worker_cannot(
    site: Client, live: PretendPrompts, name: str, error: Any, after: str | None
) -> None:
    live.error = error
    found = post(site, name)
    assert found.status_code == 503
    assert found.json()["detail"] == str(error)
    assert found.headers.get("retry-after") == after


def test_a_stream_that_breaks_says_why(site: Client, live: PretendPrompts) -> None:
    post(site, "activations", dictionaries=[])
    live.error, live.breaks_after = WorkerUnavailable("It died."), 2
    *_, last = events(post(site, "attribution").text)
    failed = {"event": "failed", "status": 503, "detail": "It died.", "retry_after": 1}
    assert last == failed | {"field": None}


def test_the_description_has_every_address_with_examples(site: Client) -> None:
    described = site.get("/api/v1/openapi.json").json()
    for name in NAMES:
        operation = described["paths"][f"/api/v1/m/{{model}}/{name}"]["post"]
        assert {"404", "422", "503"} <= operation["responses"].keys()
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = described["components"]["schemas"][reference.rpartition("/")[2]]
        assert schema["additionalProperties"] is False
        assert schema["properties"]["prompt"]["examples"]
    stream = described["paths"]["/api/v1/m/{model}/attribution"]["post"]["responses"]["200"]
    assert "event: attributed" in stream["content"]["text/event-stream"]["example"]
