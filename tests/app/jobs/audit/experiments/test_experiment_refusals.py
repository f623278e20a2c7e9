"""`featurescope experiment`: what is refused, and how plans are written."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import yaml

from app.cli.main import run
from app.jobs.audit.experiments import run as running
from app.jobs.audit.experiments.plan import read_plan
from tests.app.jobs.audit.experiments.small_home import PLAN, PROMPTS, forget_all


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"[5]": "[5000]"}, "There is no feature 5000"),
        ({"[5]": "[-1]"}, "arms.1.features.1"),
        ({'"busy"': '"nothing"'}, "nothing"),
        ({'"foxes-against-code"': '"nothing"'}, "no contrast"),
        ({"tiny/neurons": "tiny/none"}, "none"),
        ({"tiny/neurons": "tiny"}, "dictionary"),
        ({"strengths = [1, 8]": "strengths = []"}, "strengths"),
        ({"strengths = [1, 8]": "strengths = [1, 1]"}, "each strength stands once"),
        ({"strengths = [1, 8]": "strengths = [inf]"}, "strengths"),
        ({"strengths = [1, 8]": 'name = "unsteered"'}, "Two arms are called 'unsteered'"),
        ({"ablate = [7]": "ablate = [7]\nfeatures = [7]"}, "an arm has one of"),
        ({"ablate = [7]": "banana = [7]"}, "there is no field arms.2.banana"),
        ({"tokens = 6": "tokens = 60"}, "Line 1 of prompts.jsonl has"),
        ({"tokens = 6": "tokens = 6\ntemperature = 0"}, "all samples of a prompt are the same"),
        ({'"target"': '"other"'}, "Line 1 of prompts.jsonl has no text in the field 'other'"),
        ({'"[a-f]"': '"("'}, "is no pattern"),
        ({'measure = "length"': 'measure = "height"'}, "measure"),
        ({'measure = "length"': 'monitor = "nothing"'}, "no monitor"),
        ({'measure = "length"': 'question = "kind?"'}, "needs an endpoint"),
        ({'name = "never"': "name = \"says 'fox'\""}, "Two outcomes are called"),
        ({'prompts = "prompts.jsonl"': 'prompts = "none.jsonl"'}, "cannot be read"),
        ({"[[arms]]": "[[arms"}, "cannot be read"),
    ],
)
def test_what_cannot_be_run_is_a_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], words: dict[str, str], sentence: str
) -> None:
    text = PLAN
    for old, new in words.items():
        assert old in text
        text = text.replace(old, new, 1)
    (home / "wrong.toml").write_text(text)
    assert run(["experiment", str(home / "wrong.toml")]) == 1
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["{", ""], "Line 38 of broken.jsonl is not JSON; nothing was run"),
        (["3"], "Line 38 of broken.jsonl is no object"),
        (["{}"], 'Line 38 of broken.jsonl needs either a "text" or "messages"'),
        (
            ['{"messages": [{"role": "king", "content": "x"}]}'],
            "Line 38 of broken.jsonl has a mess",
        ),
        ([json.dumps({"text": "fox " * 80})], "Line 38 of broken.jsonl"),
    ],
)
def test_a_broken_line_is_named(
    home: Path, capsys: pytest.CaptureFixture[str], lines: list[str], sentence: str
) -> None:
    good = [json.dumps({"text": f"{text} {n}"}) for n, text in enumerate([*PROMPTS, *PROMPTS[:5]])]
    (home / "broken.jsonl").write_text("\n".join([*good, *lines, *good]))
    command = ["experiment", "--dictionary", "tiny/neurons", "--features", "5", "--words", "fox"]
    assert run([*command, "--prompts", str(home / "broken.jsonl")]) == 1
    assert sentence in capsys.readouterr().err


def test_options_make_a_plan(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forget_all(home)
    (home / "few.txt").write_text("\n".join(["the fox", *PROMPTS, "", "the fox"]))
    command = ["experiment", "--dictionary", "tiny/neurons", "--features", "5,6", "--tokens", "3"]
    command += ["--strengths", "2", "--words", "fox,dog", "--name", "options"]
    assert run([*command, "--prompts", str(home / "few.txt")]) == 0
    printed = capsys.readouterr().out
    assert "34 prompts (1 say what another says) × 3 arms" in printed
    assert "/experiments/options" in printed
    (home / "few.txt").write_text("\n".join(PROMPTS[:29]))
    assert run([*command, "--prompts", str(home / "few.txt")]) == 1
    assert "has 29 prompts: the intervals need at least 30" in capsys.readouterr().err
    for wrong in (["--features", "x"], ["--strengths", "x"]):
        assert run([*command, "--prompts", str(home / "few.txt"), *wrong]) == 1
    assert run(["experiment"]) == 1
    assert run(["experiment", "--again"]) == 1
    assert run(["experiment", str(home / "few.txt"), "--again"]) == 1
    assert run(["experiment", str(home / "plan.toml"), "--features", "5"]) == 1
    capsys.readouterr()


def test_yaml_is_read_without_aliases(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "plan.yaml").write_text(yaml.safe_dump(tomllib.loads(PLAN)))
    assert read_plan(home / "plan.yaml").table == read_plan(home / "plan.toml").table
    (home / "bomb.yaml").write_text("a: &a [x, x]\nb: &b [*a, *a]\narms: [*b, *b]\n")
    assert run(["experiment", str(home / "bomb.yaml")]) == 1
    assert "aliases" in capsys.readouterr().err


def test_durations_in_words() -> None:
    assert running._duration(12.4) == "12 s"
    assert running._duration(600) == "10 min"
    assert running._duration(7_200) == "2.0 h"
