"""The pages of contrasts: accessible, and nothing lies beyond the edge."""

from __future__ import annotations

from playwright.sync_api import Page

from app.store.store import Store
from tests.app.pretend import contrasts
from tests.looks import problems_in_every_look


def test_contrasts_are_accessible_in_every_look(page: Page, shared_store: Store) -> None:
    name = shared_store.audit.contrasts.save(contrasts.record()).name
    page.goto("/contrast")
    problems = problems_in_every_look(page)
    page.goto(f"/contrast/{name}")
    for summary in page.locator("details summary").all():
        summary.click()
    problems += problems_in_every_look(page)
    shared_store.audit.contrasts.forget(name)
    assert problems == []
