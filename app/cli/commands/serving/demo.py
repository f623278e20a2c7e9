"""`featurescope demo`: the bundled demo, harvested once and served."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from app.cli.options import Commands, add_address, add_device

if TYPE_CHECKING:
    from app.settings import Settings


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser("demo", help="harvest the bundled demo once, then serve it")
    add_address(parser)
    add_device(parser)
    parser.add_argument("--no-serve", action="store_true", help="only harvest it")
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
        from app.jobs.demo.contents import harvest_demo, is_harvested

        if not is_harvested(settings):
            harvest_demo(settings)
    else:
        from app.serving import serve

        serve(settings, prepare=lambda: _harvest_apart(settings))


def _harvest_apart(settings: Settings) -> None:
    """Harvest the demo in a process of its own: the one that serves never loads torch."""
    import os
    import subprocess

    from app.errors import FeaturescopeError
    from app.jobs.demo.contents import is_harvested

    if is_harvested(settings):
        return
    environment = {**os.environ, "FEATURESCOPE_DEVICE": settings.device}
    command = [sys.executable, "-m", "app", "demo", "--no-serve"]
    if subprocess.run(command, env=environment, check=False).returncode != 0:
        raise FeaturescopeError("The demo could not be harvested; the reason stands above.")
