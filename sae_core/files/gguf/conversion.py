"""A GGUF file as an ordinary model folder: weights as numbers, settings, tokenizer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sae_core.errors import ModelError
from sae_core.files.atomic import atomic_folder
from sae_core.files.checksum import file_checksum
from sae_core.files.gguf.header import FACTS, GgufHeader, folder_of, read_header
from sae_core.files.gguf.quantisation import dequantised, described
from sae_core.files.gguf.tokenizer import tokenizer_of

_FAILURES = (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError, ImportError)
_SHORT = 300
# Settings of a model that say how it computes and that the library's reader passes over.
_CHANGES = ("rope.scaling.", "attention.sliding_window", "logit_scale", "residual_scale")
_NO_CHANGE = (None, "none", "", 0, False, 1.0)
# What the library's table has besides decoders: other models, and the settings of all families.
_NO_FAMILIES = ("t5", "t5encoder", "bert", "umt5", "general")


def gguf_folder(path: Path, folders: Path) -> Path:
    """The model folder of a GGUF file: made the first time, by what is in the file.

    Weights are dequantised to float32; where all of them fit into float16 or bfloat16 exactly, as
    those of a file without quantisation do, they are kept so. Nothing is rounded either way.

    Args:
        path: the file.
        folders: where such folders are kept; one is named after the checksum of its file.

    Raises:
        ModelError: the file is damaged, or is of a family, quantisation or tokenizer that is not
            known.
        DiskError: the folder cannot be written.
    """
    header = read_header(path)
    checksum = file_checksum(path)
    folder = folder_of(folders, path.name, checksum)
    if not folder.is_dir():
        config, weights = _model(path, header)
        with atomic_folder(folder) as draft:
            _write(draft, path, header, config, weights, checksum)
    return folder


def _write(
    draft: Path,
    path: Path,
    header: GgufHeader,
    config: Any,
    weights: Mapping[str, Tensor],
    checksum: str,
) -> None:
    from safetensors.torch import save_file

    settings = _tokenizer(draft, path, header)
    dtype = _exact_dtype(weights)
    config.dtype = dtype
    _name_ends(config, header)
    (draft / "config.json").write_text(_settings(config), encoding="utf-8")
    kept = {name: weight.to(dtype).contiguous() for name, weight in weights.items()}
    save_file(kept, draft / "model.safetensors", {"format": "pt"})
    (draft / "tokenizer_config.json").write_text(
        json.dumps(settings, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    facts = {
        "GGUF file": f"{path.name}, SHA-256 {checksum}",
        "quantisation": described(path, header),
        "weights kept as": f"{str(dtype).removeprefix('torch.')}, which rounds none of them",
    }
    (draft / FACTS).write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n")


def _tokenizer(draft: Path, path: Path, header: GgufHeader) -> dict[str, Any]:
    """Write tokenizer.json; what tokenizer_config.json is to say."""
    beside = path.parent / "tokenizer.json"
    if not beside.is_file():
        tokenizer, settings = tokenizer_of(header.metadata, path)
        tokenizer.save(str(draft / "tokenizer.json"))
        return settings
    shutil.copyfile(beside, draft / "tokenizer.json")
    own = path.parent / "tokenizer_config.json"
    try:
        published = json.loads(own.read_text(encoding="utf-8")) if own.is_file() else {}
    except ValueError as error:
        raise ModelError(f"{own} cannot be read as JSON ({error}): copy it again.") from error
    template = header.metadata.get("tokenizer.chat_template")
    return ({"chat_template": template} if template else {}) | published


def _model(path: Path, header: GgufHeader) -> tuple[Any, dict[str, Tensor]]:
    """Settings and weights, by the names of the transformers library."""
    from transformers import AutoConfig, AutoModelForCausalLM, modeling_gguf_pytorch_utils

    reader: Any = modeling_gguf_pytorch_utils
    causal: Any = AutoModelForCausalLM
    _refuse_unread(path, header, reader.GGUF_SUPPORTED_ARCHITECTURES)
    try:
        parsed: dict[str, Any] = reader.load_gguf_checkpoint(path)
        config: Any = AutoConfig.for_model(**parsed["config"])
        # The library takes a GPT-2's context for 1,024 positions whatever the file says.
        if isinstance(n_ctx := header.metadata.get("gpt2.context_length"), int):
            config.n_positions = n_ctx
        with torch.device("meta"):
            empty = causal.from_config(config, trust_remote_code=False)
        weights = _weights(path, header, empty, parsed)
    except _FAILURES as error:
        reason = str(error).strip() or type(error).__name__
        reason = reason if len(reason) <= _SHORT else f"{reason[: _SHORT - 1]}…"
        raise ModelError(f"{path} cannot be opened as a model: {reason}") from error
    config.architectures = [type(empty).__name__]
    return config, _fitting(path, empty, weights)


def _weights(
    path: Path, header: GgufHeader, empty: Any, parsed: dict[str, Any]
) -> dict[str, Tensor]:
    """Every tensor dequantised to float32, turned as the library has it, by the library's names.

    Raises:
        ModelError: the library has no place for one of them.
    """
    from transformers.modeling_gguf_pytorch_utils import (
        TENSOR_PROCESSORS,
        TensorProcessor,
        get_gguf_hf_weights_map,
    )

    kind: Any = TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)
    processor = kind(config=parsed["config"])
    places = get_gguf_hf_weights_map(empty, processor)
    weights: dict[str, Tensor] = {}
    parsed["tensors"] = weights  # where experts are put together
    data = np.memmap(path, dtype=np.uint8, mode="r")
    for tensor in tqdm(header.tensors, desc="opening weights", unit="tensor", leave=False):
        before = len(weights)
        turned = processor.process(
            weights=dequantised(data, tensor),
            name=tensor.name,
            tensor_key_mapping=places,
            parsed_parameters=parsed,
        )
        if turned.name in places:
            weights[places[turned.name]] = torch.from_numpy(np.copy(turned.weights))
        elif len(weights) == before and "_exps" not in tensor.name:
            raise ModelError(
                f"{path} has a tensor {tensor.name!r:.80} that the transformers library does not "
                "read: it would compute something else. Give the folder it was made from."
            )
    return weights


def _refuse_unread(path: Path, header: GgufHeader, known: list[str]) -> None:
    """Refuse what the library does not read, or would read as something else without a word."""
    architecture = header.architecture
    if int(header.metadata.get("split.count", 1) or 1) > 1:
        raise ModelError(f"{path} is one part of several: merge them into one file first.")
    if architecture not in known or architecture in _NO_FAMILIES:
        families = ", ".join(sorted(set(known) - set(_NO_FAMILIES)))
        raise ModelError(
            f"{path} holds a model of the family {architecture!r:.40}, which is not read here: "
            f"those that are read are {families}."
        )
    for key, value in header.metadata.items():
        setting = key.removeprefix(f"{architecture}.")
        # Some families' settings are read by the library, which then names them.
        if setting != key and setting.startswith(_CHANGES) and value not in _NO_CHANGE:
            if not _is_read(architecture, setting):
                raise ModelError(
                    f"{path} sets {key} to {value!r:.40}, which would be passed over, so that the "
                    "model would compute something else: give the folder it was made from."
                )


def _is_read(architecture: str, setting: str) -> bool:
    from transformers.integrations import ggml

    known: Any = ggml.GGUF_CONFIG_MAPPING
    return known.get(architecture, {}).get(setting) is not None


def _fitting(path: Path, empty: Any, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights, held against what the model needs."""
    wanted = {name: weight.shape for name, weight in empty.state_dict().items()}
    tied = set(getattr(empty, "_tied_weights_keys", None) or ())
    if not empty.config.get_text_config().tie_word_embeddings:
        tied = set()
    missing = sorted(wanted.keys() - weights.keys() - tied)
    if missing:
        raise ModelError(
            f"{path} lacks {len(missing)} tensors that its model needs, {missing[0]} among them: "
            "copy or download it again."
        )
    for name in wanted.keys() & weights.keys():
        if weights[name].shape != wanted[name]:
            raise ModelError(
                f"{path} has {name} in the shape {list(weights[name].shape)}, where its settings "
                f"ask for {list(wanted[name])}: it is damaged. Copy or download it again."
            )
    return {name: weights[name] for name in sorted(wanted.keys() & weights.keys())}


def _exact_dtype(weights: Mapping[str, Tensor]) -> torch.dtype:
    """The shortest dtype that holds every weight exactly."""
    for dtype in (torch.float16, torch.bfloat16):
        if all(torch.equal(weight.to(dtype).float(), weight) for weight in weights.values()):
            return dtype
    return torch.float32


def _settings(config: Any) -> str:
    """What config.json says: nothing of the file's title or the library's version, so that a file
    gives the same folder everywhere."""
    settings = json.loads(config.to_json_string())
    kept = {
        key: value
        for key, value in settings.items()
        if key not in ("_model_name_or_path", "transformers_version")
    }
    return json.dumps(kept, indent=1) + "\n"


def _name_ends(config: Any, header: GgufHeader) -> None:
    """Number the tokens that open and end a text as the file does."""
    for role in ("bos", "eos"):
        number = header.metadata.get(f"tokenizer.ggml.{role}_token_id")
        if isinstance(number, int) and getattr(config, f"{role}_token_id", None) is None:
            setattr(config, f"{role}_token_id", number)
