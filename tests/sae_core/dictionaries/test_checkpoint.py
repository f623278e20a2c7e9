"""Dictionaries on disk: the SAELens 6 keys, and what is refused with which sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae_core.dictionaries.architectures.gated import GatedDictionary
from sae_core.dictionaries.architectures.jumprelu import JumpReLUDictionary
from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.dictionaries.checkpoint import dictionary_checksum, load_dictionary, save_dictionary
from sae_core.errors import CheckpointError

HOOK = "blocks.0.mlp.hook_post"


def _saelens_folder(folder: Path, **changes: Any) -> Path:
    """A folder as SAELens 6 writes it, without any code of ours."""
    draw = torch.Generator().manual_seed(0)
    config: dict[str, Any] = {
        "d_in": 4,
        "d_sae": 6,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.5.1", "hook_name": HOOK, "model_name": "m"},
        "architecture": "topk",
        "k": 2,
        "rescale_acts_by_decoder_norm": True,
    }
    tensors = {
        "W_enc": torch.randn(4, 6, generator=draw),
        "W_dec": torch.randn(6, 4, generator=draw),
        "b_enc": torch.randn(6, generator=draw),
        "b_dec": torch.randn(4, generator=draw),
    }
    if changes.get("architecture") == "jumprelu":
        tensors["threshold"] = torch.rand(6, generator=draw)
    if changes.get("architecture") == "gated":
        del tensors["b_enc"]
        for name in ("b_gate", "b_mag", "r_mag"):
            tensors[name] = torch.randn(6, generator=draw)
    folder.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in (config | changes).items() if value is not None}
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file(tensors, folder / "sae_weights.safetensors")
    return folder


def test_a_saelens_topk_is_read(tmp_path: Path) -> None:
    dictionary = load_dictionary(_saelens_folder(tmp_path))
    assert isinstance(dictionary, TopKDictionary)
    assert (dictionary.k, dictionary.d_in, dictionary.d_sae) == (2, 4, 6)
    assert dictionary.rescale_acts_by_decoder_norm
    assert dictionary.apply_b_dec_to_input
    weights = load_file(tmp_path / "sae_weights.safetensors")
    assert torch.equal(dictionary.W_enc, weights["W_enc"])
    # SAELens' own maths: pre-activations times the decoder norm, topk, and back on decoding.
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    norm = weights["W_dec"].norm(dim=-1)
    pre = ((x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]) * norm
    top = pre.topk(2, dim=-1)
    acts = torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())
    assert torch.allclose(dictionary.encode(x), acts, atol=1e-6)
    out = (acts / norm) @ weights["W_dec"] + weights["b_dec"]
    assert torch.allclose(dictionary(x), out, atol=1e-5)


def test_a_saelens_jumprelu_is_read(tmp_path: Path) -> None:
    dictionary = load_dictionary(_saelens_folder(tmp_path, architecture="jumprelu", k=None))
    assert isinstance(dictionary, JumpReLUDictionary)
    assert dictionary.threshold.shape == (6,)


def test_a_whole_number_may_be_written_as_a_float(tmp_path: Path) -> None:
    dictionary = load_dictionary(_saelens_folder(tmp_path, k=2.0, d_sae=6.0))
    assert isinstance(dictionary, TopKDictionary)
    assert (repr(dictionary.k), repr(dictionary.d_sae)) == ("2", "6")


def test_a_saelens_gated_is_read(tmp_path: Path) -> None:
    dictionary = load_dictionary(_saelens_folder(tmp_path, architecture="gated", k=None))
    assert isinstance(dictionary, GatedDictionary)
    weights = load_file(tmp_path / "sae_weights.safetensors")
    # SAELens' own maths: a gate, and magnitudes through the same encoder, stretched.
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    u = x - weights["b_dec"]
    gate = u @ weights["W_enc"] + weights["b_gate"] > 0
    magnitude = (u @ (weights["W_enc"] * weights["r_mag"].exp()) + weights["b_mag"]).relu()
    acts = gate * magnitude
    assert 0 < int((acts > 0).sum()) < acts.numel()
    assert torch.allclose(dictionary.encode(x), acts, atol=1e-6)
    assert torch.allclose(dictionary(x), acts @ weights["W_dec"] + weights["b_dec"], atol=1e-5)


_SAELENS_KEYS = {
    # As SAELens 6.54.12 saves them, but for what it notes of its own training under metadata.
    "apply_b_dec_to_input",
    "architecture",
    "d_in",
    "d_sae",
    "device",
    "dtype",
    "metadata",
    "normalize_activations",
    "reshape_activations",
}


@pytest.mark.parametrize(
    ("architecture", "own_keys", "own_tensors"),
    [
        ("standard", set(), {"b_enc"}),
        ("gated", set(), {"b_gate", "b_mag", "r_mag"}),
        ("topk", {"k", "rescale_acts_by_decoder_norm"}, {"b_enc"}),
        ("jumprelu", set(), {"b_enc", "threshold"}),
    ],
)
def test_keys_are_those_of_saelens(
    tmp_path: Path, architecture: str, own_keys: set[str], own_tensors: set[str]
) -> None:
    first = load_dictionary(_saelens_folder(tmp_path / "a", architecture=architecture))
    save_dictionary(first, tmp_path / "b")
    saved = json.loads((tmp_path / "b" / "cfg.json").read_text())
    assert set(saved) == _SAELENS_KEYS | own_keys
    assert saved["metadata"] == {"hook_name": HOOK, "prepend_bos": None}
    before = load_file(tmp_path / "a" / "sae_weights.safetensors")
    after = load_file(tmp_path / "b" / "sae_weights.safetensors")
    assert set(after) == {"W_enc", "W_dec", "b_dec"} | own_tensors
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name


@pytest.mark.parametrize("architecture", ["topk", "jumprelu", "standard", "gated"])
def test_saving_and_reading_give_the_same(tmp_path: Path, architecture: str) -> None:
    first = load_dictionary(_saelens_folder(tmp_path / "a", architecture=architecture))
    save_dictionary(first, tmp_path / "b")
    second = load_dictionary(tmp_path / "b")
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(first(x), second(x))
    assert set(load_file(tmp_path / "b" / "sae_weights.safetensors")) == set(
        load_file(tmp_path / "a" / "sae_weights.safetensors")
    )


def test_the_checksum_follows_the_content(tmp_path: Path) -> None:
    a, b = _saelens_folder(tmp_path / "a"), _saelens_folder(tmp_path / "b")
    assert dictionary_checksum(a) == dictionary_checksum(b)
    _saelens_folder(tmp_path / "b", k=3)
    assert dictionary_checksum(a) != dictionary_checksum(b)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "transformer"}, "unknown architecture 'transformer'"),
        ({"architecture": None}, "does not give 'architecture'"),
        ({"architecture": ["topk"]}, r"unknown architecture \['topk'\]"),
        ({"d_in": 5}, r"W_enc in .* has shape \[4, 6\], but its settings ask for \[5, 6\]"),
        ({"d_sae": 10**13}, r"but its settings ask for \[4, 10000000000000\]"),
        ({"d_in": "four"}, "is 'four', not a positive number"),
        ({"d_sae": True}, "is True, not a positive number"),
        ({"k": None}, "does not give 'k'"),
        ({"k": 2.5}, r"is 2\.5, not a positive number"),
        ({"k": 0.0}, "is 0, not a positive number"),
        ({"k": float("nan")}, "is nan, not a positive number"),
        ({"k": 7}, "k = 7 does not fit a dictionary of 6"),
        ({"metadata": {}}, "does not give metadata.hook_name"),
        ({"metadata": None}, "does not give metadata.hook_name"),
        ({"normalize_activations": "whitening"}, "normalises activations by 'whitening'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    _saelens_folder(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=sentence):
        load_dictionary(tmp_path)


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"it has no cfg\.json"):
        load_dictionary(tmp_path / "nowhere")
    folder = _saelens_folder(tmp_path / "a")
    weights = folder / "sae_weights.safetensors"
    whole = weights.read_bytes()
    for damaged in (whole[:-10], whole[:5], b""):
        weights.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="damaged or incomplete"):
            load_dictionary(folder)
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match="Git LFS pointer"):
        load_dictionary(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"has no sae_weights\.safetensors"):
        load_dictionary(folder)
    (folder / "cfg.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_dictionary(folder)
    (folder / "cfg.json").write_text("[]")
    with pytest.raises(CheckpointError, match="not a JSON object"):
        load_dictionary(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"b_enc": None}, "lacks the tensor b_enc"),
        ({"surprise": torch.zeros(1)}, r"not understood: \['surprise'\]"),
        ({"b_dec": torch.tensor([0.0, float("nan"), 0.0, 0.0])}, "NaN or infinity"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    path = _saelens_folder(tmp_path) / "sae_weights.safetensors"
    tensors = load_file(path) | change
    save_file({name: t for name, t in tensors.items() if t is not None}, path)
    with pytest.raises(CheckpointError, match=sentence):
        load_dictionary(tmp_path)
