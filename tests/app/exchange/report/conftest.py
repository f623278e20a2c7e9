"""Two homes, each harvested by itself from its own copy of a small model, its dictionary and text;
and a report of all kinds of findings of the first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import run
from app.exchange.report.document import canonical, parsed
from app.exchange.report.signing import ReportKey, open_key
from app.jobs.harvest import harvest as harvesting
from app.jobs.source import SourceSpec
from app.settings import Settings
from app.store.store import open_store
from tests.app.worker.tiny import save_features
from tests.sae_core.tiny_models import save_folder, tiny_gpt2

POST = "blocks.1.mlp.hook_post"
HOSTILE = "</script><script>alert(1)</script>‮<img src=x onerror=alert(1)>"


@dataclass(frozen=True)
class Homes:
    """Attributes:
    folder: with the texts of contrasts and the prompts of a task.
    first: home whose findings are reported.
    second: home that was harvested anew.
    out: where the report lies.
    """

    folder: Path
    first: Path
    second: Path
    out: Path

    @property
    def page(self) -> Path:
        return self.out / "tiny.html"

    @property
    def json(self) -> Path:
        return self.out / "tiny.json"

    @property
    def store(self) -> str:
        """The second store's address."""
        return f"sqlite:///{self.second / 'featurescope.db'}"


def harvest(folder: Path, name: str) -> Path:
    """A home, from copies of all files of its own."""
    own = folder / f"files-{name}"
    for part in ("tiny", "features", "texts"):
        shutil.copytree(folder / part, own / part)
    home = folder / name
    spec = {"corpus": str(own / "texts"), "n_ctx": 12}
    dictionary = SourceSpec(str(own / "tiny"), dictionary=own / "features", name="features", **spec)
    harvesting.harvest(Settings(home=home), dictionary)
    return home


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Homes:
    folder = tmp_path_factory.mktemp("report")
    save_folder(tiny_gpt2(), folder / "tiny")
    save_features(folder / "features", POST, 48)
    (folder / "texts").mkdir()
    for n in range(20):
        (folder / "texts" / f"{n:02}.txt").write_text(f"def fox_{n}(dog): return {n} jumps\n" * 3)
    for name, form in (("foxes", "the fox {} jumps"), ("code", "def f_{}(x): return 1")):
        texts = [{"text": form.format(n), "group": f"group {n % 4}"} for n in range(20)]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, texts)))
    lines = [{"prompt": f"fox {n}", "right": "a", "wrong": ["b", "c"]} for n in range(8)]
    (folder / "letters.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    (folder / "prompts.txt").write_text("\n".join(f"the fox {n}" for n in range(40)))
    first, second = harvest(folder, "first"), harvest(folder, "second")
    homes = Homes(folder, first, second, folder / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEATURESCOPE_HOME", str(first))
        files = (folder / "foxes.jsonl", folder / "code.jsonl")
        words = ["--features", "3", "--name", "contrast", "--list", "foxes"]
        assert run(["contrast", "tiny/features", *map(str, files), *words]) == 0
        fired = str(fires(first))
        loud = ["--feature", fired, "--name", "loud", "--rate", "0.4"]
        assert run(["monitor", "tiny/features", *loud]) == 0
        pushed = ["--features", fired, "--strengths", "4", "--words", "fox", "--name", "pushed"]
        prompts = ["--prompts", str(folder / "prompts.txt")]
        assert run(["experiment", "--dictionary", "tiny/features", *prompts, *pushed]) == 0
        task = ["circuit", "tiny", str(folder / "letters.jsonl"), "--draws", "2", "--no-graph"]
        assert run([*task, "--features", "2", "--dictionary", "features"]) == 0
        assert run(["graph", "tiny", "the fox", "--dictionary", "features", "--nodes", "20"]) == 0
        with open_store(Settings(home=first)) as store:
            view = store.dictionary("tiny", "features")
            store.labels.add(view, fires(first), HOSTILE, "a <b>note</b>", "Ada & Bob")
        assert run(["report", "tiny", *chosen(first), "--out", str(homes.out)]) == 0
    return homes


def fires(home: Path) -> int:
    """The feature that fires most."""
    with open_store(Settings(home=home)) as store:
        return int(store.scales(store.dictionary("tiny", "features")).firings.argmax())


def chosen(home: Path) -> list[str]:
    """Options that name a finding of each kind."""
    feature = f"tiny/features/{fires(home)}"
    words = ["--feature", feature, "--label", feature, "--list", "foxes"]
    words += [
        "--contrast",
        "contrast",
        "--monitor",
        "loud",
        "--experiment",
        "pushed",
        "--graph",
        "tiny/the-fox",
        "--circuit",
        "tiny/letters",
    ]
    return [*words, "--title", f"Title {HOSTILE}", "--note", f"Note\n{HOSTILE}"]


@pytest.fixture
def key(homes: Homes) -> ReportKey:
    return open_key(homes.first)


@pytest.fixture
def written(homes: Homes) -> dict[str, Any]:
    """The JSON, to be changed."""
    value: dict[str, Any] = parsed(homes.json.read_bytes())
    return value


@pytest.fixture
def stranger(tmp_path: Path) -> ReportKey:
    """Somebody else's key."""
    return open_key(tmp_path / "stranger")


Resign = Callable[[dict[str, Any], ReportKey], Path]


@pytest.fixture
def resigned(tmp_path: Path) -> Resign:
    """Writes a changed report, signed by somebody, claims and all in order."""

    def write(value: dict[str, Any], key: ReportKey) -> Path:
        from app.exchange.report.collection import sign
        from app.exchange.report.findings.kinds import kind_of
        from app.exchange.report.schema import AuditReport, RawFinding

        report = dict(value["report"])
        report["key"] = {"public": key.public, "fingerprint": key.fingerprint}
        made = AuditReport.model_validate(report)
        facts = {one.title: one for one in made.dictionaries}
        again: list[RawFinding] = []
        for raw in made.findings:
            kind = kind_of(raw)
            again.append(kind.written(kind.read(raw, facts)))
        signed = sign(made.model_copy(update={"findings": tuple(again)}), key)
        path = tmp_path / "resigned.json"
        path.write_bytes(canonical(signed.model_dump(mode="json")))
        return path

    return write
