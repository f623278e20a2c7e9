"""Blind ratings on pages and as JSON: what a rater sees, and what nobody sees before asking."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.client import FeaturescopeClient, RequestFailed
from app.store.store import Store
from app.store.types.ratings import NewRating, RaterKind, RubricScores
from app.store.upkeep.removal import remove
from sae_core.harvest.records import FeatureRecord, Ranking
from tests import factories
from tests.app.pretend.clients import Client, client

FULL = {"confidence": "3", "activations": "5", "logits": "2", "specificity": "1"}
TAGS = re.compile(r"<[^>]+>")
NUMBERS = {name: int(value) for name, value in FULL.items()}


@pytest.fixture
def site(sqlite_store: Store, tmp_path: Path) -> Iterator[Client]:
    with client(sqlite_store, tmp_path) as made:
        yield made


@pytest.fixture
def python(site: Client) -> FeaturescopeClient:
    return FeaturescopeClient("http://127.0.0.1:8000", http=site.http)


def a_study(store: Store, n: int = 3, names: tuple[str, str] = ("mlp-12", "neurons")) -> str:
    return store.ratings.create([store.dictionary("demo", name) for name in names], n).id


def send(site: Client, address: str, **form: str) -> Any:
    return site.http.post(address, data=form, follow_redirects=False)


def _louder(record: FeatureRecord) -> FeatureRecord:
    """The same feature in other units, firing more often."""

    def scaled(ranking: Ranking) -> Ranking:
        return replace(ranking, weights=ranking.weights * np.float32(0.25))

    groups = tuple(
        replace(
            group,
            low=group.low * 8,
            high=group.high * 8,
            firings=group.firings * 3,
            examples=replace(group.examples, values=group.examples.values * np.float32(8)),
        )
        for group in record.groups
    )
    return replace(
        record,
        firings=record.firings * 3,
        maximum=record.maximum * 8,
        activations=replace(record.activations, high=record.activations.high * 8),
        raised=scaled(record.raised),
        lowered=scaled(record.lowered),
        groups=groups,
    )


def test_the_same_feature_of_two_dictionaries_looks_the_same(site: Client) -> None:
    """All that a page or an answer tells follows from tokens and where it fires."""
    sample = factories.sample()
    twin = factories.sample(dictionary="twin-of-it", architecture="relu", checksum="f" * 64)
    moved = tuple(
        replace(_louder(record), index=(record.index + 4) % 12) for record in sample.features
    )
    moved = tuple(sorted(moved, key=lambda record: record.index))
    factories.publish(site.store, replace(twin, features=moved, rules=()))
    study = a_study(site.store, 9, ("mlp-12", "twin-of-it"))
    items = site.store.ratings.items(study)
    subjects = [source.subject for source in site.store.ratings.study(study).sources]
    seen: dict[tuple[str, int], tuple[str, str]] = {}
    for item in items:
        page = site.get(f"/rate/{study}/items/{item.id}").text
        answer = site.get(f"/api/v1/rate/{study}/items/{item.id}").text
        number = re.search(r"<title>Item (\d+) of", page)
        assert number is not None
        page = re.sub(r"(?i)item \d+ of", "item of", page.replace(item.id, "ID"))
        page = re.sub(r'<(?:a rel="(?:prev|next)"|span class="quiet">[‹n]).*', "", page)
        seen[item.subject, item.index] = page, answer.replace(item.id, "ID")
    for index in (0, 1, 2, 4, 5, 6, 8, 9, 10):
        first, second = seen[subjects[0], index], seen[subjects[1], (index + 4) % 12]
        assert first == second
    page, answer = seen[subjects[0], 0]
    for telling in (
        "mlp-12",
        "twin-of",
        "hook_post",
        "blocks.0",
        subjects[0],
        "density",
        "/d/demo",
    ):
        assert telling not in page
        assert telling not in answer


def test_no_page_or_answer_says_what_is_compared_before_results(site: Client) -> None:
    study = a_study(site.store)
    site.http.cookies.set("author", "Ada")
    summaries = site.get("/api/v1/rate").text, site.get(f"/api/v1/rate/{study}?rater=Ada").text
    pages = site.get(f"/rate/{study}").text, site.get(f"/rate/{study}/results").text
    for shown in (*summaries, *pages, site.get(f"/rate/{study}/file/csv").text):
        assert "mlp-12" not in shown
        assert "neurons" not in shown
        assert "seed" not in shown
    for address in ("results", "ratings.csv"):
        answer = site.get(f"/api/v1/rate/{study}/{address}?rater=Ada")
        assert answer.status_code == 422
        assert "not blind" in answer.json()["detail"]


def test_a_study_is_made_and_rated_by_forms_alone(site: Client) -> None:
    dictionaries = {"d-0": "demo/mlp-12", "d-1": "demo/neurons"}
    page = site.get("/rate").text
    assert "There is no study yet." in page
    for name, value in dictionaries.items():
        assert f'name="{name}" value="{value}"' in page
    made = send(site, "/rate", **dictionaries, features="2", author="Ada", title="</b>which")
    address = made.headers["location"]
    assert made.status_code == 303
    assert "&lt;/b&gt;which" in site.get("/rate").text
    begun = send(site, address, do="begin", rater="Ada")
    for number in range(1, 5):
        at = begun.headers["location"]
        assert f"Item {number} of 4" in site.get(at).text
        begun = send(site, at, rater="Ada", seen="", do="rate", **FULL, interpretation="</b>")
        assert begun.status_code == 303
    assert begun.headers["location"] == address
    page = site.get(address).text
    assert "You have been through all 4 items, 4 rated and 0 skipped." in page
    assert "&lt;/b&gt;" in site.get(at).text
    assert "Show the results" in site.get(f"{address}/results").text
    shown = send(site, address, do="unblind", rater="Ada")
    assert shown.headers["location"] == f"{address}/results?rater=Ada"
    results = site.get(f"{address}/results").text
    assert "demo/mlp-12" in results
    assert "There is one rater" in results
    assert "No item has ratings of two raters" in results
    assert '<a href="/d/demo/neurons/' in results
    # A link shows them to whom the browser does not know, and asks who rates himself.
    for name, there in (("", True), ("Bob", False)):
        site.http.cookies.clear()
        site.http.cookies.update({"author": name} if name else {})
        assert ("demo/mlp-12" in site.get(shown.headers["location"]).text) is there


def test_what_is_missing_is_said_and_nothing_typed_is_lost(site: Client) -> None:
    study = a_study(site.store)
    [item, other] = [item.id for item in site.store.ratings.items(study)[:2]]
    address = f"/rate/{study}/items/{item}"
    partial = {**FULL, "logits": "", "interpretation": "quotes", "rater": "Ada"}
    refused = send(site, address, **partial)
    assert refused.status_code == 422
    assert "Logit weights needs a number from 0 to 3; or skip the item." in refused.text
    assert re.search(r'name="confidence" value="3" required checked', refused.text)
    assert "quotes</textarea>" in refused.text
    assert send(site, address, **{**FULL, "logits": "4"}, rater="Ada").status_code == 422
    assert "Say your name" in send(site, address, **FULL).text
    assert send(site, f"{address}0", **FULL, rater="Ada").status_code == 404
    assert send(site, f"/rate/0/items/{other}", **FULL, rater="Ada").status_code == 404
    assert send(site, f"/rate/{study}", do="dance").status_code == 422
    assert send(site, f"/rate/{study}", do="unblind", rater=" ").status_code == 422
    assert site.store.ratings.all_of(study) == []
    assert send(site, address, do="skip", rater="Ada").status_code == 303
    for form, words in (
        ({"d-0": "demo/mlp-12"}, "1 is named"),
        ({"d-0": "demo/mlp-12", "d-1": "demo/nothing"}, "no dictionary"),
        ({"d-0": "demo/mlp-12", "d-1": "demo/neurons", "features": "x"}, "no number"),
        ({"d-0": "demo/mlp-12", "d-1": "demo/neurons", "features": "7"}, "has 6 features"),
    ):
        answer = send(site, "/rate", **{"features": "2", **form})
        assert answer.status_code == 422
        assert words in answer.text


def test_a_second_tab_is_told_and_both_ratings_stay(site: Client) -> None:
    study = a_study(site.store)
    item = site.store.ratings.items(study)[0].id
    address = f"/rate/{study}/items/{item}"
    send(site, address, **FULL, rater="Ada", seen="")
    second = send(site, address, **{**FULL, "logits": "0"}, rater="Ada", seen="")
    assert second.status_code == 200
    assert "You had rated this meanwhile in another tab" in second.text
    kept = site.store.ratings.all_of(study)
    assert [r.scores.logits for r in kept if r.scores] == [2, 0]
    third = send(site, address, **FULL, rater="Ada", seen=kept[-1].id)
    assert third.status_code == 303


def test_results_as_json_csv_and_python(site: Client, python: FeaturescopeClient) -> None:
    ratings = python.ratings
    study = ratings.create(["demo/mlp-12", "demo/neurons"], 4, seed=3, title="t", author="=1+1").id
    assert [one.id for one in ratings.studies().studies] == [study]
    order = [state.id for state in ratings.study(study, "Ada").items]
    assert order == [state.id for state in ratings.study(study, "Ada").items]
    assert sorted(order) == sorted(s.id for s in ratings.study(study, "Bob").items)
    stored = {item.id: item for item in site.store.ratings.items(study)}
    neurons = site.store.ratings.study(study).sources[1].subject
    for place, item in enumerate(order):
        shown = ratings.item(study, item, "Ada")
        assert [group.highest for group in shown.groups] == [0, 11, 8, 5, 2]
        assert len(shown.groups[0].contexts) == 8
        marks = shown.groups[1].contexts[0].bands
        assert sum(band > 0 for band in marks) == 1
        assert len(shown.groups[0].contexts[0].tokens) == len(shown.groups[0].contexts[0].bands)
        low = stored[item].subject == neurons
        scores = {"confidence": 0 if low else 3, "activations": 1 if low else 4}
        scores |= {"logits": place % 2, "specificity": 1}
        kept = ratings.rate(study, item, "Ada", scores, "=cmd()")
        assert kept.over is None
        ratings.rate(study, item, "Bob", None if place == 0 else scores, kind=RaterKind.PROGRAM)
    with pytest.raises(RequestFailed, match="not blind"):
        ratings.results(study, "Ada")
    ratings.unblind(study, "Ada")
    late = {"confidence": 3, "activations": 5, "logits": 3, "specificity": 3}
    assert not ratings.rate(study, order[0], "Ada", late).rating.blind
    results = ratings.results(study, "Ada")
    assert (results.blind, results.left_out, results.settings["seed"]) == (15, 1, 3)
    total = results.criteria[0]
    assert (total.key, total.highest, sum(total.groups[0].counts)) == (
        "total",
        14,
        8 - (stored[order[0]].subject != neurons),
    )
    [compared] = total.differences
    assert compared.difference is not None
    assert compared.difference > 5
    assert compared.exact
    assert compared.p == pytest.approx(2 / 70)
    assert total.ordinal.alpha == 1.0
    confidence = results.criteria[1]
    assert confidence.ordinal.alpha == 1.0
    specificity = results.criteria[-1]
    assert specificity.ordinal.alpha is None
    assert "All ratings are the same" in specificity.ordinal.reason
    assert [(p.first, p.second, p.items, p.apart) for p in results.pairs] == [("Ada", "Bob", 7, 0)]
    assert {r.name: (r.rated, r.skipped) for r in results.raters} == {"Ada": (8, 0), "Bob": (7, 1)}
    rows = list(csv.DictReader(io.StringIO(ratings.csv(study, "Ada"))))
    assert len(rows) == 17
    assert {row["interpretation"] for row in rows} == {"'=cmd()", ""}
    assert sum(int(row["counts"]) for row in rows) == 15
    site.http.cookies.set("author", "Ada")
    assert site.get(f"/rate/{study}/file/csv").text == ratings.csv(study, "Ada")
    page = site.get(f"/rate/{study}/results").text
    assert "1 left out: given after results were seen" in page
    assert "undefined" in page
    assert "Ada (a person, 8 items), Bob (a program, 7 items)." in TAGS.sub("", page)
    assert json.loads(site.get(f"/api/v1/rate/{study}/results?rater=Ada").text)["blind"] == 15
    ratings.put_away(study)
    assert ratings.studies().studies[0].withdrawn
    assert not ratings.restore(study).withdrawn


def test_an_item_of_a_dictionary_that_is_gone_says_so(site: Client) -> None:
    study = a_study(site.store)
    gone = site.store.ratings.study(study).sources[1].subject
    site.store.ratings.unblind(study, "Ada")
    items = site.store.ratings.items(study)
    for item in items:
        site.store.ratings.keep(
            study, item.id, NewRating("Bob", RubricScores(1, 1, 1, 1), kind=RaterKind.MODEL)
        )
    remove(site.store.engine, "demo", "neurons")
    [item, *_] = [item for item in items if item.subject == gone]
    page = site.get(f"/rate/{study}/items/{item.id}").text
    assert "The store no longer has what this item was drawn from" in page
    assert site.get(f"/api/v1/rate/{study}/items/{item.id}").json()["groups"] == []
    site.http.cookies.set("author", "Ada")
    results = site.get(f"/rate/{study}/results").text
    assert "demo/neurons, which the store no longer has" in results
    assert f"/d/demo/neurons/{item.index}" not in results


def test_a_study_that_nobody_rated_has_results_without_figures(site: Client) -> None:
    study = a_study(site.store, 1)
    site.store.ratings.unblind(study, "Ada")
    site.http.cookies.set("author", "Ada")
    assert "Nobody has rated anything blind yet" in site.get(f"/rate/{study}/results").text
    answer = site.get(f"/api/v1/rate/{study}/results?rater=Ada").json()
    assert answer["criteria"][0]["differences"][0]["p"] is None
    item = site.store.ratings.items(study)[0].id
    site.store.ratings.keep(study, item, NewRating("Bob", RubricScores(1, 1, 1, 1)))
    page = site.get(f"/rate/{study}/results").text
    assert "nothing of one of them is rated blind" in page


def test_a_wrong_body_is_a_sentence(site: Client) -> None:
    study = a_study(site.store)
    item = site.store.ratings.items(study)[0].id
    address = f"/api/v1/rate/{study}/items/{item}"
    for body, words in (
        ({"rater": "Ada", "scores": {**NUMBERS, "confidence": 9}}, "0 to 3"),
        ({"rater": "Ada", "scores": {"confidence": 1}}, "activations"),
        ({"rater": "", "scores": None}, "Say your name"),
        ({"rater": "Ada", "scores": {**NUMBERS, "logits": True}}, "not true or false"),
        ({"rater": "\ud800", "scores": None}, "half a character"),
    ):
        headers = {"Content-Type": "application/json"}
        answer = site.http.post(address, content=json.dumps(body), headers=headers)
        assert answer.status_code == 422, body
        assert words in answer.json()["detail"]
    body = {"dictionaries": ["demo/mlp-12"] * 7, "features": 1}
    assert "2 to 6" in site.http.post("/api/v1/rate", json=body).json()["detail"]
