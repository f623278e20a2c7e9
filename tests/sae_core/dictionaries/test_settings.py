"""What a dictionary's files say besides its weights: used, refused, told, or shown as unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sae_core.dictionaries.checkpoint import load_dictionary, save_dictionary
from sae_core.dictionaries.dictionary import TrainedOn
from sae_core.dictionaries.formats.opening import Opened, open_dictionary
from sae_core.errors import CheckpointError
from tests.sae_core.dictionaries.formats import writers
from tests.sae_core.dictionaries.formats.cases import activations
from tests.sae_core.dictionaries.formats.writers import Written


def saelens(
    folder: Path, architecture: str, metadata: dict[str, Any] | None = None, **config: Any
) -> Written:
    """A folder of SAELens' with other settings."""
    written = writers.saelens(folder, architecture)
    path = folder / "cfg.json"
    values = json.loads(path.read_text())
    values["metadata"] |= {"hook_name": "blocks.1.hook_resid_post"} | (metadata or {})
    path.write_text(json.dumps(values | config))
    return written


def double(path: Path) -> Opened:
    return open_dictionary(path, dtype=torch.float64)


CENTRED = {"model_from_pretrained_kwargs": {"center_writing_weights": True}}


@pytest.mark.parametrize("architecture", ["standard", "topk", "gated", "jumprelu"])
def test_a_centred_residual_stream_is_centred_here(tmp_path: Path, architecture: str) -> None:
    written = saelens(tmp_path / "a", architecture, CENTRED)
    x = activations() + 3.0  # far from centred
    mean = x.mean(-1, keepdim=True)
    dictionary = double(written.path).dictionary
    assert torch.allclose(dictionary.encode(x), written.encode(x - mean), atol=1e-12)
    assert torch.allclose(dictionary(x), written.rebuild(x - mean) + mean, atol=1e-12)
    save_dictionary(dictionary, tmp_path / "b", torch.float64)
    again = load_dictionary(tmp_path / "b", dtype=torch.float64)
    assert torch.equal(again.encode(x), dictionary.encode(x))
    as_it_lies = load_dictionary(written.path, dtype=torch.float64)
    assert torch.equal(as_it_lies.encode(x), dictionary.encode(x))


@pytest.mark.parametrize("place", ["blocks.1.attn.hook_z", "blocks.1.mlp.hook_post"])
def test_behind_a_norm_that_centres_nothing_changes(tmp_path: Path, place: str) -> None:
    written = saelens(tmp_path / "a", "standard", CENTRED | {"hook_name": place})
    x = activations() + 3.0
    assert torch.allclose(double(written.path).dictionary.encode(x), written.encode(x), atol=1e-12)


def test_a_list_of_releases_has_the_last_word(tmp_path: Path) -> None:
    written = saelens(tmp_path / "a", "topk")
    x = activations() + 3.0
    opened = open_dictionary(written.path, overrides=CENTRED, dtype=torch.float64)
    expected = written.encode(x - x.mean(-1, keepdim=True))
    assert torch.allclose(opened.dictionary.encode(x), expected, atol=1e-12)
    norm = {"normalize_activations": "constant_norm_rescale"}
    opened = open_dictionary(written.path, overrides=norm, dtype=torch.float64)
    size = x.norm(dim=-1, keepdim=True) / x.shape[-1] ** 0.5
    assert torch.allclose(opened.dictionary.encode(x), written.encode(x / size) * size, atol=1e-12)


def scaled(folder: Path, value: Any, factor: float | None, architecture: str = "topk") -> Written:
    written = saelens(folder, architecture, normalize_activations=value)
    if factor is not None:
        settings = {"scaling_factor": factor, "has_whitening": False}
        (folder / "activation_scaler.json").write_text(json.dumps(settings))
    return written


@pytest.mark.parametrize("architecture", ["standard", "topk", "gated", "jumprelu"])
@pytest.mark.parametrize("value", ["expected_average_only_in", True])
def test_a_factor_that_is_not_folded_yet_is_folded(
    tmp_path: Path, value: Any, architecture: str
) -> None:
    written = scaled(tmp_path / "a", value, 0.4, architecture)
    x = activations()
    opened = double(written.path)
    # It was trained on z = 0.4 x; in the model's own units that is a division by 0.4.
    assert torch.allclose(opened.dictionary.encode(x), written.encode(0.4 * x) / 0.4, atol=1e-12)
    assert torch.allclose(opened.dictionary(x), written.rebuild(0.4 * x) / 0.4, atol=1e-12)
    assert "0.4" in opened.facts["changes"][0]
    with pytest.raises(CheckpointError, match="featurescope add"):
        load_dictionary(written.path)


def test_a_factor_that_nobody_has_is_asked_for(tmp_path: Path) -> None:
    written = scaled(tmp_path / "a", "expected_average_only_in", None)
    with pytest.raises(CheckpointError, match=r"--normalise expected_average_only_in .* none"):
        open_dictionary(written.path)
    x = activations()
    opened = open_dictionary(written.path, norm="none", dtype=torch.float64)
    assert torch.allclose(opened.dictionary.encode(x), written.encode(x), atol=1e-12)


@pytest.mark.parametrize("said", [True, False, None])
def test_what_it_was_trained_on_travels(tmp_path: Path, said: bool | None) -> None:
    written = saelens(tmp_path / "a", "topk", {"prepend_bos": said, "context_size": 64})
    dictionary = double(written.path).dictionary
    assert dictionary.trained_on == TrainedOn(said, 64)
    save_dictionary(dictionary, tmp_path / "b")
    assert load_dictionary(tmp_path / "b").trained_on == TrainedOn(said, 64)
    assert load_dictionary(written.path).trained_on == TrainedOn(said, 64)


