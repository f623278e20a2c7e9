"""Each how-to of CONTRIBUTING.md, followed: what it names exists, and what it promises happens."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient
from safetensors.torch import save_file

from app import application
from app.cli import main
from app.store import database
from app.worker.process.jobs import registry
from app.worker.protocol import kinds, requests
from app.worker.protocol.events import Progress
from sae_core.dictionaries import architectures
from sae_core.dictionaries.checkpoint import load_dictionary
from sae_core.dictionaries.formats import opening
from sae_core.dictionaries.formats.parts import Parts
from sae_core.training import methods
from sae_core.training.method import Method
from tests.contract.repository import ROOT, tracked
from tests.sae_core import tiny_models


def guides() -> dict[str, str]:
    """Each how-to by its title, with its text."""
    page = (ROOT / "CONTRIBUTING.md").read_text().partition("## How to …")[2]
    return dict(re.findall(r"^\*\*(.+?)\.\*\*\s(.*?)(?=^\*\*|\Z)", page, re.MULTILINE | re.DOTALL))


def test_all_guides_are_read() -> None:
    assert len(guides()) == 8


@pytest.mark.parametrize("title", guides())
def test_a_guide_names_what_exists(title: str) -> None:
    there = {str(parent) for name in tracked() for parent in Path(name).parents} | set(tracked())
    pattern = r"`((?:app|sae_core|templates|tests|migrations)/[\w/.-]*)`"
    named = re.findall(pattern, guides()[title])
    assert named
    assert [name for name in named if name.rstrip("/") not in there] == []


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("FORMATS", opening),
        ("ROOMS", application),
        ("COMMANDS", main),
        ("JOBS", registry),
        ("REQUESTS", kinds),
    ],
)
def test_a_register_is_where_a_guide_says(name: str, module: object) -> None:
    place = str(module.__name__).replace(".", "/")  # type: ignore[attr-defined]
    place = f"{place}.py"
    assert any(f"`{name}` of" in text and f"`{place}`" in text for text in guides().values())
    assert hasattr(module, name)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules count as architectures and as methods while a test runs."""
    folder = tmp_path / "added"
    folder.mkdir()
    for package, finder in (
        (architectures, architectures.dictionary_classes),
        (methods, methods.methods),
    ):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        finder.cache_clear()
    yield folder
    for name in [name for name in sys.modules if name.endswith(".added_by_a_test")]:
        del sys.modules[name]
    for finder in (architectures.dictionary_classes, methods.methods):
        finder.cache_clear()


def test_an_architecture_is_found_by_being_there(room: Path, tmp_path: Path) -> None:
    (room / "added_by_a_test.py").write_text(
        textwrap.dedent(
            '''
            """Activations squared."""
            from torch import Tensor

            from sae_core.dictionaries.architectures.standard import StandardDictionary


            class SquaredDictionary(StandardDictionary):
                """f = relu((x - b_dec) W_enc + b_enc)^2."""

                architecture = "squared"

                def activate(self, pre: Tensor) -> Tensor:
                    return super().activate(pre) ** 2

                def encode_feature(self, x: Tensor, feature: int) -> Tensor:
                    return super().encode_feature(x, feature) ** 2
            '''
        )
    )
    folder = tmp_path / "sae"
    folder.mkdir()
    config = {"architecture": "squared", "d_in": 2, "d_sae": 3, "apply_b_dec_to_input": True}
    config |= {"metadata": {"hook_name": "blocks.0.hook_resid_post"}}
    (folder / "cfg.json").write_text(json.dumps(config))
    weights = {
        "W_enc": torch.tensor([[1.0, 0.0, -1.0], [0.0, 2.0, 0.0]]),
        "W_dec": torch.eye(3, 2),
        "b_enc": torch.zeros(3),
        "b_dec": torch.zeros(2),
    }
    save_file(weights, folder / "sae_weights.safetensors")
    dictionary = load_dictionary(folder)
    assert dictionary.encode(torch.tensor([[3.0, 1.0]])).tolist() == [[9.0, 4.0, 0.0]]


def test_a_training_method_is_found_by_being_there(room: Path) -> None:
    (room / "added_by_a_test.py").write_text(
        textwrap.dedent(
            """
            from sae_core.training.methods.topk import TopK


            class TopKAgain(TopK):
                architecture = "topk-again"
            """
        )
    )
    method = methods.method_class("topk-again")
    assert issubclass(method, Method)
    assert method.__name__ == "TopKAgain"


