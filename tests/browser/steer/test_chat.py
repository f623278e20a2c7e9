"""The page of conversations in front of a worker that pretends to answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from app.settings import Settings
from app.store.store import open_store
from tests.app.pages.steer.chatting import chatting
from tests.app.pretend.chats import PretendChats
from tests.app.pretend.served import Served
from tests.published import FILE, published

CHAT = "/m/demo/chat?f=mlp-12:2:add:1"


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application over a store of its own, with a list."""
    home: Path = tmp_path_factory.mktemp("chat")
    (home / FILE).write_bytes(published())
    with open_store(Settings(home=home)) as store:
        view = store.dictionary("demo", "mlp-12")
        store.lists.create("<i>kind", dictionary=view, features=[0, 2])
        with chatting(), Served(store, home, PretendChats()) as url:
            yield url


def say(page: Page, text: str) -> None:
    page.locator("#said").fill(text)
    page.locator("#said").press("Control+Enter")
    expect(page.locator("#status")).to_contain_text("a second together")


def test_a_conversation_is_answered_followed_and_taken_along(page: Page, tmp_path: Path) -> None:
    page.goto(CHAT)
    page.get_by_label("<i>kind").check()
    say(page, " self <b>")
    expect(page.locator("#steered .written")).to_contain_text("word30 word31")
    expect(page.locator("#unsteered .written")).to_contain_text("word20 word21 word22")
    expect(page.locator("#steered")).to_have_attribute("aria-busy", "false")
    # The trait: in each turn, and in both answers as the models had it.
    row = page.locator("#levels tbody tr")
    expect(row.locator("th")).to_contain_text("<i>kind")
    expect(row.locator("td").nth(2)).to_have_text("1.13")
    # The next turn goes on from the steered answer.
    say(page, " word40")
    roles = page.locator("#turns [name=role]")
    assert [roles.nth(at).input_value() for at in range(3)] == ["user", "assistant", "user"]
    assert page.locator("#turns textarea").nth(1).input_value() == "word30 word31"
    # Token by token, with what the template puts there.
    page.locator("#shown summary").click()
    expect(page.locator("#conversation .part-special").first).to_have_text("<|endoftext|>")
    expect(page.locator("#conversation .part-template").first).to_be_visible()
    # Out, begin anew, and in again; what is no conversation is refused in a sentence.
    with page.expect_download() as download:
        page.locator("#export").click()
    kept = tmp_path / "kept.jsonl"
    download.value.save_as(kept)
    assert [json.loads(line)["role"] for line in kept.read_text().splitlines()] == [
        *("user", "assistant") * 2
    ]
    page.locator("#clear").click()
    expect(page.locator("#turns li")).to_have_count(0)
    page.locator("#import").set_input_files(kept)
    expect(page.locator("#turns li")).to_have_count(4)
    assert page.locator("#turns textarea").first.input_value() == " self <b>"
    kept.write_text("{")
    page.locator("#import").set_input_files(kept)
    expect(page.locator("#problem-lines")).to_contain_text("Line 1 is not JSON")
    assert "trait=" in page.url


def test_a_cue_is_reworded_with_one_click_and_a_turn_answered_anew(page: Page) -> None:
    page.goto(CHAT)
    say(page, " word20 word30")
    page.locator("#cue-feature option").nth(1).wait_for(state="attached")
    page.locator("#cue-turn").select_option("0")
    page.locator("#cue button").click()
    use = page.locator("#cue-answer button").first
    expect(use).to_be_visible()
    content = use.get_attribute("title")
    use.click()
    expect(page.locator("#turns textarea").first).to_have_value(content or "")
    expect(page.locator("#status")).to_contain_text("a second together")
    page.reload()  # the conversation is still there
    expect(page.locator("#turns textarea").first).to_have_value(content or "")
    page.locator("[data-do=remove]").first.click()
    expect(page.locator("#empty")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_and_everyone_can_use_it(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(CHAT)
    say(page, " self")
    page.locator("#shown summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert Axe().run(page).violations_count == 0
