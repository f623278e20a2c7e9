"""The automata of a dictionary: pages, JSON, and the store behind them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.client import FeaturescopeClient, RequestFailed
from app.store.types.automata import MinedAutomata
from tests.app.pretend.automata import MINED, PARAMETERS, STEP, TRIED
from tests.app.pretend.clients import Client, filled

ADDRESS = "/d/demo/mlp-12/automata"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Client]:
    with filled(tmp_path) as made:
        yield made


@pytest.fixture
def mined(site: Client) -> Client:
    view = site.store.dictionary("demo", "mlp-12")
    site.store.search.automata.save(view, MINED)
    return site


def test_without_any_the_page_says_how_to_mine(site: Client) -> None:
    page = site.get(ADDRESS)
    assert page.status_code == 200
    assert "featurescope automata demo/mlp-12" in page.text
    assert site.get(f"/api/v1{ADDRESS}").json()["mined"] is False


def test_the_list_and_the_page_of_one(mined: Client) -> None:
    for address in (ADDRESS, f"{ADDRESS}/1-2", f"{ADDRESS}?feature=2"):
        page = mined.get(address)
        assert page.status_code == 200
        assert 'href="/d/demo/mlp-12/1"' in page.text
        assert f'data-check="/api/v1{ADDRESS}/1-2/1/2"' in page.text
        assert "31 of 62 firings, 50.0 %, lift 44" in page.text
    assert "stays above 1, and beyond the tokens that of 0 %" in " ".join(
        mined.get(ADDRESS).text.split()
    )
    assert "in none of the 1 automata" in mined.get(f"{ADDRESS}?feature=7").text
    assert mined.get(f"{ADDRESS}/9-10").status_code == 404
    assert mined.get(f"{ADDRESS}?page=0").status_code == 422
    assert mined.http.post(f"/api/v1{ADDRESS}/1-2/2/1", json={}).status_code == 404


def test_a_check_is_kept_and_shown(mined: Client) -> None:
    view = mined.store.dictionary("demo", "mlp-12")
    mined.store.search.automata.save_trial(view, TRIED)
    answer = mined.get(f"/api/v1{ADDRESS}/1-2").json()
    (step,) = answer["steps"]
    assert (step["verdict"], step["low"], step["support"]) == ("confirmed", None, 40)
    assert step["held"] == {**vars(STEP.held)}
    assert [arm["fired"] for arm in step["trial"]] == [2, 88, 0]
    client = FeaturescopeClient("http://127.0.0.1:8000", http=mined.http).automata
    assert client.of("demo", "mlp-12", "1-2").model_dump() == answer
    assert client.all("demo", "mlp-12", feature=7).total == 0
    events = [*client.check("demo", "mlp-12", "1-2", 1, 2)]
    with pytest.raises(RequestFailed, match="no step from 2 to 1"):
        list(client.check("demo", "mlp-12", "1-2", 2, 1))
    assert [event.event for event in events] == ["ready"]
    assert "steered × 2 88 of 96" in events[-1].sentence
    # Mining anew takes the checks away.
    mined.store.search.automata.save(view, MinedAutomata((), PARAMETERS))
    assert mined.store.search.automata.trials(view) == {}
    assert "No step passed" in mined.get(ADDRESS).text
