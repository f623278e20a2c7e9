"""Requests of other sites' pages, and bodies that are too long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from app.web.headers import SECURITY_HEADERS
from app.web.routes import LONGEST_BODY
from tests.app.pretend.clients import Client, filled
from tests.app.pretend.prompts import PretendPrompts

ELSEWHERE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
PROMPT = "/m/demo/prompt?text=def"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Client]:
    with filled(tmp_path, PretendPrompts()) as made:
        yield made


def test_pages_elsewhere_start_no_work(site: Client) -> None:
    refused = site.http.get(PROMPT, headers=ELSEWHERE)
    assert refused.status_code == 403
    assert "A page of another site" in refused.text
    link = {
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
        "Sec-Fetch-Dest": "document",
    }
    for headers in (link, {}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}):
        assert site.http.get(PROMPT, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [ELSEWHERE, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://elsewhere.test"}],
)
def test_pages_elsewhere_change_no_presets(site: Client, headers: dict[str, str]) -> None:
    preset = {"name": "mine", "settings": {"prompt": "def"}}
    where = "/api/v1/m/demo/presets"
    assert site.http.post(where, json=preset).status_code == 200
    assert site.http.post(where, json=preset, headers=headers).status_code == 403
    assert site.http.delete(f"{where}/mine", headers=headers).status_code == 403
    own = {"Origin": "http://127.0.0.1:8000"}
    assert site.http.delete(f"{where}/mine", headers=own).status_code == 204


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("path", ["/api/v1/m/demo/activations", "/m/demo/prompt"])
def test_a_body_that_is_too_long_is_refused_in_a_sentence(
    site: Client, path: str, declared: bool
) -> None:
    body = b"x" * (LONGEST_BODY + 1)
    parts = body if declared else iter([body])
    answer = site.http.post(path, content=parts, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert "4 MiB" in answer.text
    assert "shorter text" in answer.text


def test_a_preset_whose_name_has_a_line_break_can_be_deleted(site: Client) -> None:
    where = "/api/v1/m/demo/presets"
    name = "two\nlines/and more"
    assert site.http.post(where, json={"name": name, "settings": {"prompt": "def"}}).is_success
    assert site.http.delete(f"{where}/{quote(name, safe='')}").status_code == 204
    assert site.http.get(where).json()["presets"] == []


def test_a_defect_has_the_security_headers(site: Client) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    site.http.app.add_api_route("/defect", fail)  # type: ignore[attr-defined]
    answer = site.http.get("/defect")
    assert answer.status_code == 500
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value


def test_the_document_declares_errors_as_they_are_sent(site: Client) -> None:
    document = site.http.get("/api/v1/openapi.json").json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status in ("400", "403", "404", "413", "422", "503"):
                contents = operation["responses"][status]["content"]
                assert list(contents) == ["application/problem+json"], path
                assert contents["application/problem+json"]["schema"]["$ref"].endswith("/Problem")


def test_a_body_that_is_no_utf8_is_a_problem(site: Client) -> None:
    answer = site.http.post(
        "/api/v1/m/demo/activations",
        content=b'{"prompt": "\xff"}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("value", [{"feature": True}, {"position": False}])
def test_truth_is_no_number(site: Client, value: dict[str, bool]) -> None:
    question = {"prompt": "def", "dictionary": "mlp-12", "feature": 1} | value
    answer = site.http.post("/api/v1/m/demo/occlusion", json=question)
    assert answer.status_code == 422
    assert "not true or false" in answer.json()["detail"]
