"""What is no dictionary, damaged, dangerous or not understood: one sentence with the next step."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sae_core.dictionaries.formats.mapped import parse_mapping
from sae_core.dictionaries.formats.opening import open_dictionary
from sae_core.errors import CheckpointError
from tests.sae_core.dictionaries.formats import writers

HOOK = "blocks.0.hook_resid_post"
WRITERS: dict[str, tuple[Callable[[Path], writers.Written], str]] = {
    "saelens": (lambda p: writers.saelens(p, "topk"), "sae_weights.safetensors"),
    "sparsify": (writers.sparsify, "sae.safetensors"),
    "dictionary_learning": (lambda p: writers.learned(p, "AutoEncoderTopK"), "ae.pt"),
    "gemma_scope": (writers.gemma_scope, "params.npz"),
    "openai": (lambda p: writers.openai(p / "layer.pt", "TopK"), "layer.pt"),
}


class Code:
    """Whatever unpickles it, runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def _refused(path: Path, sentence: str, **options: Any) -> None:
    with pytest.raises(CheckpointError, match=sentence) as caught:
        open_dictionary(path, hook_point=HOOK, **options)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message


def _settings(folder: Path, **changes: Any) -> None:
    path = folder / ("cfg.json" if (folder / "cfg.json").exists() else "config.json")
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(values))


