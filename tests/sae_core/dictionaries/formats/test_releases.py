"""Files that were published in a form of their own: what they say of themselves, and do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from sae_core.dictionaries.architectures.matching_pursuit import MatchingPursuitDictionary
from sae_core.dictionaries.checkpoint import load_dictionary
from sae_core.dictionaries.formats.opening import open_dictionary
from sae_core.errors import CheckpointError
from tests.sae_core.dictionaries.formats import release_writers, writers
from tests.sae_core.dictionaries.formats.cases import activations
from tests.sae_core.dictionaries.formats.writers import D_SAE, K


def refused(path: Path, sentence: str, **options: Any) -> None:
    with pytest.raises(CheckpointError, match=sentence) as caught:
        open_dictionary(path, **options)
    assert str(caught.value).endswith(".")


def test_qwen_scope_s_k_stands_in_a_folder_s_name(tmp_path: Path) -> None:
    file = release_writers.qwen_scope(tmp_path / f"SAE-Res-Qwen3-1.7B-Base-W32K-L0_{K}").path
    dictionary = open_dictionary(file).dictionary
    assert (dictionary.k, dictionary.hook_point) == (K, "blocks.1.hook_resid_post")
    elsewhere = tmp_path / "mine"
    elsewhere.mkdir()
    refused(file.rename(elsewhere / file.name), "does not say how many features a token keeps")
    refused(elsewhere, r"is not one dictionary but holds 1: .*layer1\.sae\.pt")
    other = elsewhere / "other.pt"
    other.write_bytes(b"x")
    refused(other, "is no file of Qwen Scope", format="qwen_scope")


def test_two_linear_layers_say_where_by_their_file_s_name(tmp_path: Path) -> None:
    file = release_writers.linear_layers(tmp_path / "Llama-3.1-8B-SAE-l19.pth", "_linear").path
    assert open_dictionary(file).dictionary.hook_point == "blocks.19.hook_resid_post"
    writers.openai(other := tmp_path / "b-SAE-l3.pt", "ReLU")
    assert open_dictionary(other, hook_point="h").format == "openai"
    torch.save({"model": torch.nn.Linear(2, 2)}, file)
    refused(file, "could run code, so it stays closed")
    refused(file.rename(tmp_path / "a.pth"), "is no such file", format="linear_layers")


def test_kissane_s_settings_lie_beside_the_file(tmp_path: Path) -> None:
    file = release_writers.kissane(tmp_path / "L1_z.pt").path
    opened = open_dictionary(file)
    assert opened.dictionary.hook_point == "blocks.1.attn.hook_z"
    assert opened.facts["files"] == ["L1_z.pt", "L1_z_cfg.json"]
    settings = tmp_path / "L1_z_cfg.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"dict_size": 7}))
    refused(file, "say d_sae = 7, but its encoder has 40")
    settings.unlink()
    refused(file, "is no dictionary: it has no L1_z_cfg.json", format="kissane")


def test_features_of_either_sign_are_two(tmp_path: Path) -> None:
    for written in (
        release_writers.abstopk(tmp_path / "a"),
        release_writers.signed_sparsify(tmp_path / "layers.1"),
    ):
        opened = open_dictionary(written.path, dtype=torch.float64)
        x, dictionary = activations(), opened.dictionary
        acts = dictionary.encode(x)
        assert not bool(((acts[:, :D_SAE] > 0) & (acts[:, D_SAE:] > 0)).any())
        assert int((acts > 0).sum(dim=-1).max()) == K
        rows = dictionary.decoder_rows
        assert torch.equal(rows[D_SAE:], -rows[:D_SAE])
        assert f"i + {D_SAE} where it is negative" in opened.facts["changes"][0]


def test_temporal_dictionaries_are_refused_with_their_reason(tmp_path: Path) -> None:
    folder = tmp_path / "temporal"
    folder.mkdir()
    (folder / "conf.yaml").write_text("sae:\n  n_heads: 8\n")
    save_file({"D": torch.zeros(3, 2)}, folder / "latest_ckpt.safetensors")
    refused(folder, "depend, by attention, on all tokens before")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"residual_threshold": -1}, "residual_threshold in .* is -1, not a number from 0 on"),
        ({"max_iterations": 0}, "max_iterations in .* is 0, not a positive number"),
        ({"stop_on_duplicate_support": 1}, "is 1, not true or false"),
        ({"normalize_activations": "expected_average_only_in"}, "of matching pursuit only"),
        ({"d_sae": 7}, "say d_sae = 7, but its encoder has 40"),
    ],
)
def test_settings_of_matching_pursuit(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    folder = release_writers.matching_pursuit(tmp_path / "a").path
    settings = folder / "cfg.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | changes))
    refused(folder, sentence)


def test_matching_pursuit_takes_out_one_feature_after_the_other() -> None:
    dictionary = MatchingPursuitDictionary("h", 2, 3, residual_threshold=0.1)
    dictionary.W_dec.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    dictionary.b_dec.data = torch.tensor([1.0, 1.0])
    x = torch.tensor([[4.0, 1.0], [1.6, 1.8], [1.0, 1.0], [0.0, 1.0]])
    # One feature exactly; another one exactly; nothing at all; nothing that points there.
    expected = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(dictionary.encode(x), expected, atol=1e-6)
    assert torch.allclose(dictionary(x)[:3], x[:3], atol=1e-6)
    one = MatchingPursuitDictionary("h", 2, 3, max_iterations=1)
    one.W_dec.data = dictionary.W_dec.data
    assert int((one.encode(torch.randn(20, 2)) > 0).sum(dim=-1).max()) == 1


def test_a_folder_of_saelens_is_one_of_ours_as_well(tmp_path: Path) -> None:
    written = release_writers.matching_pursuit(tmp_path / "a", False, max_iterations=4)
    dictionary = load_dictionary(written.path, dtype=torch.float64)
    x = activations()
    assert torch.allclose(dictionary.encode(x), written.encode(x), atol=1e-12)
    assert torch.allclose(dictionary(x), written.rebuild(x), atol=1e-12)
