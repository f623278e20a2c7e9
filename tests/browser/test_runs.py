"""Pages of trainings and sweeps in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from app.jobs.training.run_reporter import RunReporter
from app.store import database
from app.store.store import Store
from tests import factories
from tests.app.pretend.prompts import PretendPrompts
from tests.app.pretend.runs import EVALUATION, config, point, record
from tests.app.pretend.served import Served
from tests.looks import problems_in_every_look

HOSTILE = "<script>alert(1)</script>"
LONG = "a-run-with-a-very-long-name-that-no-column-was-made-for-and-that-goes-on-and-on"


@dataclass
class Site:
    """An application with runs, and its store."""

    address: str
    store: Store

    def report(self, name: str) -> RunReporter:
        """A run that begins."""
        settings = {"command": f"featurescope train --out {'folder/' * 30}"}
        return RunReporter(
            self.store, name, config(), "demo", "blocks.0.mlp.hook_post", settings, replace=True
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("runs")
    engine = database.connect(f"sqlite:///{home / 'store.db'}")
    database.upgrade(engine)
    store = Store(engine)
    factories.publish(store, factories.sample())
    store.runs.put(record("first"), [point(50), point(100)])
    store.runs.put(
        record(LONG, status="failed", message=HOSTILE, evaluation=None),
        [point(50, penalty=0.5)],
    )
    for architecture in ("topk", "gated", "batchtopk", "standard", "mine"):
        for l0 in (8, 16):
            for seed in (0, 1):
                loss = 0.3 / l0 * (1 + 0.1 * len(architecture) + 0.01 * seed)
                store.runs.put(
                    record(
                        f"s.{architecture}-{l0}-{seed}",
                        sweep="s",
                        config={"architecture": architecture, "l0": l0, "seed": seed},
                        evaluation=EVALUATION | {"l0": l0, "extra_loss_fraction": loss},
                    ),
                    [point(50), point(100)],
                )
    store.runs.put(
        record("s.bad", sweep="s", status="failed", message=HOSTILE, evaluation=None), []
    )
    with Served(store, home, PretendPrompts()) as address:
        yield Site(address, store)
    engine.dispose()


def test_they_are_accessible_and_fit(page: Page, site: Site) -> None:
    site.report("live").on_point(point(50))
    problems: list[str] = []
    for address in (
        f"/runs?with=first&with={LONG}",
        "/runs?sweep=s&with=s.topk-8-0",
        "/runs/live",
        f"/runs/{LONG}",
        "/sweeps/s",
    ):
        page.goto(site.address + address)
        problems += problems_in_every_look(page)
    assert "\n".join(problems) == ""


def test_a_training_is_seen_live(page: Page, site: Site, complaints: list[str]) -> None:
    run = site.report("live")
    page.goto(f"{site.address}/runs/live")
    expect(page.locator("#run .facts")).to_contain_text("no step of 100")
    run.on_point(point(50))
    expect(page.locator("#run .facts")).to_contain_text("step 50 of 100")
    expect(page.get_by_role("img", name="FVU, fraction")).to_be_visible()
    run.on_point(point(100))
    run.finish(EVALUATION, "somewhere", "c" * 64)
    expect(page.locator("#run .facts")).to_contain_text("finished")
    expect(page.locator("#run[hx-get]")).to_have_count(0)


def test_a_table_is_sorted_in_place(page: Page, site: Site, complaints: list[str]) -> None:
    page.goto(f"{site.address}/sweeps/s")
    page.get_by_role("link", name="L0", exact=True).click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("L0")
    assert "sort=l0" in page.url
    page.get_by_role("link", name="L0", exact=True).click()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("L0")
    page.reload()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("L0")


def test_runs_are_compared_without_scripts(browser: Browser, site: Site) -> None:
    context = browser.new_context(base_url=site.address, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("link", name="trainings").click()
    page.get_by_label("compare first").check()
    page.get_by_label(f"compare {LONG}").check()
    page.get_by_role("button", name="Compare the curves").click()
    expect(page.get_by_role("heading", name="2 runs over their training tokens")).to_be_visible()
    expect(page.get_by_role("img", name="loss, the architecture")).to_be_visible()
    expect(page.get_by_label("compare first")).to_be_checked()
    page.get_by_role("link", name="first", exact=True).first.click()
    measured = page.get_by_role("heading", name="Measured on the text of its evaluation")
    expect(measured).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="s", exact=True).click()
    page.get_by_role("link", name="time").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("time")
    context.close()
