"""A feature in somebody's frame: that view may be framed, and no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.app.pretend.clients import Client, filled

FEATURE = "/d/demo/mlp-12/0"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("embedding")) as made:
        yield made


def test_the_embedded_view_may_be_framed_by_anybody(client: Client) -> None:
    policy = client.get(f"{FEATURE}?embed=1").headers["Content-Security-Policy"]
    assert "frame-ancestors" not in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize(
    "path",
    [
        FEATURE,
        f"{FEATURE}?embed=0",
        f"{FEATURE}?embed=",
        f"{FEATURE}?embed=2",
        "/?embed=1",
        "/d/demo/mlp-12?embed=1",
        "/d/demo/mlp-12/99?embed=1",
        "/d/demo/mlp-12/0/groups/top?embed=1",
        "/m/demo/steer?embed=1",
        "/d/nobody/nothing/0?embed=1",
    ],
)
def test_nothing_else_may(client: Client, path: str) -> None:
    assert "frame-ancestors 'self'" in client.get(path).headers["Content-Security-Policy"]


def test_a_fragment_is_never_embeddable(client: Client) -> None:
    answer = client.fragment(f"{FEATURE}?embed=1")
    assert "frame-ancestors 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.text.lstrip().startswith('<div id="contexts">')


def test_it_shows_the_feature_and_nothing_to_type_into(client: Client) -> None:
    text = client.get(f"{FEATURE}?embed=1").text
    assert 'id="group-top"' in text
    assert '<base target="_blank">' in text
    for absent in ('<form class="test"', '<nav class="crumbs"', "data-key-next", 'class="toggles"'):
        assert absent not in text


def test_the_page_itself_is_as_before(client: Client) -> None:
    text = client.get(FEATURE).text
    assert "<base" not in text
    assert 'id="test"' in text
    assert 'class="toggles"' in text
