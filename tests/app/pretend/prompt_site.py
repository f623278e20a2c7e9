"""The prompt page over a worker that pretends, asked by name and value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx

from tests.app.pages.home.test_pages import text as words
from tests.app.pretend.clients import Client
from tests.app.pretend.prompts import PretendPrompts

PAGE = "/m/demo/prompt"
PROMPT = " self. word20\n word21 word22 self"
BOTH = ["mlp-12", "neurons"]
ROW = re.compile(r'<tr id="f-(\d+)-(\d+)"(?: class="chosen")?>(.*?)</tr>', re.S)


@dataclass
class Prompts:
    """A site and the worker behind it."""

    site: Client
    live: PretendPrompts

    def get(self, text: str | None = PROMPT, **query: object) -> httpx.Response:
        return self.site.get(address(text, **query))

    def page(self, text: str | None = PROMPT, **query: object) -> str:
        answer = self.get(text, **query)
        assert answer.status_code == 200, words(answer.text)
        return answer.text

    def post(self, headers: dict[str, str] | None = None, **form: object) -> httpx.Response:
        return self.site.http.post(
            PAGE,
            content=urlencode(pairs(**form)),
            headers={"Content-Type": "application/x-www-form-urlencoded"} | (headers or {}),
            follow_redirects=False,
        )


def pairs(**query: object) -> list[tuple[str, object]]:
    given = [("with" if name == "neutral" else name, value) for name, value in query.items()]
    return [
        (name, one)
        for name, value in given
        for one in (value if isinstance(value, list) else [value])
    ]


def address(text: str | None = PROMPT, **query: object) -> str:
    first = [] if text is None else [("text", text)]
    return f"{PAGE}?{urlencode([*first, *pairs(**query)])}"


def rows(page: str) -> list[tuple[int, int]]:
    """Dictionary and index of each row of the table of active features."""
    return [(int(place), int(index)) for place, index, _ in ROW.findall(page)]
