"""The harvest against a bare loop: `python -m benchmarks.harvest [TOKENS]`, some minutes.

Both go over the same windows of the demo's corpus in the same process. The bare loop only runs the
model up to the hook point and encodes densely; the harvest also keeps, samples and describes.

Floor on this shape: a forward pass to the hook point is about 0.4 MFLOP a token and a dense encode
512 -> 4096 is 4.2 MFLOP; the log writes 8 bytes a firing, 256 bytes a token at L0 = 32.
"""

from __future__ import annotations

import os
import platform
import resource as limits
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from app.jobs.demo.contents import demo_specs
from app.jobs.source import Source, open_source
from app.settings import Settings
from sae_core.harvest.feature_records import feature_records
from sae_core.harvest.firing_log import FiringLog
from sae_core.harvest.harvest import HarvestPlan, plan_harvest, run_harvest

LEAST_RATIO = 0.7
MOST_MEMORY = 2.0
CONTEXTS = 1024


def main(arguments: Sequence[str] = ()) -> int:
    """Measure and print; 1 where a promise was not kept."""
    n_tokens = int(arguments[0]) if arguments else 1_048_576
    with tempfile.TemporaryDirectory() as folder:
        source = open_source(Settings(home=Path(folder)), demo_specs()[0][0])
        plan = plan_harvest(source.windows, n_tokens)
        print(
            f"harvest, {source.title}, {source.dictionary.d_sae} features, {plan.n_tokens:,} "
            f"tokens, {torch.get_num_threads()} threads, {os.cpu_count()} cores, "
            f"{platform.machine()}"
        )
        _bare(source, plan, 4)
        bare = plan.n_tokens / _bare(source, plan, plan.n_batches)
        seconds, described = _harvest(source, plan, Path(folder) / "log")
        streaming, whole = plan.n_tokens / seconds, plan.n_tokens / (seconds + described)
        print(f"  bare forward and dense encode:     {bare:10,.0f} tokens/s")
        print(f"  harvest, streaming pass:           {streaming:10,.0f} tokens/s")
        print(f"  harvest, features described, too:  {whole:10,.0f} tokens/s")
        print(f"  ratio, whole harvest to bare loop: {whole / bare:.2f} (at least {LEAST_RATIO})")
        order = plan.order[:CONTEXTS]
        small = HarvestPlan(plan.windows, order, plan.batch_windows, plan.seed)
        total = sum(_harvest(source, small, Path(folder) / "small"))
        print(f"  {source.dictionary.d_sae} features x {CONTEXTS} contexts x 128: {total:.1f} s")
    memory = limits.getrusage(limits.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  peak memory: {memory:.2f} GiB (at most {MOST_MEMORY:.0f})")
    return int(whole / bare < LEAST_RATIO or memory > MOST_MEMORY)


@torch.inference_mode()
def _bare(source: Source, plan: HarvestPlan, n_batches: int) -> float:
    model, dictionary = source.model, source.dictionary
    point = model.hook_point(dictionary.hook_point)
    begin = time.perf_counter()
    for number in range(n_batches):
        tokens, _ = plan.windows.gather(plan.batch(number))
        dictionary.encode(model.capture(torch.from_numpy(tokens), point))
    return time.perf_counter() - begin


def _harvest(source: Source, plan: HarvestPlan, folder: Path) -> tuple[float, float]:
    """Seconds of the streaming pass, and of describing all features."""
    begin = time.perf_counter()
    log = FiringLog(folder, plan.header(source.model, source.dictionary, source.checksum))
    run_harvest(source.model, source.dictionary, plan, log)
    middle = time.perf_counter()
    for _ in feature_records(source.model, source.dictionary, plan, log):
        pass
    return middle - begin, time.perf_counter() - middle


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
