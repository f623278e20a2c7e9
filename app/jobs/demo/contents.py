"""The bundled demo: what it shows, and whether it is in the store. Torch only to harvest it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.jobs.sweeps.records import RESULTS, import_sweep, not_stored, read_records
from app.settings import Settings, resource
from app.store.store import open_store

if TYPE_CHECKING:
    from app.jobs.source import SourceSpec

HOOK_POINT = "blocks.0.mlp.hook_post"
MODEL = "demo"
FEATURES = "mlp-4096"
NEURONS = "mlp-neurons"
SWEEP = "sweep"  # folder of the sweep's results


@dataclass(frozen=True)
class DemoDictionary:
    """A dictionary that the demo ships.

    Attributes:
        name: on the pages, and of its folder.
        hook_point: of the demo's model.
        tokens: how many are harvested.
    """

    name: str
    hook_point: str
    tokens: int


DICTIONARIES = (
    DemoDictionary(FEATURES, HOOK_POINT, 1_048_576),
    DemoDictionary("resid-1024", "blocks.0.hook_resid_post", 262_144),
    DemoDictionary("mlp-out-1024", "blocks.0.hook_mlp_out", 262_144),
    DemoDictionary("heads-1024", "blocks.0.attn.hook_z", 262_144),
)
NEURON_TOKENS = 1_048_576


def demo_specs() -> tuple[tuple[SourceSpec, int], ...]:
    """What the demo shows, and how many tokens of each are harvested: the trained dictionaries, and
    the neurons that the first of them reads."""
    from app.jobs.source import SourceSpec

    folder = resource("demo")
    model = str(folder / "model")
    trained = [
        (
            SourceSpec(model, dictionary=folder / own.name, name=own.name, model_name=MODEL),
            own.tokens,
        )
        for own in DICTIONARIES
    ]
    neurons = SourceSpec(
        model,
        neurons=HOOK_POINT,
        name=NEURONS,
        model_name=MODEL,
        writers=folder / FEATURES,
        writers_name=FEATURES,
    )
    return (trained[0], (neurons, NEURON_TOKENS), *trained[1:])


def is_harvested(settings: Settings) -> bool:
    """Whether the store holds this very demo: all dictionaries, harvested, and the sweep."""
    folder = resource("demo").resolve()
    sweep = folder / SWEEP
    with open_store(settings) as store:
        has_sweep = not _ships_sweep() or not not_stored(store, sweep, read_records(sweep))
        views = [view for view in store.catalogue() if view.model == MODEL and view.harvest]
    shipped = json.loads((folder / "card.json").read_text())["checksums"]
    # The folder may have moved, and the neurons' page names the features that write to them.
    current = {
        view.name: (view.checksum, view.path, view.harvest.settings.get("writers_checksum"))
        for view in views
        if view.harvest
        and (view.model_checksum, view.model_path) == (shipped["model"], str(folder / "model"))
    }
    neurons = current.get(NEURONS)
    return (
        has_sweep
        and neurons is not None
        and neurons[2] == shipped[FEATURES]
        and all(
            own.name in current
            and current[own.name][:2] == (shipped[own.name], str(folder / own.name))
            for own in DICTIONARIES
        )
    )


def harvest_demo(settings: Settings) -> None:
    """Harvest what of the demo is not in the store yet, and show the sweep's results."""
    from app.jobs.harvest.harvest import harvest

    if _ships_sweep():
        with open_store(settings) as store:
            import_sweep(store, resource("demo").resolve() / SWEEP)
    for spec, tokens in demo_specs():
        harvest(settings, spec, tokens, replace=True)


def _ships_sweep() -> bool:
    return any((resource("demo") / SWEEP / RESULTS).glob("*.json"))
