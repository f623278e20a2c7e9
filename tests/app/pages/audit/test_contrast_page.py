"""The pages of contrasts, their JSON, and their twins in Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest

from app.client import FeaturescopeClient
from app.client.transport import RequestFailed
from tests.app.pretend import contrasts as made
from tests.app.pretend.clients import Client, filled

ADDRESS = "/contrast/polite-b"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site")) as made_site:
        yield made_site


@pytest.fixture
def site(shared: Client) -> Client:
    """A site without contrasts."""
    for line in shared.store.audit.contrasts.all():
        shared.store.audit.contrasts.forget(line.name)
    return shared


@pytest.fixture
def contrast(site: Client) -> Client:
    site.store.audit.contrasts.save(made.record())
    return site


def test_the_page_says_what_tells_the_sets_apart(contrast: Client) -> None:
    view = contrast.store.dictionary("demo", "mlp-12")
    kept = contrast.store.lists.create("manners", dictionary=view, features=[3])
    page = contrast.get(ADDRESS).text
    assert "1 of these 80 tests" in page
    assert "1 of the 2 features below" in page
    assert 'href="/d/demo/mlp-12/3"' in page
    assert "0.938 (0.875 to 0.969)" in page
    assert "2.0e-05" in page
    assert page.count('"quiet">chance') == 1
    assert "The probe is ahead by +0.047 (+0.016 to +0.078)" in page
    assert "no feature is needed" in page
    assert 'href="/m/demo/steer?f=mlp-12:3"' in page
    assert f'href="/lists/{kept.name}"' in page


def test_hostile_texts_and_names_are_shown_inert(contrast: Client) -> None:
    for address in (ADDRESS, "/contrast"):
        page = contrast.get(address).text
        for text in ("<script>alert(1)", "\u202e", "\x00", "<b>", "<i>"):
            assert text not in page
    assert "&lt;script&gt;alert(1)" in contrast.get(ADDRESS).text


def test_what_the_figures_cannot_say_is_not_said(contrast: Client) -> None:
    contrasts = contrast.store.audit.contrasts
    silent = replace(made.record("silent", "d" * 64), contrast=made.silent())
    contrasts.save(silent)
    page = contrast.get("/contrast/silent").text
    assert "No feature fires on enough" in page
    assert "nan" not in page
    assert contrast.get("/api/v1/contrast/silent").json()["probe"]["ahead"] is None
    even = replace(made.contrast().probe, ahead_low=-0.25)
    record = made.record("even", "e" * 64)
    contrasts.save(replace(record, contrast=replace(record.contrast, probe=even)))
    assert "cannot tell which of the two is better" in contrast.get("/contrast/even").text
    perfect = replace(even, ahead=0.0, ahead_low=0.0, ahead_high=0.0)
    record = made.record("perfect", "a" * 64)
    contrasts.save(replace(record, contrast=replace(record.contrast, probe=perfect)))
    page = contrast.get("/contrast/perfect").text
    assert "Both do equally well" in page
    assert "ahead by" not in page
    gone = replace(made.record("gone", "f" * 64), dictionary="mlp-13")
    contrasts.save(gone)
    page = contrast.get("/contrast/gone").text
    assert "which the store has no longer" in page
    assert "/d/demo/mlp-13" not in page


def test_the_list_of_contrasts(site: Client) -> None:
    assert "There is no contrast yet" in site.get("/contrast").text
    assert site.get("/api/v1/contrast").json() == {"contrasts": []}
    site.store.audit.contrasts.save(made.record())
    assert f'href="{ADDRESS}"' in site.get("/contrast").text
    assert 'href="/contrast"' in site.get("/search/example").text
    answer = site.get("/contrast/nothing")
    assert answer.status_code == 404
    assert "no contrast" in answer.text


def test_the_json_has_every_figure(contrast: Client) -> None:
    answer = contrast.get(f"/api/v1{ADDRESS}").json()
    figures = made.contrast()
    for row, feature in zip(answer["features"], figures.features, strict=True):
        assert asdict(feature).items() <= row.items()
    assert answer["probe"] == asdict(figures.probe)
    assert answer["halves"] == [20, 20]
    assert answer["seed"] == 5
    assert answer["second"]["texts"] == list(made.record().second.texts)


def test_the_client_has_twins(contrast: Client) -> None:
    audit = FeaturescopeClient("http://127.0.0.1:8000", http=contrast.http).audit
    (summary,) = audit.contrasts()
    assert (summary.name, summary.dictionary) == ("polite-b", "mlp-12")
    assert audit.contrast(summary.name).features[0].held_out == 0.9375
    with pytest.raises(RequestFailed, match="no contrast"):
        audit.contrast("nothing")
