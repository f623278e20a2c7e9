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
    shipped = json.loads((resource("demo") / "card.json").read_text())["checksums"]
    views = [view for view in Store(engine).catalogue() if view.model == MODEL and view.harvest]
    engine.dispose()
    current = {view.name for view in views if view.model_checksum == shipped["model"]}
    stale = {v.name for v in views if v.name == FEATURES and v.checksum != shipped[FEATURES]}
    return current - stale >= {FEATURES, NEURONS}


def harvest_demo(settings: Settings) -> None:
    """Harvest what of the demo is not in the store yet."""
    from app.harvesting import harvest

    for spec in demo_specs():
        harvest(settings, spec, HARVEST_TOKENS)
