"""What a dictionary's files say of its figures is said where the figures are."""

from __future__ import annotations

from pathlib import Path

from app.settings import Settings
from app.store.store import open_store
from tests import factories
from tests.app.pages.home.test_pages import text as words
from tests.app.pretend.clients import client

NOTE = "It was trained on positions 5 to the end of a context alone: <b> is a guess."


def test_positions_that_were_never_trained_on_are_said_with_the_features(tmp_path: Path) -> None:
    with open_store(Settings(home=tmp_path)) as store:
        details = {"notes": [NOTE], "texts open": "without <s> before each context"}
        factories.publish(store, factories.sample(details=details))
        factories.publish(store, factories.sample(dictionary="odd", details={"notes": 7}))
        with client(store, tmp_path) as site:
            page = site.get("/d/demo/mlp-12").text
            assert page.count("positions 5 to the end of a context alone") == 1
            assert "<b> is a guess" not in page
            about = words(site.get("/d/demo/mlp-12/about").text)
            assert "positions 5 to the end of a context alone" in about
            assert "texts open without" in about
            assert site.get("/d/demo/odd").status_code == 200
