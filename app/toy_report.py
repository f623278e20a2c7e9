"""The toy exercise as a table, a file of figures and a drawing."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from tqdm import tqdm

from app.errors import InvalidRequest
from app.toy_drawing import found_drawing
from sae_core.atomic import atomic_file
from sae_core.toy import ToyConfig, match, random_rows, toy_data
from sae_core.toy_run import SETTINGS, ToyResult, run_toy
from sae_core.training.methods import methods

HEAD = "| architecture | seed | found | median cosine | L0 | FVU | dead |"


def report_toy(
    size: str, names: Sequence[str], seeds: Sequence[int], l0: float, out: Path | None
) -> None:
    """Train each architecture with each seed at an L0; print what was found, write it where asked.

    Raises:
        InvalidRequest: an architecture is unknown.
    """
    if unknown := [name for name in names if name not in methods()]:
        raise InvalidRequest(
            f"There is no architecture {unknown[0]!r}; there are {', '.join(sorted(methods()))}."
        )
    setting = replace(SETTINGS[size], l0=l0)
    wanted = [(name, seed) for name in names for seed in seeds]
    results = []
    with tempfile.TemporaryDirectory() as folder, tqdm(total=len(wanted), unit="run") as bar:
        for name, seed in wanted:
            bar.set_description(f"{name}, seed {seed}")
            results.append(run_toy(setting, name, seed, Path(folder)))
            bar.update()
    data = setting.data
    n = data.directions
    title = f"{n} directions in {data.dimensions} dimensions, {setting.latents:,} latents"
    seeded = ToyConfig(**{**data.__dict__, "seed": seeds[0]})
    rows = random_rows(setting.latents, data.dimensions, seeds[0])
    chance = match(toy_data(seeded).directions, rows)
    print(f"{title}; found: cosine 0.9 or more after optimal assignment.\n")
    print(f"{HEAD}\n|---|---:|---:|---:|---:|---:|---:|")
    print(
        f"| random rows | {seeds[0]} | {chance.found} of {n} |"
        f" {median(chance.cosines.tolist()):.3f} | | | |"
    )
    for result in results:
        print(_row(result, n))
    if out is not None:
        runs = [(r.architecture, r.seed, r.match.cosines) for r in results]
        with atomic_file(out / "toy.svg") as draft:
            draft.write_text(found_drawing(runs, chance.cosines, title))
        figures = {
            "data": data.__dict__,
            "latents": setting.latents,
            "chance": chance.found,
            "runs": [_figures(result) for result in results],
        }
        with atomic_file(out / "toy.json") as draft:
            draft.write_text(json.dumps(figures, indent=1) + "\n")
        print(f"\nWrote {out / 'toy.json'} and {out / 'toy.svg'}.")


def _row(result: ToyResult, n: int) -> str:
    return (
        f"| {result.architecture} | {result.seed} | {result.match.found} of {n} | "
        f"{median(result.match.cosines.tolist()):.3f} | {result.l0:.2f} | {result.fvu:.4f} | "
        f"{result.dead_share:.1%} |"
    )


def _figures(result: ToyResult) -> dict[str, object]:
    return {
        "architecture": result.architecture,
        "seed": result.seed,
        "found": result.match.found,
        "cosines": [round(value, 4) for value in result.match.cosines.tolist()],
        "l0": result.l0,
        "fvu": result.fvu,
        "dead_share": result.dead_share,
    }
