"""Sliders and the texts that follow them: one stream, the last position, what goes wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from app.settings import Settings
from app.store.store import Store
from app.worker.client.streaming import AsyncWorkerClient
from app.worker.protocol.events import Pane
from tests.app.pretend.served import Served
from tests.app.pretend.steering import PretendSteering, steering_child
from tests.app.web.test_stream import wait
from tests.browser.steer.conftest import ONE, STEER, alone, complete, drag, slider, written

# Counts the streams of texts that are open at once: neither finished nor given up.
COUNT_STREAMS = """
  window.streams = { open: new Set(), most: 0, all: 0 };
  const ask = window.fetch;
  window.fetch = async (address, options) => {
    if (!String(address).endsWith("/steer")) return ask(address, options);
    const one = options.signal;
    streams.open.add(one);
    streams.all += 1;
    one.addEventListener("abort", () => streams.open.delete(one));
    streams.most = Math.max(streams.most, streams.open.size);
    return ask(address, options);
  };
"""


@pytest.mark.usefixtures("complaints")
def test_forty_positions_leave_one_stream_and_the_last_text(
    page: Page, bench: PretendSteering
) -> None:
    page.add_init_script(COUNT_STREAMS)
    bench.step_ms = 12
    page.goto(ONE)
    expect(page.locator("#steered bdi").first).to_be_visible()
    closed, asked = bench.closed, len(bench.asked)
    drag(page, steps=40, by=1.5)
    # The pointer rests, the button is still pressed: the text of this position is written.
    wait(lambda: bench.running == 1)
    shown = page.locator("#sliders input[name=s]").input_value()
    assert float(shown) > 1.5
    wait(lambda: f"{float(bench.asked[-1].edits[0].strength):g}" == f"{float(shown):g}")  # type: ignore[attr-defined]
    page.mouse.up()
    complete(page)
    assert page.url.endswith(f"f=mlp-12:2:add:{shown}&n=12")
    assert written(page, Pane.STEERED) == alone(bench, Pane.STEERED)
    assert written(page, Pane.UNSTEERED) == alone(bench, Pane.UNSTEERED)
    assert page.evaluate("streams.most") == 1
    assert len(bench.asked) - asked > 3  # the text followed while the slider moved
    wait(lambda: bench.running == 0)
    # All but the last were ended from here, unless they were complete before.
    assert bench.closed > closed


@pytest.mark.usefixtures("complaints")
def test_nothing_flickers_and_no_pane_shrinks(page: Page, bench: PretendSteering) -> None:
    page.goto(ONE)
    complete(page)
    unsteered = written(page, Pane.UNSTEERED)
    bench.step_ms = 8
    heights = [0.0]
    drag(page, steps=1, by=10)
    for place in range(12):
        page.mouse.move(600 + 4 * place, 300)
        box = page.locator("#steered .written").bounding_box()
        assert box is not None
        heights.append(box["height"])
        # The unsteered text does not change: not a token of it ever goes.
        assert written(page, Pane.UNSTEERED) == unsteered
        assert page.locator("#steered bdi").count() == 12
    page.mouse.up()
    assert heights == sorted(heights)
    complete(page)


@pytest.mark.usefixtures("complaints")
def test_the_address_follows_and_back_restores(page: Page, bench: PretendSteering) -> None:
    page.goto(ONE)
    complete(page)
    before = written(page, Pane.STEERED)
    drag(page, steps=10, by=3)
    page.mouse.up()
    complete(page)
    moved = page.url
    assert moved != ONE
    assert written(page, Pane.STEERED) != before
    page.get_by_label("tokens", exact=True).fill("7")
    page.get_by_label("tokens", exact=True).press("Tab")
    complete(page)
    assert page.url.endswith("n=7")
    page.go_back()
    expect(page).to_have_url(moved)
    expect(page.locator("#n")).to_have_value("12")
    complete(page)
    page.go_back()
    expect(page).to_have_url(re.compile(re.escape(ONE) + "$"))
    expect(slider(page)).to_have_value("40")
    complete(page)
    assert written(page, Pane.STEERED) == before
    # The page loads itself anew after a step to another address: its own mark is gone then.
    page.evaluate("window.before = true")
    page.go_forward()
    page.wait_for_function("!window.before && document.readyState === 'complete'")
    expect(page).to_have_url(moved)
    complete(page)
    page.reload()
    complete(page)
    assert page.url == moved


@pytest.mark.usefixtures("complaints")
def test_features_are_found_added_changed_and_removed(page: Page, bench: PretendSteering) -> None:
    page.goto(f"{STEER}?text=def&n=5")
    complete(page)
    finder = page.locator("#q")
    finder.fill("4")
    expect(page.locator("#found [data-add]").first).to_have_text("4")
    finder.press("Enter")
    expect(page.locator("#sliders li")).to_have_count(1)
    expect(slider(page)).to_be_focused()
    complete(page)
    # A new slider stands at a quarter of the maximum.
    assert page.url.endswith("f=mlp-12:4:add:0.25&n=5")
    # By keyboard alone: fine steps below the maximum, coarse ones beyond.
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    complete(page)
    assert page.url.endswith("f=mlp-12:4:add:0.3&n=5")
    expect(slider(page)).to_have_attribute("aria-valuetext", re.compile(r"^0\.3 times its maximum"))
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    complete(page)
    assert page.url.endswith("f=mlp-12:4:add:9.75&n=5")
    assert written(page, Pane.STEERED) == alone(bench, Pane.STEERED)
    page.get_by_label("4: strength, in multiples of its maximum").nth(1).fill("-30.25")
    complete(page)
    assert page.url.endswith("f=mlp-12:4:add:-30.25&n=5")
    expect(slider(page)).to_have_value("-76")
    page.get_by_label("4: apply").uncheck()
    complete(page)
    assert page.url.endswith("add:-30.25:off&n=5")
    assert bench.asked[-1].edits == ()  # type: ignore[attr-defined]
    page.get_by_label("4: reset").click()
    complete(page)
    assert page.url.endswith("add:0:off&n=5")
    page.get_by_label("4: mode").select_option("scale")
    complete(page)
    assert page.url.endswith("scale:1:off&n=5")
    page.locator("#effects").get_by_label("steer feature 1").click()
    expect(page.locator("#sliders li")).to_have_count(2)
    expect(page.locator("#count")).to_have_text("2 of 16")
    page.get_by_label("4: remove").click()
    complete(page)
    assert page.url.endswith("?text=def&f=mlp-12:1:add:0.25&n=5")
    page.get_by_label("dictionary").select_option("neurons")
    finder.fill("3")
    page.locator("#found [data-add]").first.click()
    expect(page.locator("#sliders li")).to_have_count(2)
    complete(page)
    assert page.url.endswith("f=neurons:3:add:0.25&n=5")


SCALE = """
async () => {
  const page = document.querySelector('script[src*="steer/page"]').src;
  const { STEPS, shareOf, stepOf, strengthAt } = await import(new URL("scale.js", page));
  const steps = Array.from({ length: 2 * STEPS + 1 }, (_, n) => n - STEPS);
  return {
    steps: STEPS,
    strengths: steps.map(strengthAt),
    again: steps.map((n) => stepOf(strengthAt(n)) - n),
    ends: [-1000, -10, 0, 10, 1000].map(shareOf),
  };
}
"""


@pytest.mark.usefixtures("complaints")
def test_a_slider_is_fine_around_nothing_and_coarse_outside(page: Page) -> None:
    page.goto(ONE)
    scale = page.evaluate(SCALE)
    expect(slider(page)).to_have_attribute("max", str(scale["steps"]))
    strengths = scale["strengths"]
    assert strengths == sorted(set(strengths))
    assert strengths == [-strength for strength in reversed(strengths)]
    assert (strengths[0], strengths[-1]) == (-10, 10)
    assert {0, 0.025, 0.25, 1, 1.25, 5.5, 10} < set(strengths)
    assert sum(abs(strength) <= 1 for strength in strengths) > len(strengths) / 2
    assert max(map(abs, scale["again"])) < 1e-6
    assert scale["ends"] == [0, 0, 0.5, 1, 1]


@pytest.mark.usefixtures("complaints")
def test_a_dead_feature_says_what_each_mode_does(page: Page) -> None:
    page.goto(f"{STEER}?text=def&f=mlp-12:3:add:2&n=5")
    does = page.locator("#sliders .does")
    expect(does).to_have_text("changes nothing ·")
    page.locator("#sliders select").select_option("clamp")
    expect(does).to_have_text("taken away ·")
    page.locator("#sliders select").select_option("scale")
    expect(does).to_have_text("× 2.00 where it fires ·")
    complete(page)


def test_what_cannot_be_used_is_said_beside_its_field(page: Page, complaints: list[str]) -> None:
    page.goto(ONE)
    complete(page)
    before = written(page, Pane.STEERED)
    page.get_by_label("temperature").fill("-1")
    place = page.locator("#problem-temperature")
    expect(place).to_contain_text("temperature cannot be '-1'")
    for pane in ("unsteered", "steered"):
        expect(page.locator(f"#{pane}")).to_have_attribute("aria-busy", "false")
    assert written(page, Pane.STEERED) == before
    page.get_by_label("temperature").fill("0.5")
    expect(place).to_be_hidden()
    page.get_by_label("2: strength, in multiples of its maximum").nth(1).fill("2000")
    expect(page.locator("#sliders .problem")).to_contain_text("at most 1000")
    page.get_by_label("2: strength, in multiples of its maximum").nth(1).fill("2")
    expect(page.locator("#sliders .problem")).to_be_hidden()
    page.get_by_label("Prompt", exact=True).fill("refuse")
    place = page.locator("#problem-text")
    expect(place).to_contain_text("the model takes 128 at most")
    expect(page.locator("#steered .broken")).to_be_hidden()
    page.get_by_label("Prompt", exact=True).fill("def")
    expect(place).to_be_hidden()
    page.locator("#n").fill("128")
    expect(page.locator("#problem-n")).to_contain_text("128 tokens do not fit")
    page.locator("#n").fill("5")
    expect(page.locator("#problem-n")).to_be_hidden()
    complete(page)
    assert complaints
    assert all("422" in complaint for complaint in complaints)
    complaints.clear()


def test_an_overloaded_worker_is_said_and_asked_again(page: Page, complaints: list[str]) -> None:
    refusals = iter([True])

    def refuse_once(route: Route) -> None:
        if next(refusals, False):
            route.fulfill(
                status=503,
                headers={"Retry-After": "1", "Content-Type": "application/problem+json"},
                body='{"status": 503, "detail": "The worker already holds 64 requests."}',
            )
        else:
            route.continue_()

    page.route("**/api/v1/m/demo/steer", refuse_once)
    page.goto(ONE)
    for pane in ("unsteered", "steered"):
        expect(page.locator(f"#{pane} .broken")).to_contain_text("already holds 64 requests")
        expect(page.locator(f"#{pane} .broken")).to_contain_text("Trying again in 1 s.")
    expect(page.locator("#steered bdi").first).to_be_visible()
    expect(page.locator("#steered .broken")).to_be_hidden()
    assert all("503" in complaint for complaint in complaints)
    complaints.clear()


def test_a_worker_that_dies_is_said_and_the_next_drag_works(
    browser: Browser, shared_store: Store, tmp_path: Path
) -> None:
    with (
        steering_child(Settings(home=tmp_path)) as process,
        Served(
            shared_store, tmp_path, AsyncWorkerClient(process.url, secret=process.secret)
        ) as url,
    ):
        page = browser.new_page(base_url=url)
        page.goto(f"{STEER}?text=die&f=mlp-12:2:add:1&n=40")
        for pane in ("unsteered", "steered"):
            expect(page.locator(f"#{pane} .broken")).to_contain_text("restarting")
        assert process.state.restarts >= 0
        page.get_by_label("Prompt", exact=True).fill("def")
        drag(page, steps=5, by=4)
        page.mouse.up()
        expect(page.locator("#steered .broken")).to_be_hidden()
        complete(page)
        expect(page.locator("#steered bdi")).to_have_count(40)
        page.close()


def test_without_scripts_the_form_gives_both_texts(browser: Browser, base_url: str) -> None:
    context = browser.new_context(base_url=base_url, java_script_enabled=False)
    page = context.new_page()
    page.goto(STEER)
    page.get_by_label("add a feature").fill("4")
    page.get_by_role("button", name="Find").click()
    page.locator("#found a").first.click()
    expect(page.locator("#sliders li")).to_have_count(1)
    page.get_by_label("Prompt", exact=True).fill("def\nx")
    page.locator("input[name=s]").fill("2.5")
    page.get_by_label("tokens", exact=True).fill("6")
    page.get_by_label("tokens", exact=True).press("Enter")
    assert page.url.endswith("?text=def%0Ax&f=mlp-12:4:add:2.5&n=6&run=1")
    expect(page.locator("#steered bdi")).to_have_count(6)
    expect(page.locator("#unsteered bdi")).to_have_count(6)
    expect(page.locator("#effects tbody tr")).to_have_count(2)
    page.get_by_role("button", name="remove").click()
    expect(page.locator("#sliders li")).to_have_count(0)
    page.get_by_label("temperature").fill("-1")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#problem-temperature")).to_be_visible()
    context.close()