def test_before_version_6_settings_lie_flat(tmp_path: Path) -> None:
    written = writers.saelens(tmp_path / "a", "standard", old=True)
    path = tmp_path / "a" / "cfg.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | CENTRED | {"prepend_bos": False}))
    dictionary = double(written.path).dictionary
    x = activations() + 3.0
    expected = written.encode(x - x.mean(-1, keepdim=True))
    assert torch.allclose(dictionary.encode(x), expected, atol=1e-12)
    assert dictionary.trained_on.prepend_bos is False


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"seqpos_slice": [5, None]}, "positions 5 to the end"),
        ({"seqpos_slice": [0, 100, 2]}, "positions 0 to 100 of a context, every 2, alone"),
        ({"exclude_special_tokens": [0, 1, 7]}, "never trained on 3 tokens"),
        ({"model_from_pretrained_kwargs": {"checkpoint_value": 512}}, "checkpoint 512"),
    ],
)
def test_what_only_readers_must_know_is_told(
    tmp_path: Path, metadata: dict[str, Any], sentence: str
) -> None:
    opened = double(saelens(tmp_path / "a", "topk", metadata).path)
    assert any(sentence in note for note in opened.facts["notes"])
    assert opened.facts["settings not understood"] == []


@pytest.mark.parametrize(
    "metadata",
    [
        {"seqpos_slice": [None]},
        {"seqpos_slice": [0, None]},
        {"exclude_special_tokens": True},
        {"model_from_pretrained_kwargs": {"fold_ln": True, "center_unembed": True}},
        {"l0": 31.5, "num_dead_features": 3, "training_architecture": "batchtopk"},
        {"disable_concat_sequences": True, "sequence_separator_token": "eos"},
    ],
)
def test_what_decides_nothing_is_not_mentioned(tmp_path: Path, metadata: dict[str, Any]) -> None:
    opened = double(saelens(tmp_path / "a", "topk", metadata).path)
    assert opened.facts["notes"] == opened.facts["settings not understood"] == []


def test_what_nobody_knows_is_shown(tmp_path: Path) -> None:
    folder = saelens(
        tmp_path / "a",
        "topk",
        {"rotate_input": "45°", "model_from_pretrained_kwargs": {"flip_signs": True}},
        squash=0.5,
    ).path
    assert sorted(double(folder).facts["settings not understood"]) == [
        "metadata.model_from_pretrained_kwargs.flip_signs = True",
        "metadata.rotate_input = '45°'",
        "squash = 0.5",
    ]


@pytest.mark.parametrize(
    ("metadata", "config", "sentence"),
    [
        ({"hook_head_index": 0}, {}, "one attention head"),
        ({"hook_name_out": "blocks.1.hook_mlp_out"}, {}, "transcoder"),
        ({}, {"reshape_activations": "transpose"}, "reshape_activations"),
        (
            {
                "hook_name": "blocks.1.attn.hook_z",
                "model_from_pretrained_kwargs": {"fold_value_biases": True},
            },
            {},
            "fold_value_biases",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    tmp_path: Path, metadata: dict[str, Any], config: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        open_dictionary(saelens(tmp_path / "a", "standard", metadata, **config).path)


def test_other_formats_show_theirs_too(tmp_path: Path) -> None:
    written = writers.sparsify(tmp_path / "layers.1")
    path = written.path / "cfg.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"whiten": True}))
    assert open_dictionary(written.path).facts["settings not understood"] == ["whiten = True"]
    written = writers.learned(tmp_path / "b", "AutoEncoderTopK")
    path = written.path / "config.json"
    values = json.loads(path.read_text())
    values["trainer"]["input_dropout"] = 0.1
    path.write_text(json.dumps(values))
    found = open_dictionary(written.path, hook_point="blocks.0.hook_mlp_out").facts
    assert found["settings not understood"] == ["trainer.input_dropout = 0.1"]


def test_thresholds_are_compared_as_the_dictionary_s_dtype_has_them(tmp_path: Path) -> None:
    written = saelens(tmp_path / "a", "jumprelu", dtype="bfloat16")
    path = written.path / "sae_weights.safetensors"
    tensors = load_file(path)
    low: dict[str, Tensor] = {
        name: tensor if name == "threshold" else tensor.bfloat16()
        for name, tensor in tensors.items()
    }
    save_file(low, path)
    rounded = low["threshold"].bfloat16().double()
    assert not torch.equal(rounded, low["threshold"].double())
    for dictionary in (double(path.parent).dictionary, load_dictionary(path.parent)):
        assert torch.equal(dictionary.threshold.double(), rounded)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("metadata", "config"),
    [
        ({"prepend_bos": "no"}, {}),
        ({"context_size": "64"}, {}),
        ({"context_size": 0}, {}),
        ({"seqpos_slice": 5}, {}),
        ({"seqpos_slice": ["5"]}, {}),
        ({"exclude_special_tokens": "bos"}, {}),
        ({}, {"dtype": "float99"}),
    ],
)
def test_what_is_no_value_of_a_setting_is_refused(
    tmp_path: Path, metadata: dict[str, Any], config: dict[str, Any]
) -> None:
    name = next(iter(metadata | config))
    with pytest.raises(CheckpointError, match=rf"cfg.json says .*{name} = .*, not "):
        double(saelens(tmp_path / "a", "topk", metadata, **config).path)
