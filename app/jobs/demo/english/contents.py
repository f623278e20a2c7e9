"""What the English demo shows, and whether it is in the store. Torch only to harvest it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from app.errors import FeaturescopeError
from app.jobs.demo.contents import DemoDictionary, DemoModel
from app.jobs.demo.english.package import fetched_model, model_place
from app.settings import Settings, resource
from app.store.store import open_store

if TYPE_CHECKING:
    from app.jobs.source import SourceSpec

ENGLISH = DemoModel(
    "smollm2",
    "english",
    (
        DemoDictionary("resid-15", "blocks.15.hook_resid_post", 131_072),
        DemoDictionary("transcoder-12", "blocks.12.mlp.hook_in", 131_072, "blocks.12.hook_mlp_out"),
    ),
)
TEXT = "english.jsonl.xz"
# A model that is so much larger than the others' takes minutes for more.
EVALUATION_TOKENS = 4_096


def english_is_harvested(settings: Settings, *, first: bool = False) -> bool:
    """Whether the store holds these very dictionaries of this very model; the first, or all."""
    folder = (resource("demo") / ENGLISH.folder).resolve()
    sums = json.loads((folder / "card.json").read_text())["checksums"]
    place = str(model_place(settings).resolve())
    with open_store(settings) as store:
        harvested = {
            (view.name, view.checksum, view.path)
            for view in store.catalogue()
            if view.harvest and (view.model, view.model_path) == (ENGLISH.name, place)
        }
    shown = ENGLISH.dictionaries[: 1 if first else None]
    return all((own.name, sums[own.name], str(folder / own.name)) in harvested for own in shown)


def harvest_english(settings: Settings, *, first: bool = False) -> None:
    """Fetch the model where it is missing; harvest what is not in the store yet.

    Raises:
        FeaturescopeError: this installation lacks the demo, or the model cannot be fetched.
    """
    from app.jobs.harvest.harvest import harvest

    if not (resource("demo") / ENGLISH.folder / "card.json").is_file():
        raise FeaturescopeError("This installation ships no English demo: reinstall it.")
    fetched_model(settings)
    for spec, tokens in english_specs(settings)[: 1 if first else None]:
        harvest(settings, spec, tokens, replace=True, evaluation_tokens=EVALUATION_TOKENS)


def english_specs(settings: Settings) -> tuple[tuple[SourceSpec, int], ...]:
    """Each dictionary, and how many tokens of it are harvested."""
    from app.jobs.source import SourceSpec

    folder = resource("demo") / ENGLISH.folder
    return tuple(
        (
            SourceSpec(
                str(model_place(settings)),
                dictionary=folder / own.name,
                name=own.name,
                model_name=ENGLISH.name,
                corpus=str(folder / TEXT),
            ),
            own.tokens,
        )
        for own in ENGLISH.dictionaries
    )
