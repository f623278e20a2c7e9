"""kill -9 at any moment: `python -m benchmarks.kills [NAME ...]`, some twenty minutes.

1. Each command runs once in peace; what it leaves (the store's dump, the files it writes) is kept.
2. The same command is killed at a moment drawn between its start and its end, and given again,
   which is killed, too, until it has been killed twenty times. Wherever it comes to its end, what
   it leaves is compared, and it begins again from nothing.
3. The servers are killed while readers let texts be steered and features be ablated; then what they
   have cached is compared with what a server caches that nobody kills.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from app.settings import Settings, read_settings
from app.store.database import connect
from app.store.store import open_store
from app.store.upkeep.dump import dump
from benchmarks.ablation import copy_without_effects
from benchmarks.crowd.client import Client
from benchmarks.crowd.questions import ablation, steering
from benchmarks.served import Served, serving

KILLS = 20
DEMO = Path(__file__).parents[1] / "demo"
N_FEATURES = 60  # that are ablated while servers are killed


@dataclass(frozen=True)
class Work:
    """A command that is killed.

    Attributes:
        words: after `featurescope`.
        leaves: a checksum of what it leaves.
        prepare: what has to be there before it begins.
    """

    words: Sequence[str]
    leaves: Callable[[], str]
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Outcome:
    """What twenty kills left.

    Attributes:
        kills: how many, of what.
        equal: whether all that was left is what is left in peace.
    """

    kills: str
    equal: bool

    def __str__(self) -> str:
        return f"{self.kills}, what is left {'equal' if self.equal else 'DIFFERENT'}"


class Workshop:
    """A folder in which commands run: always the same one, since paths are stored.

    Args:
        folder: to work in.
        settings: whose store is exported and served.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._home = folder / "home"
        self._out = folder / "out"
        self._bundle = folder / "bundle"
        self._settings = settings

    def works(self) -> dict[str, Work]:
        """The commands, by name."""
        model, neurons = f"{DEMO / 'model'}", "blocks.0.mlp.hook_post"
        text = ["--corpus", "python-stdlib", "--tokens", "40000"]
        dictionary = str(DEMO / "resid-1024")
        training = ["--hook-point", neurons, "--features", "512", "--l0", "8", "--out"]
        training += [str(self._out), "--corpus", "python-stdlib", "--tokens", "150000"]
        return {
            "harvest": Work(
                ["harvest", "--model", model, "--dictionary", dictionary, *text], self._store
            ),
            "add": Work(["add", "--model", model, "--sae", dictionary, *text], self._store),
            "train": Work(["train", "--model", model, *training], self._files),
            "export": Work(["export", "--bundle", str(self._out / "b")], self._files, self._copy),
            "import": Work(["import", str(self._bundle)], self._store, self._bundled),
        }

    def kill(self, work: Work) -> Outcome:
        """Kill a command twenty times."""
        self._begin(work)
        began = time.monotonic()
        if self._run(work.words) != 0:
            raise SystemExit(f"featurescope {work.words[0]} failed, though nobody killed it.")
        seconds, whole = time.monotonic() - began, work.leaves()
        self._begin(work)
        draw, kills, ends, equal = random.Random(0), 0, 0, 0
        while kills < KILLS:
            code = self._run(work.words, draw.uniform(0.3, 1.0) * seconds)
            if code == -signal.SIGKILL:
                kills += 1
                continue
            ends += 1
            equal += work.leaves() == whole
            self._begin(work)
        self._run(work.words)
        ends += 1
        equal += work.leaves() == whole
        return Outcome(f"{kills} kills of {seconds:.1f} s of work, {ends} ends", equal == ends)

    def _begin(self, work: Work) -> None:
        for folder in (self._home, self._out):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(0o700)
        work.prepare()

    def _run(self, words: Sequence[str], kill_after: float | None = None) -> int:
        """The command's status; killed after so many seconds unless it has ended by then."""
        environment = {**os.environ, "FEATURESCOPE_HOME": str(self._home)}
        environment.pop("FEATURESCOPE_DATABASE_URL", None)
        with subprocess.Popen(
            [sys.executable, "-m", "app", *words],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(kill_after)
            process.kill()
        return process.returncode

    def _store(self) -> str:
        return _dumped(f"sqlite:///{self._home / 'featurescope.db'}")

    def _files(self) -> str:
        """Names and contents; what an end has left half written would be among them."""
        digest = hashlib.sha256()
        for path in sorted(self._out.rglob("*")):
            if path.is_file():
                digest.update(
                    f"{path.name} {hashlib.sha256(path.read_bytes()).digest()!r}".encode()
                )
        return digest.hexdigest()

    def _copy(self) -> None:
        open_store(copy_without_effects(self._settings, self._home)).close()  # upgraded, if need be

    def _bundled(self) -> None:
        if not self._bundle.exists():
            self._copy()
            self._run(["export", "--bundle", str(self._bundle)])
            for path in self._home.iterdir():
                path.unlink()


def kill_servers(settings: Settings, web: bool) -> Outcome:
    """Kill the worker, or the web process, while it is used."""
    with tempfile.TemporaryDirectory() as folder:
        killed = copy_without_effects(settings, Path(folder))
        features: list[int] = []
        kills = 0
        while kills < KILLS:
            with serving(killed) as served:
                if not features:
                    features = _firing(served)
                if web:
                    asyncio.run(_use(served, features, kill=lambda: served.pid, times=1))
                    kills += 1
                else:
                    kills = asyncio.run(
                        _use(served, features, kill=lambda: served.worker, times=KILLS)
                    )
        with serving(killed) as served:
            asyncio.run(_ablate_all(served, features))
        left = _dumped(killed.url)
    with tempfile.TemporaryDirectory() as folder:
        calm = copy_without_effects(settings, Path(folder))
        with serving(calm) as served:
            asyncio.run(_ablate_all(served, features))
        return Outcome(f"{kills} kills under load", left == _dumped(calm.url))


async def _use(served: Served, features: Sequence[int], kill: Callable[[], int], times: int) -> int:
    """Let four readers work, and kill a process so many times meanwhile; how often it was."""
    draw = random.Random(served.pid)

    async def ablate(number: int) -> None:
        while True:
            await Client(served.port, number).ask(ablation(draw.choice(features)), seconds=60)
            await asyncio.sleep(0.05)

    async def steer(number: int) -> None:
        while True:
            await Client(served.port, number).ask(*steering(draw.choice(features), 100), seconds=60)
            await asyncio.sleep(0.05)

    readers = [
        asyncio.create_task(work(n)) for n, work in enumerate((ablate, ablate, steer, steer))
    ]
    kills = 0
    while kills < times:
        await Client(served.port, 9).persist(ablation(features[0]), seconds=60)  # it works again
        await asyncio.sleep(draw.uniform(0.1, 2.0))
        with suppress(ProcessLookupError, SystemExit):
            os.kill(kill(), signal.SIGKILL)
            kills += 1
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    return kills


async def _ablate_all(served: Served, features: Sequence[int]) -> None:
    for feature in features:
        answer, _ = await Client(served.port).persist(ablation(feature))
        if answer.status != 200:
            raise SystemExit(f"feature {feature}: {answer}")


def _firing(served: Served) -> list[int]:
    """Features that fire."""
    rows = [
        served.http.get(f"/api/v1/d/demo/mlp-4096?sort=density&order=desc&page={page}").json()
        for page in (3, 4)
    ]
    return [row["index"] for page in rows for row in page["features"]][:N_FEATURES]


def _dumped(url: str) -> str:
    digest = hashlib.sha256()
    engine = connect(url)
    for line in dump(engine):
        digest.update(line.encode() + b"\n")
    engine.dispose()
    return digest.hexdigest()


def main(names: Sequence[str]) -> int:
    """Kill and print; 1 where something else was left than in peace."""
    settings, outcomes = read_settings(), list[Outcome]()

    def note(name: str, outcome: Outcome) -> None:
        outcomes.append(outcome)
        print(f"  {name}: {outcome}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder), settings)
        for name, work in workshop.works().items():
            if name in names or not names:
                note(name, workshop.kill(work))
    for name in ("worker", "web"):
        if name in names or not names:
            note(name, kill_servers(settings, web=name == "web"))
    return int(not all(outcome.equal for outcome in outcomes))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
