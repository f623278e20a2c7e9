"""The moments of a model's training: folders of weights, each with a dictionary of its own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.errors import InvalidRequest
from app.jobs.comparison.parts import ComparedPart
from app.jobs.source import SourceSpec, open_dictionary, open_model, open_windows, opened_for
from app.jobs.training.train import TrainingSpec, train
from app.settings import Settings
from app.store.types.catalogue import DictionaryView
from sae_core.dictionaries.checkpoint import load_dictionary
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.places import places_of
from sae_core.files.atomic import atomic_folder
from sae_core.training.config import TrainingConfig
from sae_core.training.methods import methods

MOST_CHECKPOINTS = 64
EVALUATED_TOKENS = 8_192
_SPELLING = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
_STEP = re.compile(r"(\d{1,12})(?!.*\d)")


@dataclass(frozen=True)
class Checkpoint:
    """One moment.

    Attributes:
        name: of its folder.
        step: that its name says; -1: none.
        folder: a whole model, tokenizer included.
    """

    name: str
    step: int
    folder: Path


def checkpoints(folders: Sequence[Path], last: Path, home: Path) -> list[Checkpoint]:
    """Moments in the order of their steps, the last one last.

    A folder without a tokenizer is copied below `home`, with that of the last.

    Raises:
        InvalidRequest: there are none or too many, one is named twice, or is no folder of weights.
    """
    if not folders:
        raise InvalidRequest("Name at least one earlier checkpoint of the model: its folder.")
    if len(folders) >= MOST_CHECKPOINTS:
        raise InvalidRequest(f"At most {MOST_CHECKPOINTS} checkpoints are followed.")
    found: dict[Path, Checkpoint] = {}
    for folder in folders:
        place = folder.expanduser().resolve()
        if not (place / "config.json").is_file():
            raise InvalidRequest(f"{folder} is no folder of a model: it has no config.json.")
        if place in found or place == last.resolve():
            raise InvalidRequest(f"{folder} is named twice: a moment is compared with the last.")
        found[place] = Checkpoint(place.name, _step(place.name), _spelled(place, last, home))
    ordered = sorted(found.values(), key=lambda moment: moment.step)
    return [*ordered, Checkpoint(last.resolve().name, _step(last.name), last)]


def method_of(view: DictionaryView) -> str:
    """The architecture that the moments' dictionaries of a harvested one are trained as.

    Its own, where that can be trained at the L0 that it has; else TopK at that L0.
    """
    known = view.architecture in methods() and view.architecture not in ("jumprelu", "gated")
    return view.architecture if known else "topk"


def own_dictionary(
    settings: Settings,
    spec: SourceSpec,
    view: DictionaryView,
    moment: Checkpoint,
    out: Path,
    tokens: int,
    seed: int,
) -> Dictionary:
    """A dictionary of the moment's own: neurons, or trained as the last one's is, from scratch.

    Raises:
        FeaturescopeError: it cannot be trained; what was trained so far stays.
    """
    if view.is_neurons:
        model = open_model(settings, moment.folder, spec.dtype)
        return open_dictionary(model, replace(spec, model=str(moment.folder)), settings.device)[0]
    l0 = (view.evaluation or {}).get("l0")
    config = TrainingConfig(
        architecture=method_of(view),
        d_sae=view.d_sae,
        l0=max(1, round(float(l0))) if isinstance(l0, int | float) else 32,
        tokens=tokens,
        seed=seed,
    )
    transcodes = view.output_hook_point != view.hook_point
    train(
        settings,
        TrainingSpec(
            *(str(moment.folder), view.hook_point, _corpus(spec), out, config),
            n_ctx=spec.n_ctx,
            name=f"{out.parent.name} {out.name}",
            prepend_bos=spec.prepend_bos,
            evaluation_tokens=EVALUATED_TOKENS,
            output_hook_point=view.output_hook_point if transcodes else None,
        ),
    )
    return load_dictionary(out, settings.device)


def opened(
    settings: Settings,
    spec: SourceSpec,
    view: DictionaryView,
    moment: Checkpoint,
    dictionary: Dictionary,
) -> ComparedPart:
    """A dictionary on a moment's model, with its text.

    Raises:
        FeaturescopeError: they do not fit together.
    """
    own = replace(spec, model=str(moment.folder))
    model = opened_for(
        open_model(settings, moment.folder, spec.dtype), dictionary, spec.prepend_bos
    )
    windows = open_windows(settings, model, spec.corpus, spec.n_ctx)
    return ComparedPart(view, own, model, dictionary, places_of(model, dictionary), windows)


def _corpus(spec: SourceSpec) -> str:
    if not isinstance(spec.corpus, str):
        return spec.corpus.corpus
    return spec.corpus


def _step(name: str) -> int:
    """The last number in a name; -1: it has none."""
    number = _STEP.search(name)
    return int(number[1]) if number else -1


def _spelled(folder: Path, last: Path, home: Path) -> Path:
    if (folder / "tokenizer.json").is_file():
        return folder
    whole = home / "models" / folder.name
    if not (whole / "config.json").is_file():
        with atomic_folder(whole) as draft:
            for path in folder.iterdir():
                if path.is_file():
                    shutil.copy(path, draft / path.name)
            for name in _SPELLING:
                if (last / name).is_file():
                    shutil.copy(last / name, draft / name)
    return whole
