from __future__ import annotations

import json

import pytest
import torch

from sae_core.errors import ModelError
from sae_core.files.gguf.conversion import gguf_folder
from sae_core.language_model.model import load_model
from tests.sae_core.files.gguf.gguf_models import library_model, write_gguf

FAMILIES = ["llama", "qwen2", "gpt2"]
TEXT = torch.arange(40).reshape(2, 20) * 6 % 256


@pytest.fixture(scope="module")
def models():
    return {family: library_model(family) for family in FAMILIES}


def logits_with(model, weights):
    kept = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.load_state_dict(weights, strict=False)
    try:
        with torch.no_grad():
            return model(TEXT).logits
    finally:
        model.load_state_dict(kept)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["F16", "Q4_1"])
def test_a_file_computes_what_its_weights_do(models, family, kind, tmp_path):
    weights = write_gguf(tmp_path / "tiny.gguf", family, models[family], kind)
    folder = gguf_folder(tmp_path / "tiny.gguf", tmp_path / "folders")
    opened = load_model(folder)
    logits = opened.logits(TEXT)
    torch.testing.assert_close(logits, logits_with(models[family], weights), rtol=0, atol=1e-5)
    unrounded = logits_with(models[family], {})
    assert bool((logits - unrounded).abs().max() > 0.01) is (kind == "Q4_1")


def test_a_folder_says_how_its_file_was_rounded_and_is_made_once(models, tmp_path):
    write_gguf(tmp_path / "tiny.gguf", "llama", models["llama"], "Q4_1")
    folder = gguf_folder(tmp_path / "tiny.gguf", tmp_path / "folders")
    facts = load_model(folder).facts
    assert facts["quantisation"].startswith("Q4_1 in 16 tensors (")
    # Sixteen steps between the ends of a block of 32: a bell curve's lie about 4 sigma apart.
    share = float(facts["quantisation"].partition("about ")[2].partition("%")[0])
    assert 6 < share < 9
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert gguf_folder(tmp_path / "tiny.gguf", tmp_path / "folders") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    assert [path.name for path in (tmp_path / "folders").iterdir()] == [folder.name]


def test_what_float16_holds_is_kept_in_float16(models, tmp_path):
    write_gguf(tmp_path / "tiny.gguf", "gpt2", models["gpt2"], "F16")
    folder = gguf_folder(tmp_path / "tiny.gguf", tmp_path / "folders")
    settings = json.loads((folder / "config.json").read_text())
    assert settings["dtype"] == "float16"
    assert "transformers_version" not in settings


def test_a_tokenizer_beside_the_file_is_taken_for_its_own(models, tmp_path):
    write_gguf(tmp_path / "tiny.gguf", "gpt2", models["gpt2"], tokenizer__ggml__pre="strange")
    with pytest.raises(ModelError, match=r"'strange'.*put the tokenizer.json"):
        gguf_folder(tmp_path / "tiny.gguf", tmp_path / "folders")
    whole = tmp_path / "whole"
    whole.mkdir()
    write_gguf(whole / "tiny.gguf", "gpt2", models["gpt2"])
    published = gguf_folder(whole / "tiny.gguf", tmp_path / "folders") / "tokenizer.json"
    (tmp_path / "tokenizer.json").write_bytes(published.read_bytes())
    folder = gguf_folder(tmp_path / "tiny.gguf", tmp_path / "folders")
    assert (folder / "tokenizer.json").read_bytes() == published.read_bytes()


def test_an_unknown_family_is_refused_by_its_name(models, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, "gpt2", models["gpt2"])
    path.write_bytes(path.read_bytes().replace(b"gpt2", b"gptx", 1))
    with pytest.raises(ModelError, match="family 'gptx', which is not read here") as refused:
        gguf_folder(path, tmp_path / "folders")
    named = str(refused.value).partition("that are read are ")[2].rstrip(".").split(", ")
    assert {"gpt2", "llama"} <= set(named)
    assert not {"general", "bert", "t5"} & set(named)


def test_a_setting_that_would_be_passed_over_is_refused(models, tmp_path):
    path = tmp_path / "tiny.gguf"
    write_gguf(path, "llama", models["llama"], llama__rope__scaling__type="yarn")
    with pytest.raises(ModelError, match=r"llama\.rope\.scaling\.type to 'yarn'"):
        gguf_folder(path, tmp_path / "folders")
    assert not (tmp_path / "folders").exists()
