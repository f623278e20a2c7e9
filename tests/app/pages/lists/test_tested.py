"""A list tested on a text: where its features fire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import update

from app.client import FeaturescopeClient
from app.errors import WorkerUnavailable
from app.pages.lists.tested import LONGEST_TEXT
from app.store.database import writing
from app.store.schema import StoredModel
from app.store.upkeep.removal import remove
from app.worker.protocol.requests import DictionaryRef
from tests.app.pages.home.test_pages import text as words
from tests.app.pretend.clients import Client, filled
from tests.app.pretend.prompts import PretendPrompts, firings_of, tokens_of

TEXT = " self. word20\n word21 word22 self"
STARS = "/lists/starred"
FEATURES = [("mlp-12", 8), ("neurons", 5), ("mlp-12", 11)]


@pytest.fixture
def live() -> PretendPrompts:
    return PretendPrompts()


@pytest.fixture
def site(tmp_path: Path, live: PretendPrompts) -> Iterator[Client]:
    with filled(tmp_path, live) as made:
        for dictionary, index in FEATURES:
            form = {"model": "demo", "dictionary": dictionary, "index": str(index)}
            made.http.post(f"{STARS}/items", data=form)
        yield made


def firing(dictionary: str, index: int) -> tuple[list[int], list[float]]:
    path = None if dictionary == "neurons" else "x"
    ref = DictionaryRef(path=path, hook_point="blocks.0.mlp.hook_post", checksum=None)
    positions, features, values = firings_of(tokens_of(TEXT), ref)
    here = features == index
    return positions[here].tolist(), values[here].tolist()


def asked(site: Client, text: str) -> Any:
    return site.http.get(STARS, params={"text": text})


def test_each_feature_says_where_it_fires(site: Client, live: PretendPrompts) -> None:
    answer = site.http.post(f"/api/v1{STARS}/firings", json={"text": TEXT}).json()
    assert answer["problem"] == ""
    for feature, (dictionary, index) in zip(answer["features"], FEATURES, strict=True):
        assert (feature["dictionary"], feature["index"]) == (dictionary, index)
        assert (feature["positions"], feature["activations"]) == firing(dictionary, index)
        assert "".join(feature["tokens"][1:]) == TEXT
    assert len(live.asked) == 1  # both dictionaries open texts alike: one reading
    # As the page's share menu asks for it.
    assert site.get(f"/api/v1{STARS}?{urlencode({'text': TEXT})}").json()["tested"] == answer
    assert site.get(f"/api/v1{STARS}").json()["tested"] is None
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http)
    assert client.lists.firings("starred", TEXT).model_dump() == answer


def test_the_page_shows_the_text_orange_and_keeps_it_in_the_address(site: Client) -> None:
    page = asked(site, TEXT.replace("\n", "\r\n")).text
    positions, _ = firing("mlp-12", 8)
    assert f"fires on {len(positions)} of {len(tokens_of(TEXT))} tokens" in page
    assert page.count('<bdi class="a') == sum(len(firing(*feature)[0]) for feature in FEATURES)
    assert f"\n{TEXT}</textarea>" in page
    assert "fire on this text" in page
    assert "Test the list on your own text" in site.get(STARS).text


def test_markup_in_the_text_is_inert(site: Client) -> None:
    page = asked(site, "<script>self</script>").text
    assert "<script>self" not in page
    assert "&lt;script&gt;self" in page


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (" \n", "The text is empty"),
        ("x" * (LONGEST_TEXT + 1), "at most 4,000"),
        ("a\0b", "NUL"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_in_a_sentence(
    site: Client, live: PretendPrompts, text: str, sentence: str
) -> None:
    answer = asked(site, text)
    assert (answer.status_code, sentence in words(answer.text)) == (422, True)
    answer = site.http.post(f"/api/v1{STARS}/firings", json={"text": text})
    assert (answer.status_code, sentence in answer.json()["detail"]) == (422, True)
    assert live.asked == []


def test_a_list_of_a_removed_dictionary_is_tested_as_far_as_it_goes(
    site: Client,
) -> None:
    remove(site.store.engine, "demo", "mlp-12")
    answer = site.http.post(f"/api/v1{STARS}/firings", json={"text": TEXT}).json()
    assert [feature["dictionary"] for feature in answer["features"]] == ["neurons"]
    assert "2 of the list are of dictionaries that the store no longer has" in answer["problem"]
    assert "of a dictionary that was removed" in words(asked(site, TEXT).text)


def test_features_of_an_imported_dictionary_are_said_not_to_be_asked(site: Client) -> None:
    with writing(site.store.engine) as connection:
        connection.execute(update(StoredModel).values(path=""))
    answer = site.http.post(f"/api/v1{STARS}/firings", json={"text": TEXT}).json()
    assert answer["features"] == []
    assert "demo/mlp-12 was imported without its model" in answer["problem"]
    assert "demo/neurons was imported without its model" in words(asked(site, TEXT).text)


def test_without_a_worker_the_list_stands_and_says_so(site: Client, live: PretendPrompts) -> None:
    live.error = WorkerUnavailable("The worker stopped and is being started again.")
    answer = asked(site, TEXT)
    assert answer.status_code == 503
    assert "being started again" in answer.text
    assert "mlp-12" in answer.text
    answer = site.http.post(f"/api/v1{STARS}/firings", json={"text": TEXT})
    assert (answer.status_code, answer.json()["detail"]) == (503, str(live.error))
