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
from app.worker.protocol.chats import ChatRequest
from tests.app.pages.steer.chatting import chatting
from tests.app.pretend.chats import PretendChats
from tests.app.pretend.monitors import record as monitor_record
from tests.app.pretend.served import Served
from tests.app.web.test_stream import wait
from tests.published import FILE, published

CHAT = "/m/demo/chat?f=mlp-12:2:add:1"


@pytest.fixture(scope="session")
def talking() -> PretendChats:
    return PretendChats()


@pytest.fixture
def slow(talking: PretendChats) -> Iterator[PretendChats]:
    """The worker takes its time for each event."""
    talking.step_seconds = 0.4
    yield talking
    talking.reset()


@pytest.fixture(scope="session")
def base_url(tmp_path_factory: pytest.TempPathFactory, talking: PretendChats) -> Iterator[str]:
    """The application over a store of its own, with a list."""
    home: Path = tmp_path_factory.mktemp("chat")
    (home / FILE).write_bytes(published())
    with open_store(Settings(home=home)) as store:
        view = store.dictionary("demo", "mlp-12")
        store.lists.create("<i>kind", dictionary=view, features=[0, 2])
        store.audit.monitors.save(monitor_record("watch <b>"))
        with chatting(), Served(store, home, talking) as url:
            yield url


def say(page: Page, text: str) -> None:
    page.locator("#said").fill(text)
    page.locator("#said").press("Control+Enter")
    expect(page.locator("#status")).to_contain_text("a second together")


def test_monitors_watch_the_conversation(page: Page) -> None:
    page.goto(CHAT)
    expect(page.locator("#alarms")).to_be_hidden()
    page.get_by_label("watch <b>").check()
    say(page, " self")
    told = page.locator("#alarms li")
    expect(told).to_have_count(2)
    expect(told.nth(0)).to_contain_text("on turn 1 at “ self”")
    expect(told.nth(1)).to_contain_text("on the steered answer at “ word30”")
    # The address takes monitor and gate along.
    page.get_by_label("an alarm").select_option("refuse")
    expect(told.nth(1)).to_contain_text("it was stopped")
    page.wait_for_url("**gate=refuse*")
    page.reload()
    expect(page.get_by_label("watch <b>")).to_be_checked()
    expect(page.get_by_label("an alarm")).to_have_value("refuse")
    expect(page.locator("#alarms li")).to_have_count(2)
    assert Axe().run(page).violations_count == 0
    page.get_by_label("watch <b>").uncheck()
    expect(page.locator("#alarms")).to_be_hidden()
    page.goto(f"{CHAT}&monitor=gone")
    expect(page.locator(".notice", has_text="There is no monitor gone")).to_be_visible()


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


def test_an_answer_is_stopped_where_it_is_and_gone_on_from(page: Page, slow: PretendChats) -> None:
    page.goto(CHAT)
    stop = page.locator("#stop")
    expect(stop).to_be_hidden()
    page.locator("#said").fill(" self")
    page.locator("#said").press("Control+Enter")
    expect(page.locator("#unsteered .written")).to_contain_text("word20")
    expect(page.locator("#status")).to_have_text("3 tokens of conversation")
    stop.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("Stopped after ")
    expect(page.locator("#unsteered .about")).to_have_text("stopped")
    expect(stop).to_be_hidden()
    expect(page.locator("#said")).to_be_focused()
    said = page.locator("#unsteered .written").inner_text()
    wait(lambda: slow.closed > 0)  # the worker, too, has nothing more to do
    assert "word22" not in said
    page.locator("#kept").select_option("unsteered")
    # What is sent while an answer is being written ends that answer, as far as it is.
    for number in (1, 2):
        page.locator("#said").fill(" word40")
        page.locator("#said").press("Control+Enter")
        expect(page.locator("#turns textarea")).to_have_count(2 * number + 1)
        kept = page.locator("#turns textarea").nth(2 * number - 1).input_value()
        assert kept.startswith("word20")
        expect(page.locator("#unsteered .written")).to_contain_text("word20")
        expect(page.locator("#steered")).to_have_attribute("aria-busy", "true")
        page.wait_for_timeout(500)


def test_a_slider_asks_for_the_steered_answer_alone(page: Page, talking: PretendChats) -> None:
    page.goto(CHAT)
    say(page, " self")
    assert not last(talking).alone
    unsteered = page.locator("#unsteered .written").inner_text()
    status = page.locator("#status")
    number = page.locator("#sliders input[type=number]").first
    number.fill("2")
    expect(status).to_contain_text("the unsteered answer is the one from before")
    assert (last(talking).alone, [e.strength for e in last(talking).edits]) == (True, [2.0])
    assert page.locator("#unsteered .written").inner_text() == unsteered
    expect(page.locator("#steered .written")).to_contain_text("word30 word31")
    # What the unsteered answer depends on, and an answer without any edit: both anew.
    page.locator("#seed").fill("7")
    expect(status).to_contain_text("a second together")
    assert not last(talking).alone
    page.locator("#sliders input[type=checkbox]").first.uncheck()
    wait(lambda: not last(talking).edits)
    assert not last(talking).alone
    expect(status).to_contain_text("a second together")


def last(talking: PretendChats) -> ChatRequest:
    return [request for request in talking.asked if isinstance(request, ChatRequest)][-1]


def test_a_turn_whose_role_is_being_edited_survives_a_reload(page: Page) -> None:
    page.goto(CHAT)
    say(page, " self")
    role = page.locator("#turns [name=role]").first
    role.fill("")
    page.reload()
    expect(page.locator("#problem-turns")).to_contain_text("role cannot be ''")
    assert page.locator("#turns textarea").first.input_value() == " self"
    role.fill("user")
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator("#status")).to_contain_text("a second together")
    expect(page.locator("#problem-turns")).to_be_hidden()


def test_the_best_rewordings_tell_what_the_answer_becomes(page: Page) -> None:
    page.goto(CHAT)
    say(page, " word20 word30")
    page.locator("#cue-feature option").nth(1).wait_for(state="attached")
    page.locator("#cue button").click()
    rows = page.locator("#cue-answer > div tbody tr")
    expect(rows.first).to_contain_text("as it is")
    # The feature's own activations on the answer's two tokens: 1 and 1.25.
    for at in range(rows.count()):
        cells = rows.nth(at).locator("td")
        expect(cells.nth(1)).to_have_text("1.25")
        expect(cells.nth(2)).to_have_text("1.13")
        expect(cells.nth(3)).to_have_text("word30 word31")
    assert 2 <= rows.count() <= 4
    assert Axe().run(page).violations_count == 0


@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_and_everyone_can_use_it(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(CHAT)
    say(page, " self")
    page.locator("#shown summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert Axe().run(page).violations_count == 0
