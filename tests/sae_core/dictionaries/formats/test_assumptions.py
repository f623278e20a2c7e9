"""What a file leaves open is asked for or told, never assumed in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sae_core.dictionaries.formats.opening import open_dictionary
from sae_core.errors import CheckpointError
from tests.sae_core.dictionaries.formats import writers
from tests.sae_core.dictionaries.formats.cases import activations

HOOK = "blocks.1.hook_resid_post"


def mapped(file: Path, **entries: str) -> Any:
    return open_dictionary(file, mapping=entries, hook_point=HOOK, dtype=torch.float64)


ROLES = {name: name for name in ("W_enc", "W_dec", "b_enc", "b_dec")}


def test_a_threshold_that_nobody_named_is_a_question(tmp_path: Path) -> None:
    written = writers.saelens(tmp_path / "a", "jumprelu")
    file = written.path / "sae_weights.safetensors"
    x = activations()
    right = mapped(file, **ROLES, threshold="threshold", apply_b_dec_to_input="false")
    assert torch.allclose(right.dictionary.encode(x), written.encode(x), atol=1e-12)
    with pytest.raises(CheckpointError, match=r"threshold \[40\], which nobody named"):
        mapped(file, **ROLES)
    mapped(file, **ROLES, ignore="threshold")  # on purpose


def test_a_gate_that_nobody_named_is_one_too(tmp_path: Path) -> None:
    file = writers.saelens(tmp_path / "a", "gated").path / "sae_weights.safetensors"
    with pytest.raises(CheckpointError, match="which nobody named"):
        mapped(file, W_enc="W_enc", W_dec="W_dec", b_enc="b_mag")


def test_other_tensors_that_nobody_named_are_told(tmp_path: Path) -> None:
    file = writers.saelens(tmp_path / "a", "standard").path / "sae_weights.safetensors"
    save_file(load_file(file) | {"means": torch.zeros(12), "seen": torch.zeros(40).long()}, file)
    notes = mapped(file, **ROLES).facts["notes"]
    assert notes == ["Tensors of its file that nobody named, and that are not used: means [12]."]


def test_tensors_deeper_in_a_file_have_their_whole_names(tmp_path: Path) -> None:
    written = writers.saelens(tmp_path / "a", "topk")
    weights = load_file(written.path / "sae_weights.safetensors")
    file = tmp_path / "sae.pt"
    torch.save({"state": {"sae": weights}, "cfg": {"k": writers.K}}, file)
    with pytest.raises(CheckpointError, match=r"state\.sae\.W_enc \[12, 40\]"):
        open_dictionary(file)
    entries = {role: f"state.sae.{name}" for role, name in ROLES.items()}
    opened = mapped(file, **entries, k="cfg.k")
    assert opened.dictionary.k == writers.K
    assert torch.equal(opened.dictionary.W_enc, weights["W_enc"].double())


def test_openai_s_layer_norm_is_an_assumption(tmp_path: Path) -> None:
    file = writers.openai(tmp_path / "3.pt", "TopK").path
    opened = open_dictionary(file, hook_point=HOOK)
    assert opened.assumed_norm == "none"
    assert any("is assumed" in note for note in opened.facts["notes"])
    asked = open_dictionary(file, hook_point=HOOK, norm="layer_norm")
    assert asked.assumed_norm is None
    assert asked.facts["notes"] == []
    file = writers.openai(tmp_path / "4.pt", "ReLU").path
    assert open_dictionary(file, hook_point=HOOK).assumed_norm is None


@pytest.mark.parametrize(
    ("trainer", "kind"),
    [
        ("StandardTrainer", "AutoEncoder"),
        ("GatedSAETrainer", "GatedAutoEncoder"),
        ("TrainerTopK", "AutoEncoderTopK"),
    ],
)
def test_before_july_2024_the_trainer_names_the_class(
    tmp_path: Path, trainer: str, kind: str
) -> None:
    written = writers.learned(tmp_path / "a", kind)
    path = written.path / "config.json"
    values = json.loads(path.read_text())
    values["trainer"] = {
        name: value
        for name, value in values["trainer"].items()
        if name not in ("dict_class", "activation_dim", "dict_size")
    } | {"trainer_class": trainer, "submodule_name": "resid_post_layer_3", "layer": 3}
    values["buffer"] = {"ctx_len": 64, "io": "out"}
    path.write_text(json.dumps(values))
    opened = open_dictionary(written.path, dtype=torch.float64)
    x = activations()
    expected = written.encode(x) * written.unit(x)
    assert torch.allclose(opened.dictionary.encode(x), expected, atol=1e-12)
    assert opened.dictionary.hook_point == "blocks.3.hook_resid_post"
    assert opened.dictionary.trained_on.context_size == 64
    state = written.path / "checkpoints" / "ae_5000.pt"
    state.parent.mkdir()
    (written.path / "ae.pt").rename(state)
    again = open_dictionary(state, dtype=torch.float64)
    assert torch.equal(again.dictionary.encode(x), opened.dictionary.encode(x))
    values["trainer"]["trainer_class"] = "NewestTrainer"
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="'NewestTrainer' is not known"):
        open_dictionary(state)


def test_what_goes_into_a_block_is_not_what_comes_out(tmp_path: Path) -> None:
    written = writers.learned(tmp_path / "a", "AutoEncoderTopK")
    path = written.path / "config.json"
    values = json.loads(path.read_text())
    values["trainer"] |= {"submodule_name": "resid_post_layer_3", "layer": 3}
    path.write_text(json.dumps(values | {"buffer": {"io": "in"}}))
    assert open_dictionary(written.path).dictionary.hook_point == "blocks.3.hook_resid_pre"


SCOPE = {"architecture": "jump_relu", "model_name": "x", "width": 40}
INSIDE = "model.layers.3"


def scope(folder: Path, **config: Any) -> Path:
    t = writers.random_tensors(
        1, w_enc=(12, 40), w_dec=(40, 12), b_enc=(40,), b_dec=(12,), threshold=(40,)
    )
    folder.mkdir(parents=True)
    save_file(t, folder / "params.safetensors")
    if config:
        (folder / "config.json").write_text(json.dumps(SCOPE | config))
    return folder


@pytest.mark.parametrize(
    ("module", "place"),
    [
        ("output", "blocks.3.hook_resid_post"),
        ("self_attn.o_proj.input", "blocks.3.attn.hook_z"),
        ("post_feedforward_layernorm.output", "blocks.3.hook_mlp_out"),
    ],
)
def test_gemma_scope_s_second_edition_says_where(tmp_path: Path, module: str, place: str) -> None:
    folder = scope(tmp_path / "mine", type="sae", hf_hook_point_in=f"{INSIDE}.{module}")
    opened = open_dictionary(folder)
    assert (opened.dictionary.hook_point, opened.facts["hook point from"]) == (place, "config.json")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"type": "transcoder"}, "is a transcoder and does not say which activation it recon"),
        ({"affine_connection": True}, "affine_connection = True, and it lacks affine_skip"),
        ({"architecture": "relu"}, "has the architecture 'relu': only jump_relu is read"),
        ({"type": "crosscoder"}, "is a crosscoder, which reads several layers at once"),
        ({"hf_hook_point_in": [INSIDE, INSIDE]}, "is a crosscoder, which reads several layers"),
    ],
)
def test_gemma_scope_s_settings_are_asked_first(
    tmp_path: Path, config: dict[str, Any], sentence: str
) -> None:
    folder = scope(tmp_path / "mine", **config)
    with pytest.raises(CheckpointError, match=sentence):
        open_dictionary(folder, hook_point="blocks.3.hook_mlp_out")


@pytest.mark.parametrize(
    "changes",
    [
        {"hook_point_out": "blocks.1.hook_mlp_out"},
        {"use_glu_encoder": True},
        {"norm_activation": "batch-wise"},
        {"act_fn": "gelu"},
    ],
)
def test_what_llama_scope_s_code_can_do_beyond_is_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    act_fn = changes.pop("act_fn", "jumprelu")
    with pytest.raises(CheckpointError):
        open_dictionary(writers.llama_scope(tmp_path / "a", act_fn, **changes).path)
