"""Cross-layer transcoders: their equation, and their files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.cross_layer_files import (
    cross_layer_checksum,
    is_cross_layer,
    load_cross_layer,
    save_cross_layer,
)
from sae_core.dictionaries.dictionary import Output
from sae_core.errors import CheckpointError
from sae_core.files import memory

READ, WRITE = "blocks.*.mlp.hook_in", "blocks.*.hook_mlp_out"
LAYERS, WIDTH, WRITTEN, PER_LAYER = 3, 5, 4, 7


def random_clt(seed: int = 0, dtype: torch.dtype = torch.float64) -> CrossLayerTranscoder:
    output = Output(WRITE, LAYERS * WRITTEN, layers=LAYERS)
    clt = CrossLayerTranscoder(READ, LAYERS * WIDTH, LAYERS * PER_LAYER, output)
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in clt.named_parameters():
        noise = torch.randn(parameter.shape, generator=draw)
        parameter.data.copy_(0.5 * noise.abs() if name == "threshold" else noise)
    return clt.to(dtype).requires_grad_(False)


def by_the_equation(clt: CrossLayerTranscoder, x: Tensor) -> tuple[Tensor, Tensor]:
    """Activations and reconstruction of one token x [layers, width], number by number."""
    acts = torch.zeros(LAYERS, PER_LAYER, dtype=x.dtype)
    y = clt.b_dec.clone().view(LAYERS, WRITTEN)
    for layer in range(LAYERS):
        for feature in range(PER_LAYER):
            at = layer * PER_LAYER + feature
            z = float(x[layer] @ clt.encoders[layer, :, feature] + clt.b_enc[at])
            if z <= 0 or z <= float(clt.threshold[at]):
                continue
            acts[layer, feature] = z
            for later in range(layer, LAYERS):
                y[later] += z * clt.decoders[layer][feature, later - layer]
    return acts.flatten(), y.flatten()


def test_it_is_the_published_equation() -> None:
    clt = random_clt()
    x = torch.randn(6, LAYERS * WIDTH, dtype=torch.float64, generator=torch.manual_seed(1))
    pairs = [by_the_equation(clt, row.view(LAYERS, WIDTH)) for row in x]
    acts, y = (torch.stack(part) for part in zip(*pairs, strict=True))
    assert 0 < int((acts > 0).sum()) < acts.numel()
    torch.testing.assert_close(clt.encode(x), acts)
    torch.testing.assert_close(clt(x), y)
    torch.testing.assert_close(clt.decode(acts.view(2, 3, -1), x.view(2, 3, -1)).flatten(0, 1), y)
    firings = clt.encode_sparse(x)
    torch.testing.assert_close(clt.decode_sparse(firings, x), y, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(acts @ clt.decoder_rows + clt.b_dec, y)
    vectors = torch.randn(2, LAYERS * WRITTEN, dtype=torch.float64)
    torch.testing.assert_close(clt.along_rows(vectors), vectors @ clt.decoder_rows.T)
    for feature in range(clt.d_sae):
        torch.testing.assert_close(clt.encode_feature(x, feature), acts[:, feature])
        assert torch.equal(clt.decoder_row(feature), clt.decoder_rows[feature])
    for layer in range(LAYERS):
        own = clt.features_of(layer)
        here = x[:, layer * WIDTH : (layer + 1) * WIDTH]
        torch.testing.assert_close(clt.encode_layer(here, layer), acts[:, own])
        written = clt.writes(acts[:, own], layer).flatten(1)
        wanted = acts[:, own] @ clt.decoder_rows[own]
        torch.testing.assert_close(written, wanted[:, layer * WRITTEN :])


def test_files_come_back_and_are_circuit_tracers(tmp_path: Path) -> None:
    clt = random_clt(dtype=torch.float32)
    save_cross_layer(clt, tmp_path, "tiny")
    assert is_cross_layer(tmp_path)
    assert not is_cross_layer(tmp_path.parent)
    back = load_cross_layer(tmp_path)
    assert (back.hook_point, back.output) == (READ, clt.output)
    for name, parameter in clt.named_parameters():
        assert torch.equal(back.get_parameter(name), parameter), name
    # The layout: features first, one file of encoders and one of decoders a layer.
    encoder = load_file(tmp_path / "W_enc_1.safetensors")
    assert {name: list(x.shape) for name, x in encoder.items()} == {
        "W_enc_1": [PER_LAYER, WIDTH],
        "b_enc_1": [PER_LAYER],
        "b_dec_1": [WRITTEN],
        "threshold_1": [PER_LAYER],
    }
    decoder = load_file(tmp_path / "W_dec_1.safetensors")["W_dec_1"]
    assert list(decoder.shape) == [PER_LAYER, LAYERS - 1, WRITTEN]
    assert "model_kind: cross_layer_transcoder" in (tmp_path / "config.yaml").read_text()
    before = cross_layer_checksum(tmp_path)
    save_cross_layer(random_clt(1, torch.float32), tmp_path, "tiny")
    assert cross_layer_checksum(tmp_path) != before


def test_relu_features_have_no_thresholds(tmp_path: Path) -> None:
    save_cross_layer(random_clt(dtype=torch.float32), tmp_path, "tiny")
    for layer in range(LAYERS):
        path = tmp_path / f"W_enc_{layer}.safetensors"
        kept = {k: x for k, x in load_file(path).items() if not k.startswith("threshold")}
        save_file(kept, path)
    (tmp_path / "config.yaml").unlink()
    back = load_cross_layer(tmp_path)
    assert not bool(back.threshold.any())
    assert (back.hook_point, back.output_hook_point) == (READ, WRITE)


def test_damaged_sets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(sentence: str) -> None:
        with pytest.raises(CheckpointError, match=sentence):
            load_cross_layer(tmp_path)

    save_cross_layer(random_clt(dtype=torch.float32), tmp_path, "tiny")
    needed = "needs 0.0 GiB of memory, and 0.0 GiB are free"
    with monkeypatch.context() as patch:
        patch.setattr(memory, "available_memory", lambda: 1000)
        refused(needed)
    config = tmp_path / "config.yaml"
    words = config.read_text()
    config.write_text(words.replace("jump_relu", "topk"))
    refused("with relu and jump_relu only")
    config.write_text(words)
    path = tmp_path / "W_dec_1.safetensors"
    tensors = load_file(path)
    save_file({"W_dec_1": tensors["W_dec_1"][:, :, :2].contiguous()}, path)
    refused(r"W_dec_1 in .* has shape .* where \[7, 2, 4\] was expected")
    save_file({"W_dec_1": tensors["W_dec_1"] * float("nan")}, path)
    refused("holds NaN or infinity")
    save_file({"other": tensors["W_dec_1"]}, path)
    refused("holds other, where W_dec_1 were expected")
    path.unlink()
    refused(r"has no W_dec_1\.safetensors")
    (tmp_path / "W_enc_1.safetensors").unlink()
    refused("is no whole cross-layer transcoder: it holds the layers 0, 2")
    save_cross_layer(random_clt(dtype=torch.float32), tmp_path, "tiny")
    encoder = load_file(tmp_path / "W_enc_2.safetensors")
    encoder["W_skip_2"] = torch.ones(WIDTH, WRITTEN)
    save_file(encoder, tmp_path / "W_enc_2.safetensors")
    refused("has a skip connection, which is read of one layer alone")
    save_file({"W_dec_0": tensors["W_dec_1"]}, tmp_path / "W_dec_0.safetensors")
    refused(r"have the shapes \[7, 5\] and \[7, 2, 4\]")
