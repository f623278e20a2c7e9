"""`featurescope serve`: the pages, until interrupted."""

from __future__ import annotations

import argparse

from app.cli.options import Commands, add_address


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser("serve", help="serve the pages")
    add_address(parser)
    parser.set_defaults(command=run, interrupted="Stopped.")


def run(arguments: argparse.Namespace) -> None:
    """Serve the pages until interrupted."""
    from app.serving import serve
    from app.settings import read_settings

    serve(
        read_settings(
            host=arguments.host,
            port=arguments.port,
            allow_network=arguments.allow_network,
            web_processes=arguments.web_processes,
        )
    )