def test_a_format_is_recognised_once_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "one.ones"
    file.write_text("2 3")

    def read(path: Path, _mapping: object) -> Parts:
        d_in, d_sae = map(int, path.read_text().split())
        weights = {
            "W_enc": torch.ones(d_in, d_sae),
            "W_dec": torch.ones(d_sae, d_in),
            "b_enc": torch.zeros(d_sae),
            "b_dec": torch.zeros(d_in),
        }
        config = {"architecture": "standard", "apply_b_dec_to_input": False}
        return Parts(config, weights, (path,), "blocks.0.hook_resid_post", "the test")

    ones = opening.Format("ones", lambda path: path.suffix == ".ones", read)
    monkeypatch.setattr(opening, "FORMATS", {**opening.FORMATS, "ones": ones})
    opened = opening.open_dictionary(file)
    assert opened.format == "ones"
    assert opened.dictionary.encode(torch.tensor([[1.0, 2.0]])).tolist() == [[3.0, 3.0, 3.0]]


def test_families_of_models_are_listed_where_the_guide_says() -> None:
    text = (ROOT / "tests/sae_core/language_model/test_architectures.py").read_text()
    assert "tiny_models" in text
    assert any("Config" in name for name in dir(tiny_models))


def test_a_room_is_served_once_it_is_named() -> None:
    """Each entry of ROOMS is a pair of modules with a router, and that is all an entry needs."""
    for pages, interface in application.ROOMS:
        app = FastAPI()
        app.include_router(pages.router)
        app.include_router(interface.router)
        assert {route.path for route in pages.router.routes}
        assert TestClient(app).get("/openapi.json").json()["paths"]


def test_a_command_is_offered_once_it_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        parser = commands.add_parser("greet", help="say hello")
        parser.set_defaults(command=run, interrupted="Interrupted.")

    def run(_arguments: argparse.Namespace) -> None:
        sys.stdout.write("hello\n")

    added = SimpleNamespace(register=register, run=run)
    monkeypatch.setattr(main, "COMMANDS", (*main.COMMANDS, added))
    assert main.run(["greet"]) == 0
    assert capsys.readouterr().out == "hello\n"


def test_a_job_is_done_once_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class CountRequest(requests.WorkRequest):
        """Count to a number."""

        path = "/count"
        to: int

    def count(request: CountRequest, *_: object) -> Iterator[Progress]:
        yield from (Progress(done=n, total=request.to) for n in range(1, request.to + 1))

    monkeypatch.setitem(registry.JOBS, CountRequest, count)
    model = requests.ModelRef(path="model", checksum="0")
    limits: Any = SimpleNamespace(memory_bytes=0)
    bench = registry.TorchWorkbench("cpu", None, limits)
    done = [
        event.done
        for event in bench.work(CountRequest(model=model, to=3))
        if isinstance(event, Progress)
    ]
    assert done == [1, 2, 3]


def test_alembic_drafts_a_revision_for_a_new_column(tmp_path: Path) -> None:
    """In a copy of the clone, as somebody would do it."""
    copy = tmp_path / "clone"
    for name in tracked():
        if name.startswith(("app/", "sae_core/", "migrations/")):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    schema = copy / "app/store/schema.py"
    lines = schema.read_text().splitlines(keepends=True)
    at = next(i for i, line in enumerate(lines) if line.strip() == '__tablename__ = "model"')
    lines.insert(at + 1, "    nickname: Mapped[str | None]\n")
    schema.write_text("".join(lines))
    address = f"sqlite:///{tmp_path / 'store.db'}"
    engine = database.connect(address)
    database.upgrade(engine)
    engine.dispose()
    words = ["alembic", "-c", "migrations/alembic.ini", "revision", "--autogenerate", "-m", "nicks"]
    subprocess.run(
        [sys.executable, "-m", *words],
        cwd=copy,
        env={"FEATURESCOPE_DATABASE_URL": address, "PATH": "", "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    known = {path.name for path in (ROOT / "migrations/versions").iterdir()}
    drafts = [p for p in (copy / "migrations/versions").glob("*.py") if p.name not in known]
    assert len(drafts) == 1
    assert "nickname" in drafts[0].read_text()
