"""How the application is served."""

from __future__ import annotations

from http.client import HTTPConnection
from pathlib import Path

import pytest

from app.store.store import Store
from tests import factories
from tests.app.pretend.prompts import PretendPrompts
from tests.app.pretend.served import Served


@pytest.mark.parametrize(
    ("page", "length", "said"),
    [
        ("prompt", 70_000, "The prompt has 70,000 characters; at most 20,000 are taken."),
        ("steer", 70_000, "This worker only pretends."),
        ("steer", 210_000, "210,000 characters"),
    ],
)
def test_addresses_with_long_texts_are_answered_by_the_page(
    sqlite_store: Store, tmp_path: Path, page: str, length: int, said: str
) -> None:
    factories.publish(sqlite_store, factories.sample())
    with Served(sqlite_store, tmp_path, PretendPrompts()) as url:
        connection = HTTPConnection(url.removeprefix("http://"), timeout=30)
        connection.request("GET", f"/m/demo/{page}?run=1&text={'x' * length}")
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
    assert answer.status == 422
    assert said in body
