"""The glossary, on its page and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.rendering.words.glossary import GLOSSARY
from app.store.store import Store
from tests.app.pretend.clients import Client, client


@pytest.fixture
def site(sqlite_store: Store, tmp_path: Path) -> Iterator[Client]:
    with client(sqlite_store, tmp_path) as made:
        yield made


def test_every_term_has_its_place(site: Client) -> None:
    page = site.get("/glossary").text
    terms = site.get("/api/v1/glossary").json()["terms"]
    assert [term["key"] for term in terms] == [term.key for term in GLOSSARY]
    for term in GLOSSARY:
        assert f'<div id="{term.key}">' in page
    assert terms[0]["short"].startswith("One direction")


def test_every_page_leads_to_it_and_explains_itself(site: Client) -> None:
    for address in ("/", "/glossary", "/runs", "/nowhere"):
        page = site.get(address).text
        assert '<a href="/glossary">Glossary</a>' in page
        assert "One of Featurescope's pages" not in page  # but what this one is for
