"""The prompt page in front of a worker that pretends."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page

from app.worker.protocol.requests import DictionaryRef
from tests.app.pretend.prompts import PretendPrompts

PROMPT = " self. word20\n word21 word22 self"
PAGE = "/m/demo/prompt"
MLP = DictionaryRef(path="mlp", hook_point="blocks.0.mlp.hook_post", checksum="c")


@pytest.fixture
def page(browser: Browser, prompt_site: str) -> Iterator[Page]:
    """Addresses are those of the site whose worker pretends."""
    context = browser.new_context(base_url=prompt_site)
    yield context.new_page()
    context.close()


@pytest.fixture(autouse=True)
def quiet(live: PretendPrompts) -> PretendPrompts:
    """Each test begins with a worker at its best."""
    return live


def address(text: str = PROMPT, **query: object) -> str:
    return f"{PAGE}?{urlencode({'text': text} | query, doseq=True)}"


def asked(page: Page) -> dict[str, list[str]]:
    """What the address bar asks."""
    return parse_qs(urlsplit(page.url).query, keep_blank_values=True)


def token(page: Page, place: int) -> Locator:
    return page.locator(".stage .strip bdi").nth(place)
