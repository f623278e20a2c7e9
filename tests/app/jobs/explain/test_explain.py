"""`featurescope explain`, from a stored dictionary and a scripted endpoint to kept labels."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.cli.main import run
from app.settings import Settings
from app.store.store import open_store
from app.store.types.annotations import LabelKind
from app.store.types.explanations import Explanation
from tests.app.jobs.explain.scripted import Script, reader, said, served

ALL = "detection,fuzzing,intruder,simulation,embedding,intervention"
FEATURES = "0-9"


@pytest.fixture
def script() -> Iterator[Script]:
    with served(reader) as script:
        yield script


def command(script: Script, *more: str) -> list[str]:
    return [
        *("explain", "tiny/features", "--endpoint", script.url, "--model", "small"),
        *("--features", FEATURES, "--nulls", "4", "--tokens", "3000", "--device", "cpu"),
        *("--embedding-model", "vectors", *more),
    ]


def kept(home: Path) -> list[Explanation]:
    with open_store(Settings(home=home)) as store:
        return store.explanations.of(store.dictionary("tiny", "features"))


def test_labels_are_made_judged_by_all_and_kept_with_their_nulls(
    home: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(script, "--scorers", ALL, "--explainers", "maxima,contrast")) == 0
    told = capsys.readouterr().out
    explanations = kept(home)
    assert len(explanations) == 20
    assert {e.explainer for e in explanations} == {"maxima", "contrast"}
    good = [e for e in explanations if e.text]
    judged = 0
    for explanation in good:
        assert re.fullmatch(r"the word '\w+'", explanation.text)
        scores = {score.scorer: score for score in explanation.scores}
        assert sorted(scores) == sorted(ALL.split(","))
        for score in scores.values():
            if score.value is None:
                assert score.details["failures"]
                continue
            assert score.low is None or score.low <= score.value <= score.high  # type: ignore[operator]
            assert score.n > 0
        assert scores["intruder"].shuffled is None
        if (detection := scores["detection"]).value is not None:
            judged += 1
            assert detection.shuffled is not None
            assert 1 <= len(detection.details["nulls"]) <= 4
            assert 0.2 <= detection.null_p <= 1  # type: ignore[operator]
    assert judged >= 4  # the others fire in nearly every document
    with open_store(Settings(home=home)) as store:
        view = store.dictionary("tiny", "features")
        labels = store.labels.of(view, good[0].index)
    assert labels[0].kind is LabelKind.EXPLAINER
    assert labels[0].text in {e.text for e in good if e.index == good[0].index}
    assert "detection" in labels[0].note
    assert "small (" in labels[0].author
    assert f"{len(script.asked):,} questions asked, " in told
    assert script.twice() == 0


def test_the_same_command_asks_nothing_again_and_keeps_the_same(
    home: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(script)) == 0
    asked, first = len(script.asked), kept(home)
    assert script.twice() == 0
    capsys.readouterr()
    assert run(command(script)) == 0
    assert len(script.asked) == asked
    assert kept(home) == first
    assert "0 questions asked" in capsys.readouterr().out


def test_what_fails_is_a_row_with_its_reason(home: Path, script: Script) -> None:
    script.answer = lambda path, body: (
        said("I'm sorry, I can't.") if "LABEL:" in body["messages"][0]["content"] else said("?")
    )
    assert run(command(script)) == 0
    for explanation in kept(home):
        assert not explanation.text
        assert explanation.failure
        assert explanation.scores == ()
    assert any("refused" in e.failure for e in kept(home))
    script.answer = lambda path, body: (
        said("LABEL: foxes") if "LABEL:" in body["messages"][0]["content"] else said("?")
    )
    assert run(command(script, "--seed", "5")) == 0
    scores = [score for e in kept(home) for score in e.scores]
    assert scores
    assert all(score.value is None and score.details["failures"] for score in scores)


def test_an_estimate_asks_nothing_and_is_not_exceeded(
    home: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = ("--price-read", "1", "--price-written", "2")
    assert run(command(script, "--estimate", *prices)) == 0
    told = capsys.readouterr().out
    assert script.asked == []
    match = re.match(r"At most ([\d,]+) questions: ([\d,]+) tokens sent, .*\$", told)
    assert match
    assert run(command(script, *prices)) == 0
    assert len(script.asked) <= int(match[1].replace(",", ""))
    sent = sum(len(json.dumps(b["messages"])) // 4 for b in script.asked)
    assert sent <= int(match[2].replace(",", ""))


def test_a_budget_is_held_and_a_larger_one_goes_on(
    home: Path, script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(script, "--budget-tokens", "4000")) == 1
    told = capsys.readouterr()
    assert "does not cover the next question" in told.err
    used = [
        int(n.replace(",", "")) for n in re.findall(r"([\d,]+) tokens sent, ([\d,]+)", told.out)[0]
    ]
    assert 0 < sum(used) <= 4000
    asked = len(script.asked)
    assert run(command(script)) == 0
    assert script.twice() == 0
    assert len(script.asked) > asked
    assert run(command(script, "--budget", "1")) == 1
    assert "needs the prices" in capsys.readouterr().err


def test_a_killed_run_goes_on_and_pays_nothing_twice(home: Path, script: Script) -> None:
    script.seconds = 0.05
    parallel = 3
    words = command(script, "--parallel", str(parallel))
    times = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-m", "app", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "FEATURESCOPE_HOME": str(home)},
        )
        before = len(script.asked)
        while len(script.asked) < before + 12 and child.poll() is None:
            time.sleep(0.005)
        times += child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert times >= 2
    script.seconds = 0.0
    book = home / "explain" / "answers.jsonl"
    answered = {json.loads(line)["key"] for line in book.read_text().splitlines() if line.strip()}
    assert run(command(script)) == 0
    # At most what was under way when it was killed was asked again.
    assert script.twice() <= parallel * times
    assert len(answered) >= 12
    lines = [line for line in book.read_text().splitlines() if line.strip()]
    assert len(lines) == len({json.loads(line)["key"] for line in lines})
    uninterrupted = kept(home)
    assert run(command(script)) == 0
    assert kept(home) == uninterrupted


def test_another_text_may_be_shorter_than_the_harvested_one(
    home: Path, script: Script, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    for n in range(12):
        (tmp_path / "other" / f"{n}.txt").write_text("fox jumps over a dog and self " * 4)
    assert run(command(script, "--corpus", str(tmp_path / "other"))) == 0
    assert len(kept(home)) == 10


def test_labels_go_to_delphi_and_back(
    home: Path, script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command(script)) == 0
    mine = {e.index: e for e in kept(home) if e.text}
    out = tmp_path / "delphi"
    assert run(["export", "tiny/features", "--format", "delphi", "--out", str(out)]) == 0
    assert f"explanations of {len(mine):,} features" in capsys.readouterr().out
    assert run(["import", str(out), "--to", "tiny/features"]) == 0
    back = {e.index: e for e in kept(home) if e.model == "delphi"}
    assert {i: e.text for i, e in back.items()} == {i: e.text for i, e in mine.items()}
    for index, explanation in back.items():
        for score in explanation.scores:
            own = next(s for s in mine[index].scores if s.scorer == score.scorer)
            assert (score.value, score.low, score.high, score.n) == (
                own.value,
                own.low,
                own.high,
                own.n,
            )
    assert run(["export", "tiny/features", "--format", "delphi", "--out", str(out)]) == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("explanations/m_latent999.txt", '"x"', "the dictionary has 24"),
        ("explanations/m_latent1.txt", "[1]", "holds no label"),
        ("explanations/m_latent1.txt", "{", "cannot be read as JSON"),
    ],
)
def test_a_damaged_folder_of_delphi_is_refused_in_a_sentence(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str,
    words: str,
) -> None:
    path = tmp_path / "delphi" / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert run(["import", str(tmp_path / "delphi"), "--to", "tiny/features"]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--features", "24"), "features 0 to 23"),
        (("--scorers", "embedding", "--embedding-model", ""), "--embedding-model"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(
    home: Path,
    script: Script,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    words: str,
) -> None:
    assert run(command(script, *more)) == 1
    assert words in capsys.readouterr().err
    assert script.asked == []
