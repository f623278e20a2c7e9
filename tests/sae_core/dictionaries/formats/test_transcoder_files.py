"""Transcoders of other people's making: where they read and write, one layer alone, bad files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae_core.dictionaries.formats.opening import open_dictionary
from sae_core.errors import CheckpointError
from tests.sae_core.dictionaries.formats import transcoder_writers, writers
from tests.sae_core.dictionaries.formats.cases import activations

SCOPE_1 = "gemma-scope-2b-pt-transcoders"


def places(path: Path, **options: Any) -> tuple[str, str, str]:
    dictionary = open_dictionary(path, **options).dictionary
    return dictionary.architecture, dictionary.hook_point, dictionary.output_hook_point


def refused(path: Path, sentence: str, **options: Any) -> None:
    with pytest.raises(CheckpointError, match=sentence) as caught:
        open_dictionary(path, **options)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message


def test_gemma_scope_s_transcoders_say_where_by_settings_or_by_name(tmp_path: Path) -> None:
    first = transcoder_writers.gemma_scope(tmp_path / SCOPE_1 / "layer_3" / "width_16k" / "a").path
    normed = ("jumprelu_transcoder", "blocks.3.ln2.hook_normalized", "blocks.3.hook_mlp_out")
    assert places(first) == places(first / "params.npz") == normed
    second = transcoder_writers.gemma_scope(tmp_path / "mine", 2, affine=True).path
    inside = ("jumprelu_skip_transcoder", "blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out")
    assert places(second) == inside
    named = tmp_path / "transcoder_all" / "layer_1_width_16k_affine"
    named.mkdir(parents=True)
    (second / "params.safetensors").rename(named / "params.safetensors")
    assert places(named) == inside


def test_the_command_can_say_that_it_is_a_transcoder(tmp_path: Path) -> None:
    folder = writers.gemma_scope(tmp_path / "mine").path
    said = {"hook_point": "blocks.3.mlp.hook_in", "output_hook_point": "blocks.3.hook_mlp_out"}
    assert places(folder, **said) == ("jumprelu_transcoder", *said.values())


def test_one_layer_of_a_clt_says_what_it_is(tmp_path: Path) -> None:
    file = transcoder_writers.gemma_scope_clt(tmp_path / "clt" / "width_1k", 1).path
    opened = open_dictionary(file)
    assert opened.dictionary.hook_point == "blocks.1.mlp.hook_in"
    assert any("into this layer and 2 later ones" in change for change in opened.facts["changes"])
    assert any("one layer of a cross-layer transcoder" in note for note in opened.facts["notes"])
    refused(file.parent, r"holds 1 layers? of a cross-layer transcoder.* such as .*layer_1\.safet")
    other = file.with_name("layer_9.safetensors")
    file.rename(other)
    refused(other, "A decoder for 4 layers was given for layer 9: files of two transcoders")


def test_coders_of_several_layers_are_refused(tmp_path: Path) -> None:
    folder = transcoder_writers.gemma_scope(tmp_path / "crosscoder_all" / "layer_3", 2).path
    (folder / "config.json").unlink()
    refused(folder, "is a crosscoder, which reads several layers at once")
    file = folder / "params.safetensors"
    tensors = load_file(file)
    whole = folder.rename(tmp_path / "transcoder")
    save_file(tensors | {"w_enc": tensors["w_enc"][None].clone()}, whole / file.name)
    refused(whole, "is a crosscoder's, which reads 1 layers at once", hook_point="h")


def test_a_skip_connection_belongs_to_a_transcoder(tmp_path: Path) -> None:
    folder = transcoder_writers.gemma_scope(tmp_path / "a", 2, affine=True).path
    (folder / "config.json").unlink()
    refused(folder, "a skip connection is read of transcoders alone", hook_point="h")


def test_widths_that_disagree(tmp_path: Path) -> None:
    folder = transcoder_writers.gemma_scope(tmp_path / "transcoder" / "layer_1", 2).path
    file = folder / "params.safetensors"
    tensors = load_file(file)
    save_file(tensors | {"b_dec": torch.zeros(7)}, file)
    refused(folder, r"b_dec in .* has shape \[7\], but its settings ask for \[10\]")
    skip = torch.zeros(3, 10)
    (folder / "config.json").unlink()
    save_file(tensors | {"affine_skip_connection": skip}, file)
    refused(folder, r"W_skip in .* has shape \[10, 3\], but its settings ask for \[10, 12\]")


def test_embeddings_are_read_as_the_model_has_them(tmp_path: Path) -> None:
    folder = tmp_path / "gemma-scope-2b-pt-res" / "embedding" / "width_4k" / "average_l0_6"
    written = writers.gemma_scope(folder)
    opened = open_dictionary(written.path, dtype=torch.float64)
    assert opened.dictionary.hook_point == "blocks.0.hook_resid_pre"
    x = activations()
    assert torch.allclose(opened.dictionary(x), written.rebuild(x), atol=1e-12)
    assert "sqrt(d_model)" in opened.facts["changes"][0]
