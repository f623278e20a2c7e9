"""The page of a training that was followed, its JSON, and its twin in Python."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.client import FeaturescopeClient
from app.client.transport import RequestFailed
from tests.app.pretend import followed
from tests.app.pretend.clients import Client, filled

PAGE = "/over-training/demo%20%3Cb%3E%2C%20mlp-12"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with filled(tmp_path_factory.mktemp("followed")) as made:
        made.store.comparisons.moments.save(followed.record())
        yield made


def test_what_was_kept_comes_back(site: Client) -> None:
    kept = site.store.comparisons.moments.view("demo <b>, mlp-12")
    made = followed.record()
    assert (kept.moments, kept.settings) == (made.moments, made.settings)
    for name in ("values", "partners", "same", "f1", "rows", "strengths", "tokens", "begins"):
        pair = [getattr(own.arrays, name) for own in (kept, made)]
        assert np.array_equal(*pair, equal_nan=pair[0].dtype.kind == "f"), name


def test_the_page_says_what_is_there_at_each_checkpoint(site: Client) -> None:
    page = site.get(f"{PAGE}?at=1").text
    assert "8 of 11 features that can be found again are there (72.7 %), 4 of them new" in page
    assert "loss 3.250 nats a token" in page
    assert "step 64" in page
    assert "\u202e" not in page
    assert "1 more are not found again" in page
    assert 'value="1"' in page  # of the slider
    assert "<b>," not in page


def test_a_training_as_another_architecture_is_said(tmp_path: Path) -> None:
    made = followed.record()
    with filled(tmp_path) as site:
        for name, method, own in (("one", "topk", "jumprelu"), ("other", "topk", "topk")):
            settings = replace(made.settings, method=method, own=own)
            record = replace(made, name=name, identity=f"{len(name)}" * 64, settings=settings)
            site.store.comparisons.moments.save(record)
        words = "as <code>topk</code> at the L0 of the last one, which is <code>jumprelu</code>"
        assert words in site.get("/over-training/one").text
        assert "at the L0 of the last one" not in site.get("/over-training/other").text


def test_a_feature_is_shown_with_its_contexts(site: Client) -> None:
    page = site.get(f"{PAGE}?at=0&feature=2").text
    assert "It appears at step 64" in page
    assert page.count("<mark>") == 2
    assert "It is not found again" in site.get(f"{PAGE}?feature=11").text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?at=9", "There are 3 checkpoints"),
        ("?feature=99", "features 0 to 11"),
        ("?sort=colour", "can be sorted by"),
        ("?page=7", "pages 1 to 1"),
        ("?at=x", ""),
    ],
)
def test_nonsense_is_a_sentence(site: Client, query: str, sentence: str) -> None:
    answer = site.get(PAGE + query)
    assert answer.status_code == 422
    assert sentence in answer.text


def test_there_may_be_none(site: Client) -> None:
    assert site.get("/over-training/nothing").status_code == 404
    assert PAGE in site.get("/over-training").text


def test_json_and_python_have_every_figure(site: Client) -> None:
    answer = site.get(f"/api/v1{PAGE}").json()
    json.dumps(answer, allow_nan=False)
    assert answer["features"]["appears"] == [0] * 4 + [1] * 4 + [2] * 3 + [-1]
    assert [moment["present"] for moment in answer["moments"]] == [4, 8, 11]
    assert answer["moments"][0]["label_score"] == 0.5
    comparisons = FeaturescopeClient("http://127.0.0.1:8000", http=site.http).comparisons
    (summary,) = comparisons.trainings()
    assert comparisons.training(summary.name).moments[2].loss == 2.25
    with pytest.raises(RequestFailed, match="No training"):
        comparisons.training("nothing")