@pytest.mark.parametrize("format_name", WRITERS)
def test_a_file_that_is_not_whole(tmp_path: Path, format_name: str) -> None:
    write, weights = WRITERS[format_name]
    write(tmp_path / "a")
    file = tmp_path / "a" / weights
    whole = file.read_bytes()
    for content, sentence in (
        (whole[: len(whole) // 2], "damaged or incomplete .* copy it there again"),
        (whole[:-40], "damaged or incomplete .* copy it there again"),
        (b"", r"damaged or incomplete \(empty\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "a Git LFS pointer"),
    ):
        file.write_bytes(content)
        _refused(tmp_path / "a", sentence)
        _refused(tmp_path / "a", sentence, format=format_name)
    file.unlink()
    _refused(tmp_path / "a", "has no|holds no|is empty|it holds", format=format_name)


@pytest.mark.parametrize("name", ["ae.pt", "layer.pt"])
def test_code_is_never_run(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a"
    writers.learned(folder, "AutoEncoder")
    (folder / "ae.pt").unlink()
    proof = tmp_path / "proof"
    for dangerous in ({"W_enc": Code(f"touch {proof}")}, torch.nn.Linear(2, 2)):
        torch.save(dangerous, folder / name)
        _refused(folder, "could run code, so it stays closed")
        assert not proof.exists()
    np.savez(folder / "params.npz", W_enc=np.array([Code(f"touch {proof}")], dtype=object))
    _refused(folder, "something other than arrays of numbers", format="gemma_scope")
    assert not proof.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([torch.zeros(3)], "holds a list, not tensors by name"),
        ({3: torch.zeros(3)}, "holds a dict, not tensors by name"),
        ({"bias": torch.zeros(3)}, "in no format known here: say which of its tensors is which"),
    ],
)
def test_tensors_without_a_format(tmp_path: Path, content: Any, sentence: str) -> None:
    torch.save(content, tmp_path / "some.pt")
    _refused(tmp_path / "some.pt", sentence)


def test_wrong_places(tmp_path: Path) -> None:
    _refused(tmp_path / "nowhere", r"There is no dictionary .*nowhere: check the path")
    empty = tmp_path / "empty"
    empty.mkdir()
    _refused(empty, "is empty: copy or download")
    model = tmp_path / "model"
    model.mkdir()
    (model / "tokenizer.json").write_text("{}")
    (model / "config.json").write_text('{"model_type": "llama"}')
    _refused(model, "looks like a language model")
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("nothing")
    _refused(other, r"no dictionary in a format known here .* it holds notes\.txt")
    _refused(other / "notes.txt", "is no dictionary: give its folder")
    several = tmp_path / "several"
    for n in range(7):
        writers.sparsify(several / f"layers.{n}")
    _refused(several, r"holds 7: give the folder of one of them \(layers\.0, .*, …\)")
    _refused(several, "There is no format 'safetensors': use one of saelens", format="safetensors")


def test_tensors_that_do_not_belong_together(tmp_path: Path) -> None:
    folder = writers.saelens(tmp_path / "a", "topk").path
    file = folder / "sae_weights.safetensors"
    tensors = load_file(file)
    for changes, sentence in (
        ({"W_dec": tensors["W_dec"][:-1]}, r"W_dec in .* has shape \[39, 12\]"),
        ({"b_enc": None}, "lacks the tensor b_enc"),
        ({"more": torch.zeros(3)}, r"not understood: \['more'\]"),
        ({"W_enc": torch.zeros(5)}, r"has shape \[5\]: a matrix was expected"),
        ({"b_dec": torch.full((12,), torch.nan)}, "NaN or infinity"),
        ({"scaling_factor": torch.full((40,), 2.0)}, "says nothing of finetuning"),
    ):
        kept = {name: t for name, t in (tensors | changes).items() if t is not None}
        save_file(kept, file)
        _refused(folder, sentence)
    save_file(tensors, file)
    _settings(folder, d_sae=64)
    _refused(folder, r"say d_sae = 64, but its encoder has 40: files of two dictionaries")
    state = torch.load(writers.openai(tmp_path / "b.pt", "ReLU").path, weights_only=True)
    torch.save(state | {"pre_bias": 3.0}, tmp_path / "b.pt")
    _refused(tmp_path / "b.pt", "pre_bias in .* is a float, not a tensor")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "transcoder"}, "is a transcoder and does not say which activation"),
        ({"architecture": "temporal"}, "is a temporal dictionary, whose features depend, by atten"),
        ({"architecture": "other"}, "of the architecture 'other', which is not read here"),
        ({"architecture": "batchtopk"}, "a checkpoint of a running training .*is a jumprelu"),
        ({"activation_fn": "tanh-relu"}, "has the activation 'tanh-relu'"),
        ({"hook_head_index": 3}, "trained on one attention head alone"),
        ({"normalize_activations": "covariance_whitening"}, "by 'covariance_whitening'"),
        ({"k": 41}, "k = 41 does not fit a dictionary of 40"),
        ({"k": None}, "is None, not a positive number"),
        ({"apply_b_dec_to_input": "no"}, r"apply_b_dec_to_input in .*cfg.json is 'no', not true"),
        ({"rescale_acts_by_decoder_norm": "false"}, "is 'false', not true or false"),
    ],
)
def test_a_saelens_dictionary_that_is_more(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    folder = writers.saelens(tmp_path / "a", "topk").path
    _settings(folder, **changes)
    _refused(folder, sentence)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"transcode": True}, "is a transcoder and does not say which activation it reconstructs"),
        ({"skip_connection": True}, "says skip_connection and not transcode"),
        ({"activation": "groupmax"}, "the activation 'groupmax'"),
        ({"k": 0}, "k in .* is 0"),
        ({"num_latents": 41}, "say d_sae = 41, but its encoder has 40"),
    ],
)
def test_a_sparsify_coder_that_is_more(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    folder = writers.sparsify(tmp_path / "a").path
    _settings(folder, **changes)
    _refused(folder, sentence)


def test_a_class_that_is_not_read(tmp_path: Path) -> None:
    folder = writers.learned(tmp_path / "a", "AutoEncoder").path
    _settings(folder, trainer={"dict_class": "CrossCoder"})
    _refused(folder, "names the class 'CrossCoder', which is not read here: use one of AutoEncoder")
    _settings(folder, trainer=None)
    _refused(folder, "does not give 'trainer'")
    (folder / "config.json").unlink()
    _refused(folder, r"has no config\.json: copy or download it")
    folder = writers.learned(tmp_path / "b", "AutoEncoderTopK").path
    _settings(folder, trainer={"dict_class": "AutoEncoderTopK"})
    state = torch.load(folder / "ae.pt", weights_only=True)
    del state["k"]
    torch.save(state, folder / "ae.pt")
    _refused(folder, r"Neither .*ae\.pt nor config\.json gives k")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"activation": "Tanh"}, "has the activation 'Tanh': use ReLU or TopK"),
        ({"activation_state_dict": {}}, "does not give k"),
        (
            {"activation_state_dict": {"k": 5, "postact_fn": "Identity"}},
            "keeps negative activations",
        ),
    ],
)
def test_an_openai_autoencoder_that_is_more(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    file = writers.openai(tmp_path / "a.pt", "TopK").path
    torch.save(torch.load(file, weights_only=True) | changes, file)
    _refused(file, sentence)


def test_a_hook_point_that_nobody_names_is_asked_for(tmp_path: Path) -> None:
    file = writers.openai(tmp_path / "a.pt", "TopK").path
    with pytest.raises(CheckpointError, match=r"name it, for example --hook-point blocks\.6"):
        open_dictionary(file)


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        ("AutoEncoder", "encoder.weight", (39, 12)),
        ("AutoEncoder", "encoder.bias", (0,)),
        ("BatchTopKSAE", "threshold", (3, 3)),
        ("AutoEncoderTopK", "k", (2,)),
    ],
)
def test_shapes_that_readers_stumble_over(
    tmp_path: Path, kind: str, name: str, shape: tuple[int, ...]
) -> None:
    file = writers.learned(tmp_path / "a", kind).path / "ae.pt"
    torch.save(torch.load(file, weights_only=True) | {name: torch.ones(shape)}, file)
    _refused(tmp_path / "a", "do not fit together")


