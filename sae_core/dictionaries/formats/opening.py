"""A dictionary in any published format, recognised by looking inside, and opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sae_core.dictionaries.architectures.matching_pursuit import MatchingPursuitDictionary
from sae_core.dictionaries.checkpoint import LATER, empty_dictionary, filled
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.formats import (
    circuit_tracer,
    dictionary_learning,
    gemma_scope,
    kissane,
    linear_layers,
    llama_scope,
    mapped,
    openai,
    qwen_scope,
    saelens,
    sparsify,
)
from sae_core.dictionaries.formats.parts import Asked, Parts
from sae_core.errors import CheckpointError
from sae_core.files.checksum import folder_checksum
from sae_core.files.json_config import JsonConfig

TIED = frozenset({MatchingPursuitDictionary.architecture})  # whose encoder is the decoder
_SHOWN = 5
_NORM_WORDS = {
    "none": "none",
    "centred": "the mean over d_model taken off each activation, and added back",
    "layer_norm": "each activation centred and scaled to unit variance, and scaled back",
    "constant_norm_rescale": "each activation scaled to the norm sqrt(d_in), and scaled back",
}


@dataclass(frozen=True)
class Opened:
    """A dictionary from anywhere.

    Attributes:
        dictionary: ready to encode; `sae_core.dictionaries.checkpoint.save_dictionary` writes it
            as our own.
        format: one of `FORMATS`.
        checksum: SHA-256 over the files that were read.
        facts: for the provenance page, JSON values by what the page calls them: `format`,
            `files`, `checksum of the files`, `hook point from`, `input normalisation`, `changes`
            (sentences: what was folded into the weights), `settings not understood`, `notes`
            (sentences for those who read its figures) and `says of itself`, whatever else the files
            say.
        assumed_norm: another normalisation that the files allow just as well; None: they say.
    """

    dictionary: Dictionary
    format: str
    checksum: str
    facts: dict[str, Any]
    assumed_norm: str | None = None


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        title: what users call it.
        recognise: whether a file or folder looks like it.
        read: the parts of one, given what the user says of it.
    """

    title: str
    recognise: Callable[[Path], bool]
    read: Callable[[Path, Asked], Parts]


FORMATS: Mapping[str, Format] = {
    "saelens": Format("SAELens", saelens.recognise, saelens.read),
    "sparsify": Format("EleutherAI sparsify", sparsify.recognise, sparsify.read),
    "dictionary_learning": Format(
        "dictionary_learning", dictionary_learning.recognise, dictionary_learning.read
    ),
    "gemma_scope": Format("Gemma Scope", gemma_scope.recognise, gemma_scope.read),
    "llama_scope": Format("OpenMOSS Llama Scope", llama_scope.recognise, llama_scope.read),
    "circuit_tracer": Format("circuit-tracer", circuit_tracer.recognise, circuit_tracer.read),
    "qwen_scope": Format("Qwen Scope", qwen_scope.recognise, qwen_scope.read),
    "linear_layers": Format("two linear layers", linear_layers.recognise, linear_layers.read),
    "kissane": Format("Kissane and Krzyzanowski", kissane.recognise, kissane.read),
    "openai": Format("OpenAI sparse_autoencoder", openai.recognise, openai.read),
    "mapped": Format("plain tensors with a mapping", mapped.recognise, mapped.read),
}


