"""The evaluation page and its JSON, of dictionaries evaluated whole, in part and not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from app.pages.dictionary.evaluation import EvaluationPage
from app.pages.dictionary.evaluation_rows import rows
from app.store.store import Store
from app.store.types.evaluation import StoredEvaluation
from tests import evaluations, factories
from tests.app.pretend.clients import Client, filled

PAGE = "/d/demo/mlp-12/evaluation"


def text(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page)).split())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("site")) as made:
        _keep(made.store, evaluations.stored())
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Client]:
    with filled(tmp_path) as made:
        yield made


def _keep(store: Store, evaluation: dict[str, Any] | None, name: str = "mlp-12") -> None:
    store.save_evaluation(store.dictionary("demo", name), evaluation or {})


def test_figures_come_with_intervals_and_how_to_read_them(site: Client) -> None:
    page = text(site.get(PAGE).text)
    assert "FVU 0.1250 2.0000 to 3.0000 squared error of the reconstruction" in page
    assert "extra loss, of zero 5.56 % 1.00 % to 6.25 % (L_recon − L_clean)" in page
    assert "KL 0.3125 2.0000 to 3.0000 KL(clean || reconstructed)" in page
    assert "dead share 25.0 % – features that fire on none" in page
    assert "measured on 65,600 tokens of 40 documents held out of this project's training" in page
    assert "quick figures" not in page


def test_each_plot_has_axes_a_reading_and_a_finding(site: Client) -> None:
    figures = re.findall(r"<figure>(.*?)</figure>", site.get(PAGE).text, re.DOTALL)
    assert len(figures) == 6
    for figure in figures:
        svg = ElementTree.fromstring(re.findall(r"<svg .*?</svg>", figure, re.DOTALL)[0])
        assert svg.get("role") == "img"
        assert svg.get("aria-label")
        titles = [node.text for node in svg.iter("text") if node.get("class") == "axis"]
        assert len([title for title in titles if title]) == 2
        assert len(re.findall(r"<p>.+?</p>", figure)) == 2
    whole = text(" ".join(figures))
    assert "Activations up to 5/11 of the maximum are 68.2 % of the firings" in whole
    assert "Root mean square 0.3125; random directions in 16 dimensions: 0.2500." in whole
    assert "Median 0.375; of random directions: 0.300." in whole
    assert "Median 5; nine in ten tokens lie between 2 and 9." in whole
    assert "features fire; 3 do not fire on this text" in whole


def test_bands_are_a_table_the_strongest_first(site: Client) -> None:
    page = site.get(PAGE).text
    names = re.findall(r'<th scope="row">(\d+/11 to \d+/11)</th>', page)
    assert names[0] == "10/11 to 11/11"
    assert names[-1] == "0/11 to 1/11"
    assert "0/11 to 1/11 16.7 % 0 % −0.100 % −1.10 % to 0.900 %" in text(page)


def test_what_it_was_measured_on_and_the_command(site: Client) -> None:
    page = site.get(PAGE).text
    assert "<b>texts</b>" not in page
    shown = text(page)
    assert "read from 12 files under the folder <b>texts</b>" in shown
    for fact in ("b" * 64, "a" * 64, "d" * 64, "seed of the draw 3", "predicted tokens 65,599"):
        assert fact in shown
    assert "corpus /tmp/<b>my texts</b>" in shown
    assert "featurescope evaluate demo/mlp-12 --tokens 65536 --seed 3 --save" in shown


def test_the_json_is_what_was_kept(site: Client) -> None:
    answer = site.get(f"/api/v1{PAGE}").json()
    kept = evaluations.stored()
    assert answer == StoredEvaluation.model_validate(kept).model_dump(mode="json")
    assert {key: answer[key] for key in kept} == kept
    listed = site.get("/api/v1").json()["dictionaries"][0]["evaluation"]
    assert listed["kl"] == 0.3125
    assert not {"details", "measured"} & listed.keys()


def test_other_pages_lead_to_it(site: Client) -> None:
    for address in ("/", "/d/demo/mlp-12", "/d/demo/mlp-12/about"):
        assert f'href="{PAGE}"' in site.get(address).text
    about = text(site.get("/d/demo/mlp-12/about").text)
    assert "Over 65,600 tokens of 40 documents." in about
    assert "L_mean 6.5000 2.0000 to 3.0000" in about


def test_quick_figures_say_so_and_name_the_command(own: Client) -> None:
    _keep(own.store, evaluations.stored(whole=False))
    page = text(own.get(PAGE).text)
    assert "These are the quick figures of the harvest." in page
    assert "this command measures it: featurescope evaluate demo/mlp-12" in page
    assert page.count("random directions") == 0
    assert "Fit by position" in page


def test_figures_of_an_older_version_are_shown(own: Client) -> None:
    page = text(own.get(PAGE).text)
    assert "L0 4.25 – active features" in page
    assert "quick figures" in page
    assert "featurescope evaluate demo/mlp-12 --save" in page
    assert own.get(f"/api/v1{PAGE}").json()["details"] is None


@pytest.mark.parametrize("known", [None, {}])
def test_what_was_not_evaluated_says_how(own: Client, known: dict[str, Any] | None) -> None:
    _keep(own.store, known)
    page = own.get(PAGE)
    assert page.status_code == 200
    assert "This dictionary has not been evaluated. This command does it" in text(page.text)
    answer = own.get(f"/api/v1{PAGE}")
    assert answer.status_code == 404
    assert "has not been evaluated: featurescope evaluate" in answer.json()["detail"]


def test_neurons_have_the_same_page(own: Client) -> None:
    _keep(own.store, evaluations.stored(), "neurons")
    page = text(own.get("/d/demo/neurons/evaluation").text)
    assert "Are neurons almost orthogonal?" in page
    assert "featurescope evaluate demo/neurons --tokens 65536" in page


def test_few_documents_are_told(own: Client) -> None:
    for n, sentence in ((4, "Fewer than five documents"), (7, "With only 7 documents")):
        _keep(own.store, evaluations.stored() | {"n_documents": n})
        assert sentence in text(own.get(PAGE).text)


def test_parts_of_another_shape_are_left_out(own: Client) -> None:
    kept = evaluations.stored()
    del kept["measured"]["reading"]
    _keep(own.store, kept)
    page = text(own.get(PAGE).text)
    assert "FVU 0.1250 –" in page
    assert "quick figures" in page


def test_joined_documents_are_told(own: Client) -> None:
    _keep(own.store, evaluations.stored(reading={"corpus": "x.txt", "packing": "joined"}))
    assert "a window stands for a document" in text(own.get(PAGE).text)


def test_a_fraction_below_zero_has_a_true_minus() -> None:
    found = StoredEvaluation.model_validate(
        evaluations.stored() | {"extra_loss_fraction": -0.0125, "l_recon": -0.5}
    )
    shown = {row.key: row.value for row in rows(found)}
    assert shown["extra_loss_fraction"] == "−1.25 %"
    assert shown["l_recon"] == "−0.5000"


def test_positions_in_groups_are_told(own: Client) -> None:
    kept = evaluations.stored()
    kept["details"]["positions"]["width"] = 4
    _keep(own.store, kept)
    view = replace(own.store.dictionary("demo", "mlp-12"))
    (found,) = [f for f in EvaluationPage(view).figures if f.name == "Fit by position"]
    assert "positions in groups of 4" in found.finding


def test_the_samples_hold_what_evaluations_do() -> None:
    assert evaluations.stored().keys() >= (factories.dictionary().evaluation or {}).keys()
