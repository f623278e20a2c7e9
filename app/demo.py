"""The bundled demo: what it shows, and whether it is in the store. Torch only to harvest it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from app.database import connect, upgrade
from app.resources import resource
from app.settings import Settings
from app.store import Store

if TYPE_CHECKING:
    from app.source import SourceSpec

HOOK_POINT = "blocks.0.mlp.hook_post"
MODEL = "demo"
FEATURES = "mlp-4096"
NEURONS = "mlp-neurons"
HARVEST_TOKENS = 1_048_576


def demo_specs() -> tuple[SourceSpec, SourceSpec]:
    """What the demo shows: the trained dictionary, and the neurons that it reads."""
    from app.source import SourceSpec

    folder = resource("demo")
    model, features = str(folder / "model"), folder / FEATURES
    return (
        SourceSpec(model, dictionary=features, name=FEATURES, model_name=MODEL),
        SourceSpec(
            model,
            neurons=HOOK_POINT,
            name=NEURONS,
            model_name=MODEL,
            writers=features,
            writers_name=FEATURES,
        ),
    )


def is_harvested(settings: Settings) -> bool:
    """Whether the store holds this very demo, both dictionaries, harvested."""
    engine = connect(settings.url)
    upgrade(engine)
    folder = resource("demo").resolve()
    shipped = json.loads((folder / "card.json").read_text())["checksums"]
    views = [view for view in Store(engine).catalogue() if view.model == MODEL and view.harvest]
    engine.dispose()
    # The folder may have moved, and the neurons' page names the features that write to them.
    current = {
        view.name: (view.checksum, view.path, view.harvest.settings.get("writers_checksum"))
        for view in views
        if view.harvest
        and (view.model_checksum, view.model_path) == (shipped["model"], str(folder / "model"))
    }
    features, neurons = current.get(FEATURES), current.get(NEURONS)
    return (
        features is not None
        and neurons is not None
        and features[:2] == (shipped[FEATURES], str(folder / FEATURES))
        and neurons[2] == shipped[FEATURES]
    )


def harvest_demo(settings: Settings) -> None:
    """Harvest what of the demo is not in the store yet."""
    from app.harvesting import harvest

    for spec in demo_specs():
        harvest(settings, spec, HARVEST_TOKENS, replace=True)
