"""`featurescope rate`: a scripted model rates a study blind, within its budget, once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli.main import run
from app.jobs.explain.endpoint import ChatReply, EndpointFailure
from app.jobs.rating.prompt import rating_of, rating_prompt
from app.settings import Settings
from app.store.store import open_store
from app.store.types.ratings import RaterKind, RatingView, RubricScores
from sae_core.harvest.blinding import blind_sheet
from tests import factories
from tests.app.jobs.explain.scripted import Script, rater, said, served

GOOD = '{"interpretation": "x", "confidence": 3, "activations": 5, "logits": 0, "specificity": 1}'


@pytest.fixture
def script() -> Iterator[Script]:
    with served(rater) as script:
        yield script


@pytest.fixture
def study_home(migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with a study of twelve items that is called `which`."""
    (tmp_path / "featurescope.db").write_bytes(migrated_sqlite.read_bytes())
    monkeypatch.setenv("FEATURESCOPE_HOME", str(tmp_path))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with open_store(Settings(home=tmp_path)) as store:
        factories.publish(store, factories.sample())
        neurons = factories.neurons_sample()
        others = [factories.feature(40 + i, [*neurons.windows], dead=i % 4 == 3) for i in range(8)]
        moved = tuple(replace(record, index=i) for i, record in enumerate(others))
        factories.publish(store, replace(neurons, features=moved))
        views = [store.dictionary("demo", name) for name in ("mlp-12", "neurons")]
        store.ratings.create(views, 6, title="which")
    return tmp_path


def command(script: Script, *more: str) -> list[str]:
    return ["rate", "which", "--endpoint", script.url, "--model", "small", *more]


def kept(home: Path) -> list[RatingView]:
    with open_store(Settings(home=home)) as store:
        return store.ratings.all_of(store.ratings.studies()[0].id)


def test_a_model_rates_what_people_see(
    study_home: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(script)) == 0
    told = capsys.readouterr().out
    ratings = kept(study_home)
    assert len(ratings) == len(script.asked) == 12
    assert {(r.rater, r.kind, r.blind) for r in ratings} == {("small", RaterKind.MODEL, True)}
    assert ratings[0].settings == {"endpoint": script.url, "model": "small", "prompt": 1}
    assert all(r.scores is not None and r.interpretation for r in ratings)
    assert told.count(" points: the token ") == 12
    for body in script.asked:
        system, user = (message["content"] for message in body["messages"])
        assert "specificity, 0 to 3." in system
        assert "The strongest excerpts:" in user
        assert "Excerpts at 45% to 73% of its maximum:" in user
        for telling in ("mlp-12", "neuron", "feature", "hook", "demo"):
            assert telling not in system + user
    # Asked again, it has nothing left to do; under another name it reads its own answers.
    assert run(command(script)) == 0
    assert run(command(script, "--name", "twin")) == 0
    assert len(script.asked) == 12
    assert len(kept(study_home)) == 24
    capsys.readouterr()
    assert run(["list"]) == 0
    assert "24 ratings in 1 studies" in capsys.readouterr().out


def test_answers_that_are_none_are_kept_with_a_reason_and_tried_again(
    study_home: Path, script: Script
) -> None:
    answers = iter(
        [said("I'm sorry, I cannot."), said("7"), said('{"confidence": 9}'), (400, {}, b"no")]
    )
    good = script.answer
    script.answer = lambda path, body: next(answers, None) or good(path, body)
    assert run(command(script, "--parallel", "1")) == 0
    failures = [r.failure for r in kept(study_home) if r.failure]
    assert [failure[:30] for failure in failures] == [
        "The model refused: I'm sorry, ",
        "The answer holds no JSON objec",
        "The answer's confidence is 9, ",
        "The endpoint answered 400: no",
    ]
    assert run(command(script, "--parallel", "1")) == 0
    again = kept(study_home)
    assert len(again) == 13  # the 400 was no answer, and is one now; the others stay as they are
    assert again[-1].scores is not None


