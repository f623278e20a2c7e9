"""What is known of a dictionary besides its weights: format, hook point, checksum, facts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sae_core.dictionaries.checkpoint import dictionary_checksum
from sae_core.dictionaries.formats.opening import FORMATS, open_dictionary
from sae_core.dictionaries.normalised import InputNorm, NormalisedDictionary
from tests.sae_core.dictionaries.formats import writers
from tests.sae_core.dictionaries.formats.writers import D_IN, D_SAE, K, random_tensors


def test_facts_for_the_provenance_page(tmp_path: Path) -> None:
    opened = open_dictionary(writers.saelens(tmp_path / "a", "topk", old=True).path)
    assert opened.dictionary.hook_point == "blocks.1.hook_resid_pre"
    assert opened.checksum == dictionary_checksum(tmp_path / "a")
    assert opened.facts == {
        "format": "SAELens",
        "files": ["sae_weights.safetensors", "cfg.json"],
        "checksum of the files": opened.checksum,
        "hook point from": "cfg.json",
        "input normalisation": "none",
        "changes": [],
        "settings not understood": [],
        "notes": [],
        "says of itself": {"model_name": "tiny", "context_size": 64, "prepend_bos": True},
    }
    opened = open_dictionary(writers.learned(tmp_path / "b", "AutoEncoder").path)
    assert opened.facts["says of itself"]["dict_class"] == "AutoEncoder"
    assert opened.facts["changes"] == [
        "decoder rows were brought to norm 1, and their features scaled to match"
    ]
    assert json.loads(json.dumps(opened.facts)) == opened.facts
    assert opened.format in FORMATS


def test_the_command_decides_where_a_dictionary_belongs(tmp_path: Path) -> None:
    path = writers.saelens(tmp_path / "a", "standard").path
    opened = open_dictionary(path, hook_point="blocks.0.hook_mlp_out")
    assert opened.dictionary.hook_point == "blocks.0.hook_mlp_out"
    assert opened.facts["hook point from"] == "the command"


def test_a_pattern_of_layers_is_filled_in(tmp_path: Path) -> None:
    path = writers.saelens(tmp_path / "a", "standard", old=True).path
    config = json.loads((path / "cfg.json").read_text())
    config |= {"hook_point": "blocks.{layer}.hook_resid_post", "hook_point_layer": 5}
    (path / "cfg.json").write_text(json.dumps(config))
    assert open_dictionary(path).dictionary.hook_point == "blocks.5.hook_resid_post"


@pytest.mark.parametrize(
    ("folder", "hook_point"),
    [
        ("layers.5", "blocks.5.hook_resid_post"),
        ("layers.5.mlp", "blocks.5.mlp.hook_out"),
        ("gpt_neox.layers.5.attention", "blocks.5.attn.hook_out"),
        ("h.11.attn", "blocks.11.attn.hook_out"),
    ],
)
def test_sparsify_folders_are_named_after_modules(
    tmp_path: Path, folder: str, hook_point: str
) -> None:
    opened = open_dictionary(writers.sparsify(tmp_path / folder).path)
    assert opened.dictionary.hook_point == hook_point
    assert opened.facts["hook point from"] == "the folder's name"


@pytest.mark.parametrize(
    ("folder", "hook_point"),
    [
        ("gemma-scope-2b-pt-res/layer_20/width_16k/a", "blocks.20.hook_resid_post"),
        ("models--google--gemma-scope-9b-it-mlp/s/layer_1/a", "blocks.1.hook_mlp_out"),
        ("gemma-scope-2b-pt-att/layer_7/a", "blocks.7.attn.hook_z"),
        ("gemma-scope-2-4b-pt/attn_out_all/layer_9_width_16k_l0_small", "blocks.9.attn.hook_z"),
        ("gemma-scope-2-4b-pt/resid_post/layer_9_width_16k", "blocks.9.hook_resid_post"),
    ],
)
def test_gemma_scope_folders_say_which_layer(tmp_path: Path, folder: str, hook_point: str) -> None:
    path = writers.gemma_scope(tmp_path / folder).path
    assert open_dictionary(path).dictionary.hook_point == hook_point
    assert open_dictionary(path / "params.npz").dictionary.hook_point == hook_point


def test_files_in_the_cache_of_the_hub_are_links(tmp_path: Path) -> None:
    folder = tmp_path / "models--google--gemma-scope-2b-pt-res" / "snapshots" / "a" / "layer_20"
    file = writers.gemma_scope(folder).path / "params.npz"
    blob = tmp_path / "blob"
    file.rename(blob)
    file.symlink_to(blob)
    assert open_dictionary(folder).dictionary.hook_point == "blocks.20.hook_resid_post"
    assert open_dictionary(file).dictionary.hook_point == "blocks.20.hook_resid_post"


def test_the_state_of_a_compiled_autoencoder(tmp_path: Path) -> None:
    path = writers.learned(tmp_path / "a", "AutoEncoderNew").path
    x = torch.randn(9, D_IN)
    plain = open_dictionary(path).dictionary(x)
    state = torch.load(path / "ae.pt", weights_only=True)
    torch.save({f"_orig_mod.{name}": t for name, t in state.items()}, path / "ae.pt")
    assert torch.equal(open_dictionary(path / "ae.pt").dictionary(x), plain)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_a_file_of_tensors_named_by_hand(tmp_path: Path, suffix: str) -> None:
    tensors = random_tensors(
        5, enc=(D_SAE, D_IN), dec=(D_IN, D_SAE), be=(D_SAE,), bd=(D_IN,), mean=(D_IN,)
    )
    file = tmp_path / f"a.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(tensors, file)
    mapping = {"W_enc": "enc.T", "W_dec": "dec.T", "b_enc": "be", "b_dec": "bd", "k": str(K)}
    w = {name: tensor.double() for name, tensor in tensors.items()}
    x = torch.randn(50, D_IN, dtype=torch.float64)
    z = (x - w["mean"]) * 0.25
    for subtracted in (True, False):
        options = {"input_mean": "mean", "input_scale": "0.25"}
        options["apply_b_dec_to_input"] = str(subtracted)
        opened = open_dictionary(
            tmp_path, hook_point="h", mapping=mapping | options, dtype=torch.float64
        )
        u = z - w["bd"] if subtracted else z
        acts = writers.top_k(u @ w["enc"].T + w["be"], K)
        dictionary = opened.dictionary
        assert float((dictionary.encode(x) - acts / 0.25).abs().max()) < 1e-12
        x_hat = (acts @ w["dec"].T + w["bd"]) / 0.25 + w["mean"]
        assert float((dictionary(x) - x_hat).abs().max()) < 1e-12
        assert opened.facts["changes"]


def test_gates_behind_a_fixed_normalisation(tmp_path: Path) -> None:
    vectors = dict.fromkeys(("gate", "mag", "r"), (D_SAE,))
    tensors = random_tensors(6, enc=(D_IN, D_SAE), mean=(D_IN,), **vectors)
    save_file(tensors, tmp_path / "a.safetensors")
    mapping = {"W_enc": "enc", "b_gate": "gate", "b_mag": "mag", "r_mag": "r"}
    mapping |= {"input_mean": "mean", "input_scale": "3", "apply_b_dec_to_input": "false"}
    w = {name: tensor.double() for name, tensor in tensors.items()}
    x = torch.randn(50, D_IN, dtype=torch.float64)
    e = (x - w["mean"]) * 3 @ w["enc"]
    acts = (e + w["gate"] > 0) * (w["r"].exp() * e + w["mag"]).relu()
    dictionary = open_dictionary(
        tmp_path, hook_point="h", mapping=mapping, dtype=torch.float64
    ).dictionary
    assert float((dictionary.encode(x) - acts / 3).abs().max()) < 1e-12
    assert float((dictionary(x) - (acts @ w["enc"].T / 3 + w["mean"])).abs().max()) < 1e-12


@pytest.mark.parametrize("norm", [InputNorm.LAYER_NORM, InputNorm.CONSTANT_NORM])
def test_tokens_without_scale_fire_nowhere(tmp_path: Path, norm: InputNorm) -> None:
    path = writers.saelens(tmp_path / "a", "standard", str(norm)).path
    dictionary = open_dictionary(path).dictionary
    assert isinstance(dictionary, NormalisedDictionary)
    level = 2.0 if norm is InputNorm.LAYER_NORM else 0.0
    x = torch.full((1, D_IN), level)
    assert not bool(dictionary.encode(x).any())
    assert len(dictionary.encode_sparse(x).values) == 0
    assert torch.equal(dictionary(x), x)
    moved = dictionary.to(torch.float64)
    assert moved.b_dec is moved.inner.b_dec
    assert moved.b_dec.dtype == torch.float64
