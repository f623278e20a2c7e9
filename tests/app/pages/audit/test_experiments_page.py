"""The pages of experiments, their JSON and CSV, and their twins in Python."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

import pytest

from app.client import FeaturescopeClient
from app.client.transport import RequestFailed
from tests.app.pretend import experiments as made
from tests.app.pretend.clients import Client, filled

ADDRESS = "/experiments/docs-b"
ARM = "add+3+%3Cb%3E+%C3%97+1"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site")) as made_site:
        yield made_site


@pytest.fixture
def site(shared: Client) -> Client:
    """A site without experiments."""
    for line in shared.store.audit.experiments.all():
        shared.store.audit.experiments.forget(line.name)
    return shared


@pytest.fixture
def experiment(site: Client) -> Client:
    site.store.audit.experiments.save(made.record())
    return site


def test_the_page_says_what_differs(experiment: Client) -> None:
    page = experiment.get(ADDRESS).text
    assert "45 prompts × 5 arms" in page
    assert "2 prompts say what another one says" in page
    assert "after Holm’s correction at 0.05" in page
    assert "0.0 %: never, on 45 prompts: at most 6.4 % with 95 % confidence" in page
    assert "100.0 %: always, on 45 prompts: at least 93.6 % with 95 % confidence" in page
    assert "+66.7 % (" in page
    assert "no prompt differs" in page
    assert "p &lt; 0.0001" in page
    assert "1 prompts are left out" in page
    assert "the direction of the contrast polite-b" in page
    assert 'href="/d/demo/mlp-12/3"' in page
    assert 'class="whisker"' in page
    assert "by strength" in page
    assert "12.5 (11 to 14.25)" in page
    assert re.search(r"\bnan\b", page) is None
    assert "experiment result.json --again" in page


def test_hostile_texts_and_names_are_shown_inert(experiment: Client) -> None:
    for address in (ADDRESS, "/experiments", f"{ADDRESS}?page=2"):
        page = experiment.get(address).text
        for text in ("<script>alert(1)", "\u202e", "\x00", "<b>kind", "<i>"):
            assert text not in page
    assert "&lt;script&gt;alert(1)" in experiment.get(ADDRESS).text


def test_texts_are_paged_and_narrowed_down(experiment: Client) -> None:
    first = experiment.get(ADDRESS).text
    assert "page 1 of 3" in first
    assert "45 of 45 prompts" in first
    assert "f=mlp-12:3:add:1" in first
    assert "seed=7" in first
    changed = experiment.get(f"{ADDRESS}?arm={ARM}&show=changed").text
    assert "30 of 45 prompts" in changed
    assert experiment.get(f"{ADDRESS}?arm={ARM}&show=less").text.count("no such prompt") == 1
    assert "9 of 45 prompts" in experiment.get(f"{ADDRESS}?arm=along&show=other").text
    assert "no such prompt" in experiment.get(f"{ADDRESS}?page=900").text
    for query in ("arm=x", "outcome=x", "show=x", "page=0", "page=x"):
        assert experiment.get(f"{ADDRESS}?{query}").status_code in (400, 422)


def test_the_list_of_experiments(site: Client) -> None:
    assert "There is no experiment yet" in site.get("/experiments").text
    assert site.get("/api/v1/experiments").json() == {"experiments": []}
    site.store.audit.experiments.save(made.record())
    assert f'href="{ADDRESS}"' in site.get("/experiments").text
    answer = site.get("/experiments/nothing")
    assert answer.status_code == 404
    assert "no experiment" in answer.text


def test_the_json_has_every_figure_and_text(experiment: Client) -> None:
    answer = experiment.get(f"/api/v1{ADDRESS}").json()
    assert len(answer["means"]) == 15
    assert len(answer["differences"]) == 15
    never = [row for row in answer["differences"] if row["outcome"] == "never"]
    assert {row["low"] for row in never} == {None}
    assert answer["side_effects"][0]["kl_high"] is None
    assert answer["plan"]["seed"] == 5
    texts = experiment.get(f"/api/v1{ADDRESS}/texts?page=1").json()
    assert (texts["found"], texts["pages"], len(texts["prompts"])) == (45, 3, 20)
    assert texts["prompts"][1]["prompt"][0] == {"role": "system", "content": "be <b>kind"}
    assert texts["prompts"][3]["texts"]["unsteered"] == ["half \ufffd 0"]
    assert texts["prompts"][4]["values"]["length"]["random for add 3 <b> × 1"] is None


def test_the_csv_has_a_row_for_every_text(experiment: Client) -> None:
    answer = experiment.get(f"/api/v1{ADDRESS}/values.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    head, *rows = csv.reader(io.StringIO(answer.text, newline=""))
    assert head == ["prompt", "arm", "sample", "says <i>", "length", "never", "text"]
    assert len(rows) == 45 * 5
    assert rows[4 * 5][-1] == "'=1+1 0"
    assert rows[4 * 5 + 2][4] == ""


def test_the_python_twins(experiment: Client) -> None:
    client = FeaturescopeClient("http://127.0.0.1:8000", http=experiment.http)
    assert [line.name for line in client.audit.experiments()] == ["docs-b"]
    assert client.audit.experiment("docs-b").prompts == 45
    texts = client.audit.experiment_texts("docs-b", page=3, arm="along", show="all")
    assert len(texts.prompts) == 5
    with pytest.raises(RequestFailed, match="no experiment"):
        client.audit.experiment("nothing")