def open_dictionary(
    path: Path,
    *,
    format: str | None = None,  # noqa: A002
    hook_point: str | None = None,
    output_hook_point: str | None = None,
    mapping: Mapping[str, str] | None = None,
    norm: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Opened:
    """Open a dictionary, whoever wrote it.

    Args:
        path: its folder, or the file of its tensors where the format is one file.
        format: a key of `FORMATS`; None: found by looking inside.
        hook_point: where it reads; None: as its files say.
        output_hook_point: where a transcoder writes; None: as its files say.
        mapping: for `mapped`: which tensor of the file is W_enc, W_dec and so on, and settings
            (see `sae_core.dictionaries.formats.mapped`); giving one means that format.
        norm: what the user says is done to the input, where the files leave that open; the
            caller does it (`sae_core.harvest.fit_check.varied`).
        overrides: settings that take the place of the files' own, as a list of releases gives them.
        device: where its weights go.
        dtype: of its weights.

    Raises:
        CheckpointError: nothing is there, the format is unknown, a file is damaged or would have to
            be unpickled, or what is in it does not fit together. The sentence says what to do.
    """
    name = format or ("mapped" if mapping else recognised(path))
    if name not in FORMATS:
        raise CheckpointError(
            f"There is no format {name!r}: use one of {', '.join(FORMATS)}, or leave it out."
        )
    if mapping and name != "mapped":
        raise CheckpointError(
            f"Tensors cannot be named for the format {name!r}, which names its own: leave out "
            "either of the two."
        )
    asked = Asked(mapping or {}, norm, overrides or {}, output_hook_point)
    with _misfits_explained(path):
        parts = FORMATS[name].read(path, asked)
    listed = None if overrides is None else overrides.get("hook_name")
    place = hook_point or listed or parts.hook_point
    output = output_hook_point or (overrides or {}).get("hook_name_out") or parts.output
    if place is None:
        raise CheckpointError(
            f"{path} does not say which activation it was trained on: name it, for example "
            "--hook-point blocks.6.hook_resid_pre."
        )
    is_transcoder = "transcoder" in str(parts.config.get("architecture"))
    if is_transcoder and output is None:
        raise CheckpointError(
            f"{path} is a transcoder and does not say which activation it reconstructs: name it, "
            "for example --output-hook-point blocks.6.hook_mlp_out."
        )
    if output_hook_point and not is_transcoder:
        raise CheckpointError(
            f"{path} is a dictionary of one activation ({parts.config.get('architecture')}), not a "
            "transcoder: it reconstructs what it reads. Leave out --output-hook-point."
        )
    with _misfits_explained(path):
        dictionary = _built(parts, place, output, device, dtype)
    dictionary.trained_on = parts.trained_on
    folder = Path(os.path.commonpath([file.parent for file in parts.files]))
    names = [str(file.relative_to(folder)) for file in parts.files]
    checksum = folder_checksum(folder, names)
    facts = {
        "format": FORMATS[name].title,
        "files": names,
        "checksum of the files": checksum,
        "hook point from": "the command"
        if hook_point
        else "SAELens' list of releases"
        if listed
        else parts.hook_point_from,
        "input normalisation": _NORM_WORDS[str(parts.config.get("normalize_activations", "none"))],
        "changes": list(parts.changes),
        "settings not understood": list(parts.unknown),
        "notes": list(parts.notes),
        "says of itself": parts.facts,
    }
    return Opened(dictionary, name, checksum, facts, parts.assumed_norm)


def recognised(path: Path) -> str:
    """The format of a file or folder, by what is in it.

    Raises:
        CheckpointError: nothing is there, or nothing that is known.
    """
    if not path.exists():
        raise CheckpointError(f"There is no dictionary {path}: check the path.")
    for name, each in FORMATS.items():
        if each.recognise(path):
            return name
    if path.is_dir() and (nested := _nested(path)):
        shown = ", ".join(nested[:_SHOWN]) + (", …" if len(nested) > _SHOWN else "")
        raise CheckpointError(
            f"{path} is not one dictionary but holds {len(nested)}: give the folder of one of "
            f"them ({shown})."
        )
    raise CheckpointError(f"{path} {_looks_like(path)}")


@contextmanager
def _misfits_explained(path: Path) -> Iterator[None]:
    """Readers do arithmetic before anybody compared shapes, and not every kind of number has it."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise CheckpointError(
            f"The tensors and settings in {path} do not fit together ({reason}): copy the "
            "dictionary there again, or name another --format."
        ) from error


def _built(
    parts: Parts, hook_point: str, output: str | None, device: str, dtype: torch.dtype
) -> Dictionary:
    path = parts.files[0]
    settings = next((file for file in parts.files if file.suffix == ".json"), path)
    W_enc, W_dec = parts.weights.get("W_enc"), parts.weights.get("W_dec")
    if W_enc is None and W_dec is not None and parts.config["architecture"] in TIED:
        W_enc = W_dec.mT
    if W_enc is None or W_enc.dim() != 2:
        found = "is missing" if W_enc is None else f"has shape {list(W_enc.shape)}"
        raise CheckpointError(f"The encoder's weights in {path} {found}: a matrix was expected.")
    sizes = {"d_in": W_enc.shape[0], "d_sae": W_enc.shape[1]}
    for key, size in sizes.items():
        if parts.config.get(key, size) != size:
            raise CheckpointError(
                f"The settings in {settings} say {key} = {parts.config[key]}, but its encoder has "
                f"{size}: files of two dictionaries were mixed."
            )
    own: dict[str, Any] = {}
    if output is not None and W_dec is not None:
        width = W_dec.shape[-1]
        if parts.config.get("d_out", width) != width:
            raise CheckpointError(
                f"The settings in {settings} say d_out = {parts.config['d_out']}, but its decoder "
                f"has {width}: files of two dictionaries were mixed."
            )
        own = {"d_out": width, "metadata": {"hook_name_out": output}}
        if (W_later := parts.weights.get(LATER)) is not None:
            own["later_blocks"] = len(W_later)
    config = JsonConfig(settings, parts.config | sizes | own)
    return filled(empty_dictionary(hook_point, config), parts.weights, path, device, dtype)


def _nested(path: Path) -> list[str]:
    """Folders and files below that look like dictionaries, as paths from here."""
    below = sorted(p for p in path.glob("**/*") if p.is_dir() or p.suffix in (".pt", ".npz"))
    found: list[str] = []
    for place in below:
        inside = any(place.is_relative_to(path / known) for known in found)
        if not inside and any(each.recognise(place) for each in FORMATS.values()):
            found.append(str(place.relative_to(path)))
    return found


def _looks_like(path: Path) -> str:
    """What a file or folder that no reader knows may be, as the rest of a sentence.

    Raises:
        CheckpointError: its tensors cannot be read; the sentence says why.
    """
    known = "cfg.json with sae_weights.safetensors or sae.safetensors, ae.pt, params.npz"
    if (path / "tokenizer.json").is_file() or (path / "model.safetensors").is_file():
        return "looks like a language model, not like a dictionary: check the path."
    if (file := mapped.only_file(path)) is not None:
        return (
            "is in no format known here: say which of its tensors is which, for example --tensor "
            f"W_enc=encoder.weight.T; it has {mapped.listed(mapped.tensors_in(file))}."
        )
    if path.is_file():
        return f"is no dictionary: give its folder ({known}) or the file of its tensors."
    inside = sorted(p.name for p in path.iterdir())
    if not inside:
        return "is empty: copy or download the dictionary there."
    shown = ", ".join(inside[:_SHOWN]) + (", …" if len(inside) > _SHOWN else "")
    return f"is no dictionary in a format known here ({known}); it holds {shown}."
