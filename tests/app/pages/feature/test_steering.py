"""From a feature to steering: the text at hand goes along as the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.app.pretend.clients import Client, filled

FEATURE = "/d/demo/mlp-12/8"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("steering")) as made:
        yield made


def test_a_tested_text_goes_along(client: Client) -> None:
    assert (
        'href="/m/demo/steer?text=def+f&amp;f=mlp-12:8"' in client.get(f"{FEATURE}?text=def f").text
    )
    assert 'href="/m/demo/steer?f=mlp-12:8"' in client.get(FEATURE).text


def test_a_context_goes_along_up_to_where_it_fires_most(client: Client) -> None:
    answer = client.get(f"{FEATURE}/contexts/top/0/steer")
    assert answer.status_code == 303
    address = urlsplit(answer.headers["location"])
    assert address.path == "/m/demo/steer"
    asked = parse_qs(address.query)
    assert asked["f"] == ["mlp-12:8"]
    view = client.store.dictionary("demo", "mlp-12")
    feature = client.store.feature(view, 8)
    top = feature.record.groups[0].examples
    window = feature.windows[int(top.windows[0])]
    vocabulary = client.store.vocabulary(view.model_id)
    peak = int(top.peaks[0])
    read = [n for n in window.tokens[: peak + 1].tolist() if n not in vocabulary.special][-48:]
    pieces = b"".join(vocabulary.pieces[n] for n in read)
    assert asked["text"] == [pieces.decode("utf-8", "ignore").replace("\r", "")]


def test_a_whole_context_leads_there_and_a_cut_one_does_not(client: Client) -> None:
    link = f'href="{FEATURE}/contexts/top/0/steer"'
    assert link in client.fragment(f"{FEATURE}/contexts/top/0?width=full").text
    assert link not in client.fragment(f"{FEATURE}/contexts/top/0").text
    assert link in client.get(f"{FEATURE}/contexts/top/0").text


@pytest.mark.parametrize("context", ["top/999", "nowhere/0", "top/-1"])
def test_what_is_no_context(client: Client, context: str) -> None:
    answer = client.get(f"{FEATURE}/contexts/{context}/steer")
    assert answer.status_code == 404
    assert re.search(r"has no group|contexts, numbered from 0", answer.text)
