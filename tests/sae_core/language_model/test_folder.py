"""Folders that are whole are read; others are refused with the file's name and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, processors

from sae_core.errors import HubError, ModelError
from sae_core.interventions.prompt import prompt_tokens
from sae_core.language_model.model import load_model
from tests.sae_core.language_model.zoo import build
from tests.sae_core.tiny_models import END, save_folder, tiny_bloom


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def copy(gpt2_folder: Path, tmp_path: Path) -> Path:
    """A model folder to be damaged."""
    return Path(shutil.copytree(gpt2_folder, tmp_path / "model"))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_model(copy)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_named(copy: Path, name: str) -> None:
    (copy / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ModelError, match=f"{name} is a Git LFS pointer.*git lfs pull"):
        load_model(copy)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_truncated_file_is_named(copy: Path, name: str, share: float) -> None:
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(ModelError, match=f"{name}.*again"):
        load_model(copy)


def test_pickled_weights_are_never_opened(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(ModelError, match=r"pickled.*save_pretrained"):
        load_model(copy)


def test_a_missing_shard_is_named(copy: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"model-00002\.safetensors is missing"):
        load_model(copy)


def test_missing_tensors_are_not_made_up(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    del weights["transformer.ln_f.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lack 1 tensors.*ln_f\.weight"):
        load_model(copy)


def test_weights_of_another_shape_are_refused(copy: Path) -> None:
    change_json(copy / "config.json", n_inner=49)
    with pytest.raises(ModelError, match=r"cannot be loaded"):
        load_model(copy)


def test_other_refusals(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(ModelError, match="no model folder"):
        load_model("./nowhere")
    with pytest.raises(ModelError, match="is a file"):
        load_model(copy / "config.json")
    with pytest.raises(ModelError, match="no dtype"):
        load_model(copy, dtype="int8")
    with pytest.raises(ModelError, match="device 'nonsense'"):
        load_model(copy, device="nonsense")


def test_a_name_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> str:
        raise OSError("offline")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(HubError, match=r"some/model could not be fetched.*Hub \(offline\)"):
        load_model("some/model")


def test_a_local_folder_never_touches_the_network(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert load_model(str(copy)).n_layers == 3


@pytest.mark.parametrize(
    ("settings", "bos"),
    [
        ({"bos_token": "<|endoftext|>"}, 0),
        ({"bos_token": {"content": "<|endoftext|>"}}, 0),
        ({"bos_token": None}, None),
        ({"bos_token": "<none>"}, None),
        ({}, 0),
    ],
)
def test_the_opening_token(copy: Path, settings: dict[str, Any], bos: int | None) -> None:
    """The tokenizer's settings decide; without them the model's."""
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    assert load_model(copy).vocabulary.bos == bos


def test_the_opening_token_of_a_text_model_inside_another(tmp_path: Path) -> None:
    assert load_model(save_folder(build("llava"), tmp_path / "model")).bos == 0


def test_an_unknown_architecture_is_refused(copy: Path) -> None:
    change_json(copy / "config.json", model_type="nothing-known")
    with pytest.raises(ModelError, match=r"cannot be loaded.*nothing-known"):
        load_model(copy)


def test_the_longest_context_has_several_names(tmp_path: Path) -> None:
    folder = save_folder(tiny_bloom(), tmp_path)
    assert load_model(folder).n_ctx == 64
    change_json(folder / "config.json", seq_length=None, n_positions=32)
    assert load_model(folder).n_ctx == 32
    change_json(folder / "config.json", n_positions=None)
    with pytest.raises(ModelError, match=r"config\.json does not say how long a context may be"):
        load_model(folder)


def test_a_tokenizer_with_tokens_that_the_model_lacks_is_refused(copy: Path) -> None:
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    spare = 300 - size
    tokenizer.add_special_tokens([f"<extra {n}>" for n in range(spare)])
    tokenizer.save(str(copy / "tokenizer.json"))
    assert load_model(copy).vocabulary.special == {0, *range(size, 300)}
    # A pad token that a fine-tune added without a row of the embedding never occurs in text.
    tokenizer.add_special_tokens(["<one too many>"])
    tokenizer.save(str(copy / "tokenizer.json"))
    model = load_model(copy)
    assert model.tokenizer.token_to_id("<one too many>") is None
    assert len(model.vocabulary.pieces) == 300
    assert model.tokenizer.encode("a dog").ids == tokenizer.encode("a dog").ids


def test_a_tokenizer_whose_own_tokens_the_model_lacks_is_refused(copy: Path) -> None:
    letters = {chr(0x4E00 + n): n for n in range(301)}
    Tokenizer(models.WordLevel(letters, unk_token="一")).save(str(copy / "tokenizer.json"))
    with pytest.raises(ModelError, match=r"has 301 tokens, .* up to 300, but the model knows 300"):
        load_model(copy)


@pytest.mark.parametrize(
    ("post_processor", "flag", "opens"),
    [(True, None, True), (False, None, False), (False, True, True), (True, False, True)],
)
def test_whether_the_model_s_own_tokenizer_opens_a_text(
    copy: Path, post_processor: bool, flag: bool | None, opens: bool
) -> None:
    tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
    if post_processor:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{END} $A", special_tokens=[(END, 0)]
        )
    tokenizer.save(str(copy / "tokenizer.json"))
    settings = {"bos_token": END} | ({} if flag is None else {"add_bos_token": flag})
    (copy / "tokenizer_config.json").write_text(json.dumps(settings))
    model = load_model(copy)
    assert model.own_opening is opens
    assert (model.bos, model.vocabulary.bos) == (0, 0)
    without = model.opening(False)
    assert without.vocabulary.bos is None
    assert without.vocabulary.special == model.vocabulary.special
    assert without.opening(True) is model
    assert prompt_tokens(without, "a dog").tolist() == prompt_tokens(model, "a dog").tolist()[1:]
