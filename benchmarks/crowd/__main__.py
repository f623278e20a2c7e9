"""`python -m benchmarks.crowd [--only NAME ...] [--scale SHARE] [BUILD ...]`, ten minutes a build.

A build is a clone of some version of Featurescope, with its browser libraries; none: this one.
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from app.settings import read_settings
from benchmarks.crowd.measures import measure


def main(arguments: list[str] | None = None) -> int:
    """Measure one build after the other and print; promises are compared by the reader."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("builds", nargs="*", type=Path)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--scale", type=float, default=1.0)
    chosen = parser.parse_args(arguments)
    for build in chosen.builds or [None]:
        shown = build.name if build else "this build"
        print(f"crowd, {shown}, {os.cpu_count()} cores, {platform.machine()}", flush=True)
        for name, outcome in measure(read_settings(), build, chosen.only, chosen.scale):
            print(f"  {name}: {outcome}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
