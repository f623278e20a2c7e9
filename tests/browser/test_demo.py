"""The bundled demo, really harvested and served with its real worker, in a real browser."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from app.client import Edit, FeaturescopeClient
from app.jobs.demo.contents import FEATURES, MODEL, demo_specs
from app.jobs.harvest.harvest import harvest
from app.settings import Settings

TITLE = f"/d/{MODEL}/{FEATURES}"
UNDERLINED = "li[data-d] bdi:is([class*='u'], [class*='n'])"
PATIENCE_MS = 90_000  # importing torch on a loaded machine


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder in which a small part of the demo's text is harvested."""
    home = tmp_path_factory.mktemp("demo-home")
    for spec, _ in demo_specs()[:2]:
        harvest(Settings(home=home), spec, tokens=20_000)
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[tuple[str, int]]:
    """Address and process of `featurescope serve` on that folder."""
    environment = {**os.environ, "FEATURESCOPE_HOME": str(home)}
    command = [sys.executable, "-m", "app", "serve", "--port", "0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found[0].rstrip("/"), process.pid
        process.send_signal(signal.SIGINT)


def _worker_of(pid: int) -> int:
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True
    )
    return int(children.stdout.split()[0])


def _busy_features(address: str) -> list[int]:
    """Features that fire often, strongest first."""
    url = f"{address}/api/v1/d/{MODEL}/{FEATURES}"
    rows = httpx.get(url, params={"sort": "density", "order": "desc"}).json()["features"]
    return [row["index"] for row in rows]


@pytest.mark.usefixtures("complaints")
def test_a_researcher_reads_a_feature(page: Page, server: tuple[str, int]) -> None:
    address, _ = server
    feature, other = _busy_features(address)[5:7]
    page.goto(address)
    expect(page.get_by_text("FVU")).to_be_visible()
    page.get_by_role("link", name=FEATURES, exact=True).click()
    page.goto(f"{address}{TITLE}/{feature}")
    underlined = page.locator("#group-top").locator(UNDERLINED)
    expect(underlined.first).to_be_visible(timeout=PATIENCE_MS)
    underlined.first.hover()
    tooltip = page.get_by_role("tooltip")
    expect(tooltip).to_contain_text("nats")
    page.goto(f"{address}{TITLE}/{other}")
    page.go_back()
    # The effects are in the store now: they come with the page.
    expect(page.locator("#underlines-top")).to_have_count(0)
    page.goto(f"{address}/d/{MODEL}/mlp-neurons/0")
    expect(page.get_by_role("heading", level=1)).to_have_text("neuron 0")


def test_a_killed_worker_is_said_and_comes_back(
    page: Page, server: tuple[str, int], complaints: list[str]
) -> None:
    address, pid = server
    feature = _busy_features(address)[9]
    worker = _worker_of(pid)
    os.kill(worker, signal.SIGSTOP)  # so that it answers nothing more
    with page.expect_request("**/groups/top*"):
        page.goto(f"{address}{TITLE}/{feature}")
    late = page.locator("#underlines-top")
    expect(late).to_have_text("underlines")
    os.kill(worker, signal.SIGKILL)
    # The page says so and asks again by itself; nobody reloads it.
    expect(late).to_contain_text("The worker stopped and is being started again.")
    expect(page.locator("#group-top").locator(UNDERLINED).first).to_be_visible(timeout=PATIENCE_MS)
    expect(late).to_have_count(0)
    assert _worker_of(pid) != worker
    complaints[:] = [line for line in complaints if "503" not in line]


@pytest.mark.usefixtures("complaints")
def test_a_slider_steers_the_real_model(page: Page, server: tuple[str, int]) -> None:
    address, _ = server
    feature = _busy_features(address)[5]
    steer = f"{address}/m/{MODEL}/steer?text=def%20f(self):&f={FEATURES}:{feature}"
    page.goto(f"{steer}:add:0&n=12&temperature=0.8")
    done = page.locator("#steer[data-complete]")
    done.wait_for(timeout=PATIENCE_MS)
    # A neutral setting writes the very text of the unsteered model.
    texts = [page.locator(f"#{pane} .written").inner_text() for pane in ("unsteered", "steered")]
    assert texts[0] == texts[1]
    slider = page.locator("#sliders input[type=range]")
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("30")  # steps: 40 of them lead to the maximum
    expect(done).to_have_attribute("data-complete", re.compile(r":add:0\.75&"), timeout=PATIENCE_MS)
    edit = Edit(dictionary=FEATURES, feature=feature, strength=0.75)
    with FeaturescopeClient(address) as client:
        events = list(client.steer(MODEL, "def f(self):", [edit], n_tokens=12, temperature=0.8))
    for pane in ("unsteered", "steered"):
        drawn = [e for e in events if e.event == "token" and e.pane == pane]
        expect(page.locator(f"#{pane} bdi")).to_have_count(len(drawn))
        shown = page.locator(f"#{pane} .written").inner_text()
        said = "".join(event.text for event in drawn)
        assert re.sub(r"[\s⏎⇥∎]", "", shown) == re.sub(r"\s", "", f"def f(self):{said}")
    assert page.locator("#unsteered .written").inner_text() == texts[0]
    page.locator("#steered bdi").nth(3).focus()
    expect(page.locator("#token-box")).to_contain_text("most active here")
    page.get_by_role("button", name="Sweep").click()
    expect(page.locator("#coherent")).to_contain_text("coherent", timeout=PATIENCE_MS)


def test_a_researcher_asks_what_a_prompt_is_made_of(
    page: Page, server: tuple[str, int], complaints: list[str]
) -> None:
    address, _ = server
    page.goto(f"{address}/m/{MODEL}/prompt")
    page.get_by_label("Prompt", exact=True).fill("class Server:\n    def __init__(self, host):\n")
    strip = page.locator(".stage .strip")
    expect(strip).to_contain_text("__init__", timeout=PATIENCE_MS)
    page.get_by_role("button", name="rarity").click()
    expect(page.locator("[aria-sort='descending']")).to_contain_text("rarity")
    rarest = page.locator("#features .where").first
    name = rarest.get_attribute("value") or ""
    rarest.click()
    expect(page.locator("#the-feature")).to_contain_text(name.replace(":", " "))
    expect(strip.locator("bdi[class*='a1'], bdi[class^='a']").first).to_be_visible()
    page.get_by_role("button", name="leave each token out").click()
    expect(page.locator("#reasons .words tbody tr").first).to_be_visible(timeout=PATIENCE_MS)
    token = strip.locator("bdi", has_text=re.compile(r"^self$")).first
    token.click()
    page.locator("#the-token .expected button.strong").click()
    effects = page.locator("#responsible")
    expect(effects).to_contain_text("each ablated alone", timeout=PATIENCE_MS)
    expect(effects.locator("td[data-name='exact']", has_text="…")).to_have_count(0)
    for box in effects.locator("input[type=checkbox]").all()[:3]:
        box.check()
    page.get_by_role("button", name="ablate together").click()
    expect(page.locator("#joints")).to_contain_text("not additive", timeout=PATIENCE_MS)
    program = page.locator(".program code").text_content()
    ran = subprocess.run(
        [sys.executable, "-c", program or ""], capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    assert f"{FEATURES} attributed [" in ran.stdout
    complaints[:] = [line for line in complaints if "503" not in line]  # while the worker starts
