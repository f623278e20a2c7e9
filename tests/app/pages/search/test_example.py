"""The search by example, on its page and as JSON, with a worker that pretends."""

from __future__ import annotations

import math
from urllib.parse import urlencode

import pytest

from tests.app.pretend.clients import Client
from tests.app.pretend.prompt_site import Prompts

FIRE = "\n".join(f"a fox and {n} dogs" for n in range(12))
QUIET = "\n".join(f"no such animal, {n} dogs" for n in range(12))


def asked(fire: str, quiet: str, d: str = "demo/mlp-12") -> str:
    return "/search/example?" + urlencode({"d": d, "fire": fire, "not": quiet})


@pytest.fixture
def site(on: Prompts) -> Client:
    return on.site


def test_a_planted_concept_is_found_with_its_p_value(site: Client) -> None:
    answer = site.get(f"/api/v1{asked(FIRE, QUIET)}").json()
    best = answer["features"][0]
    assert (best["index"], best["chosen"], best["held_out"]) == (5, 1.0, 1.0)
    assert best["p_value"] == pytest.approx(1 / math.comb(12, 6))
    assert best["corrected"] == pytest.approx(3 / math.comb(12, 6))
    assert [line["index"] for line in answer["features"]] == [5, 2, 7]
    assert all(line["corrected"] > 0.05 for line in answer["features"][1:])
    page = site.get(asked(FIRE, QUIET)).text
    assert 'href="/d/demo/mlp-12/5"' in page
    assert page.count("chance") == 2
    assert "a fox and 11 dogs\n" in page or "a fox and 11 dogs</textarea>" in page


@pytest.mark.parametrize(
    ("fire", "quiet", "sentence"),
    [
        ("a", QUIET, "Give at least 4 texts on which it must fire, one a line"),
        (FIRE, "", "Give at least 4 texts on which it must not, one a line"),
        ("a\n" * 101, QUIET, "Give at most 100 texts on which it must fire; there are 101."),
        (f"{'x' * 1001}\n{FIRE}", QUIET, "A text has at most 1,000 characters here; one has 1,001"),
        (f"{'x' * 900}\n" * 9, QUIET, "All texts together have at most 8,000 characters"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(
    site: Client, fire: str, quiet: str, sentence: str
) -> None:
    page = site.get(asked(fire, quiet))
    assert (page.status_code, sentence in page.text) == (422, True), page.text
    answer = site.get(f"/api/v1{asked(fire, quiet)}")
    assert (answer.status_code, sentence in answer.json()["detail"]) == (422, True)


def test_the_page_asks_and_names_what_can_be_asked(site: Client) -> None:
    page = site.get("/search/example")
    assert page.status_code == 200
    assert '<option selected value="demo/mlp-12">' in page.text
    wrong = site.get(asked(FIRE, QUIET, "demo/nosuch"))
    assert "There is no harvested dictionary" in wrong.text
    assert 'href="/search/example"' in site.get("/search").text


def test_texts_are_shown_as_text(site: Client) -> None:
    hostile = "\n".join(["</textarea><script>alert(1)</script>", *FIRE.split("\n")])
    page = site.get(asked(hostile, QUIET)).text
    assert "<script>alert" not in page
    assert "&lt;/textarea&gt;" in page
