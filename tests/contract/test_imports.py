"""The architecture's one-way streets."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.contract.repository import ROOT, imports, modules

SCIENCE_NEVER = {
    "alembic",
    "app",
    "fastapi",
    "httpx",
    "psycopg",
    "pydantic_settings",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}
RUNS_CODE = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
WEB_NEVER = {"torch", "transformer_lens", "transformers", "safetensors"}


def _tops(name: str) -> set[str]:
    return {imported.partition(".")[0] for imported in imports(name)}


def test_the_science_knows_nothing_of_web_and_database() -> None:
    assert [name for name in modules("sae_core/") if _tops(name) & SCIENCE_NEVER] == []


def test_only_chat_templates_know_jinja() -> None:
    """A model's template is a program in that language, run by our own rules."""
    users = [name for name in modules("sae_core/") if "jinja2" in _tops(name)]
    assert users
    assert all(name.startswith("sae_core/text/chat/") for name in users)


def test_one_module_imports_transformer_lens() -> None:
    importers = [name for name in modules("app/", "sae_core/") if "transformer_lens" in _tops(name)]
    assert importers == ["sae_core/language_model/architecture/layouts.py"]


def test_nothing_is_unpickled() -> None:
    assert [name for name in modules("app/", "sae_core/") if _tops(name) & RUNS_CODE] == []


@pytest.mark.parametrize(
    "start", ["app.application", "app.serving", "app.worker.client.supervisor"]
)
def test_the_web_process_leaves_torch_unloaded(start: str) -> None:
    program = f"import sys, json, {start}; print(json.dumps([*sys.modules]))"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, stdout=subprocess.PIPE
    )
    assert not set(json.loads(answer.stdout)) & WEB_NEVER


def test_queries_have_one_home() -> None:
    """SQLAlchemy is for the store, its schema, its connection and its migrations."""
    outside = [
        name
        for name in modules("app/")
        if "sqlalchemy" in _tops(name) and not name.startswith("app/store/")
    ]
    assert outside == []


def test_messages_are_data() -> None:
    """The protocol holds types only: no functions, no torch."""
    assert not _tops("app/worker/protocol/requests.py") & (
        WEB_NEVER | {"numpy", "httpx", "sae_core"}
    )
