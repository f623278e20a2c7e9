"""Names on the Hugging Face Hub: which repository and folder, fetched, offline, or refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import huggingface_hub
import pytest
import torch

from sae_core.dictionaries.formats.opening import open_dictionary
from sae_core.errors import CheckpointError, HubError
from sae_core.files.hub import fetch, find_dictionary
from sae_core.files.releases import RELEASES
from tests.sae_core.dictionaries.formats import (
    release_writers,
    transcoder_writers,
    writers,
)
from tests.sae_core.files.fake_hub import COMMIT, fake_hub

REPOSITORY = "jbloom/GPT2-Small-SAEs-Reformatted"
NAME = "gpt2-small-res-jb/blocks.8.hook_resid_pre"


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    _reach("http://127.0.0.1:9", monkeypatch)  # nobody answers there


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "repository"
    writers.saelens(folder / "blocks.8.hook_resid_pre", "standard", old=True)
    with fake_hub(REPOSITORY, folder) as address:
        _reach(address, monkeypatch)
        yield folder


def _reach(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def test_a_name_of_saelens_is_fetched_once_and_then_needs_no_network(
    online: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_dictionary(NAME)
    assert found.facts == {
        "repository": REPOSITORY, "path": "blocks.8.hook_resid_pre", "commit": COMMIT,
    }  # fmt: skip
    assert sorted(p.name for p in found.path.iterdir()) == ["cfg.json", "sae_weights.safetensors"]
    assert open_dictionary(found.path).format == "saelens"
    _reach("http://127.0.0.1:9", monkeypatch)
    assert find_dictionary(NAME) == found
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert find_dictionary(f"{REPOSITORY}/blocks.8.hook_resid_pre", COMMIT) == found


def test_the_same_folder_has_one_checksum_here_and_there(online: Path) -> None:
    here = open_dictionary(online / "blocks.8.hook_resid_pre")
    assert open_dictionary(find_dictionary(NAME).path).checksum == here.checksum


def test_what_the_hub_has_not_is_said_with_what_it_has(online: Path) -> None:
    with pytest.raises(HubError, match=r"no dictionary at blocks\.9.* holds 1, such as blocks\.8"):
        find_dictionary("gpt2-small-res-jb/blocks.9.hook_resid_pre")
    with pytest.raises(HubError, match=r"no dictionary at its root"):
        find_dictionary(REPOSITORY)
    with pytest.raises(HubError, match="has no revision 'v7'"):
        find_dictionary(NAME, "v7")
    with pytest.raises(HubError, match="no public repository owner/other"):
        find_dictionary("owner/other/folder")


def test_a_part_that_was_fetched_before_is_not_taken_for_all(
    online: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(REPOSITORY, ["blocks.8.hook_resid_pre/cfg.json"])
    _reach("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(HubError, match=r"Only a part of .* goes on where it stopped"):
        find_dictionary(NAME)
    with pytest.raises(HubError, match=r"could not be fetched .*refused"):
        find_dictionary(NAME, COMMIT)


def test_offline_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HubError, match=r"cannot be reached \(.*refused\): connect, or download"):
        find_dictionary(NAME)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match=r"cannot be reached \(.*offline mode is enabled"):
        find_dictionary(NAME)


def test_what_is_here_never_asks_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gpt2-small-res-jb" / "mine"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_dictionary("gpt2-small-res-jb/mine").facts == {}


@pytest.mark.parametrize("name", ["nowhere", "./no/where", "/no/where", "a/../b", "a//b", "a/b c"])
def test_a_path_that_is_not_there_is_no_name_of_the_hub(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"There is no dictionary .* check the path"):
        find_dictionary(name)
    with pytest.raises(CheckpointError, match="There is no dictionary"):
        find_dictionary(Path("owner/name"))


def test_releases_have_rules() -> None:
    assert RELEASES["gpt2-small-resid-post-v5-32k"].path("blocks.3.hook_resid_post") == (
        "v5_32k_layer_3.pt"
    )
    assert RELEASES["gpt2-small-attn-out-v5-128k"].path("blocks.11.hook_attn_out") == (
        "v5_128k_layer_11"
    )
    assert RELEASES["gemma-scope-2b-pt-res"].repository == "google/gemma-scope-2b-pt-res"
    with pytest.raises(CheckpointError, match=r"its names are blocks\.N\.hook_resid_post"):
        find_dictionary("gpt2-small-resid-post-v5-32k/blocks.3.hook_resid_pre")


def test_an_installed_saelens_is_asked_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: Path
) -> None:
    shutil.copytree(online / "blocks.8.hook_resid_pre", online / "deep" / "eight")
    (tmp_path / "pretrained_saes.yaml").write_text(
        f"some-release:\n  repo_id: {REPOSITORY}\n  saes:\n  - id: eight\n    path: deep/eight\n"
    )
    spec = ModuleSpec("sae_lens", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert find_dictionary("some-release/eight").facts["path"] == "deep/eight"
    with pytest.raises(CheckpointError, match="some-release has no 'nine': its names are eight"):
        find_dictionary("some-release/nine")


OTHERS: dict[str, tuple[str, str, Callable[[Path], object], list[str]]] = {
    "mwhanna-qwen3-4b-transcoders/layer_1": (
        "mwhanna/qwen3-4b-transcoders",
        "layer_1.safetensors",
        transcoder_writers.circuit_tracer,
        ["config.yaml", "layer_1.safetensors"],
    ),
    "mntss-gemma-2-2b-2.5m-clt-as-per-layer/layer_1": (
        "mntss/clt-gemma-2-2b-2.5M",
        "W_enc_1.safetensors",
        transcoder_writers.circuit_tracer_clt,
        ["W_dec_1.safetensors", "W_enc_1.safetensors", "config.yaml"],
    ),
    "mntss/clt-gemma-2-2b-2.5M/1": (
        "mntss/clt-gemma-2-2b-2.5M",
        "W_enc_1.safetensors",
        transcoder_writers.circuit_tracer_clt,
        ["W_dec_1.safetensors", "W_enc_1.safetensors", "config.yaml"],
    ),
    "google/gemma-scope-2-1b-pt/clt/width_1k/layer_1": (
        "google/gemma-scope-2-1b-pt",
        "clt/width_1k/layer_1.safetensors",
        lambda p: transcoder_writers.gemma_scope_clt(p / "clt" / "width_1k", 1),
        ["layer_1.safetensors"],
    ),
    "gemma-scope-2-4b-it-transcoders-all/layer_1_width_16k_l0_big_affine": (
        "google/gemma-scope-2-4b-it",
        "transcoder_all/layer_1_width_16k_l0_big_affine",
        lambda p: transcoder_writers.gemma_scope(
            p / "transcoder_all" / "layer_1_width_16k_l0_big_affine", 2, affine=True
        ),
        ["config.json", "params.safetensors"],
    ),
    "qwen-scope-3-1.7b-base-w32k-l50/layer1": (
        "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50",
        "layer1.sae.pt",
        release_writers.qwen_scope,
        ["layer1.sae.pt"],
    ),
    "ckkissane/attn-saes-gpt2-small-all-layers/a_z.pt": (
        "ckkissane/attn-saes-gpt2-small-all-layers",
        "a_z.pt",
        lambda p: release_writers.kissane(p / "a_z.pt"),
        ["a_z.pt", "a_z_cfg.json"],
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_form_is_fetched_with_what_belongs_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    repository, inside, write, files = OTHERS[name]
    folder = tmp_path / "repository"
    write(folder)
    (folder / "layer_9.safetensors").write_bytes(b"of another layer")
    with fake_hub(repository, folder) as address:
        _reach(address, monkeypatch)
        found = find_dictionary(name)
    assert (found.facts["repository"], found.facts["path"]) == (repository, inside)
    here = found.path if found.path.is_dir() else found.path.parent
    assert sorted(p.name for p in here.iterdir() if p.is_file()) == files
    if not repository.startswith("Qwen"):  # k = 50 is more than its features
        assert open_dictionary(found.path).dictionary.hook_point.startswith("blocks.1.")


def test_a_whole_set_is_told_by_its_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transcoder_writers.circuit_tracer(tmp_path / "set")
    transcoder_writers.circuit_tracer_clt(tmp_path / "set" / "clt")
    with fake_hub("owner/set", tmp_path / "set") as address:
        _reach(address, monkeypatch)
        with pytest.raises(HubError, match=r"holds 2, such as clt/W_enc_1\.\w+, layer_1\.safetens"):
            find_dictionary("owner/set")


def test_saelens_list_gives_the_factor_that_a_file_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, online: Path
) -> None:
    own = online / "blocks.8.hook_resid_pre" / "cfg.json"
    own.write_text(json.dumps(json.loads(own.read_text()) | {"normalize_activations": True}))
    (tmp_path / "pretrained_saes.yaml").write_text(
        f"some-release:\n  conversion_func: null\n  repo_id: {REPOSITORY}\n  saes:\n"
        "  - id: eight\n    norm_scaling_factor: 0.5\n    path: blocks.8.hook_resid_pre\n"
    )
    spec = ModuleSpec("sae_lens", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    found = find_dictionary("some-release/eight")
    assert found.overrides == {"norm_scaling_factor": 0.5}
    with pytest.raises(CheckpointError, match="a factor that is not in its weights yet"):
        open_dictionary(found.path)
    opened = open_dictionary(found.path, overrides=found.overrides)
    assert "the factor 0.5 of the input (SAELens' list" in opened.facts["changes"][0]
    plain = open_dictionary(found.path, norm="none").dictionary
    x = torch.randn(9, plain.d_in)
    assert torch.allclose(opened.dictionary(x), plain(x / 2) * 2, atol=1e-5)
