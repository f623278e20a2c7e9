"""circuit-tracer's sets: `config.yaml`, and files of one layer each.

A set of transcoders has `layer_L.safetensors`; a cross-layer transcoder (CLT) `W_enc_L.safetensors`
and `W_dec_L.safetensors`, of which one layer is read, with what it writes into each later block.
Equations (decoderesearch/circuit-tracer, single_layer_transcoder.py, cross_layer_transcoder.py),
with W_enc [d_sae, d_in], and act ReLU, JumpReLU where there are thresholds, or TopK:

    f = act(x W_enc^T + b_enc),    y_hat = f W_dec + b_dec (+ x W_skip^T, of a CLT + x W_skip).

Michael Hanna's transcoders are such files, beside the settings of their training.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sae_core.dictionaries.formats.parts import (
    LAYER_ALONE,
    Asked,
    Parts,
    TensorFile,
    over_layers,
    transposed,
)
from sae_core.errors import CheckpointError
from sae_core.files.flat_yaml import flat_yaml
from sae_core.files.weight_files import check_file, read_tensors

_CONFIG = "config.yaml"
_TRAINING = ("wandb-config.yaml", "wanb-config.yaml")  # written so in some repositories
_LAYER = re.compile(r"layer_(\d+)\.safetensors")
_CLT_LAYER = re.compile(r"W_(?:enc|dec)_(\d+)\.safetensors")
_ELSEWHERE = "hf://"
# Where Michael Hanna's transcoders lie if nothing says so, and TransformerLens' name of a stream.
_HOOKS = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}
_SAME = {"hook_mlp_in": "hook_resid_mid"}
_SAID = ("model_name", "model_kind", "scan", "activation")


def recognise(path: Path) -> bool:
    """Whether that is the file of one layer, or the folder of a set."""
    if path.is_dir():
        if any(_CLT_LAYER.fullmatch(file.name) for file in path.iterdir()):
            return True
        return (path / _CONFIG).is_file() and _names_a_set(path / _CONFIG)
    if _CLT_LAYER.fullmatch(path.name):
        return True
    beside = any((path.parent / name).is_file() for name in (_CONFIG, *_TRAINING))
    return beside and _LAYER.fullmatch(path.name) is not None


def _names_a_set(config: Path) -> bool:
    try:
        return "model_kind" in flat_yaml(config)
    except CheckpointError:
        return False


def read(path: Path, asked: Asked) -> Parts:
    """One layer of a set.

    Raises:
        CheckpointError: it is a whole set, a file is missing or damaged, or it has another
            activation than those above.
    """
    del asked
    if path.is_dir():
        raise _whole_set(path)
    config_file = path.parent / _CONFIG
    config = flat_yaml(config_file) if config_file.is_file() else {}
    match = _CLT_LAYER.fullmatch(path.name)
    layer_match = match or _LAYER.fullmatch(path.name)
    if layer_match is None:
        raise CheckpointError(
            f"{path} is no layer of a set: those are named layer_0.safetensors, or of a "
            "cross-layer transcoder W_enc_0.safetensors."
        )
    layer = int(layer_match[1])
    files = [path]
    if match:
        files = [path.with_name(f"W_{end}_{layer}.safetensors") for end in ("enc", "dec")]
        weights = _clt_layer(files, layer)
    else:
        weights = _layer(path)
    if config:
        files.append(config_file)
    places = [_place(config, key, layer) for key in _HOOKS]
    return Parts(
        _architecture(config, weights, config_file),
        weights,
        tuple(files),
        places[0],
        _CONFIG if config else "the rule of its releases",
        {key: config[key] for key in _SAID if isinstance(config.get(key), (str, int, float))},
        notes=(LAYER_ALONE,) if match else (),
        output=places[1],
    )


def _layer(path: Path) -> dict[str, Tensor]:
    """The tensors of one transcoder by the names of SAELens."""
    tensors = TensorFile(path, read_tensors(path))
    b_enc, b_dec = tensors.take("b_enc"), tensors.take("b_dec")
    W_dec = tensors.take("W_dec")
    if tuple(W_dec.shape) == (len(b_dec), len(b_enc)):  # before it was read in slices
        W_dec = W_dec.T.contiguous()
    weights = {
        "W_enc": transposed(tensors.take("W_enc"), path, "W_enc"),
        "W_dec": W_dec,
        "b_enc": b_enc,
        "b_dec": b_dec,
    }
    if any(name in tensors for name in ("activation_function.threshold", "threshold")):
        weights["threshold"] = tensors.take("activation_function.threshold", "threshold").flatten()
    if "W_skip" in tensors:
        weights["W_skip"] = tensors.take("W_skip")
    tensors.refuse_rest()
    return weights


def _clt_layer(files: list[Path], layer: int) -> dict[str, Tensor]:
    """The tensors of one layer of a CLT, by the names of SAELens."""
    for file in files:
        check_file(file)
    tensors = TensorFile(files[0], read_tensors(files[0]))
    own = {
        name: tensors.take(f"{name}_{layer}")
        for name in ("W_enc", "b_enc", "b_dec", "threshold", "W_skip")
        if f"{name}_{layer}" in tensors or name in ("W_enc", "b_enc", "b_dec")
    }
    tensors.refuse_rest()
    decoder = TensorFile(files[1], read_tensors(files[1]))
    W_dec = decoder.take(f"W_dec_{layer}")
    decoder.refuse_rest()
    if W_dec.dim() != 3:
        raise CheckpointError(
            f"W_dec_{layer} in {files[1]} has shape {list(W_dec.shape)}: the decoder of one layer "
            "into all later ones was expected, [d_sae, layers, d_out]."
        )
    own["W_enc"] = transposed(own["W_enc"], files[0], f"W_enc_{layer}")
    if "W_skip" in own:  # which a CLT multiplies from the other side than a transcoder does
        own["W_skip"] = transposed(own["W_skip"], files[0], f"W_skip_{layer}")
    if "threshold" in own:
        own["threshold"] = own["threshold"].flatten()
    return own | over_layers(W_dec)


def _architecture(
    config: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path
) -> dict[str, Any]:
    kind = "skip_transcoder" if "W_skip" in weights else "transcoder"
    activation = str(config.get("activation") or "relu")
    values: dict[str, Any] = {"apply_b_dec_to_input": False}
    if activation == "topk" and "threshold" not in weights:
        k = config.get("k")
        if not isinstance(k, int) or isinstance(k, bool):
            raise CheckpointError(f"{path} says activation: topk and not how many: add k there.")
        return values | {"architecture": f"topk_{kind}", "k": k}
    if activation.replace("_", "") not in ("relu", "jumprelu"):
        raise CheckpointError(
            f"{path} has the activation {activation!r}: only relu, jump_relu and topk are read."
        )
    if "threshold" in weights:
        return values | {"architecture": f"jumprelu_{kind}"}
    if activation != "relu":
        raise CheckpointError(f"{path} has the activation {activation!r}, and no thresholds.")
    return values | {"architecture": kind}


def _place(config: Mapping[str, Any], key: str, layer: int) -> str:
    name = str(config.get(key) or _HOOKS[key])
    return f"blocks.{layer}.{_SAME.get(name, name)}"


def _whole_set(path: Path) -> CheckpointError:
    """What to do with a folder of many layers."""
    config = flat_yaml(path / _CONFIG) if (path / _CONFIG).is_file() else {}
    clt = config.get("model_kind") == "cross_layer_transcoder"
    pattern = _LAYER
    if any(_CLT_LAYER.fullmatch(file.name) for file in path.iterdir()):
        clt, pattern = True, _CLT_LAYER
    layers = {int(m[1]) for file in path.iterdir() if (m := pattern.fullmatch(file.name))}
    what = "a cross-layer transcoder" if clt else "a set of transcoders"
    elsewhere = config.get("transcoders")
    if not layers and isinstance(elsewhere, list) and elsewhere:
        first = str(elsewhere[0]).removeprefix(_ELSEWHERE).partition("?")[0]
        return CheckpointError(
            f"{path} is {what} whose {len(elsewhere)} layers lie elsewhere: give one of them, such "
            f"as {first}."
        )
    if not layers:
        return CheckpointError(f"{path} is {what} and holds none of its layers: copy them there.")
    if missing := sorted(set(range(max(layers))) - layers):
        return CheckpointError(
            f"{path} is {what} of which layer {', '.join(map(str, missing))} is missing: copy what "
            "is missing there, or give the file of one layer."
        )
    name = "W_enc_0.safetensors" if pattern is _CLT_LAYER else "layer_0.safetensors"
    return CheckpointError(
        f"{path} is {what} of {len(layers)} layers, and not one dictionary: give the file of one "
        f"layer, such as {path / name}."
    )
