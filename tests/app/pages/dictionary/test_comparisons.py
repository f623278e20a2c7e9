"""The pages of comparisons, their JSON, and what they put on a dictionary's and a feature's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from app.client import FeaturescopeClient, RequestFailed
from app.store.upkeep.removal import remove
from tests import comparisons, factories
from tests.app.pretend.clients import HX, Client, filled
from tests.same import same

SEEDS = "/compare/seeds"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site")) as made:
        factories.publish(made.store, factories.sample(20, dictionary="larger", checksum="d" * 64))
        views = [made.store.dictionary("demo", name) for name in ("mlp-12", "larger", "neurons")]
        made.store.labels.add(views[0], 0, "<b>bold \u202e")
        made.store.comparisons.save(
            comparisons.comparison(
                *map(comparisons.of_view, views), comparisons.compared("<i>gone</i>", 40)
            )
        )
        yield made


def _page(site: Client, address: str, status: int = 200, **headers: str) -> str:
    answer = site.get(address, **headers)
    assert answer.status_code == status, answer.text
    return answer.text


def test_without_any_the_page_says_how_to_make_one(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with filled(tmp_path_factory.mktemp("site")) as site:
        html = _page(site, "/compare")
        assert "featurescope compare MODEL/DICTIONARY" in html
        assert "featurescope compare --demo" in html
        html = _page(site, "/d/demo/mlp-12/0/twins")
        assert "featurescope compare demo/mlp-12" in html
        assert "found in" not in _page(site, "/d/demo/mlp-12")
        assert ">Twins<" not in _page(site, "/d/demo/mlp-12/0")
        assert site.get("/api/v1/d/demo/mlp-12/0/twins").json() == {"twins": []}


def test_the_list_and_a_comparison(shared: Client) -> None:
    html = _page(shared, "/compare")
    assert 'href="/compare/seeds"' in html
    assert "1 of 4 changed since" in html
    html = _page(shared, SEEDS)
    assert "demo/&lt;i&gt;gone&lt;/i&gt;: removed since" in html
    assert 'href="/compare/seeds/0/1"' in html
    assert 'href="/compare/seeds/tree/0"' in html
    assert "3 never fire on this text" in html
    assert "250,000 tokens in 120 documents" in html


def test_a_pair_says_its_shares_beside_chance_and_shows_its_features(shared: Client) -> None:
    html = _page(shared, f"{SEEDS}/0/1")
    view = shared.store.comparisons.view("seeds")
    measure = view.pairs[0, 1].by_correlation
    assert measure is not None
    assert "Of 9 features of mlp-12" in html
    assert "3 never fire on this text: they have no correlation" in html
    assert f"of at least {measure.bar:.2f}. Of matches with the null, 0 % do." in html
    assert "&lt;b&gt;bold" in html
    assert "\u202e" not in html
    assert 'class="best"' in html
    assert html.count('scope="row"') == 9
    assert 'href="/compare/seeds/1/0"' in html
    part = _page(shared, f"{SEEDS}/0/1?show=found", **HX)
    assert part.lstrip().startswith('<section id="pairs"')


def test_pairs_are_sorted_and_narrowed_in_the_address(shared: Client) -> None:
    def rows(query: str) -> list[dict[str, float]]:
        answer = shared.get(f"/api/v1{SEEDS}/0/1{query}").json()
        assert (answer["page"], answer["pages"]) == (1, 1)
        assert answer["total"] == len(answer["features"])
        return answer["features"]

    view = shared.store.comparisons.view("seeds")
    pair = shared.store.comparisons.pair(view, 0, 1)
    assert pair.figures.by_correlation is not None
    bar = pair.figures.by_correlation.bar
    everything = rows("")
    values = [row["value"] for row in everything]
    assert values == sorted(values, reverse=True)
    assert [row["value"] for row in rows("?order=asc")] == values[::-1]
    assert [row["index"] for row in rows("?sort=index")] == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert next(iter(rows("?sort=index&order=desc")))["index"] == 10
    for row in everything:
        assert row["match"] == pair.correlations.indices[row["index"]]
        assert row["found"] == (row["value"] >= bar)
    found, lost = rows("?show=found"), rows("?show=lost")
    assert {row["index"] for row in found} | {row["index"] for row in lost} == {
        row["index"] for row in everything
    }
    assert all(row["found"] for row in found)
    assert not any(row["found"] for row in lost)
    paired = rows("?show=paired")
    assert {row["match"] for row in paired} == {
        int(pair.partners.indices[row["index"]]) for row in paired
    }
    assert all(row["paired"] for row in paired)
    assert len(rows("?by=cosine")) == 12


def test_the_tree_is_a_picture_and_a_list_that_say_the_same(shared: Client) -> None:
    view = shared.store.comparisons.view("seeds")
    middle = shared.store.comparisons.pair(view, 1, 0)
    large = shared.store.comparisons.pair(view, 3, 1)
    parents = middle.correlations.indices[middle.correlations.known]
    root = int(np.bincount(parents).argmax())
    tree = shared.get(f"/api/v1{SEEDS}/tree/0/{root}").json()
    assert (tree["dictionary"], tree["index"], tree["value"]) == ("mlp-12", root, None)
    wanted = [i for i in range(20) if middle.correlations.indices[i] == root]
    assert sorted(child["index"] for child in tree["children"]) == wanted
    for child in tree["children"]:
        assert child["dictionary"] == "larger"
        own = [i for i in range(40) if large.correlations.indices[i] == child["index"]]
        assert len(child["children"]) + child["more"] == len(own)
        assert {grandchild["index"] for grandchild in child["children"]} <= set(own)
    html = _page(shared, f"{SEEDS}/tree/0/{root}")
    assert f"Feature {root} of mlp-12 splits into {len(wanted)} of 20 in larger, and these" in html
    picture = html[html.index('<svg class="tree"') : html.index("</svg>")]
    for child in tree["children"]:
        assert f'href="/d/demo/larger/{child["index"]}"' in picture
    assert "<i>gone" not in html
    assert shared.get(f"{SEEDS}/tree/0?index=5").headers["location"] == f"{SEEDS}/tree/0/5"
    by_cosine = _page(shared, f"{SEEDS}/tree/0/{root}?by=cosine")
    assert "correlation of activations</a>" in by_cosine


def test_the_table_has_a_column_and_a_filter(shared: Client) -> None:
    html = _page(shared, "/d/demo/mlp-12?sort=found")
    assert html.count(" of 2</td>") == 9
    assert 'name="found"' in html
    rows = shared.get("/api/v1/d/demo/mlp-12?sort=found").json()["features"]
    counts = [row["recurrence"]["found"] for row in rows if row["firings"]]
    assert counts == sorted(counts, reverse=True)
    kept = shared.get("/api/v1/d/demo/mlp-12?found=2").json()
    assert kept["total"] == counts.count(2)
    assert "found=2" in _page(shared, "/d/demo/mlp-12?found=2")  # links keep it


def test_the_twins_stand_on_the_page_of_the_feature(shared: Client) -> None:
    html = _page(shared, "/d/demo/larger/1")
    twins = shared.get("/api/v1/d/demo/larger/1/twins").json()["twins"]
    assert [twin["dictionary"] for twin in twins if twin["state"]] == ["<i>gone</i>"]
    own = next(twin for twin in twins if twin["dictionary"] == "mlp-12")
    assert f'href="/d/demo/mlp-12/{own["index"]}"' in html
    assert "&lt;i&gt;gone&lt;/i&gt; · removed" in html
    dead = shared.get("/api/v1/d/demo/larger/3/twins").json()["twins"]
    assert {twin["by"] for twin in dead} == {"cosine"}
    whole = _page(shared, "/d/demo/larger/1/twins")
    assert f'href="/d/demo/mlp-12/{own["index"]}"' in whole


def test_the_client_says_the_same(shared: Client) -> None:
    client = FeaturescopeClient(str(shared.http.base_url), http=shared.http)
    [listed] = client.comparisons.all()
    whole = client.comparisons.of(listed.name)
    assert (len(whole.pairs), whole.dictionaries) == (12, listed.dictionaries)
    pair = client.comparisons.pair("seeds", 0, 1, show="found", sort="index")
    assert pair.by_correlation == whole.pairs[0].by_correlation
    assert [row.index for row in pair.features] == sorted(row.index for row in pair.features)
    assert all(row.found for row in pair.features)
    assert client.comparisons.tree("seeds", 0, 4, by="cosine").index == 4
    twins = client.comparisons.twins("demo", "mlp-12", 1)
    assert {twin.dictionary for twin in twins} == {"larger", "neurons", "<i>gone</i>"}
    with pytest.raises(RequestFailed, match="There is no comparison 'other'"):
        client.comparisons.of("other")


@pytest.mark.parametrize(
    ("status", "address", "sentence"),
    [
        (404, "/compare/nothing", "There is no comparison"),
        (404, f"{SEEDS}/0/0", "there is no pair 0 and 0"),
        (404, f"{SEEDS}/0/9", "there is no pair 0 and 9"),
        (404, f"{SEEDS}/0/1?page=2", "There is no page 2 of these pairs"),
        (422, f"{SEEDS}/0/1?by=beauty", "correlation"),
        (422, f"{SEEDS}/0/1?show=some", "found"),
        (422, f"{SEEDS}/0/1?show=paired&by=cosine", "Pairs one to one are made by correlation"),
        (422, f"{SEEDS}/tree/3/0", "No larger dictionary was compared with demo/&lt;i&gt;gone"),
        (404, f"{SEEDS}/tree/7/0", "has the dictionaries 0 to 3"),
        (404, f"{SEEDS}/tree/0/12", "there is no feature 12"),
        (404, f"{SEEDS}/tree/0/-1", "there is no feature -1"),
        (404, "/d/demo/mlp-12/12/twins", "there is no feature 12"),
        (404, "/d/demo/mlp-12/-1/twins", "there is no feature -1"),
        (422, "/d/demo/mlp-12?found=-1", "found"),
    ],
)
def test_bad_input_gets_a_sentence(
    shared: Client, status: int, address: str, sentence: str
) -> None:
    assert sentence in _page(shared, address, status)
    assert shared.get(f"/api/v1{address}").status_code == status


def test_what_cannot_be_matched_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Dictionaries of two models have no cosines; those that never fire no correlations."""
    with filled(tmp_path_factory.mktemp("site")) as site:
        view = site.store.dictionary("demo", "mlp-12")
        record = comparisons.comparison(
            comparisons.of_view(view), comparisons.compared("other", model_checksum="f" * 64)
        )
        pairs = tuple(comparisons.without(pair, "cosine") for pair in record.pairs)
        site.store.comparisons.save(comparisons.with_pairs(record, pairs))
        html = _page(site, f"{SEEDS}/0/1?by=cosine", 422)
        assert "their decoders write into different spaces" in html
        assert "cosine of decoder rows" not in _page(site, f"{SEEDS}/0/1")
        assert shared_recurrences(site) == {None}
        pairs = tuple(comparisons.without(pair, "correlation") for pair in record.pairs)
        again = comparisons.with_pairs(record, pairs)
        site.store.comparisons.save(again, replace=True)
        html = _page(site, f"{SEEDS}/0/1", 422)
        assert "has no feature that fires often enough" in html
        assert "by=cosine" in html
        assert 'href="/compare/seeds/0/1?by=cosine"' in _page(site, SEEDS)


def shared_recurrences(site: Client) -> set[object]:
    """What the table says of other trainings: nothing of another model's."""
    rows = site.get("/api/v1/d/demo/mlp-12").json()["features"]
    return {row["recurrence"] for row in rows}


def test_the_same_weights_and_removed_ones_are_said(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with filled(tmp_path_factory.mktemp("site")) as site:
        view = site.store.dictionary("demo", "mlp-12")
        own = comparisons.of_view(view)
        site.store.comparisons.save(comparisons.comparison(own, own))
        assert "Both have the same weights" in _page(site, f"{SEEDS}/0/1")
        assert site.get("/api/v1/d/demo/mlp-12/0/twins").json() == {"twins": []}
        remove(site.store.engine, "demo", "mlp-12")
        html = _page(site, SEEDS)
        assert "Not all is as it was" in html
        assert "removed since" in html
        html = _page(site, f"{SEEDS}/0/1")
        assert "/d/demo/mlp-12/" not in html
        assert same(site.store.comparisons.view("seeds").dictionaries, (own, own))
