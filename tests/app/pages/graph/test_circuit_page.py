"""The page of a task's circuit, its JSON, and its twin in Python."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from app.client import FeaturescopeClient
from app.client.transport import RequestFailed
from tests.app.pretend import task_circuits
from tests.app.pretend.clients import Client

ADDRESS = "/m/demo/circuit/brackets-b"


@pytest.fixture
def circuit(site: Client) -> Client:
    site.store.graphs.circuits.save(task_circuits.record())
    return site


def test_the_page_says_what_was_found_and_what_is_left(circuit: Client) -> None:
    page = circuit.get(ADDRESS).text
    assert "right on 83.3 % of 6 prompts" in page
    assert "+2.00" in page  # the mean gap of the whole model
    assert 'href="/d/demo/mlp-12/3"' in page
    assert "blocks.1.mlp.hook_post 7" in page
    assert "denied" in page  # the second feature does the opposite of what is claimed
    assert "66.7 % of the 3 features" in page
    assert "<script>alert(1)" not in page
    assert "\u202e" not in page
    assert "/m/demo/graph?text=def+f%28&amp;target=%20self&amp;target=%0A&amp;target=%29" in page


def test_the_page_of_graphs_names_it(circuit: Client) -> None:
    assert f'href="{ADDRESS}"' in circuit.get("/m/demo/graphs").text


def test_there_may_be_none_of_that_name(circuit: Client) -> None:
    answer = circuit.get("/m/demo/circuit/nothing")
    assert answer.status_code == 404
    assert "no circuit" in answer.text
    assert circuit.get("/m/nobody/circuit/brackets-b").status_code == 404


def test_the_json_has_every_figure(circuit: Client) -> None:
    answer = circuit.get(f"/api/v1{ADDRESS}").json()
    made = task_circuits.circuit()
    assert answer["whole"]["gap"] == list(made.whole.gap)
    assert [row["alone"] for row in answer["features"]] == [row.alone for row in made.features]
    assert next(row["dictionary"] for row in answer["features"]) == "mlp-12"
    assert answer["sets"][1]["random"][1]["gap"] == [2.0, 5.0, 3.0]
    assert answer["prompts"][0] == {
        k: list(v) if k != "text" else v
        for k, v in asdict(task_circuits.record().prompts[0]).items()
    }


def test_the_client_has_twins(circuit: Client) -> None:
    graphs = FeaturescopeClient("http://127.0.0.1:8000", http=circuit.http).graphs
    (summary,) = graphs.circuits("demo")
    assert (summary.name, summary.n_prompts) == ("brackets-b", 6)
    assert graphs.circuit("demo", summary.name).features[0].effect == 1.25
    with pytest.raises(RequestFailed, match="no circuit"):
        graphs.circuit("demo", "nothing")
