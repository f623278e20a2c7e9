"""The toy exercise as a table, a file of figures and a drawing."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from tqdm import tqdm

from app.errors import InvalidRequest
from app.jobs.toy.drawing import found_drawing
from sae_core.files.atomic import atomic_file
from sae_core.toy.data import Match, match, random_rows, toy_data
from sae_core.toy.run import SETTINGS, ToyResult, ToySetting, run_toy, toy_training
from sae_core.training.methods import method_class

HEAD = "| architecture | seed | found | median cosine | L0 | FVU | dead |"
FIGURES, DRAWING = "toy.json", "toy.svg"


def report_toy(
    size: str, names: Sequence[str], seeds: Sequence[int], l0: float, out: Path | None
) -> None:
    """Train each architecture with each seed at an L0; print and keep each result as it comes.

    Results that `out` holds of the same setting are not trained again.

    Raises:
        FeaturescopeError: an architecture is unknown or cannot be trained so, or `out` holds
            another toy's results or cannot be written. Nothing was trained then.
    """
    setting = replace(SETTINGS[size], l0=l0)
    wanted = [(name, seed) for name in names for seed in seeds]
    for name, seed in wanted:
        method_class(name).check(toy_training(setting, name, seed))
    kept = {} if out is None else _kept(out / FIGURES, setting)
    data, n = setting.data, setting.data.directions
    title = f"{n} directions in {data.dimensions} dimensions, {setting.latents:,} latents"
    rows = random_rows(setting.latents, data.dimensions, seeds[0])
    chance = match(toy_data(replace(data, seed=seeds[0])).directions, rows)
    print(f"{title}; found: cosine 0.9 or more after optimal assignment.\n")
    print(f"{HEAD}\n|---|---:|---:|---:|---:|---:|---:|")
    print(f"| random rows | {seeds[0]} | {chance.found} of {n} | {_middle(chance)} | | | |")
    results: list[ToyResult] = []
    _write(out, title, setting, chance, results)
    with tempfile.TemporaryDirectory() as folder, tqdm(total=len(wanted), unit="run") as bar:
        for name, seed in wanted:
            bar.set_description(f"{name}, seed {seed}")
            result = kept.get((name, seed)) or run_toy(setting, name, seed, Path(folder))
            results.append(result)
            _write(out, title, setting, chance, [*results, *_rest(kept, results)])
            tqdm.write(_row(result, n), file=sys.stdout)
            bar.update()
    if out is not None:
        print(f"\nWrote {out / FIGURES} and {out / DRAWING}.")


def _rest(
    kept: dict[tuple[str, int], ToyResult], results: Sequence[ToyResult]
) -> Sequence[ToyResult]:
    """What was kept before and is not among the results."""
    shown = {(result.architecture, result.seed) for result in results}
    return [result for key, result in kept.items() if key not in shown]


def _write(
    out: Path | None, title: str, setting: ToySetting, chance: Match, results: Sequence[ToyResult]
) -> None:
    """Figures and drawing of all results so far."""
    if out is None:
        return
    figures = {
        "setting": asdict(setting),
        "chance": chance.found,
        "runs": [_figures(result) for result in results],
    }
    with atomic_file(out / FIGURES) as draft:
        draft.write_text(json.dumps(figures, indent=1) + "\n")
    runs = [(r.architecture, r.seed, r.match.cosines) for r in results]
    with atomic_file(out / DRAWING) as draft:
        draft.write_text(found_drawing(runs, chance.cosines, title))


def _kept(path: Path, setting: ToySetting) -> dict[tuple[str, int], ToyResult]:
    """Results of an earlier call, by architecture and seed.

    Raises:
        InvalidRequest: they are of another setting, or no results of a toy.
    """
    if not path.exists():
        return {}
    try:
        figures = json.loads(path.read_text("utf-8"))
        same = figures["setting"] == asdict(setting)
        results = [_result(run) for run in figures["runs"]] if same else []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"{path} holds no results of a toy: choose another --out.") from error
    if not same:
        raise InvalidRequest(f"{path} holds the results of another toy: choose another --out.")
    return {(result.architecture, result.seed): result for result in results}


def _middle(match: Match) -> str:
    return f"{median(match.cosines.tolist()):.3f}"


def _row(result: ToyResult, n: int) -> str:
    return (
        f"| {result.architecture} | {result.seed} | {result.match.found} of {n} | "
        f"{_middle(result.match)} | {result.l0:.2f} | {result.fvu:.4f} | {result.dead_share:.1%} |"
    )


def _figures(result: ToyResult) -> dict[str, Any]:
    return {
        "architecture": result.architecture,
        "seed": result.seed,
        "found": result.match.found,
        "rows": result.match.rows.tolist(),
        "cosines": result.match.cosines.tolist(),
        "l0": result.l0,
        "fvu": result.fvu,
        "dead_share": result.dead_share,
    }


def _result(figures: dict[str, Any]) -> ToyResult:
    return ToyResult(
        architecture=str(figures["architecture"]),
        seed=int(figures["seed"]),
        match=Match(
            np.array(figures["rows"], dtype=np.int64), np.array(figures["cosines"], dtype=float)
        ),
        l0=float(figures["l0"]),
        fvu=float(figures["fvu"]),
        dead_share=float(figures["dead_share"]),
    )
