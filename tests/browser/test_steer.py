"""Steering in a real browser: sliders, streams, tokens, curves, presets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, Route, expect

from app.settings import Settings
from app.store import Store
from app.worker.async_client import AsyncWorkerClient
from app.worker.events import Pane
from app.worker.protocol import SteerRequest
from tests.app.pretend_steering import PretendSteering, steering_child, steering_worker, text_of
from tests.app.served import Served
from tests.app.test_live_stream import wait

STEER = "/m/demo/steer"
ONE = f"{STEER}?text=def&f=mlp-12:2:add:1&n=12"

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


@pytest.fixture(scope="session")
def bench() -> PretendSteering:
    return PretendSteering(step_ms=0)


@pytest.fixture(scope="session")
def base_url(
    bench: PretendSteering, shared_store: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The application in front of a worker that pretends to steer."""
    home: Path = tmp_path_factory.mktemp("steer")
    with (
        steering_worker(bench, Settings(home=home)) as worker,
        Served(shared_store, home, AsyncWorkerClient(lambda: worker)) as url,
    ):
        yield url


@pytest.fixture(autouse=True)
def quiet(bench: PretendSteering) -> Iterator[None]:
    """Each test begins with a worker that is fast and has nothing to do."""
    bench.step_ms = 0
    yield
    bench.step_ms = 0
    wait(lambda: bench.running == 0)


def complete(page: Page) -> None:
    """Wait until the texts are those of the page, and its address says so."""
    steer = page.locator("#steer")
    here = ""

    def settled() -> bool:
        nonlocal here
        before, here = here, page.evaluate("location.pathname + location.search")
        busy = page.locator("#steered").get_attribute("aria-busy") == "true"
        if here == before == steer.get_attribute("data-complete") and not busy:
            return True
        page.wait_for_timeout(300)  # longer than the address lags behind
        return False

    wait(settled)


def written(page: Page, pane: Pane) -> str:
    """What a pane says after the prompt, white space left out."""
    said = page.locator(f"#{pane} .written bdi").all_inner_texts()
    return re.sub(r"[\s⏎⇥␍]", "", "".join(said))


def alone(bench: PretendSteering, pane: Pane) -> str:
    """What a lone run of the last request says, as pages show it."""
    request = bench.asked[-1]
    assert isinstance(request, SteerRequest)
    text = re.sub(r"\s", "", text_of(request, pane))
    return text.replace("\u202e", "U+202E").replace("\x00", "␀")


def slider(page: Page, place: int = 0) -> Locator:
    return page.locator("#sliders input[type=range]").nth(place)


def drag(page: Page, steps: int, by: float) -> None:
    """Press on the slider's thumb and move it, step by step; it stays pressed."""
    box = slider(page).bounding_box()
    assert box is not None
    value = float(slider(page).input_value())
    x = box["x"] + 9 + (box["width"] - 18) * (value + 10) / 20
    y = box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, steps + 1):
        page.mouse.move(x + by * step, y)


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
    assert float(shown) > 3
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
    expect(slider(page)).to_have_value("1")
    complete(page)
    assert written(page, Pane.STEERED) == before
    page.go_forward()
    expect(page).to_have_url(moved)
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
    assert page.url.endswith("f=mlp-12:4:add:1&n=5")
    # By keyboard alone: five tenths up, one page down.
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    complete(page)
    assert page.url.endswith("f=mlp-12:4:add:1.5&n=5")
    expect(slider(page)).to_have_attribute("aria-valuetext", re.compile(r"^1\.5 times its maximum"))
    assert written(page, Pane.STEERED) == alone(bench, Pane.STEERED)
    page.get_by_label("4: strength, in multiples of its maximum").nth(1).fill("-30.25")
    complete(page)
    assert page.url.endswith("f=mlp-12:4:add:-30.25&n=5")
    expect(slider(page)).to_have_value("-10")
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
    assert page.url.endswith("?text=def&f=mlp-12:1:add:1&n=5")
    page.get_by_label("dictionary").select_option("neurons")
    finder.fill("3")
    page.locator("#found [data-add]").first.click()
    expect(page.locator("#sliders li")).to_have_count(2)
    complete(page)
    assert page.url.endswith("f=neurons:3:add:1&n=5")


