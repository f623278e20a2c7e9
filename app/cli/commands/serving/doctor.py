"""`featurescope doctor`: what Featurescope needs on this machine, and what of it is wrong."""

from __future__ import annotations

import argparse

from app.cli.options import Commands


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "doctor", help="look at versions, device, disk, store and worker, and say what is wrong"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.set_defaults(command=run, interrupted="Interrupted.")


def run(arguments: argparse.Namespace) -> None:
    """Print what is found, part by part.

    Raises:
        FeaturescopeError: something is wrong.
    """
    import json
    from dataclasses import asdict

    from app.cli.diagnosis import Verdict, diagnose
    from app.errors import FeaturescopeError
    from app.settings import read_settings
    from app.worker.logs import harmless

    findings = []
    for finding in diagnose(read_settings()):
        findings.append(finding)
        if not arguments.json:
            print(f"{finding.verdict:5}  {finding.part}: {harmless(finding.sentence)}", flush=True)
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    if wrong := sum(finding.verdict is Verdict.WRONG for finding in findings):
        raise FeaturescopeError(
            f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong; what to do stands above."
        )
