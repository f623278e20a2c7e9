"""`featurescope map`: the features of a dictionary in two dimensions, kept for its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.errors import InvalidRequest
from app.settings import Settings
from app.store.store import open_store
from app.store.types.catalogue import DictionaryView
from sae_core.dictionaries.checkpoint import dictionary_checksum, load_dictionary
from sae_core.evaluation.feature_map import MIN_DIST, NOWHERE, check_umap, lay_out
from sae_core.language_model.hook_point import HookKind


@dataclass(frozen=True)
class MapMade:
    """What was laid out.

    Attributes:
        title: of the dictionary.
        placed: features with a place.
        nowhere: features without a direction, which have none.
        method: as in `FeatureLayout`.
    """

    title: str
    placed: int
    nowhere: int
    method: str


def make_map(settings: Settings, model: str, name: str, seed: int = 0) -> MapMade:
    """Lay out a dictionary of the store, and keep the map in place of the one before.

    Nothing is kept before it is whole: where it is interrupted, the map before stays.

    Raises:
        NotFound: the store has no such dictionary.
        InvalidRequest: it has no weights here, others than the store knows, or is a neuron basis.
        MapError: umap-learn is missing, or no feature has a direction.
    """
    check_umap()
    with open_store(settings) as store:
        view = store.dictionary(model, name)
        folder = _folder(view)
        dictionary = load_dictionary(folder, settings.device)
        if dictionary_checksum(folder) != view.checksum:
            raise InvalidRequest(
                f"{folder} holds other weights than those that the store shows as {view.title}: "
                "harvest them first, or name the dictionary that they are."
            )
        layout = lay_out(dictionary, seed, _heads(view, dictionary.d_out))
        nowhere = int((layout.places[:, 0] == NOWHERE).sum())
        parameters = {
            "method": layout.method,
            "metric": "cosine of decoder rows",
            "neighbours": layout.neighbours,
            "min_dist": MIN_DIST,
            "epochs": layout.epochs,
            "seed": layout.seed,
            "umap_learn": layout.version,
            "placed": view.d_sae - nowhere,
        }
        store.maps.save(view, layout.places, layout.heads, parameters)
    return MapMade(view.title, view.d_sae - nowhere, nowhere, layout.method)


def _folder(view: DictionaryView) -> Path:
    """Of the weights."""
    if view.is_imported:
        raise InvalidRequest(
            f"{view.title} was imported without its weights: there are no directions to lay out."
        )
    if view.path is None:
        raise InvalidRequest(
            f"{view.title} is the neuron basis: its directions are all orthogonal, so a map of "
            "them would show nothing. Name a dictionary of features."
        )
    return Path(view.path)


def _heads(view: DictionaryView, d_out: int) -> int:
    """Of how many attention heads a direction [d_out] is made; 0: it is not."""
    if not view.output_hook_point.endswith(HookKind.Z):
        return 0
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(view.model_path, local_files_only=True)
        heads = int(config.get_text_config().num_attention_heads)
    except (OSError, ValueError, AttributeError, TypeError):
        return 0  # the map only cannot be coloured by head
    return heads if heads > 0 and d_out % heads == 0 else 0