def test_a_kind_of_number_without_arithmetic(tmp_path: Path) -> None:
    file = writers.saelens(tmp_path / "a", "standard").path / "sae_weights.safetensors"
    whole = load_file(file)
    save_file({name: t.to(torch.float8_e4m3fn) for name, t in whole.items()}, file)
    _refused(tmp_path / "a", "W_dec in .* is float8_e4m3fn: quantised")
    save_file(whole | {"W_dec": (100 * whole["W_dec"]).to(torch.int8)}, file)
    _refused(tmp_path / "a", "W_dec in .* is int8: quantised")


def test_topk_without_k_is_a_question(tmp_path: Path) -> None:
    folder = writers.saelens(tmp_path / "a", "standard", old=True).path
    path = folder / "cfg.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"activation_fn_str": "topk"}))
    _refused(folder, "how many features a token keeps")


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        (["W_enc"], "--tensor takes ROLE=NAME, .* and not 'W_enc'"),
        (["W_enc="], "--tensor takes ROLE=NAME"),
        (["encoder=a"], "the roles are W_enc, W_dec"),
        (["W_enc=a", "W_enc=b"], "W_enc is given twice: a and b"),
    ],
)
def test_a_mapping_that_says_nothing(entries: list[str], sentence: str) -> None:
    with pytest.raises(CheckpointError, match=sentence):
        parse_mapping(entries)


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ({"W_dec": "dec"}, r"Say which tensor .* it has bias \[40\], dec \[40, 12\], enc"),
        ({"W_enc": "other"}, r"has no tensor other: it has bias \[40\]"),
        ({"W_enc": "bias"}, "is no matrix"),
        ({"W_enc": "bias.T"}, "a matrix was expected"),
        ({"W_enc": "enc", "b_enc": "enc"}, r"b_enc in .* has shape \[12, 40\]"),
        ({"W_enc": "enc", "W_dec": "dec.T"}, r"W_dec in .* has shape \[12, 40\]"),
        ({"W_enc": "enc", "architecture": "other"}, "There is no architecture 'other'"),
        ({"W_enc": "enc", "architecture": "topk"}, "give --tensor k=NUMBER"),
        ({"W_enc": "enc", "k": "many"}, "k is 'many'"),
        ({"W_enc": "enc", "apply_b_dec_to_input": "no"}, "say true or false"),
        ({"W_enc": "enc", "input_scale": "0"}, "it must be above 0"),
        ({"W_enc": "enc", "input_scale": "bias"}, "input_scale in .* has 40 numbers"),
        ({"W_enc": "enc", "input_mean": "bias"}, "do not fit together"),
        ({"W_enc": "enc", "normalize_activations": "batch"}, "by 'batch', which is not known"),
    ],
)
def test_a_mapping_that_does_not_fit(
    tmp_path: Path, mapping: dict[str, str], sentence: str
) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"enc": torch.ones(12, 40), "dec": torch.ones(40, 12), "bias": torch.ones(40)}, file)
    _refused(file, sentence, mapping=mapping)
    _refused(file, "leave out either of the two", mapping=mapping, format="saelens")