def test_an_estimate_asks_nothing_and_a_budget_is_kept(
    study_home: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = ("--price-read", "1", "--price-written", "2")
    assert run(command(script, "--estimate", *prices)) == 0
    told = capsys.readouterr().out
    assert "At most 12 questions" in told
    assert script.asked == []
    sent = int(re.findall(r"([\d,]+) tokens sent", told)[0].replace(",", ""))
    enough_for_some = str(sent // 12 + 300 + 600)  # an answer costs 110 here
    assert run(command(script, "--budget", "1")) == 1
    assert "needs the prices" in capsys.readouterr().err
    assert run(command(script, "--budget-tokens", enough_for_some, "--parallel", "1")) == 1
    assert "does not cover the next question" in capsys.readouterr().err
    assert 0 < len(kept(study_home)) < 12
    assert run(command(script)) == 0
    assert len(kept(study_home)) == 12
    assert script.twice() == 0


def test_a_killed_run_goes_on_and_pays_nothing_twice(study_home: Path, script: Script) -> None:
    script.seconds = 0.05
    words = command(script, "--parallel", "2")
    child = subprocess.Popen(
        [sys.executable, "-m", "app", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "FEATURESCOPE_HOME": str(study_home)},
    )
    while len(script.asked) < 5 and child.poll() is None:
        time.sleep(0.005)
    assert child.poll() is None
    child.send_signal(signal.SIGKILL)
    child.wait()
    script.seconds = 0.0
    assert run(words) == 0
    assert script.twice() <= 2  # what was under way
    book = (study_home / "rate" / "answers.jsonl").read_text().splitlines()
    assert len({json.loads(line)["key"] for line in book if line}) == 12
    assert len(kept(study_home)) == 12


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("{" * 3000, "no JSON object"),
        ("[1, 2]", "no JSON object"),
        (GOOD.replace("3", "-1"), "confidence is -1"),
        (GOOD.replace("3", "true"), "confidence is True"),
        (GOOD.replace("3", "2.5"), "confidence is 2.5"),
        (GOOD.replace('"logits": 0, ', ""), "logits is None"),
    ],
)
def test_what_is_no_rating_is_said(text: str, words: str) -> None:
    with pytest.raises(EndpointFailure, match=words):
        rating_of(ChatReply(text))


@pytest.mark.parametrize(
    ("text", "said_"),
    [
        (GOOD, "x"),
        (f"Sure!\n```json\n{GOOD}\n```", "x"),
        (
            GOOD.replace("3", '"3"').replace("5", "5.0").replace('"x"', '"a\\n\\u202eb"'),
            "a \ufffdb",
        ),
        (GOOD.replace('"x"', "null"), ""),
    ],
)
def test_ratings_are_read_as_models_write_them(text: str, said_: str) -> None:
    assert rating_of(ChatReply(text)) == (RubricScores(3, 5, 0, 1), said_)


def test_the_study_is_named_by_id_or_title(
    study_home: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_store(Settings(home=study_home)) as store:
        study = store.ratings.studies()[0].id
        views = [store.dictionary("demo", name) for name in ("mlp-12", "neurons")]
        record = store.feature(views[0], 0)
        sheet = blind_sheet(record.record, record.windows)
        prompt = rating_prompt(sheet, store.vocabulary(views[0].model_id))
        store.ratings.create(views, 1, title="which")
    assert "<<" in prompt.user
    assert "\\u202e" in prompt.user  # what is hostile is spelled out
    assert run(["rate", study[:9], *command(script)[2:], "--estimate"]) == 0
    assert "12 questions" in capsys.readouterr().out
    assert run(command(script)) == 1
    assert "2 studies are called 'which'" in capsys.readouterr().err
    assert run(["rate", "nothing", *command(script)[2:]]) == 1
    assert "There is no study 'nothing'. There are 'which'" in capsys.readouterr().err