@pytest.mark.usefixtures("complaints")
def test_a_token_says_what_is_known_of_it(page: Page) -> None:
    page.goto(ONE)
    complete(page)
    box = page.locator("#token-box")
    page.locator("#steered bdi").nth(3).hover()
    expect(box).to_contain_text("probability, unsteered")
    expect(box).to_contain_text("25.0 %")
    expect(box).to_contain_text("50.0 %")
    expect(box.locator("tr")).to_have_count(2)
    link = box.locator("a").first
    expect(link).to_have_attribute("href", "/d/demo/mlp-12/2")
    link.hover()  # the box can be entered
    expect(box).to_be_visible()
    page.mouse.move(5, 5)
    expect(box).to_be_hidden()
    page.locator("#steered bdi").first.focus()
    expect(box).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#steered bdi").nth(2)).to_be_focused()
    expect(page.locator("#steered bdi[tabindex='0']")).to_have_count(1)
    expect(box).to_contain_text("number 3 of the text")
    page.keyboard.press("Enter")
    expect(link).to_be_focused()
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    expect(page.locator("#steered bdi").nth(2)).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(box.locator("button").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(slider(page)).to_be_focused()


@pytest.mark.usefixtures("complaints")
def test_before_all_is_known_the_drawn_probability_is(page: Page, bench: PretendSteering) -> None:
    bench.step_ms = 60
    page.goto(ONE)
    page.locator("#unsteered bdi").nth(1).hover()
    box = page.locator("#token-box")
    expect(box).to_contain_text("probability, unsteered")
    expect(box.locator("table")).to_have_count(0)
    bench.step_ms = 0
    expect(box.locator("table")).to_have_count(1)  # filled when it is known


@pytest.mark.usefixtures("complaints")
def test_side_effects_and_what_is_read_back(page: Page) -> None:
    page.goto(ONE)
    complete(page)
    rows = page.locator("#effects tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("1.25")
    expect(page.locator(".reads").first).to_contain_text("reads")


@pytest.mark.usefixtures("complaints")
def test_a_sweep_is_drawn_and_sets_the_slider(page: Page) -> None:
    page.goto(f"{ONE}&f=neurons:1:add:0")
    complete(page)
    page.get_by_role("button", name="Sweep").click()
    expect(page.locator("#coherent")).to_contain_text("from −4 to +4")
    expect(page.locator("#curves svg")).to_have_count(4)
    expect(page.locator("#curves svg").first.locator("circle")).to_have_count(21)
    expect(page.locator("#curves .coherent")).to_have_count(4)
    expect(page.locator("#curves svg").first).to_have_attribute(
        "aria-label", re.compile("Perplexity")
    )
    chart = page.locator("#curves svg").nth(1)
    box = chart.bounding_box()
    assert box is not None
    at = 46 + (400 - 46 - 12) * 13 / 20  # +3
    chart.hover(position={"x": box["width"] * at / 400, "y": box["height"] / 2})
    expect(page.locator("#at-figures")).to_contain_text("at +3:")
    expect(page.locator("#at-figures")).to_contain_text("KL 0.180 nats")
    expect(page.locator("#at-text")).to_have_text("text at 3")
    chart.click(position={"x": box["width"] * at / 400, "y": box["height"] / 2})
    expect(slider(page)).to_have_value("3")
    complete(page)
    assert "mlp-12:2:add:3" in page.url
    page.locator("#at-strength").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#at-figures")).to_contain_text("at +2:")
    page.get_by_role("button", name="use +2").click()
    expect(slider(page)).to_have_value("2")
    page.get_by_label("seed").fill("4")
    expect(page.locator("#dose")).to_have_class(re.compile("stale"))


@pytest.mark.usefixtures("complaints")
def test_presets_are_kept_followed_and_deleted(page: Page) -> None:
    page.goto(ONE)
    page.locator("#preset-name").fill("<i>mine</i>")
    page.get_by_role("button", name="Keep").click()
    link = page.get_by_role("link", name="<i>mine</i>")
    expect(link).to_be_visible()
    page.goto(STEER)
    link.click()
    expect(page).to_have_url(re.compile(re.escape(ONE) + "$"))
    expect(slider(page)).to_have_value("1")
    page.get_by_label("delete <i>mine</i>").click()
    expect(link).to_have_count(0)
    page.reload()
    expect(link).to_have_count(0)


def test_what_cannot_be_used_is_said_beside_its_field(page: Page, complaints: list[str]) -> None:
    page.goto(ONE)
    complete(page)
    before = written(page, Pane.STEERED)
    page.get_by_label("temperature").fill("-1")
    place = page.locator("#problem-temperature")
    expect(place).to_contain_text("temperature cannot be '-1'")
    assert written(page, Pane.STEERED) == before
    page.get_by_label("temperature").fill("0.5")
    expect(place).to_be_hidden()
    page.get_by_label("2: strength, in multiples of its maximum").nth(1).fill("2000")
    expect(page.locator("#sliders .problem")).to_contain_text("less than or equal to 1000")
    page.get_by_label("2: strength, in multiples of its maximum").nth(1).fill("2")
    expect(page.locator("#sliders .problem")).to_be_hidden()
    page.get_by_label("Prompt", exact=True).fill("refuse")
    expect(page.locator("#steered .broken")).to_contain_text("the model takes 128 at most")
    page.get_by_label("Prompt", exact=True).fill("def")
    expect(page.locator("#steered .broken")).to_be_hidden()
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
        Served(shared_store, tmp_path, AsyncWorkerClient(process.url)) as url,
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


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_and_fits(
    browser: Browser, base_url: str, scheme: str, width: int
) -> None:
    context = browser.new_context(
        base_url=base_url,
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.goto(f"{ONE}&f=mlp-12:3:clamp:-2:off&temperature=-1")
    expect(page.locator("#problem-temperature")).to_be_visible()
    assert _problems(page) == []
    page.goto(f"{ONE}&f=neurons:3:clamp:-2:off")
    complete(page)
    page.get_by_role("button", name="Sweep").click()
    expect(page.locator("#coherent")).to_contain_text("from −4 to +4")
    page.locator("#q").fill("1")
    expect(page.locator("#found li").first).to_be_visible()
    assert _problems(page) == []
    page.locator("#steered bdi").nth(2).focus()
    expect(page.locator("#token-box")).to_be_visible()
    assert _problems(page) == []
    context.close()


def _problems(page: Page) -> list[str]:
    """What axe finds, and whether anything lies beyond the edge."""
    found = [
        f"{rule['id']}: {node['target']} {node.get('failureSummary', '')}"
        for rule in Axe().run(page).response["violations"]
        for node in rule["nodes"][:3]
    ]
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return found + ([f"scrolls sideways by {overflow} px"] if overflow > 0 else [])
