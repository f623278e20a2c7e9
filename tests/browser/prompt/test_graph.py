"""Graphs in a browser: asked for in the form, drawn, followed, pinned, grouped, taken as files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from app.store.store import Store
from sae_core.circuits.graph import NodeKind
from tests.app.pretend import circuits, task_circuits
from tests.looks import problems_in_every_look

TRACED = circuits.graph(seed=len("def browser"))  # what the pretended worker makes of the form
NODE = np.flatnonzero(TRACED.nodes.kind == NodeKind.FEATURE).tolist()[5]
FORM = "/m/demo/graph?text=def+browser&d=mlp-12"


def opened(page: Page, address: str = FORM) -> None:
    page.goto(address)
    page.get_by_role("button", name="Trace").click()
    expect(page.locator("#graph[data-ready]")).to_have_count(1)


def choose(page: Page, row: int) -> None:
    """The node of a row of the table, as the card beside the picture shows it."""
    link = page.locator("#graph-table tbody th a").nth(row)
    node = link.get_attribute("data-to")
    link.click()
    expect(page.locator("#graph-node")).to_have_attribute("data-node", node or "")


@pytest.mark.usefixtures("complaints")
def test_a_walk_through_a_graph(page: Page, tmp_path: Path) -> None:
    opened(page)
    expect(page).to_have_url(re.compile(r"/m/demo/graph/def-browser"))
    title, says = page.locator("#table-title"), page.locator("#graph-says")
    before = title.inner_text()
    # The slider: the picture follows at once, the table soon, the address, too.
    slider = page.get_by_role("slider", name="in view")
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    expect(title).not_to_have_text(before)
    expect(page).to_have_url(re.compile(r"share=0\.5$"))
    page.keyboard.press("End")
    expect(title).to_contain_text("100 %")
    # A node: from the table, then along its edges by keyboard.
    choose(page, 2)
    expect(page).to_have_url(re.compile(r"node=\d+"))
    page.locator("#graph-canvas").focus()
    page.keyboard.press("Enter")
    expect(says).to_contain_text("Chosen")
    page.keyboard.press("o")
    page.keyboard.press("i")
    page.keyboard.press("+")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("0")
    # The real model, without the node.
    page.locator("#graph-node").get_by_role("link", name="take it out of the real model").click()
    expect(page.locator("#graph-node .check")).to_contain_text("the targets lose +0.125")
    # Pins and groups stay where they are after a reload.
    choose(page, 3)
    page.locator("#graph-node").get_by_role("button", name="pin", exact=True).click()
    expect(page.locator("#graph-marks .pins li")).to_have_count(1)
    expect(page.locator("#graph-node").get_by_role("button", name="unpin")).to_be_visible()
    page.get_by_label("Put it together as").fill("names <b>")
    page.get_by_role("button", name="Group", exact=True).click()
    expect(page.locator("#graph-marks .group h3")).to_contain_text("names <b>")
    page.reload()
    expect(page.locator("#graph[data-ready]")).to_have_count(1)
    expect(page.locator("#graph-marks .group h3")).to_contain_text("names <b>")
    # A lasso around everything pins it all.
    page.locator("#graph-canvas").scroll_into_view_if_needed()
    page.evaluate("scrollTo(0, 0)")
    box = page.locator("#graph-canvas").bounding_box()
    assert box
    page.get_by_role("button", name="lasso").click()
    corners = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)]
    x, y = ([box[at] + part[n] * box[size] for part in corners] for n, at, size in _SIDES)
    page.mouse.move(x[0], y[0])
    page.mouse.down()
    for n in (1, 2, 3):
        page.mouse.move(x[n], y[n], steps=3)
    page.mouse.up()
    expect(says).to_contain_text("nodes are pinned")
    # Files.
    with page.expect_download() as saved:
        page.get_by_role("button", name="SVG").click()
    saved.value.save_as(tmp_path / "a.svg")
    drawn = (tmp_path / "a.svg").read_text()
    assert "U+202Egnp.exe" in drawn
    assert "<script" not in drawn
    with page.expect_download() as saved:
        page.get_by_role("button", name="PNG").click()
    saved.value.save_as(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    with page.expect_download() as saved:
        page.get_by_role("link", name="Neuronpedia JSON").click()
    saved.value.save_as(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["qParams"]["supernodes"]
    # The file is read again: it is the graph that is there.
    address = page.url.partition("?")[0]
    page.goto("/m/demo/graphs")
    page.get_by_label("Read a graph from a file").set_input_files(tmp_path / "a.json")
    page.get_by_role("button", name="Read", exact=True).click()
    expect(page).to_have_url(address)


_SIDES = ((0, "x", "width"), (1, "y", "height"))


@pytest.mark.usefixtures("complaints")
def test_every_look(page: Page, shared_store: Store) -> None:
    problems: list[str] = []
    page.goto(FORM)
    problems += problems_in_every_look(page)
    opened(page)
    page.goto(f"{page.url}?node=8&check=1&judge=1&share=1")
    expect(page.locator("#graph[data-ready]")).to_have_count(1)
    page.locator(".proposed summary").click()
    problems += problems_in_every_look(page)
    circuit = shared_store.graphs.circuits.save(task_circuits.record())
    page.goto(f"/m/demo/circuit/{circuit.name}")
    problems += problems_in_every_look(page)
    page.goto("/m/demo/graphs")
    problems += problems_in_every_look(page, closely=False)
    assert problems == []


@pytest.mark.usefixtures("complaints")
def test_every_look_at_a_node_closely(page: Page) -> None:
    """What a node's panels open: its ways, its parts, why a head looks there, and the slider."""
    problems: list[str] = []
    opened(page)
    base = page.url.partition("?")[0]
    panel = page.locator("#graph-node")
    page.goto(f"{base}?node={NODE}&share=1")
    expect(page.locator("#graph[data-ready]")).to_have_count(1)
    panel.get_by_role("link", name="how it gets there").click()
    expect(panel.get_by_role("heading", name="How it gets there")).to_be_visible()
    problems += problems_in_every_look(page)
    panel.get_by_role("link", name="what it is made of").click()
    expect(panel.get_by_role("heading", name="What it is made of")).to_be_visible()
    for head in panel.locator("details:not([open]) summary").all():
        head.click()
    problems += problems_in_every_look(page)
    panel.get_by_role("link", name="why there").first.click()
    expect(panel.get_by_role("heading", name="Why head")).to_be_visible()
    problems += problems_in_every_look(page)
    slider = page.get_by_role("slider", name="times")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#graph-scaled tbody tr").first).to_contain_text("2.5")
    problems += problems_in_every_look(page)
    assert problems == []


def test_what_cannot_be_asked_is_said_beside_the_form(page: Page) -> None:
    page.goto(f"{FORM}&target=no+such+token")
    page.get_by_role("button", name="Trace").click()
    expect(page.locator("#problem")).to_contain_text("is not one token of this model")
    expect(page.get_by_label("next token")).to_be_focused()
    expect(page.get_by_role("button", name="Trace")).to_be_enabled()


def test_without_scripts(browser: Browser, prompt_site: str) -> None:
    context = browser.new_context(base_url=prompt_site, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{FORM}&text=def+plain")
    page.get_by_role("button", name="Trace").click()
    expect(page.locator("#graph-table tbody tr").first).to_be_visible()
    page.locator("#graph-table tbody th a").nth(9).click()
    expect(page.locator("#graph-node")).to_contain_text("adds to")
    page.locator("#graph-node").get_by_role("button", name="pin").click()
    expect(page.locator("#graph-marks .pins li")).to_have_count(1)
    page.get_by_role("button", name="Unpin all").click()
    expect(page.locator("#graph-marks")).to_contain_text("Nothing is pinned")
    context.close()
