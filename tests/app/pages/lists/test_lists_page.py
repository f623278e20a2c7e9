"""Lists: their pages, forms, files and JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.client import FeaturescopeClient
from app.store.upkeep.removal import remove
from tests.app.pretend.clients import HX, Client, filled

FEATURE = {"model": "demo", "dictionary": "mlp-12", "index": "2"}
STARS = "/lists/starred"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Client]:
    with filled(tmp_path) as made:
        yield made


def send(site: Client, address: str, fragment: bool = False, **form: str) -> Any:
    headers = HX if fragment else {}
    return site.http.post(address, data=form, headers=headers, follow_redirects=False)


def items(site: Client, name: str = "starred") -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = site.get(f"/api/v1/lists/{name}").json()["items"]
    return answer


def test_a_star_with_and_without_a_script(site: Client) -> None:
    assert "☆" in site.get("/d/demo/mlp-12/2").text
    answer = send(site, f"{STARS}/items", do="put", **FEATURE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/d/demo/mlp-12/2")
    assert "★" in site.get("/d/demo/mlp-12/2").text
    answer = send(site, f"{STARS}/items", True, do="take-out", **FEATURE)
    assert "☆" in answer.text
    assert "<html" not in answer.text
    assert items(site) == []


def test_an_empty_store_has_a_page_of_lists_and_of_stars(site: Client) -> None:
    assert "There is no list yet" in site.get("/lists").text
    assert "Nothing is in it yet" in site.get(STARS).text
    assert 'href="/lists"' in site.get("/").text


def test_a_list_by_its_forms(site: Client) -> None:
    made = send(site, "/lists", title="Quotes", note="for the paper").headers["location"]
    for index in ("0", "1", "2"):
        send(site, f"{made}/items", **(FEATURE | {"index": index}))
    key = items(site, "quotes")[0]["subject"]
    send(site, made, do="move", subject=key, index="2", place="0")
    send(site, made, do="annotate", subject=key, index="1", note="<i>odd</i>")
    send(site, made, do="take-out", subject=key, index="0")
    send(site, made, do="describe", title="Quoted <b>", note="")
    assert [(one["index"], one["note"]) for one in items(site, "quotes")] == [
        (2, ""),
        (1, "<i>odd</i>"),
    ]
    page = site.get(made).text
    assert "Quoted &lt;b&gt;" in page
    assert "&lt;i&gt;odd&lt;/i&gt;" in page
    assert "/m/demo/steer?f=mlp-12:2&amp;f=mlp-12:1" in page
    assert "in 1 list" in site.get("/d/demo/mlp-12/2").text
    send(site, made, do="put-away")
    assert "put away" in site.get("/lists").text
    send(site, made, do="restore")
    for form in (
        {"do": "describe", "title": ""},
        {"do": "explode", "subject": key, "index": "1"},
        {"do": "move", "subject": key, "index": "1", "place": "-1"},
        {"do": "annotate", "subject": key, "index": "1", "note": "x" * 4_001},
    ):
        assert send(site, made, **form).status_code == 422
    assert send(site, "/lists", title="").status_code == 422
    assert send(site, "/lists/none", do="describe", title="x").status_code == 404
    assert site.get("/lists/none").status_code == 404


def test_a_list_of_a_removed_dictionary_says_so(site: Client) -> None:
    site.store.labels.add(site.store.dictionary("demo", "mlp-12"), 2, "the self")
    send(site, f"{STARS}/items", **FEATURE)
    remove(site.store.engine, "demo", "mlp-12")
    page = site.get(STARS).text
    assert "1 of its features is of a dictionary that was removed." in page
    assert "the self" in page
    [item] = items(site)
    assert (item["there"], item["address"], item["label"]) == (False, "", "the self")
    assert "removed" in site.get(f"{STARS}/file/html").text


def test_a_list_as_files(site: Client) -> None:
    view = site.store.dictionary("demo", "mlp-12")
    site.store.labels.add(view, 2, '=HYPERLINK("x"), "quoted"')
    send(site, f"{STARS}/items", **FEATURE)
    answer = site.get(f"{STARS}/file/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="list.csv"'
    header, row = csv.reader(io.StringIO(answer.text))
    held = dict(zip(header, row, strict=True))
    assert held["label"] == '\'=HYPERLINK("x"), "quoted"'
    assert (held["model"], held["index"], held["in the store"]) == ("demo", "2", "yes")
    page = site.get(f"{STARS}/file/html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for sign in ("<script", "http://", "src=", "href="):
        assert sign not in page.text
    assert site.get(f"{STARS}/file/pdf").status_code == 404


def test_json_and_python_say_the_same(site: Client) -> None:
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http)
    assert client.lists.contents().items == []
    made = client.lists.create("Quotes", "n")
    client.lists.put(made.name, "demo", "mlp-12", 2, "why")
    held = client.lists.put(made.name, "demo", "neurons", 3)
    assert [(one.dictionary, one.index) for one in held.items] == [("mlp-12", 2), ("neurons", 3)]
    moved = client.lists.move(made.name, held.items[1], 0)
    assert [one.index for one in moved.items] == [3, 2]
    assert [one.index for one in client.lists.take_out(made.name, held.items[1]).items] == [2]
    assert client.lists.describe(made.name, "Quoted").title == "Quoted"
    client.lists.put_away(made.name)
    [listed] = client.lists.all().lists
    assert (listed.withdrawn, listed.size) == (True, 1)
    assert not client.lists.restore(made.name).withdrawn
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    for address in ("/lists", f"{STARS}/items", "/api/v1/lists"):
        assert site.http.post(address, data=FEATURE, headers=elsewhere).status_code == 403
