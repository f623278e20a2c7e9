"""A feature's rule on its page, in the table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests import factories
from tests.app.pretend.clients import Client, filled

PAGE = "/d/demo/mlp-12"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site")) as made:
        yield made


def test_the_page_says_the_rule_and_what_stands_beside_it(site: Client) -> None:
    html = site.get(f"{PAGE}/1").text
    start = html.index('<details class="rule"')
    shown = html[start : html.index("</details>", start)]
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "U+202Egnp.exe" in shown
    assert "F1 <b>0.90</b>" in shown
    assert "(0.77 to 0.93)" in shown
    assert ", above its null" in shown
    assert "3 documents" in shown
    assert "450 tokens" in shown
    assert "99 shuffled features" in shown


def test_the_page_says_where_a_rule_is_not_above_its_null_and_where_there_is_none(
    site: Client,
) -> None:
    assert "not above its null" in site.get(f"{PAGE}/5").text
    assert "It fires too seldom for a rule." in site.get(f"{PAGE}/4").text
    assert "not above its null" not in site.get(f"{PAGE}/1").text


def test_a_rule_names_a_row_that_nobody_named(site: Client) -> None:
    html = site.get(f"{PAGE}?sort=rule").text
    assert 'title="A rule: nobody has named it yet"' in html
    assert "(0.70)" in html
    above = site.get(f"{PAGE}?above=1&sort=rule").text
    wanted = [r.index for r in map(factories.rule, range(12)) if r.above and r.index % 4 != 3]
    assert above.count('<span class="rule"') == len(wanted)
    assert 'name="above" value="1" checked' in above
    assert "above=1" in above[above.index('id="by-density"') :][:200]


def test_the_json_twin(site: Client) -> None:
    answer = site.get(f"/api/v1{PAGE}/1/rule").json()
    record = factories.rule(1)
    assert record.predicate is not None
    assert record.test is not None
    assert answer["sentence"] == record.sentence
    assert answer["predicate"] == json.loads(record.predicate.to_json())
    assert answer["test"]["f1"]["value"] == record.test.f1.value
    assert answer["test"]["correlation"]["value"] is None
    assert answer["null"]["above"] is True
    assert site.get(f"/api/v1{PAGE}/4/rule").json()["predicate"] is None
    missing = site.get(f"/api/v1{PAGE}/99/rule")
    assert missing.status_code == 404
    assert "No rule was learnt for feature 99" in missing.json()["detail"]
    rows = site.get(f"/api/v1{PAGE}?sort=rule&above=1").json()["features"]
    assert [row["rule"]["above"] for row in rows] == [True] * len(rows)
