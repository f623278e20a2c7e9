"""The JSON interface: what it answers equals what the store says, and its description fits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from app.errors import WorkerUnavailable
from tests.app.pretend.clients import Client, filled

API = "/api/v1"
DICTIONARY = f"{API}/d/demo/mlp-12"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def site(shared: Client) -> Client:
    """An application whose store no test changes."""
    shared.ablations.error = None
    shared.ablations.asked.clear()
    return shared


def test_the_catalogue(site: Client) -> None:
    site.store.progress.report("demo", "mlp-12", "reading", 1, 2, 0.0)
    answer = site.get(API).json()
    assert [d["name"] for d in answer["dictionaries"]] == ["mlp-12", "neurons"]
    assert answer["dictionaries"][0]["evaluation"]["l0"] == 4.25
    assert answer["dictionaries"][1]["is_neurons"]
    assert answer["progress"][0]["phase"] == "reading"
    site.store.progress.clear("demo", "mlp-12")


def test_the_table(site: Client) -> None:
    answer = site.get(f"{DICTIONARY}?sort=maximum&alive=1").json()
    maxima = [row["maximum"] for row in answer["features"]]
    assert maxima == sorted(maxima, reverse=True)
    assert (answer["total"], answer["page"], answer["pages"]) == (9, 1, 1)
    assert len(answer["features"][0]["raised"]) == 10


def test_a_feature_carries_exact_numbers_and_where_they_come_from(site: Client) -> None:
    answer = site.get(f"{DICTIONARY}/0").json()
    record = site.store.feature(site.store.dictionary("demo", "mlp-12"), 0).record
    assert answer["maximum"] == record.maximum
    assert np.array_equal(
        np.array([row["weight"] for row in answer["raised"]], dtype=np.float32),
        record.raised.weights,
    )
    assert answer["logits"]["counts"] == record.logits.counts.tolist()
    assert answer["density_low"] < answer["density"] < answer["density_high"]
    assert answer["model_checksum"] == "a" * 64
    assert answer["dictionary_checksum"] == "b" * 64
    assert answer["corpus_fingerprint"] == "c" * 64
    assert answer["n_tokens"] == 1_048_576
    assert [group["key"] for group in answer["groups"]][:2] == ["top", "band-10"]
    dead = site.get(f"{DICTIONARY}/3").json()
    assert (dead["firings"], dead["groups"]) == (0, [])


def test_contexts_carry_tokens_activations_and_effects(site: Client) -> None:
    group = site.get(f"{DICTIONARY}/0/groups/top").json()
    assert group["contexts"] == len(group["examples"]) == 20
    one = site.get(f"{DICTIONARY}/0/contexts/top/4").json()
    assert one == group["examples"][4]
    assert len(one["tokens"]) == len(one["text"])
    assert one["peak"] in one["positions"]
    view = site.store.feature(site.store.dictionary("demo", "mlp-12"), 0)
    examples = view.record.groups[0].examples
    start, end = examples.bounds[4], examples.bounds[5]
    # To the last bit, as the ends of ranges are: rounded, one could lie beyond its end.
    assert one["values"] == examples.values[start:end].tolist()
    assert len(one["effect"]["positions"]) == len(one["effect"]["raised"]) == 4
    assert len(one["effect"]["raised"][0]) == 5


def test_effects_may_be_left_to_what_is_cached(site: Client) -> None:
    site.ablations.error = WorkerUnavailable("Away.")
    assert site.get(f"{DICTIONARY}/0/groups/top").status_code == 503
    group = site.get(f"{DICTIONARY}/0/groups/top?ablate=false").json()
    assert {one["effect"] for one in group["examples"]} == {None}


@pytest.mark.parametrize(
    ("status", "address"),
    [
        (404, f"{API}/nothing"),
        (404, f"{DICTIONARY}/12"),
        (404, f"{DICTIONARY}/x"),
        (404, f"{API}/d/demo/nothing"),
        (404, f"{DICTIONARY}/0/groups/nothing"),
        (404, f"{DICTIONARY}/0/contexts/top/20"),
        (422, f"{DICTIONARY}?sort=beauty"),
        (422, f"{DICTIONARY}/0/groups/top?ablate=perhaps"),
    ],
)
def test_errors_are_problems_whoever_asks(site: Client, status: int, address: str) -> None:
    answer = site.get(address, accept="text/html")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"].endswith((".", "weakest."))


def test_random_is_alive(site: Client) -> None:
    drawn = {site.get(f"{DICTIONARY}/random").json()["index"] for _ in range(40)}
    assert drawn <= {0, 1, 2, 4, 5, 6, 8, 9, 10}
    assert len(drawn) > 3


def test_the_description_covers_every_address_and_error(site: Client) -> None:
    description = site.get(f"{API}/openapi.json").json()
    assert {path for path in description["paths"] if "/m/{model}" not in path} == {
        API,
        f"{API}/d/{{model}}/{{dictionary}}",
        f"{API}/d/{{model}}/{{dictionary}}/about",
        f"{API}/d/{{model}}/{{dictionary}}/evaluation",
        f"{API}/d/{{model}}/{{dictionary}}/random",
        f"{API}/d/{{model}}/{{dictionary}}/map",
        f"{API}/d/{{model}}/{{dictionary}}/map/points",
        f"{API}/d/{{model}}/{{dictionary}}/map/colours/{{colour}}",
        f"{API}/d/{{model}}/{{dictionary}}/map/hits",
        f"{API}/d/{{model}}/{{dictionary}}/automata",
        f"{API}/d/{{model}}/{{dictionary}}/automata/{{name}}",
        f"{API}/d/{{model}}/{{dictionary}}/automata/{{name}}/{{source}}/{{target}}",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/groups/{{group}}",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/contexts/{{group}}/{{number}}",
        f"{API}/runs",
        f"{API}/runs/{{name}}",
        f"{API}/sweeps/{{name}}",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/comments",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/comments/{{comment}}/restore",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/comments/{{comment}}/withdraw",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/explanations",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/labels",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/labels/{{label}}",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/labels/{{label}}/history",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/labels/{{label}}/restore",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/labels/{{label}}/vote",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/labels/{{label}}/withdraw",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/rule",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/summary",
        f"{API}/over-training",
        f"{API}/over-training/{{name}}",
        f"{API}/compare",
        f"{API}/compare/{{name}}",
        f"{API}/compare/{{name}}/tree/{{place}}/{{index}}",
        f"{API}/compare/{{name}}/{{source}}/{{target}}",
        f"{API}/d/{{model}}/{{dictionary}}/{{index}}/twins",
        f"{API}/glossary",
        f"{API}/lists",
        f"{API}/lists/{{name}}",
        f"{API}/lists/{{name}}/firings",
        f"{API}/lists/{{name}}/items",
        f"{API}/lists/{{name}}/items/{{subject}}/{{index}}",
        f"{API}/lists/{{name}}/items/{{subject}}/{{index}}/place",
        f"{API}/lists/{{name}}/restore",
        f"{API}/rate",
        f"{API}/rate/{{study}}",
        f"{API}/rate/{{study}}/items/{{item}}",
        f"{API}/rate/{{study}}/ratings.csv",
        f"{API}/rate/{{study}}/restore",
        f"{API}/rate/{{study}}/results",
        f"{API}/rate/{{study}}/unblind",
        f"{API}/search",
        f"{API}/search/example",
        f"{API}/search/meaning",
        f"{API}/search/phrase",
        f"{API}/contrast",
        f"{API}/contrast/{{name}}",
        f"{API}/monitors",
        f"{API}/monitors/{{name}}",
        f"{API}/monitors/{{name}}/level",
        f"{API}/experiments",
        f"{API}/experiments/{{name}}",
        f"{API}/experiments/{{name}}/texts",
        f"{API}/experiments/{{name}}/values.csv",
    }
    for operation in (one for path in description["paths"].values() for one in path.values()):
        responses = operation["responses"]
        assert {"404", "422", "503"} <= set(responses)
        assert {"200", "204"} & set(responses)
        assert "Problem" in str(responses["422"])
        assert operation["description"]
    names = {
        p["name"]
        for p in description["paths"][f"{API}/d/{{model}}/{{dictionary}}"]["get"]["parameters"]
    }
    assert names == {
        "above",
        "alive",
        "dictionary",
        "found",
        "model",
        "on",
        "order",
        "page",
        "q",
        "sort",
        "whole",
    }


@pytest.mark.parametrize("number", [2**63, 10**21, -1, -(10**21)])
def test_a_number_that_no_database_holds_is_never_a_mistake_of_the_program(
    site: Client, number: int
) -> None:
    described = site.get(f"{API}/openapi.json").json()["paths"]
    names = {"model": "demo", "dictionary": "mlp-12", "group": "top"}
    asked = 0
    for address, operations in described.items():
        for parameter in operations.get("get", {}).get("parameters", ()):
            if parameter["schema"].get("type") != "integer":
                continue
            values = {
                p["name"]: number if p is parameter else names.get(p["name"], 0)
                for p in operations["get"]["parameters"]
                if p["in"] == "path"
            }
            query = {parameter["name"]: number} if parameter["in"] == "query" else {}
            answer = site.http.get(address.format(**values), params=query)
            assert answer.status_code < 500, (address, parameter["name"], answer.text)
            asked += 1
    assert asked > 15
