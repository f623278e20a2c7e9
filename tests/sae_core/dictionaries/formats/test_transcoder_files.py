"""Transcoders of other people's making: where they read and write, one layer alone, bad files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae_core.dictionaries.architectures.matching_pursuit import MatchingPursuitDictionary
from sae_core.dictionaries.architectures.standard import StandardDictionary
from sae_core.dictionaries.checkpoint import (
    LATER_WEIGHTS,
    WEIGHTS,
    dictionary_checksum,
    load_dictionary,
    save_dictionary,
)
from sae_core.dictionaries.dictionary import Output
from sae_core.dictionaries.formats.opening import open_dictionary
from sae_core.errors import CheckpointError
from sae_core.files import memory
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
    assert opened.facts["changes"] == []
    assert any("one layer of a cross-layer transcoder" in note for note in opened.facts["notes"])
    refused(file.parent, r"holds 1 layers? of a cross-layer transcoder.* such as .*layer_1\.safet")
    other = file.with_name("layer_9.safetensors")
    file.rename(other)
    refused(other, "A decoder for 4 layers was given for layer 9: files of two transcoders")


def test_one_layer_of_a_clt_writes_into_each_later_block(tmp_path: Path) -> None:
    scope = transcoder_writers.gemma_scope_clt(tmp_path / "clt" / "width_1k", 1).path
    tracer = transcoder_writers.circuit_tracer_clt(tmp_path / "set").path
    W_dec = load_file(tracer.with_name("W_dec_1.safetensors"))["W_dec_1"]
    for path, rows in ((scope, load_file(scope)["w_dec"][:, 1:]), (tracer, W_dec)):
        dictionary = open_dictionary(path).dictionary
        assert dictionary.output is not None
        assert dictionary.output.later == ("blocks.2.hook_mlp_out", "blocks.3.hook_mlp_out")
        assert torch.equal(dictionary.W_dec, rows[:, 0])
        assert torch.equal(torch.stack(dictionary.later_rows, 1), rows[:, 1:])
    last = transcoder_writers.circuit_tracer_clt(tmp_path / "set", 3).path
    alone = open_dictionary(last).dictionary
    assert alone.later_rows == ()
    assert "W_later" not in dict(alone.named_parameters())
    unnamed = scope.rename(tmp_path / "some.safetensors")
    said = {"hook_point": "blocks.2.mlp.hook_in", "output_hook_point": "blocks.2.hook_mlp_out"}
    moved = open_dictionary(unnamed, **said).dictionary
    assert torch.equal(moved.W_dec, load_file(unnamed)["w_dec"][:, 2])
    assert len(moved.later_rows) == 1


def test_its_checkpoint_is_ours_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = transcoder_writers.circuit_tracer_clt(tmp_path / "set", thresholds=True).path
    made = open_dictionary(file).dictionary
    folder = tmp_path / "ours"
    save_dictionary(made, folder)
    assert "W_later" not in load_file(folder / WEIGHTS)  # SAELens would refuse all of it
    for back in (load_dictionary(folder), open_dictionary(folder).dictionary):
        assert (back.output, back.architecture) == (made.output, made.architecture)
        for name, tensor in made.named_parameters():
            assert torch.equal(dict(back.named_parameters())[name], tensor)
    later = folder / LATER_WEIGHTS
    before = dictionary_checksum(folder)
    tensors = load_file(later)
    save_file({"W_later": tensors["W_later"] * 2}, later)
    assert dictionary_checksum(folder) != before
    needed = r"needs 0\.0 GiB of memory, and 0\.0 GiB are free: take a layer that writes into fewer"
    with monkeypatch.context() as patch:
        patch.setattr(memory, "available_memory", lambda: 1000)
        for read in (load_dictionary, open_dictionary):
            with pytest.raises(CheckpointError, match=needed):
                read(folder)
    for kept, sentence in (
        ({"W_later": tensors["W_later"][:1].clone()}, r"W_later in .* has shape \[1, 40, 12\]"),
        ({"W_later": tensors["W_later"] * torch.nan}, "W_later in .* holds NaN or infinity"),
        ({"W_dec": tensors["W_later"]}, "holds W_dec, where W_later was expected"),
        (None, r"has no later_weights\.safetensors"),
    ):
        later.unlink()
        if kept is not None:
            save_file(kept, later)
        with pytest.raises(CheckpointError, match=sentence):
            load_dictionary(folder)


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


SET = "model_kind: transcoder_set\nfeature_input_hook: {}\nfeature_output_hook: hook_mlp_out\n"


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ("mlp.hook_in", "mlp.hook_in"),
        ("ln2.hook_normalized", "ln2.hook_normalized"),
        ("hook_resid_mid", "hook_resid_mid"),
        ("hook_mlp_in", "hook_resid_mid"),  # before the norm, in TransformerLens
    ],
)
def test_a_set_says_where_its_layers_lie(tmp_path: Path, said: str, place: str) -> None:
    file = transcoder_writers.circuit_tracer(tmp_path, config=SET.format(said)).path
    assert places(file) == ("transcoder", f"blocks.1.{place}", "blocks.1.hook_mlp_out")
    for name in ("wandb-config.yaml", "wanb-config.yaml"):  # some have this one alone
        (tmp_path / "config.yaml").unlink(missing_ok=True)
        (tmp_path / name).write_text("d_model:\n  value: 12\n")
        assert places(file)[1:] == ("blocks.1.mlp.hook_in", "blocks.1.hook_mlp_out")
        (tmp_path / name).unlink()
    refused(file, "is in no format known here: say which of its tensors is which")


def test_decoders_of_before_they_were_read_in_slices(tmp_path: Path) -> None:
    written = transcoder_writers.circuit_tracer(tmp_path)
    tensors = load_file(written.path)
    save_file(tensors | {"W_dec": tensors["W_dec"].T.contiguous()}, written.path)
    x = activations()
    opened = open_dictionary(written.path, dtype=torch.float64)
    assert torch.allclose(opened.dictionary(x), written.rebuild(x), atol=1e-12)


def test_a_whole_set_is_asked_for_one_layer(tmp_path: Path) -> None:
    for layer in (0, 2, 3, 1):
        written = transcoder_writers.circuit_tracer(tmp_path / "set").path
        written.rename(written.with_name(f"layer_{layer}.safetensors"))
        transcoder_writers.circuit_tracer_clt(tmp_path / "clt", layer)
    refused(tmp_path / "set", r"set of transcoders of 4 layers.* such as .*layer_0\.safetensors")
    refused(
        tmp_path / "clt", r"cross-layer transcoder of 4 layers.* such as .*W_enc_0\.safetensors"
    )
    (tmp_path / "set" / "layer_2.safetensors").unlink()
    refused(tmp_path / "set", "a set of transcoders of which layer 2 is missing: copy what is")
    (tmp_path / "clt" / "W_enc_1.safetensors").unlink()
    (tmp_path / "clt" / "W_dec_1.safetensors").unlink()
    refused(tmp_path / "clt", "a cross-layer transcoder of which layer 1 is missing")
    (tmp_path / "clt" / "W_dec_2.safetensors").unlink()
    refused(tmp_path / "clt" / "W_enc_2.safetensors", r"has no W_dec_2\.safetensors")
    empty = tmp_path / "empty"
    empty.mkdir()
    config = empty / "config.yaml"
    config.write_text("model_kind: cross_layer_transcoder\n")
    refused(empty, "is a cross-layer transcoder and holds none of its layers")
    config.write_text(
        "model_kind: transcoder_set\ntranscoders:\n"
        "- hf://google/gemma-scope-2b-pt-transcoders/layer_0/a/params.npz?revision=main\n"
        "- hf://google/gemma-scope-2b-pt-transcoders/layer_1/a/params.npz\n"
    )
    refused(empty, r"whose 2 layers lie elsewhere: .* as google/gemma-\S+/layer_0/a/params\.npz\.")


def test_settings_that_cannot_be_read_are_no_set(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    refused(tmp_path, r"no dictionary in a format known here .* it holds config\.yaml")


def test_files_of_a_set_that_do_not_fit_together(tmp_path: Path) -> None:
    file = transcoder_writers.circuit_tracer_clt(tmp_path).path
    decoder = file.with_name("W_dec_1.safetensors")
    W_dec = load_file(decoder)["W_dec_1"]
    for tensors, sentence in (
        ({"W_dec_1": W_dec[:, :, :7].clone()}, r"b_dec in .* has shape \[12\], .* ask for \[7\]"),
        ({"W_dec_1": W_dec[:, 0].clone()}, "the decoder of one layer into all later ones was exp"),
        ({"W_dec_2": W_dec}, "lacks the tensor W_dec_1: it has W_dec_2"),
    ):
        save_file(tensors, decoder)
        refused(file, sentence)
    file = transcoder_writers.circuit_tracer(tmp_path / "set").path
    save_file(load_file(file) | {"b_enc": torch.zeros(7)}, file)
    refused(file, r"b_enc in .* has shape \[7\], but its settings ask for \[40\]")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("activation: topk\n", "says activation: topk and not how many: add k there"),
        ("activation: gelu\n", "has the activation 'gelu': only relu, jump_relu and topk"),
        ("activation: jump_relu\n", "has the activation 'jump_relu', and no thresholds"),
    ],
)
def test_activations_of_a_set(tmp_path: Path, lines: str, sentence: str) -> None:
    config = SET.format("mlp.hook_in") + lines
    refused(transcoder_writers.circuit_tracer(tmp_path, config=config).path, sentence)


def test_a_graph_of_circuit_tracer_stays_closed(tmp_path: Path) -> None:
    graph = {"adjacency_matrix": torch.zeros(2, 2), "cfg": torch.nn.Linear(1, 1)}
    torch.save(graph, tmp_path / "graph.pt")
    refused(tmp_path / "graph.pt", "could run code, so it stays closed")


@pytest.mark.parametrize(
    ("module", "reads", "writes"),
    [
        ("layers.1.mlp", "blocks.1.mlp.hook_in", "blocks.1.mlp.hook_out"),
        ("gpt_neox.layers.1", "blocks.1.hook_resid_pre", "blocks.1.hook_resid_post"),
    ],
)
def test_a_transcoder_of_sparsify_reads_its_module_s_input(
    tmp_path: Path, module: str, reads: str, writes: str
) -> None:
    folder = transcoder_writers.sparsify(tmp_path / module, skip=True).path
    assert places(folder) == ("topk_skip_transcoder", reads, writes)
    attention = folder.rename(tmp_path / "layers.1.self_attn")
    refused(attention, "does not say which activation it was trained on")


def test_a_factor_of_the_input_says_nothing_of_the_output(tmp_path: Path) -> None:
    made = StandardDictionary(
        "blocks.1.mlp.hook_in", 6, 9, False, Output("blocks.1.hook_mlp_out", 6)
    )
    save_dictionary(made, tmp_path)
    settings = tmp_path / "cfg.json"
    changed = {"normalize_activations": "expected_average_only_in"}
    settings.write_text(json.dumps(json.loads(settings.read_text()) | changed))
    (tmp_path / "activation_scaler.json").write_text('{"scaling_factor": 2.0}')
    refused(tmp_path, "nothing says in what units its output is")
    refused(tmp_path, "nothing says in what units", norm="expected_average_only_in")
    assert places(tmp_path, norm="none")[0] == "transcoder"


def test_a_width_that_the_decoder_has_not_is_refused_unallocated(tmp_path: Path) -> None:
    made = StandardDictionary(
        "blocks.1.mlp.hook_in", 6, 9, False, Output("blocks.1.hook_mlp_out", 6)
    )
    save_dictionary(made, tmp_path)
    settings = tmp_path / "cfg.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"d_out": 10**13}))
    refused(tmp_path, "say d_out = 10000000000000, but its decoder has 6")
    with pytest.raises(CheckpointError, match=r"W_dec in .* ask for \[9, 10000000000000\]"):
        load_dictionary(tmp_path)
    pursuit = MatchingPursuitDictionary("blocks.1.hook_mlp_out", 6, 9)
    save_dictionary(pursuit, tmp_path)
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"d_sae": 10**13}))
    with pytest.raises(CheckpointError, match=r"W_dec in .* ask for \[10000000000000, 6\]"):
        load_dictionary(tmp_path)
