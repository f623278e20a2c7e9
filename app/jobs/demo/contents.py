"""The bundled demo: what it shows, and whether it is in the store. Torch only to harvest it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.jobs.training.sweeps.records import RESULTS, import_sweep, not_stored, read_records
from app.settings import Settings, resource
from app.store.store import open_store
from app.store.types.catalogue import DictionaryView

if TYPE_CHECKING:
    from app.jobs.source import SourceSpec

HOOK_POINT = "blocks.0.mlp.hook_post"
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
        output_hook_point: where a transcoder writes; None for a sparse autoencoder.
    """

    name: str
    hook_point: str
    tokens: int
    output_hook_point: str | None = None


@dataclass(frozen=True)
class DemoModel:
    """A model that the demo ships, with its dictionaries.

    Attributes:
        name: on the pages.
        folder: of its card, its model and its dictionaries, within the demo's.
        dictionaries: the trained ones.
    """

    name: str
    folder: str
    dictionaries: tuple[DemoDictionary, ...]


SHALLOW = DemoModel(
    "demo",
    ".",
    (
        DemoDictionary(FEATURES, HOOK_POINT, 1_048_576),
        DemoDictionary("resid-1024", "blocks.0.hook_resid_post", 262_144),
        DemoDictionary("mlp-out-1024", "blocks.0.hook_mlp_out", 262_144),
        DemoDictionary("heads-1024", "blocks.0.attn.hook_z", 262_144),
    ),
)
DEEP = DemoModel(
    "demo-deep",
    "deep",
    (
        *(
            DemoDictionary(
                f"transcoder-{n}", f"blocks.{n}.mlp.hook_in", 131_072, f"blocks.{n}.hook_mlp_out"
            )
            for n in range(3)
        ),
        *(DemoDictionary(f"resid-{n}", f"blocks.{n}.hook_resid_post", 131_072) for n in range(2)),
    ),
)
MODEL = SHALLOW.name
NEURON_TOKENS = 1_048_576


def demo_specs() -> tuple[tuple[SourceSpec, int], ...]:
    """What the demo shows, and how many tokens of each are harvested: the trained dictionaries, and
    second the neurons that the first of them reads."""
    from app.jobs.source import SourceSpec

    trained = []
    for shown in _shipped_models():
        folder = resource("demo") / shown.folder
        trained += [
            (
                SourceSpec(
                    str(folder / "model"),
                    dictionary=folder / own.name,
                    name=own.name,
                    model_name=shown.name,
                ),
                own.tokens,
            )
            for own in shown.dictionaries
        ]
    neurons = SourceSpec(
        str(resource("demo") / "model"),
        neurons=HOOK_POINT,
        name=NEURONS,
        model_name=MODEL,
        writers=resource("demo") / FEATURES,
        writers_name=FEATURES,
    )
    return (trained[0], (neurons, NEURON_TOKENS), *trained[1:])


def is_harvested(settings: Settings, *, first: bool = False) -> bool:
    """Whether the store holds this very demo: all dictionaries, harvested, and the sweep.

    With `first` only the sweep and what the demo begins with are asked for: the features of the
    one-layer model's MLP, and its neurons.
    """
    folder = resource("demo").resolve()
    sweep = folder / SWEEP
    with open_store(settings) as store:
        has_sweep = not _ships_sweep() or not not_stored(store, sweep, read_records(sweep))
        views = [view for view in store.catalogue() if view.harvest]
    if first:
        return has_sweep and _holds(views, replace(SHALLOW, dictionaries=SHALLOW.dictionaries[:1]))
    return has_sweep and all(_holds(views, shown) for shown in _shipped_models())


def harvest_demo(settings: Settings, *, first: bool = False) -> None:
    """Harvest what of the demo is not in the store yet, and show the sweep's results."""
    from app.jobs.harvest.harvest import harvest

    if _ships_sweep():
        with open_store(settings) as store:
            import_sweep(store, resource("demo").resolve() / SWEEP)
    for spec, tokens in demo_specs()[: 2 if first else None]:
        harvest(settings, spec, tokens, replace=True)


def _shipped_models() -> tuple[DemoModel, ...]:
    """Those whose parts are there: a demo made anew has its one-layer model first."""
    return tuple(
        shown
        for shown in (SHALLOW, DEEP)
        if (resource("demo") / shown.folder / "card.json").is_file()
    )


def _holds(views: list[DictionaryView], shown: DemoModel) -> bool:
    """Whether these harvests are all of a model's, of the very files that the demo ships."""
    folder = (resource("demo") / shown.folder).resolve()
    shipped = json.loads((folder / "card.json").read_text())["checksums"]
    # The folder may have moved, and the neurons' page names the features that write to them.
    current = {
        view.name: (view.checksum, view.path, view.harvest.settings.get("writers_checksum"))
        for view in views
        if view.harvest
        and view.model == shown.name
        and (view.model_checksum, view.model_path) == (shipped["model"], str(folder / "model"))
    }
    neurons = current.get(NEURONS)
    named = shown.name != MODEL or (neurons is not None and neurons[2] == shipped[FEATURES])
    return named and all(
        own.name in current and current[own.name][:2] == (shipped[own.name], str(folder / own.name))
        for own in shown.dictionaries
    )


def _ships_sweep() -> bool:
    return any((resource("demo") / SWEEP / RESULTS).glob("*.json"))
