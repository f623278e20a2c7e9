"""Files of whole cross-layer transcoders, in circuit-tracer's layout.

`W_enc_L.safetensors` holds W_enc_L [per layer, width], b_enc_L, b_dec_L and, of JumpReLU features,
threshold_L of each block; `W_dec_L.safetensors` W_dec_L [per layer, later blocks and itself,
width]; `config.yaml` says where it reads and writes.
Source: decoderesearch/circuit-tracer, cross_layer_transcoder.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.dictionary import Output
from sae_core.errors import CheckpointError
from sae_core.files.atomic import atomic_file
from sae_core.files.checksum import folder_checksum
from sae_core.files.flat_yaml import flat_yaml
from sae_core.files.memory import check_memory
from sae_core.files.weight_files import check_file, check_is_weights, read_tensors, tensor_shapes

CONFIG = "config.yaml"
_ENCODER = re.compile(r"W_enc_(\d+)\.safetensors")
_EVERY = "blocks.*."
_HOOKS = {"feature_input_hook": "mlp.hook_in", "feature_output_hook": "hook_mlp_out"}
_SAME = {"hook_mlp_in": "hook_resid_mid"}


def save_cross_layer(
    clt: CrossLayerTranscoder, folder: Path, model_name: str, dtype: torch.dtype = torch.float32
) -> None:
    """Write its files; `config.yaml`, which names the whole, comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    b_dec = clt.b_dec.view(clt.layers, -1)
    for layer in range(clt.layers):
        own = clt.features_of(layer)
        parts = {
            f"W_enc_{layer}": clt.encoders[layer].T,
            f"b_enc_{layer}": clt.b_enc[own],
            f"b_dec_{layer}": b_dec[layer],
            f"threshold_{layer}": clt.threshold[own],
        }
        for name, tensors in (("enc", parts), ("dec", {f"W_dec_{layer}": clt.decoders[layer]})):
            kept = {key: x.detach().to("cpu", dtype).contiguous() for key, x in tensors.items()}
            with atomic_file(folder / f"W_{name}_{layer}.safetensors") as draft:
                save_file(kept, draft)
    lines = {
        "model_name": f'"{model_name}"',
        "model_kind": "cross_layer_transcoder",
        "feature_input_hook": clt.hook_point.removeprefix(_EVERY),
        "feature_output_hook": clt.output_hook_point.removeprefix(_EVERY),
        "activation": "jump_relu",
    }
    with atomic_file(folder / CONFIG) as draft:
        draft.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()), "utf-8")


def is_cross_layer(folder: Path) -> bool:
    """Whether a folder holds such files."""
    return (folder / "W_enc_0.safetensors").is_file()


def load_cross_layer(
    folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> CrossLayerTranscoder:
    """Read all layers of a cross-layer transcoder, without unpickling anything.

    Raises:
        CheckpointError: a layer is missing or damaged, shapes disagree, it has another activation
            than ReLU or JumpReLU, or it does not fit into memory.
    """
    layers = _layers(folder)
    config = flat_yaml(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    activation = str(config.get("activation") or "relu").replace("_", "")
    if activation not in ("relu", "jumprelu"):
        raise CheckpointError(
            f"{folder / CONFIG} has the activation {activation!r}: whole cross-layer transcoders "
            "are read with relu and jump_relu only."
        )
    per_layer, width, written = _sizes(folder, layers)
    n = per_layer * layers * (width + (layers + 1) * written // 2)
    check_memory(folder, n * dtype.itemsize, "give the file of one layer")
    places = [_EVERY + _place(str(config.get(key) or usual)) for key, usual in _HOOKS.items()]
    output = Output(places[1], layers * written, layers=layers)
    clt = CrossLayerTranscoder(places[0], layers * width, layers * per_layer, output)
    clt.to(dtype).requires_grad_(False).eval()
    with torch.no_grad():
        for layer in range(layers):
            _fill(clt, layer, folder)
    return clt.to(device)


def cross_layer_checksum(folder: Path) -> str:
    """SHA-256 over its settings and weights."""
    layers = _layers(folder)
    names = [f"W_{end}_{layer}.safetensors" for layer in range(layers) for end in ("enc", "dec")]
    return folder_checksum(folder, (CONFIG, *names))


def _fill(clt: CrossLayerTranscoder, layer: int, folder: Path) -> None:
    """Copy one layer's tensors into their places."""
    own, path = clt.features_of(layer), folder / f"W_enc_{layer}.safetensors"
    tensors = read_tensors(path)
    if f"W_skip_{layer}" in tensors:
        raise CheckpointError(
            f"{path} has a skip connection, which is read of one layer alone: give its file."
        )
    begin = layer * (clt.d_out // clt.layers)
    targets = {
        f"W_enc_{layer}": clt.encoders[layer].T,
        f"b_enc_{layer}": clt.b_enc[own],
        f"b_dec_{layer}": clt.b_dec[begin : begin + clt.d_out // clt.layers],
    }
    if f"threshold_{layer}" in tensors:
        targets[f"threshold_{layer}"] = clt.threshold[own]
        tensors[f"threshold_{layer}"] = tensors[f"threshold_{layer}"].flatten()
    _copy(tensors, targets, path)
    path = folder / f"W_dec_{layer}.safetensors"
    _copy(read_tensors(path), {f"W_dec_{layer}": clt.decoders[layer]}, path)


def _copy(tensors: dict[str, Tensor], targets: dict[str, Tensor], path: Path) -> None:
    if tensors.keys() != targets.keys():
        raise CheckpointError(
            f"{path} holds {', '.join(sorted(tensors)) or 'nothing'}, where "
            f"{', '.join(sorted(targets))} were expected."
        )
    for name, target in targets.items():
        check_is_weights(name, tensors[name], path)
        if tensors[name].shape != target.shape:
            raise CheckpointError(
                f"{name} in {path} has shape {list(tensors[name].shape)}, where "
                f"{list(target.shape)} was expected: the files are of one transcoder."
            )
        if not bool(torch.isfinite(tensors[name]).all()):
            raise CheckpointError(f"{name} in {path} holds NaN or infinity.")
        target.copy_(tensors[name])


def _layers(folder: Path) -> int:
    """How many layers there are, none missing."""
    there = sorted(
        int(match[1]) for path in folder.iterdir() if (match := _ENCODER.fullmatch(path.name))
    )
    if not there or there != list(range(len(there))):
        raise CheckpointError(
            f"{folder} is no whole cross-layer transcoder: it holds the layers "
            f"{', '.join(map(str, there)) or 'none'}."
        )
    return len(there)


def _sizes(folder: Path, layers: int) -> tuple[int, int, int]:
    """Features of a layer, width read and width written, from the heads of the files."""
    for layer in range(layers):
        for end in ("enc", "dec"):
            check_file(folder / f"W_{end}_{layer}.safetensors")
    encoder = tensor_shapes(folder / "W_enc_0.safetensors").get("W_enc_0", [])
    decoder = tensor_shapes(folder / "W_dec_0.safetensors").get("W_dec_0", [])
    if len(encoder) != 2 or len(decoder) != 3 or decoder[1] != layers:
        raise CheckpointError(
            f"W_enc_0 and W_dec_0 in {folder} have the shapes {encoder} and {decoder}: [features, "
            f"width] and [features, {layers} layers, width] were expected."
        )
    return encoder[0], encoder[1], decoder[2]


def _place(name: str) -> str:
    return _SAME.get(name, name)
