"""What Featurescope needs on this machine, looked at part by part: what is wrong, what to do."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from app import __version__
from app.errors import FeaturescopeError
from app.settings import Settings, resource

LIBRARIES = ("torch", "transformers", "transformer-lens", "sqlalchemy", "fastapi", "uvicorn")
VENDOR = ("htmx.min.js", "hx-sse.min.js", "twgl.js")
LITTLE_ROOM = 2 << 30  # bytes: the English demo takes 0.8 GB while it is opened
WORKER_SECONDS = 5.0


class Verdict(StrEnum):
    """How a part is; the later, the worse."""

    FINE = "fine"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True)
class Finding:
    """What was found of one part.

    Attributes:
        part: what was looked at.
        verdict: how it is.
        sentence: what was found, and what to do about it.
    """

    part: str
    verdict: Verdict
    sentence: str


def diagnose(settings: Settings) -> Iterator[Finding]:
    """Look at one part after the other; a look that fails is a finding, too."""
    looks: tuple[tuple[str, Callable[[Settings], Iterator[Finding]]], ...] = (
        ("versions", _versions),
        ("device", _device),
        ("home", _home),
        ("browser libraries", _browser),
        ("store", _store),
        ("worker", _workers),
    )
    for part, look in looks:
        try:
            yield from look(settings)
        except (FeaturescopeError, OSError, ImportError) as error:
            yield Finding(part, Verdict.WRONG, str(error))


def _versions(_settings: Settings) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    found = [f"featurescope {__version__}", f"Python {python}", f"SQLite {sqlite3.sqlite_version}"]
    missing = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    yield Finding("versions", Verdict.FINE, ", ".join(found))
    if missing:
        yield Finding(
            "versions",
            Verdict.WRONG,
            f"Not installed: {', '.join(missing)}. Install Featurescope anew.",
        )


def _device(settings: Settings) -> Iterator[Finding]:
    import torch

    threads = f"{os.cpu_count()} processors, {torch.get_num_threads()} threads of torch"
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if settings.device != "cpu" and not there[settings.device]:
        yield Finding(
            "device",
            Verdict.WRONG,
            f"FEATURESCOPE_DEVICE is {settings.device}, but torch {torch.__version__} finds none: "
            "install a build of torch for it and its driver, or unset the variable.",
        )
    elif settings.device == "cuda":
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        yield Finding(
            "device", Verdict.FINE, f"{name}, {_gib(free)} of {_gib(total)} free; {threads}"
        )
    else:
        yield Finding("device", Verdict.FINE, f"{settings.device}; {threads}")
    unused = [name for name, is_there in there.items() if is_there]
    if settings.device == "cpu" and unused:
        yield Finding(
            "device",
            Verdict.NOTE,
            f"There is a {unused[0]} device that is not used: FEATURESCOPE_DEVICE={unused[0]}.",
        )


def _home(settings: Settings) -> Iterator[Finding]:
    home = settings.home
    above = next(folder for folder in (home, *home.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        yield Finding(
            "home",
            Verdict.WRONG,
            f"{home} cannot be written ({error.strerror}): make it this user's own, or name "
            "another with FEATURESCOPE_HOME.",
        )
    free = shutil.disk_usage(above).free
    if free < LITTLE_ROOM:
        yield Finding(
            "disk",
            Verdict.NOTE,
            f"Only {_gib(free)} are free below {above}: a harvest may stop half-way (it goes on "
            "later).",
        )
    else:
        yield Finding("home", Verdict.FINE, f"{home}, {_gib(free)} free")


def _browser(_settings: Settings) -> Iterator[Finding]:
    folder = resource("static") / "vendor"
    missing = [name for name in VENDOR if not (folder / name).is_file()]
    if missing:
        yield Finding(
            "browser libraries",
            Verdict.WRONG,
            f"{', '.join(missing)} are missing in {folder}: pages work, but nothing on them is "
            "live. Install Featurescope anew; they come from npm at that time.",
        )
    else:
        yield Finding("browser libraries", Verdict.FINE, f"all in {folder}")


def _store(settings: Settings) -> Iterator[Finding]:
    from app.store.store import open_store

    if settings.database_url is None and not (settings.home / "featurescope.db").exists():
        yield Finding(
            "store", Verdict.NOTE, "There is none yet: `featurescope demo` or `harvest` makes it."
        )
        return
    with open_store(settings, upgrade=False) as store:
        views, where = store.catalogue(), store.engine.url.render_as_string(hide_password=True)
        stalled = [harvest for harvest in store.progress.all() if harvest.stalled]
    yield Finding("store", Verdict.FINE, f"{len(views)} dictionaries at {where}")
    for view in views:
        if not view.is_imported and not _is_there(view.model_path):
            yield Finding(
                "models",
                Verdict.WRONG,
                f"The model of {view.model}/{view.name} is gone from {view.model_path}: its pages "
                "can be read, but nothing is computed. Put it back, or add it anew.",
            )
    for harvest in stalled:
        yield Finding(
            "harvests",
            Verdict.NOTE,
            f"{harvest.model}/{harvest.dictionary} has stopped at {harvest.done:,} of "
            f"{harvest.total:,}: the command that began it goes on with it.",
        )


def _workers(settings: Settings) -> Iterator[Finding]:
    from app.worker.client.blocking import WorkerClient
    from app.worker.protocol.events import HealthPhase

    if not settings.worker_urls:
        yield Finding("worker", Verdict.FINE, "`featurescope serve` starts its own")
    for url in settings.worker_urls:
        client = WorkerClient(partial(str, url))
        try:
            health = client.health(WORKER_SECONDS)
        except FeaturescopeError:
            yield Finding(
                "worker",
                Verdict.WRONG,
                f"Nobody answers at {url}: start `featurescope worker` there, or unset "
                "FEATURESCOPE_WORKER_URL.",
            )
            continue
        finally:
            client.close()
        said = f"{url}: {health.phase}, on {health.device}, {health.jobs} requests under way"
        if health.version != __version__:
            yield Finding(
                "worker",
                Verdict.WRONG,
                f"{said}; it is of version {health.version}, this is {__version__}: run the same.",
            )
        elif health.phase is HealthPhase.BROKEN:
            yield Finding("worker", Verdict.WRONG, f"{said}: {health.message}")
        else:
            yield Finding("worker", Verdict.FINE, said)


def _is_there(path: str) -> bool:
    return Path(path).exists()


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 30):.1f} GiB"
