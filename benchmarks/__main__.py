"""Measurements that README states: `python -m benchmarks [NAME ...]`, some minutes.

They use the harvested demo under FEATURESCOPE_HOME and harvest it first where it is not there.
Commands of their own are those that need more: `benchmarks.adding` (a model, a dictionary and a
text), `benchmarks.training_quality` (an hour), `benchmarks.transcoder_training`,
`benchmarks.saelens_agreement`, `benchmarks.agreement`, `benchmarks.loaders`, `benchmarks.circuits`
(other libraries), `benchmarks.chat` (a chat model).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; the number of those that missed a promise."""
    os.environ.setdefault("FEATURESCOPE_HOME", str(Path(__file__).parents[1] / ".featurescope"))
    from app.jobs.demo.contents import harvest_demo, is_harvested
    from app.settings import read_settings
    from benchmarks import (
        ablation,
        attribution,
        encoding,
        formats,
        harvest,
        load,
        pages,
        prompts,
        slider,
        steering,
        store,
        training,
        training_memory,
    )
    from benchmarks.crowd.__main__ import main as crowd

    known: dict[str, Callable[[], int | None]] = {
        "harvest": harvest.main,
        "formats": formats.main,
        "encoding": encoding.main,
        "ablation": ablation.main,
        "prompts": prompts.main,
        "attribution": attribution.main,
        "steering": steering.main,
        "pages": pages.main,
        "slider": slider.main,
        "load": load.main,
        "crowd": lambda: crowd([]),
        "store": store.main,
        "training": training.main,
        "training_memory": training_memory.main,
    }
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"There is no benchmark {unknown[0]!r}; there are {', '.join(known)}.")
    if not is_harvested(read_settings()):
        harvest_demo(read_settings())
    missed = 0
    for name in names or known:
        missed += bool(known[name]())
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
