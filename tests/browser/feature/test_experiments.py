"""The pages of experiments: accessible, and nothing lies beyond the edge."""

from __future__ import annotations

from playwright.sync_api import Page

from app.store.store import Store
from tests.app.pretend import experiments
from tests.looks import problems_in_every_look


def test_experiments_are_accessible_in_every_look(page: Page, shared_store: Store) -> None:
    name = shared_store.audit.experiments.save(experiments.record()).name
    page.goto("/experiments")
    problems = problems_in_every_look(page)
    page.goto(f"/experiments/{name}")
    for summary in page.locator("details summary").all():
        summary.click()
    problems += problems_in_every_look(page)
    page.get_by_label("show").select_option("changed")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**show=changed**")
    assert page.get_by_text("of 45 prompts").is_visible()
    shared_store.audit.experiments.forget(name)
    assert problems == []
