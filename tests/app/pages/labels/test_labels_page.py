"""Labels and comments on a feature's page: forms with and without a script, and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app.client import FeaturescopeClient, RequestFailed
from app.errors import StoreError
from app.store.failures import READ_ONLY
from tests.app.pretend.clients import HX, Client, filled

PAGE = "/d/demo/mlp-12/2"
API = f"/api/v1{PAGE}"
HOSTILE = "<img src=x onerror=alert(1)> \u202e 'quoted' \" & ;"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Client]:
    with filled(tmp_path) as made:
        yield made


def send(site: Client, address: str, fragment: bool = False, **form: str) -> Any:
    headers = HX if fragment else {}
    return site.http.post(address, data=form, headers=headers, follow_redirects=False)


def labels(site: Client) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = site.get(f"{API}/labels").json()["labels"]
    return answer


def test_a_form_without_a_script_labels_and_leads_back(site: Client) -> None:
    answer = send(site, f"{PAGE}/labels", text=" the self ", note="so", author="Ädä, B.")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}#labels")
    cookie = answer.headers["set-cookie"]
    assert f"author={quote('Ädä, B.')}" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    page = site.get(PAGE).text
    assert page.count("the self") > 2
    assert 'value="Ädä, B."' in page  # remembered in the browser
    [label] = labels(site)
    assert (label["text"], label["note"], label["author"]) == ("the self", "so", "Ädä, B.")


def test_with_htmx_only_the_labels_and_the_name_come_back(site: Client) -> None:
    answer = send(site, f"{PAGE}/labels", fragment=True, text="self")
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert answer.text.lstrip().startswith('<section class="labels" id="labels"')
    assert 'id="naming" hx-swap-oob="true"' in answer.text
    assert "<bdi>self</bdi>" in answer.text


@pytest.mark.parametrize("fragment", [True, False])
def test_what_is_refused_stays_in_its_field(site: Client, fragment: bool) -> None:
    answer = send(site, f"{PAGE}/labels", fragment, text="y" * 401, note="<my note>", author="Ada")
    assert answer.status_code == 422
    assert "A label has at most 400 characters; this one has 401." in answer.text
    assert "y" * 401 in answer.text
    assert "&lt;my note&gt;" in answer.text
    assert "set-cookie" not in answer.headers
    assert labels(site) == []


def test_markup_and_signs_of_direction_are_inert_everywhere(site: Client) -> None:
    send(site, f"{PAGE}/labels", text=HOSTILE, note=HOSTILE, author=HOSTILE)
    send(site, f"{PAGE}/comments", text=HOSTILE, author=HOSTILE)
    send(site, "/lists", title=HOSTILE, note=HOSTILE)
    [made] = site.get("/api/v1/lists").json()["lists"]
    here = {"model": "demo", "dictionary": "mlp-12", "index": "2"}
    send(site, f"/lists/{made['name']}/items", **here)
    pages = [
        *(PAGE, f"{PAGE}?embed=1", f"{PAGE}/labels", f"{PAGE}/contexts/top/0", "/d/demo/mlp-12"),
        *("/lists", f"/lists/{made['name']}", f"/lists/{made['name']}/file/html"),
    ]
    for page in pages:
        text = site.get(page).text
        assert "<img" not in text, page
        assert "U+202E" in text, page
        shown = re.sub(r'value="[^"]*"|<textarea.*?</textarea>', "", text, flags=re.S)
        assert "\u202e" not in shown, page  # only where it can be edited


def test_the_buttons_of_a_label(site: Client) -> None:
    send(site, f"{PAGE}/labels", text="one", author="Ada")
    [label] = labels(site)
    address = f"{PAGE}/labels/{label['id']}"
    assert send(site, address, do="up").status_code == 422  # a vote needs a name
    send(site, address, do="up", author="Bob")
    assert labels(site)[0]["votes"] == {"Bob": 1}
    assert 'aria-pressed="true"' in send(site, address, True, do="down", author="Bob").text
    send(site, address, do="unvote", author="Bob")
    assert labels(site)[0]["votes"] == {}
    send(site, address, do="edit", text="two", version="1", author="Ada")
    assert labels(site)[0]["text"] == "two"
    history = site.fragment(f"{PAGE}/labels?history={label['id']}").text
    assert history.count("restore this") == 1
    send(site, address, do="restore")
    assert labels(site)[0]["text"] == "one"
    send(site, address, do="withdraw")
    assert labels(site)[0]["withdrawn"]
    assert 'class="withdrawn"' in site.get(PAGE).text
    send(site, address, do="restore")
    assert not labels(site)[0]["withdrawn"]
    assert send(site, address, do="explode").status_code == 422
    assert send(site, address, do="edit", text="x", version="first").status_code == 422
    assert send(site, f"{PAGE}/labels/none", do="up", author="Bob").status_code == 404
    assert send(site, "/d/demo/mlp-12/12/labels", text="x").status_code == 404


@pytest.mark.parametrize("fragment", [True, False])
def test_a_stale_form_is_kept_and_its_writer_told(site: Client, fragment: bool) -> None:
    send(site, f"{PAGE}/labels", text="one", author="Ada")
    [label] = labels(site)
    address = f"{PAGE}/labels/{label['id']}"
    send(site, address, do="edit", text="Ada's", version="1", author="Ada")
    answer = send(site, address, fragment, do="edit", text="Bob's", version="1", author="Bob")
    assert answer.status_code == 200
    assert "yours stands beside it" in answer.text
    assert {one["text"] for one in labels(site)} == {"Ada's", "Bob's"}


def test_comments_on_the_whole_and_on_one_context(site: Client) -> None:
    send(site, f"{PAGE}/comments", text="on the whole\nof it", author="Ada")
    context = {"group": "top", "number": "1"}
    answer = send(site, f"{PAGE}/comments", text="only here", author="Bob", **context)
    assert answer.headers["location"] == f"{PAGE}/contexts/top/1#comments"
    assert "only here" in site.get(f"{PAGE}/contexts/top/1").text
    assert "only here" not in site.get(f"{PAGE}/contexts/top/0").text
    page = site.get(PAGE).text
    assert "only here" in page
    assert "on the whole" in page
    comments = site.get(f"{API}/labels").json()["comments"]
    whole = next(one for one in comments if not one["context"])
    send(site, f"{PAGE}/comments", do="withdraw-comment", comment=whole["id"], author="Zoe")
    assert "on the whole" not in site.get(PAGE).text
    for wrong in ({"group": "top", "number": "99"}, {"group": "middle", "number": "0"}):
        assert send(site, f"{PAGE}/comments", text="x", **wrong).status_code == 404


def test_json_says_the_same(site: Client) -> None:
    made = site.http.post(f"{API}/labels", json={"text": "one", "author": "Ada"}).json()
    address = f"{API}/labels/{made['id']}"
    edited = site.http.put(address, json={"text": "two", "version": 1}).json()
    assert (edited["label"]["version"], edited["beside"]) == (2, None)
    stale = site.http.put(address, json={"text": "late", "version": 1}).json()
    assert (stale["label"]["text"], stale["beside"]["text"]) == ("late", "two")
    assert len(site.get(f"{address}/history").json()["versions"]) == 2
    for text, sentence in (("x" * 401, "at most 400"), ("\ud800", "half"), ("a\0", "U+0000")):
        body = '{"text": ' + json.dumps(text) + "}"
        refused = site.http.post(
            f"{API}/labels", content=body, headers={"Content-Type": "application/json"}
        )
        assert refused.status_code == 422
        assert sentence in refused.json()["detail"]
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    for method, where in (("POST", f"{API}/labels"), ("PUT", address), ("POST", f"{PAGE}/labels")):
        refused = site.http.request(method, where, json={"text": "x"}, headers=elsewhere)
        assert refused.status_code == 403
    assert site.http.post(f"{API}/labels", content=b"x" * (5 << 20)).status_code == 413


def test_labels_stand_wherever_the_number_stands(site: Client) -> None:
    view = site.store.dictionary("demo", "mlp-12")
    neurons = site.store.dictionary("demo", "neurons")
    for index in range(12):
        site.store.labels.add(view, index, f"label of {index}")
    for index in range(8):
        site.store.labels.add(neurons, index, f"neuron called {index}")
    answer = site.get(API).json()
    for related in (*answer["nearest"], *answer["coactive"]):
        assert related["label"] == f"label of {related['index']}"
    for neuron in answer["neurons"]:
        assert neuron["label"] == f"neuron called {neuron['index']}"
    for page in (PAGE, f"{PAGE}?embed=1"):
        text = site.get(page).text
        for related in answer["nearest"]:
            assert f">label of {related['index']}</span>" in text
        for neuron in answer["neurons"]:
            assert f">neuron called {neuron['index']}</span>" in text


def test_a_store_that_cannot_be_written_says_so(
    site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreError(READ_ONLY)

    monkeypatch.setattr(site.store.labels, "add", fail)
    answer = send(site, f"{PAGE}/labels", text="x")
    assert answer.status_code == 503
    assert "give this user the right to write" in answer.text


def test_python_says_the_same(site: Client) -> None:
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http)
    label = client.labels.add("demo", "mlp-12", 2, "one", "why", "Ada")
    assert client.labels.vote("demo", "mlp-12", label, "Bob").score == 1
    edited = client.labels.edit("demo", "mlp-12", label, "two", author="Ada").label
    assert (edited.text, edited.note) == ("two", "why")
    assert client.labels.edit("demo", "mlp-12", label, "late").beside is not None
    history = client.labels.history("demo", "mlp-12", label).versions
    assert [version.text for version in history] == ["two", "one"]
    assert client.labels.withdraw("demo", "mlp-12", label).withdrawn
    assert client.labels.restore("demo", "mlp-12", label, history[-1].id).text == "one"
    comment = client.labels.comment("demo", "mlp-12", 2, "hm", "Ada", "top", 0)
    assert client.labels.withdraw_comment("demo", "mlp-12", comment).withdrawn
    assert not client.labels.restore_comment("demo", "mlp-12", comment).withdrawn
    there = client.labels.of("demo", "mlp-12", 2)
    assert {one.text for one in there.labels} == {"one", "late"}
    assert [one.quote for one in there.comments] != [""]
    with pytest.raises(RequestFailed, match="features 0 to 11") as refused:
        client.labels.add("demo", "mlp-12", 99, "x")
    assert refused.value.status == 404
