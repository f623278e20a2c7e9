"""Every address: status, form, headers, with and without htmx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.errors import StoreError
from app.store.store import Store
from app.web.headers import CONTENT_SECURITY_POLICY
from tests.app.pretend.clients import Broken, Client, client, filled

FEATURE = "/d/demo/mlp-12/0"
PAGES = (
    "/",
    "/d/demo/mlp-12",
    "/d/demo/mlp-12?sort=density&order=asc&alive=1",
    "/d/demo/mlp-12?sort=label&q=x",
    "/d/demo/mlp-12?sort=maximum&alive=0",
    "/d/demo/mlp-12/about",
    FEATURE,
    f"{FEATURE}?width=full&newlines=1",
    "/d/demo/mlp-12/3",
    "/d/demo/neurons",
    "/d/demo/neurons/0",
    "/d/demo/neurons/about",
    f"{FEATURE}/groups/top",
    f"{FEATURE}/groups/band-10",
    f"{FEATURE}/groups/band-0?width=full",
    f"{FEATURE}/groups/weakest?newlines=1",
    f"{FEATURE}/contexts/top/0?width=full",
    f"{FEATURE}/contexts/weakest/3?width=short",
)
WRONG = (
    (404, "/nothing", "There is no page /nothing."),
    (404, "/d/nobody/mlp-12", "demo"),
    (404, "/d/demo/nothing", "mlp-12"),
    (404, "/d/demo/mlp-12/12", "features 0 to 11"),
    (404, "/d/demo/mlp-12/-1", "features 0 to 11"),
    (404, "/d/demo/mlp-12/99999999999999999999999999", "features 0 to 11"),
    (404, "/d/demo/mlp-12/abc", "abc"),
    (404, f"{FEATURE}/groups/middle", "top, band-10, "),
    (404, "/d/demo/mlp-12/3/groups/top", "never fires"),
    (404, f"{FEATURE}/contexts/top/99", "numbered from 0"),
    (404, f"{FEATURE}/contexts/top/-1", "numbered from 0"),
    (404, "/d/demo/mlp-12?page=99", "the last one is 1"),
    (422, "/d/demo/mlp-12?sort=beauty", "density"),
    (422, "/d/demo/mlp-12?order=sideways", "asc"),
    (422, "/d/demo/mlp-12?page=0", "page cannot be"),
    (422, "/d/demo/mlp-12?page=many", "page cannot be"),
    (422, "/d/demo/mlp-12?alive=perhaps", "alive cannot be"),
    (422, f"/d/demo/mlp-12?q={'x' * 300}", "200"),
    (422, f"{FEATURE}?width=huge", "short"),
    (422, f"{FEATURE}?newlines=maybe", "newlines cannot be"),
    (422, "/d/demo/mlp-12/jump?index=seven", "index cannot be"),
    (422, "/d/demo/mlp-12/jump", "index"),
    (404, "/static/nothing.css", "There is no page"),
    (404, "/static/../pyproject.toml", "There is no page"),
)


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


@pytest.mark.parametrize("address", PAGES)
def test_each_page_is_a_document_and_a_fragment(site: Client, address: str) -> None:
    page, fragment = site.get(address), site.fragment(address)
    for answer in (page, fragment):
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "HX-Request" in answer.headers["vary"]
    assert page.text.startswith("<!doctype html>")
    if not address.endswith("/about"):
        assert "<html" not in fragment.text
        assert len(fragment.text) < len(page.text)


@pytest.mark.parametrize(("status", "address", "words"), WRONG)
def test_what_is_not_there_or_makes_no_sense_is_said(
    site: Client, status: int, address: str, words: str
) -> None:
    page = site.get(address)
    assert page.status_code == status
    assert words in page.text.replace("&#39;", "'")
    assert page.text.startswith("<!doctype html>")
    fragment = site.fragment(address)
    assert fragment.status_code == status
    assert 'role="alert"' in fragment.text
    assert "<html" not in fragment.text
    problem = site.get(address, accept="application/json")
    assert problem.status_code == status
    assert problem.headers["content-type"] == "application/problem+json"
    assert words in problem.json()["detail"]
    for answer in (page, fragment, problem):
        assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "address", [*PAGES, "/nothing", "/static/css/base.css", "/api/v1", "/healthz"]
)
def test_every_answer_carries_the_security_headers(site: Client, address: str) -> None:
    headers = site.get(address).headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert headers["cache-control"]


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY


def test_other_methods_are_refused(site: Client) -> None:
    answer = site.http.post("/d/demo/mlp-12")
    assert answer.status_code == 405
    assert "does not answer to POST" in answer.text


@pytest.mark.parametrize(
    ("address", "methods"),
    [
        ("/d/demo/mlp-12", "GET"),
        ("/api/v1/m/demo/presets", "GET, POST"),
        ("/api/v1/m/demo/steer", "POST"),
        ("/api/v1/m/demo/presets/mine", "DELETE"),
    ],
)
def test_a_refused_method_names_all_others(site: Client, address: str, methods: str) -> None:
    answer = site.http.request("OPTIONS", address)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)


@pytest.mark.parametrize("address", [*PAGES, "/nothing", "/static/css/base.css", "/api/v1"])
def test_head_answers_like_get_without_a_body(site: Client, address: str) -> None:
    head, got = site.http.head(address), site.get(address)
    assert head.status_code == got.status_code
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.content == b""


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", ""],
)
def test_a_foreign_host_name_is_refused(site: Client, host: str) -> None:
    answer = site.get("/", host=host)
    assert answer.status_code == 400
    assert "127.0.0.1" in answer.text
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.2:8000", "[::1]:8000", "[::1]"]
)
def test_this_machine_has_several_names(site: Client, host: str) -> None:
    assert site.get("/healthz", host=host).status_code == 200


@pytest.mark.parametrize("address", ["127.0.0.2", "::1", "localhost"])
def test_every_loopback_address_checks_host_names(
    sqlite_store: Store, tmp_path: Path, address: str
) -> None:
    with client(sqlite_store, tmp_path, host=address) as site:
        assert site.get("/", host="evil.example").status_code == 400
        own = f"[{address}]:8000" if ":" in address else f"{address}:8000"
        assert site.get("/", host=own).status_code == 200


def test_served_to_a_network_the_allowed_names_are_good(
    sqlite_store: Store, tmp_path: Path
) -> None:
    with client(
        sqlite_store,
        tmp_path,
        host="0.0.0.0",
        allow_network=True,
        allowed_hosts="lab.example, other.example",
    ) as open_site:
        assert open_site.get("/", host="lab.example").status_code == 200
        assert open_site.get("/", host="192.0.2.7:8000").status_code == 200
        assert open_site.get("/", host="evil.example").status_code == 400


def test_random_and_jump_lead_to_features(site: Client) -> None:
    seen = {site.get("/d/demo/mlp-12/random").headers["location"] for _ in range(60)}
    assert len(seen) > 3
    assert not seen & {f"/d/demo/mlp-12/{dead}" for dead in (3, 7, 11)}
    random = site.get("/d/demo/mlp-12/random")
    assert (random.status_code, random.headers["cache-control"]) == (303, "no-store")
    jump = site.get("/d/demo/mlp-12/jump?index=7")
    assert (jump.status_code, jump.headers["location"]) == (303, "/d/demo/mlp-12/7")


def test_static_files_are_kept_forever_under_their_hash(site: Client) -> None:
    page = site.get("/").text
    start = page.index("/static/")
    address = page[start : page.index('"', start)]
    answer = site.get(address)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert site.get("/static/000000000000/css/base.css").status_code == 404
    plain = site.get("/static/css/base.css")
    assert plain.headers["cache-control"] == "no-cache"
    again = site.get("/static/css/base.css", **{"if-none-match": plain.headers["etag"]})
    assert again.status_code == 304


def test_pages_are_compressed(site: Client) -> None:
    answer = site.get(FEATURE, **{"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "Accept-Encoding" in answer.headers["vary"]


def test_a_store_that_fails_is_a_sentence(tmp_path: Path) -> None:
    broken = Broken(lambda: StoreError("The disk is full. Make room, then reload."))
    with client(broken, tmp_path) as site:
        for address in ("/", "/d/demo/mlp-12", FEATURE, "/api/v1"):
            answer = site.get(address)
            assert answer.status_code == 503
            assert "The disk is full." in answer.text


def test_a_defect_is_a_page_without_a_traceback(tmp_path: Path) -> None:
    with client(Broken(lambda: ZeroDivisionError("secret inside")), tmp_path) as site:
        page, problem = site.get("/"), site.get("/api/v1")
    for answer in (page, problem):
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert "Traceback" not in answer.text
    assert page.text.startswith("<!doctype html>")
    assert problem.json()["status"] == 500
