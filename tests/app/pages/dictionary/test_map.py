"""The map's page, its table, its JSON and its bytes; lists of what lies inside a lasso."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

import numpy as np
import pytest

from app.client import FeaturescopeClient, RequestFailed
from app.pages.dictionary.map.page import within
from app.store.types.maps import GRID, NOWHERE
from app.store.written.lists import MOST_ITEMS
from tests import factories
from tests.app.pretend.clients import Client, filled

MAP = "/d/demo/mlp-12/map"
API = f"/api/v1{MAP}"
# Twelve features in rows of four; the last has no direction.
PLACES = np.array([(n % 4 + 1, n // 4 + 1) for n in range(12)]) * (GRID // 5)
PLACES[11] = NOWHERE
ABOUT = {"method": "umap", "neighbours": 15, "seed": 0, "umap_learn": "0.5", "placed": 11}
UPPER_LEFT = "0.1,0.1,0.5,0.1,0.5,0.5,0.1,0.5"  # around features 0, 1, 4 and 5


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site")) as made:
        view = made.store.dictionary("demo", "mlp-12")
        heads = np.arange(12, dtype=np.uint16) % 3
        made.store.maps.save(view, PLACES.astype(np.uint16), heads, ABOUT)
        yield made


def rows(site: Client, **query: object) -> list[int]:
    """The features that the table lists."""
    answer = site.get(f"{API}?{urlencode(query)}")
    assert answer.status_code == 200, answer.text
    return [feature["index"] for feature in answer.json()["features"]]


def test_the_page_says_how_it_was_made_and_how_to_use_it(site: Client) -> None:
    page = site.get(MAP).text
    assert "11 features by the directions" in page
    assert "15 neighbours, seed 0" in page
    assert "1 without a direction are left out" in page
    assert '<canvas id="map-canvas" tabindex="0" role="application"' in page
    assert "density</option>" in page
    assert "rule F1</option>" in page
    assert "attention head</option>" in page
    assert 'href="/d/demo/mlp-12/map"' in site.get("/d/demo/mlp-12").text
    assert 'href="/d/demo/mlp-12/map?feature=4">on the map' in site.get("/d/demo/mlp-12/4").text


def test_the_table_lists_what_is_in_view_by_the_colour(site: Client) -> None:
    firings = site.store.scales(site.store.dictionary("demo", "mlp-12")).firings
    everywhere = rows(site)
    assert sorted(everywhere) == list(range(11))
    assert [firings[n] for n in everywhere] == sorted(firings[:11], reverse=True)
    assert sorted(rows(site, view="0.3,0.3,0.4")) == [0, 1, 4, 5]
    dead = set(np.flatnonzero(firings == 0).tolist())
    assert dead
    assert set(rows(site, alive="1")) == set(range(11)) - dead
    scores = site.store.rules.scores(site.store.dictionary("demo", "mlp-12"))
    assert rows(site, colour="score")[0] == int(np.argmax(scores))
    fragment = site.fragment(f"{MAP}?view=0.3,0.3,0.4").text
    assert fragment.lstrip().startswith('<section id="beside"')
    assert "4 features in view" in fragment


def test_a_lasso_lists_what_lies_inside_and_says_where_nothing_does(site: Client) -> None:
    assert sorted(rows(site, lasso=UPPER_LEFT)) == [0, 1, 4, 5]
    page = site.get(f"{MAP}?lasso={UPPER_LEFT}").text
    assert "4 features inside the lasso" in page
    assert "A list of these 4" in page
    around_nothing = site.get(f"{MAP}?lasso=0.9,0.9,0.95,0.9,0.95,0.95")
    assert around_nothing.status_code == 200
    assert "No feature inside the lasso" in around_nothing.text
    assert "No feature lies inside the lasso: draw it around some points." in around_nothing.text
    assert "Make the list" not in around_nothing.text
    assert rows(site, lasso=UPPER_LEFT, q="4") == [4]


def test_a_lasso_is_a_polygon() -> None:
    rng = np.random.default_rng(0)
    places = rng.random((2000, 2))
    ring = tuple(
        (0.5 + 0.3 * np.cos(a), 0.5 + 0.3 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 64, False)
    )
    away = np.linalg.norm(places - 0.5, axis=1)
    inside = within(places, ring)
    assert inside[away < 0.299].all()
    assert not inside[away > 0.3].any()
    # crossing itself, a part that it goes around twice is outside
    assert not within(np.array([[0.5, 0.5]]), (*ring, *ring))[0]


def test_what_lies_around_a_feature_comes_nearest_first(site: Client) -> None:
    found = rows(site, feature="0")
    assert found[0] == 0
    assert set(found[1:3]) == {1, 4}
    assert found[3] == 5
    assert "Around feature 0" in site.get(f"{MAP}?feature=0").text
    nowhere = site.get(f"{MAP}?feature=11")
    assert nowhere.status_code == 200
    assert "Feature 11 has no direction: it lies nowhere." in nowhere.text
    assert site.get(f"{MAP}?feature=12").status_code == 404


def test_a_search_marks_what_fits(site: Client) -> None:
    assert site.get(f"{API}/hits?q=7").json() == {"features": [7], "note": ""}
    assert rows(site, q="7") == [7]
    assert "1 feature that fits" in site.get(f"{MAP}?q=7").text
    nothing = site.get(f"{MAP}?q=zzzzzz").text
    assert "Nothing fits." in nothing
    assert "<script>alert" not in site.get(f"{MAP}?{urlencode({'q': '<script>alert(1)'})}").text


def test_places_and_colours_are_bytes_that_browsers_keep(site: Client) -> None:
    answer = site.get(f"{API}/points")
    assert np.frombuffer(answer.content, "<u2").reshape(-1, 2).tolist() == PLACES.tolist()
    assert len(answer.content) == 4 * 12
    kept = {"if-none-match": answer.headers["etag"]}
    again = site.http.get(f"{API}/points", headers=kept)
    assert (again.status_code, again.content) == (304, b"")
    density = site.get(f"{API}/colours/density")
    firings = site.store.scales(site.store.dictionary("demo", "mlp-12")).firings
    levels = np.frombuffer(density.content, np.uint8)
    assert ((levels == 0) == (firings == 0)).all()
    assert (levels.max(), levels[levels > 0].min()) == (254, 1)
    order = np.argsort(firings, kind="stable")
    assert (np.diff(levels[order].astype(int)) >= 0).all()
    heads = np.frombuffer(site.get(f"{API}/colours/head").content, np.uint8)
    assert heads.tolist() == [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 0]
    assert site.get(f"{API}/colours/colour").status_code == 404


def test_a_card_has_the_line_and_the_strongest_context(site: Client) -> None:
    card = site.get(f"{MAP}/card?feature=0").text
    assert 'href="/d/demo/mlp-12/0"' in card
    assert 'class="best"' in card
    assert "density" in card
    for feature in ("12", "-1", "99999999999999999999"):
        assert site.get(f"{MAP}/card?feature={feature}").status_code in (404, 422)


@pytest.mark.parametrize(
    "query",
    [
        "view=1,2",
        "view=a,b,c",
        "view=0.5,0.5,0",
        "view=nan,0.5,1",
        "view=0.5,0.5,inf",
        "view=1e99,0.5,1",
        "lasso=0.1,0.1,0.2,0.2",
        "lasso=0.1,0.1,0.2,0.2,0.3",
        "lasso=x",
        "lasso=" + ",".join(["0.5"] * 130),
        "colour=rainbow",
        "feature=-1",
        "feature=x",
        "page=0",
        "q=" + "x" * 401,
    ],
)
def test_nonsense_is_a_sentence(site: Client, query: str) -> None:
    for address in (MAP, API):
        answer = site.get(f"{address}?{query}")
        assert answer.status_code == 422, answer.text[:300]


def test_pages_that_are_not_there(site: Client) -> None:
    assert site.get(f"{MAP}?page=2").status_code == 404
    assert site.get("/d/demo/other/map").status_code == 404


def test_without_a_map_the_page_says_the_command(site: Client) -> None:
    neurons = site.get("/d/demo/neurons/map")
    assert neurons.status_code == 200
    assert "Neurons are orthogonal to each other" in neurons.text
    assert site.get("/api/v1/d/demo/neurons/map").status_code == 404
    assert site.get("/api/v1/d/demo/neurons/map/points").status_code == 404


def test_a_map_of_other_weights_is_said_to_be_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    with filled(tmp_path_factory.mktemp("other")) as site:
        assert "has no map yet" in site.get(MAP).text
        assert "featurescope map demo/mlp-12" in site.get(MAP).text
        assert "on the map" not in site.get("/d/demo/mlp-12/4").text
        view = site.store.dictionary("demo", "mlp-12")
        site.store.maps.save(view, PLACES.astype(np.uint16), np.zeros(0, np.uint16), ABOUT)
        sample = factories.sample()
        factories.publish(site.store, replace(sample, harvest=factories.harvest(seed=1)))
        assert (
            "11 features by the directions" in site.get(MAP).text
        )  # another harvest, same weights
        site.store.add_dictionary(factories.dictionary(checksum="d" * 64))
        page = site.get(MAP)
        assert "is of other weights" in page.text
        assert "featurescope map demo/mlp-12" in page.text
        assert "no map of demo/mlp-12 as it is now" in site.get(API).json()["detail"]
        # the weights come back, and nothing is published of them
        site.store.add_dictionary(factories.dictionary())
        bare = site.get(MAP)
        assert "11 features by the directions" in bare.text
        assert "density</option>" not in bare.text


def test_a_list_is_made_of_what_was_chosen(site: Client) -> None:
    form = {"title": "Corner", "model": "demo", "dictionary": "mlp-12", "features": "4,0,4"}
    made = site.http.post("/lists", data=form, follow_redirects=False)
    assert (made.status_code, made.headers["location"]) == (303, "/lists/corner")
    _, items = site.store.lists.contents("corner")
    assert [item.index for item in items] == [4, 0]
    for features, words in (
        ("", "No feature was chosen"),
        (",".join(map(str, range(MOST_ITEMS + 1))), "features at the most"),
        ("4,x", "is no number here"),
    ):
        refused = site.http.post("/lists", data={**form, "features": features})
        assert refused.status_code == 422
        assert words in refused.text
    assert site.http.post("/lists", data={**form, "features": "12"}).status_code == 404
    assert "corner-2" not in [view.name for view in site.store.lists.all()]


def test_the_client_reads_maps_and_makes_lists(site: Client) -> None:
    client = FeaturescopeClient("http://127.0.0.1:8000", http=site.http)
    read = client.maps.read("demo", "mlp-12", view=(0.3, 0.3, 0.4))
    assert (read.placed, read.total, read.parameters["seed"]) == (11, 4, 0)
    places = client.maps.places("demo", "mlp-12")
    assert np.isnan(places[11]).all()
    assert [(f.x, f.y) for f in read.features] == [tuple(places[f.index]) for f in read.features]
    assert client.maps.levels("demo", "mlp-12", "density").shape == (12,)
    assert client.maps.hits("demo", "mlp-12", "7").features == [7]
    corner = client.maps.read("demo", "mlp-12", lasso=[(0.1, 0.1), (0.5, 0.1), (0.5, 0.5)])
    made = client.lists.create(
        "From Python",
        model="demo",
        dictionary="mlp-12",
        features=[f.index for f in corner.features],
    )
    assert made.size == corner.total == 3
    with pytest.raises(RequestFailed, match="No feature was chosen"):
        client.lists.create("None", model="demo", dictionary="mlp-12")
