"""Pages of an imported dictionary: what is there is shown, and what is not is said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.exchange.neuronpedia.files import find_export
from app.exchange.neuronpedia.read import Names, import_export
from tests.app.exchange import saedashboard
from tests.app.pretend.clients import Client, filled

BASE = "/d/gpt2-small/6-res-jb"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("imported")
    files = find_export(saedashboard.write_export(folder / "6-res-jb"))
    assert files is not None
    with filled(folder / "site") as made:
        import_export(made.store, files, Names())
        yield made


def test_home_says_that_it_is_read_only(client: Client) -> None:
    text = client.get("/").text
    assert "imported without its weights: read-only" in text
    assert "/m/gpt2-small" not in text


def test_the_table_shows_labels_and_no_way_to_steer(client: Client) -> None:
    text = client.get(BASE).text
    assert "&lt;i&gt;cats&lt;/i&gt;" in text
    assert "/m/gpt2-small" not in text
    assert "what the source does not hold" in text


def test_a_feature_shows_contexts_and_asks_for_no_underlines(client: Client) -> None:
    answer = client.get(f"{BASE}/1")
    assert answer.status_code == 200
    assert "&lt;b&gt;sat&lt;/b&gt;" in answer.text
    assert "<b>sat</b>" not in answer.text
    assert "by the source's counts" in answer.text
    assert "Wilson" not in answer.text
    assert "Read-only" in answer.text
    assert 'class="underlines"' not in answer.text
    assert 'id="test"' not in answer.text
    assert "context 1 of the source:" not in answer.text
    assert client.ablations.asked == []


def test_a_dead_one_is_not_said_to_be_dead(client: Client) -> None:
    text = client.get(f"{BASE}/3").text
    assert "the source shows none of this feature" in text
    assert "is dead:" not in text


def test_how_it_was_made_lists_what_is_missing(client: Client) -> None:
    text = client.get(f"{BASE}/about").text
    assert "What the source does not hold" in text
    assert "Confidence intervals of densities." in text
    assert "harvest of" not in text


@pytest.mark.parametrize("page", ["/m/gpt2-small/prompt", "/m/gpt2-small/steer"])
def test_pages_that_need_the_model_say_why_not(client: Client, page: str) -> None:
    answer = client.get(page)
    assert answer.status_code == 422
    assert "gpt2-small was imported without its model" in answer.text


def test_the_json_is_there_too(client: Client) -> None:
    feature = client.get(f"/api/v1{BASE}/1").json()
    assert feature["label"] == "<i>cats</i>"
    about = client.get(f"/api/v1{BASE}/about").json()
    assert about["details"]["imported"] == "Neuronpedia export"


@pytest.mark.parametrize("rest", ["", "/1", "/about", "/evaluation", "/1/contexts/top/0"])
def test_every_page_of_it_answers(client: Client, rest: str) -> None:
    assert client.get(BASE + rest).status_code == 200
