"""`featurescope experiment` on a small model: what it keeps, kills, judges, and what it refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from app.cli.main import run
from app.jobs.audit.contrast import ContrastSpec, find_contrast, read_texts
from app.jobs.audit.experiments import readings
from app.jobs.audit.experiments import run as running
from app.jobs.audit.experiments.plan import read_plan
from app.jobs.audit.experiments.prompts import FilePrompt, prompt_file
from app.jobs.audit.experiments.result_file import read_result
from app.jobs.harvest import harvest as harvesting
from app.jobs.source import SourceSpec
from app.settings import Settings
from app.store.store import open_store
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.process.shelf import Shelf
from sae_core.audit.monitors.levels import monitor_levels
from sae_core.interventions.prompt import prompt_tokens
from tests.app.jobs.explain.scripted import said, served
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

POST = "blocks.1.mlp.hook_post"
PROMPTS = [f"def fox_{n}(dog{'s' * (n % 4)}):" for n in range(32)]
PLAN = """
name = "foxes"
dictionary = "tiny/neurons"
prompts = "prompts.jsonl"
samples = 2
tokens = 6
neutral_texts = 8
[[arms]]
features = [5]
strengths = [1, 8]
[[arms]]
ablate = [7]
controls = 0
[[arms]]
list = "busy"
method = "scale"
strengths = [3.0]
controls = 2
[[arms]]
contrast = "foxes-against-code"
strengths = [2]
[[outcomes]]
words = ["fox"]
[[outcomes]]
pattern = "[a-f]"
[[outcomes]]
answer_field = "target"
against = [" jumps"]
[[outcomes]]
measure = "length"
[[outcomes]]
measure = "repetition"
[[outcomes]]
name = "never"
words = ["nowhere to be found"]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the neurons of a small model, a list, a contrast, prompts and a plan."""
    folder = tmp_path_factory.mktemp("experiment")
    save_folder(tiny_gpt2(), folder / "tiny")
    (folder / "texts").mkdir()
    for n in range(20):
        (folder / "texts" / f"{n:02}.txt").write_text(f"def fox_{n}(dog): return {n} jumps\n" * 3)
    spec = SourceSpec(
        str(folder / "tiny"), neurons=POST, name="neurons", corpus=str(folder / "texts"), n_ctx=32
    )
    settings = Settings(home=folder / "home")
    harvesting.harvest(settings, spec)
    foxes = read_texts([f"the fox {n} jumps" for n in range(10)], "foxes", as_json=False)
    code = read_texts([f"def f_{n}(x): return {n}" for n in range(10)], "code", as_json=False)
    with open_store(settings) as store:
        view = store.dictionary("tiny", "neurons")
        busy = np.argsort(-store.scales(view).firings)[:2].tolist()
        store.lists.create("busy", dictionary=view, features=busy)
        find_contrast(store, ContrastSpec(view, "foxes against code", foxes, code), "cpu")
    lines = [json.dumps({"text": text, "target": " return"}) for text in PROMPTS]
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    (folder / "plan.toml").write_text(PLAN)
    return folder


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEATURESCOPE_HOME", str(folder / "home"))
    return folder


def _result(home: Path) -> Path:
    (path,) = (home / "home").glob("experiments/*/result-*.json")
    return path


def _forget(home: Path) -> None:
    shutil.rmtree(home / "home" / "experiments", ignore_errors=True)
    with open_store(Settings(home=home / "home")) as store:
        for line in store.audit.experiments.all():
            store.audit.experiments.forget(line.name)


def test_a_plan_is_run_and_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _forget(home)
    assert run(["experiment", str(home / "plan.toml"), "--output", str(home / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "32 prompts × 11 arms × 2 samples: 704 texts of at most 6 tokens." in printed
    assert "of drawing are left" in printed
    assert "Its page is /experiments/foxes" in printed
    assert (home / "out.json").read_bytes() == _result(home).read_bytes()
    with open_store(Settings(home=home / "home")) as store:
        view = store.audit.experiments.view("foxes")
        values = store.audit.experiments.values(view)
        texts = store.audit.experiments.texts("foxes", range(32))
    names = [arm.name for arm in view.details.arms]
    assert names[:4] == ["unsteered", "add 5 × 1", "random for add 5 × 1", "add 5 × 8"]
    assert names[5:] == [
        "without 7",
        "list busy",
        "random 1 for list busy",
        "random 2 for list busy",
        "direction of foxes-against-code",
        "random for direction of foxes-against-code",
    ]
    assert [own.said for own in texts] == PROMPTS
    place = {own.name: n for n, own in enumerate(view.details.outcomes)}
    said_fox = [[np.mean(["fox" in t for t in arm]) for arm in own.texts] for own in texts]
    pattern = [
        [np.mean([any(c in "abcdef" for c in t) for t in arm]) for arm in own.texts]
        for own in texts
    ]
    np.testing.assert_allclose(values[place["matches [a-f]"]], pattern)
    assert np.array(said_fox).sum() >= values[place["says 'fox'"]].sum()
    assert not values[place["never"]].any()
    share = values[place["probability of the field target"]]
    assert ((share > 0) & (share < 1)).all()
    changed = [[np.mean([a != b for a, b in zip(arm, own.texts[0], strict=True)])
                for arm in own.texts] for own in texts]  # fmt: skip
    np.testing.assert_allclose(values[-1], changed)
    assert values[-1][:, 0].sum() == 0
    assert values[-1][:, names.index("add 5 × 8")].mean() > 0.5
    assert len(view.details.side_effects) == 11
    # The same again is there at once.
    assert run(["experiment", str(home / "plan.toml")]) == 0
    # Its file runs again to the same; a changed one does not.
    assert run(["experiment", str(home / "out.json"), "--again"]) == 0
    assert "Nothing differs" in capsys.readouterr().out
    value = json.loads((home / "out.json").read_text())
    value["details"]["figures"]["differences"][0]["difference"] += 0.125
    value["texts"][3]["texts"][1][0] += "x"
    (home / "other.json").write_text(json.dumps(value))
    assert run(["experiment", str(home / "other.json"), "--again"]) == 0
    printed = capsys.readouterr().out
    assert "1 of 704 texts differ." in printed
    assert "says 'fox', add 5 × 1 against unsteered" in printed
    assert run(["forget", "--experiment", "foxes"]) == 0


def test_another_outcome_needs_no_other_texts(home: Path) -> None:
    _forget(home)
    assert run(["experiment", str(home / "plan.toml")]) == 0
    first = _result(home)
    batches = {path: path.stat().st_mtime_ns for path in first.parent.glob("batch-*.json")}
    command = ["monitor", "tiny/neurons", "--feature", "5", "--name", "five", "--rate", "0.2"]
    assert run(command) == 0
    plan = home / "watched.toml"
    plan.write_text(PLAN.replace('measure = "length"', 'monitor = "five"'))
    assert run(["experiment", str(plan)]) == 0
    results = sorted(first.parent.glob("result-*.json"))
    assert len(results) == 2
    assert {path: path.stat().st_mtime_ns for path in first.parent.glob("batch-*.json")} == batches
    (other,) = [read_result(path) for path in results if path != first]
    with open_store(Settings(home=home / "home")) as store:
        view = store.dictionary("tiny", "neurons")
        monitor = store.audit.monitors.view("five").record.details.monitor
        shelf = Shelf("cpu", 2**30)
        model = shelf.model(model_ref(view))
        dictionary = shelf.dictionary(model_ref(view), dictionary_ref(view))
    place = [own.name for own in other.details.outcomes].index("monitor five")
    for arm in (0, 3):
        levels = monitor_levels(model, dictionary, monitor, other.texts[7].texts[arm])
        assert other.values[place, 7, arm] == pytest.approx(levels.mean())
    assert run(["forget", "--monitor", "five"]) == 0


def test_a_control_is_steered_as_far(home: Path) -> None:
    _forget(home)
    assert run(["experiment", str(home / "plan.toml")]) == 0
    arms = {arm.name: arm for arm in read_result(_result(home)).details.arms}
    (edit,), (control,) = (arms[name].edits for name in ("add 5 × 8", "random for add 5 × 8"))
    assert edit.feature != control.feature
    assert control.maximum == pytest.approx(edit.maximum)  # all neurons write one unit
    assert arms["random for add 5 × 1"].edits[0].feature == control.feature


def test_killed_three_times_it_ends_with_the_same_file(home: Path, tmp_path: Path) -> None:
    plan = home / "few.toml"
    plan.write_text(PLAN.split("[[arms]]\nablate")[0] + '[[outcomes]]\nwords = ["fox"]\n')
    _forget(home)
    assert run(["experiment", str(plan)]) == 0
    whole = _result(home).read_bytes()
    _forget(home)
    script = tmp_path / "slow.py"
    # Many small batches, each of which takes a while.
    script.write_text(
        "import sys, time\n"
        "from app.jobs.audit.experiments import drawing, readings\n"
        "from app.cli.main import run\n"
        "keep = drawing.TextDrawing._keep\n"
        "def slowly(self, name, value):\n"
        "    keep(self, name, value)\n"
        "    time.sleep(0.4)\n"
        "drawing.TextDrawing._keep = slowly\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    command = [sys.executable, str(script), "experiment", str(plan)]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    batches = home / "home" / "experiments"
    for killed in range(1, 4):
        process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list(batches.glob("*/batch-*.json"))) < killed:
            time.sleep(0.02)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not list(batches.glob("*/result-*.json"))
    assert run(["experiment", str(plan)]) == 0
    assert _result(home).read_bytes() == whole


def test_a_judge_is_paid_once_and_goes_on(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _forget(home)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    asked = 0

    def answer(_path: str, body: dict[str, object]) -> tuple[int, dict[str, str], bytes]:
        nonlocal asked
        asked += 1
        if not working and asked > 40:
            return 401, {}, b"no"
        user = str(body["messages"])
        return said("well…" if "fox_3(" in user else "Yes." if "e" in user[-40:] else "no")

    with served(answer) as script:
        plan = home / "judged.toml"
        plan.write_text(
            PLAN.split("[[arms]]\nablate")[0]
            + f'[[outcomes]]\nname = "kind"\nquestion = "Is it kind?"\nendpoint = "{script.url}"\n'
            'judge = "small"\n'
        )
        working = False
        assert run(["experiment", str(plan), "--parallel", "1"]) == 1
        assert "does not accept the key" in capsys.readouterr().err
        working = True
        assert run(["experiment", str(plan), "--estimate"]) == 0
        assert "kind: At most 320 questions" in capsys.readouterr().out
        assert run(["experiment", str(plan)]) == 0
        printed = capsys.readouterr()
        assert "answered before" in printed.out
        assert "which is no answer" in printed.out + printed.err
        answered = [body for body in script.asked if body["model"] == "small"]
        assert script.twice() <= 1 + sum("fox_3(" in str(body) for body in answered)
        assert "arm" not in str(answered[0])
    details = read_result(_result(home)).details
    (outcome,) = details.outcomes
    assert (outcome.kind, outcome.left_out) == ("judge", 1)
    assert {row.prompts for row in details.figures.means} == {31}


def test_conversations_are_prompts(home: Path) -> None:
    _forget(home)
    lines = [json.dumps({"messages": [{"role": "user", "content": text}]}) for text in PROMPTS]
    (home / "chats.jsonl").write_text("\n".join([*lines, json.dumps({"text": "the fox"})]))
    plan = home / "chats.toml"
    text = PLAN.replace("prompts.jsonl", "chats.jsonl")
    plan.write_text(text.replace('answer_field = "target"', 'answer = " return"'))
    assert run(["experiment", str(plan)]) == 0
    texts = read_result(_result(home)).texts
    assert texts[0].said == (("user", PROMPTS[0]),)
    assert texts[32].said == "the fox"


def test_seeds_are_those_of_the_steering_page() -> None:
    seeds = {readings.sample_seeds(5, prompt, 3) for prompt in range(50)}
    assert len({seed for row in seeds for seed in row}) == 150
    assert all(0 <= seed < 2**53 for row in seeds for seed in row)
    assert readings.sample_seeds(5, 7, 1) == readings.sample_seeds(5, 7, 3)[:1]


def test_prompts_of_one_length_are_together(folder: Path) -> None:
    with open_store(Settings(home=folder / "home")) as store:
        model = Shelf("cpu", 2**30).model(model_ref(store.dictionary("tiny", "neurons")))
    file = prompt_file("x", [FilePrompt(n + 1, text) for n, text in enumerate(PROMPTS)])
    made = readings.PromptReadings(model, file, 6)
    batches = made.batches(3, 6)
    assert sorted(number for batch in batches for number in batch.numbers) == list(range(32))
    for batch in batches:
        assert len({len(made.tokens[number]) for number in batch.numbers}) == 1
    assert made.tokens[0] == tuple(prompt_tokens(model, PROMPTS[0]).tolist())
    assert torch.tensor(made.tokens[0]).dtype == torch.int64


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
    _forget(home)
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
