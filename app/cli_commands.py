"""What each command does: read the settings, import what is needed, hand over."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from app import __version__

if TYPE_CHECKING:
    from app.jobs.source import SourceSpec
    from app.settings import Settings


def version(_arguments: argparse.Namespace) -> None:
    """Print the version."""
    print(f"featurescope {__version__}")


def serve(arguments: argparse.Namespace) -> None:
    """Serve the pages until interrupted."""
    from app.serving import serve
    from app.settings import read_settings

    serve(
        read_settings(
            host=arguments.host, port=arguments.port, allow_network=arguments.allow_network
        )
    )


def worker(arguments: argparse.Namespace) -> None:
    """Run the worker by itself."""
    from app.listening import check_address
    from app.settings import read_settings
    from app.worker.process.server import serve_worker

    settings = read_settings(device=arguments.device)
    check_address(arguments.host, arguments.allow_network, "uses the worker")
    serve_worker(settings, arguments.host, arguments.port)


def harvest(arguments: argparse.Namespace) -> None:
    """Read a corpus and fill the store."""
    from app.jobs.harvest.harvest import harvest
    from app.settings import read_settings

    harvest(
        read_settings(device=arguments.device),
        source_spec(arguments),
        tokens=arguments.tokens,
        seed=arguments.seed,
        ablate_top=arguments.ablate,
        replace=arguments.replace,
    )


def demo(arguments: argparse.Namespace) -> None:
    """Harvest the bundled demo unless that has been done, then serve it."""
    from app.settings import read_settings

    settings = read_settings(
        host=arguments.host,
        port=arguments.port,
        allow_network=arguments.allow_network,
        device=arguments.device,
    )
    if arguments.no_serve:
        from app.jobs.demo.contents import harvest_demo, is_harvested

        if not is_harvested(settings):
            harvest_demo(settings)
    else:
        from app.serving import serve

        serve(settings, prepare=lambda: _harvest_demo_apart(settings))


def _harvest_demo_apart(settings: Settings) -> None:
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


def demo_train(arguments: argparse.Namespace) -> None:
    """Make the demo's tokenizer, model and dictionary anew."""
    from app.jobs.demo.make import train_demo
    from app.settings import read_settings

    train_demo(read_settings(device=arguments.device), arguments.out, arguments.seed)


def db_upgrade(_arguments: argparse.Namespace) -> None:
    """Bring the schema to this version's."""
    from app.settings import read_settings
    from app.store.database import connect, upgrade

    settings = read_settings()
    upgrade(connect(settings.url))
    print("The store has this version's schema.")


def db_downgrade(arguments: argparse.Namespace) -> None:
    """Bring the schema back to an older one."""
    from app.settings import read_settings
    from app.store.database import connect, downgrade

    downgrade(connect(read_settings().url), arguments.revision)
    print(f"The store has the schema of revision {arguments.revision}.")


def db_dump(_arguments: argparse.Namespace) -> None:
    """Print the store as text."""
    from app.settings import read_settings
    from app.store.database import check_revision, connect
    from app.store.upkeep.dump import dump

    engine = connect(read_settings().url)
    check_revision(engine)
    for line in dump(engine):
        sys.stdout.write(line if line.endswith("\n") else line + "\n")


def source_spec(arguments: argparse.Namespace) -> SourceSpec:
    """The options that say which dictionary over which text."""
    from app.cli.options import opening
    from app.jobs.source import SourceSpec

    return SourceSpec(
        model=arguments.model,
        dictionary=arguments.dictionary,
        neurons=arguments.neurons,
        name=arguments.name,
        model_name=arguments.model_name,
        corpus=arguments.corpus,
        n_ctx=arguments.context,
        writers=arguments.writers,
        writers_name=arguments.writers_name,
        prepend_bos=opening(arguments),
    )
