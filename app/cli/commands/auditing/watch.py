"""`featurescope watch`: a stream of texts, and what monitors say of each."""

from __future__ import annotations

import argparse
import json
import sys

from app.cli.options import Commands, add_device


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """The parser of the command."""
    parser = commands.add_parser(
        "watch",
        help="read JSON lines from standard input and say which raise a monitor's alarm",
        description='Reads one JSON object a line, with "text" or with the "messages" of a chat, '
        "and writes one line for each as they come: the level of each monitor, whether it is an "
        "alarm, and the tokens that raised it. A broken line is reported with its number and does "
        "not stop the rest. Alarms are kept, logged and posted to FEATURESCOPE_WEBHOOK.",
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="of monitors, of one model")
    add_device(parser)
    parser.set_defaults(command=run, interrupted="Interrupted; what was read is written.")


def run(arguments: argparse.Namespace) -> None:
    """Write a line for each that comes, and at the end how many there were."""
    from app.jobs.audit.watch import StreamWatch, waiting_lines
    from app.rendering.numbers import count
    from app.settings import read_settings
    from app.store.store import open_store
    from app.worker.alarms.desk import alarm_desk

    settings = read_settings(device=arguments.device)
    with open_store(settings) as store:
        desk = alarm_desk(settings, store)
        lines = alarms = broken = 0
        try:
            watch = StreamWatch(settings, store, arguments.names, desk.take)
            for some in waiting_lines(sys.stdin.buffer):
                for answer in watch.answers(some):
                    sys.stdout.write(json.dumps(answer) + "\n")
                    lines += 1
                    alarms += answer.get("alarm", False)
                    broken += "error" in answer
                sys.stdout.flush()
        finally:
            desk.close()
        print(
            f"{count(lines)} lines, {count(alarms)} with an alarm, {count(broken)} broken.",
            file=sys.stderr,
        )
