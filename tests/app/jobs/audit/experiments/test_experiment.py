"""`featurescope experiment` on a small model: what it keeps, kills and judges."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from app.cli.main import run
from app.jobs.audit.experiments import readings
from app.jobs.audit.experiments.prompts import FilePrompt, prompt_file
from app.jobs.audit.experiments.result_file import read_result
from app.settings import Settings
from app.store.store import open_store
from app.worker.client.references import dictionary_ref, model_ref
from app.worker.process.shelf import Shelf
from sae_core.audit.monitors.levels import monitor_levels
from sae_core.interventions.prompt import prompt_tokens
from tests.app.jobs.audit.experiments.small_home import PLAN, PROMPTS, forget_all, result_of
from tests.app.jobs.explain.scripted import said, served


def test_a_plan_is_run_and_kept(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forget_all(home)
    assert run(["experiment", str(home / "plan.toml"), "--output", str(home / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "32 prompts × 11 arms × 2 samples: 704 texts of at most 6 tokens." in printed
    assert "of drawing are left" in printed
    assert "Its page is /experiments/foxes" in printed
    assert (home / "out.json").read_bytes() == result_of(home).read_bytes()
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
    forget_all(home)
    assert run(["experiment", str(home / "plan.toml")]) == 0
    first = result_of(home)
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
    forget_all(home)
    assert run(["experiment", str(home / "plan.toml")]) == 0
    arms = {arm.name: arm for arm in read_result(result_of(home)).details.arms}
    (edit,), (control,) = (arms[name].edits for name in ("add 5 × 8", "random for add 5 × 8"))
    assert edit.feature != control.feature
    assert control.maximum == pytest.approx(edit.maximum)  # all neurons write one unit
    assert arms["random for add 5 × 1"].edits[0].feature == control.feature


def test_killed_three_times_it_ends_with_the_same_file(home: Path, tmp_path: Path) -> None:
    plan = home / "few.toml"
    plan.write_text(PLAN.split("[[arms]]\nablate")[0] + '[[outcomes]]\nwords = ["fox"]\n')
    forget_all(home)
    assert run(["experiment", str(plan)]) == 0
    whole = result_of(home).read_bytes()
    forget_all(home)
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
    assert result_of(home).read_bytes() == whole


def test_a_judge_is_paid_once_and_goes_on(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_all(home)
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
    details = read_result(result_of(home)).details
    (outcome,) = details.outcomes
    assert (outcome.kind, outcome.left_out) == ("judge", 1)
    assert {row.prompts for row in details.figures.means} == {31}


def test_conversations_are_prompts(home: Path) -> None:
    forget_all(home)
    lines = [json.dumps({"messages": [{"role": "user", "content": text}]}) for text in PROMPTS]
    (home / "chats.jsonl").write_text("\n".join([*lines, json.dumps({"text": "the fox"})]))
    plan = home / "chats.toml"
    text = PLAN.replace("prompts.jsonl", "chats.jsonl")
    plan.write_text(text.replace('answer_field = "target"', 'answer = " return"'))
    assert run(["experiment", str(plan)]) == 0
    texts = read_result(result_of(home)).texts
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
