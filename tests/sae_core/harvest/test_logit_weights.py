"""Logit weights against float64: the formula, and the slope of the model itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.errors import HookPointError
from sae_core.harvest.logit_weights import logit_weights
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.language_model.double_models import in_double
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import save_folder, tiny_gemma2

KINDS = ["attn.hook_z", "mlp.hook_post", "hook_mlp_out", "hook_resid_pre", "hook_resid_post"]


def written(model: nn.Module, kind: str, rows: Tensor) -> Tensor:
    """What decoder rows [n, d_in] of the last block write into the stream, less the bias."""
    gpt2 = hasattr(model, "transformer")
    block = (model.transformer.h if gpt2 else model.model.layers)[-1]
    if kind == "mlp.hook_post":
        module = block.mlp.c_proj if gpt2 else block.mlp.down_proj
    elif kind == "attn.hook_z":
        module = block.attn.c_proj if gpt2 else block.self_attn.o_proj
    else:
        return rows
    return module(rows) - module(torch.zeros_like(rows))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@torch.no_grad()
def test_equals_the_slope_of_the_models_head(architecture: str, kind: str, request: Any) -> None:
    """Move a residual stream by a tiny multiple of the write, with the norm's scale held."""
    model: LanguageModel = request.getfixturevalue(architecture)
    point = model.hook_point(f"blocks.2.{kind}")
    dictionary = random_dictionary(point.name, point.d_in)
    double = in_double(model.path)
    rows = dictionary.decoder_rows.double()[3:9]
    write = written(double, kind, rows)
    norm = double.transformer.ln_f if architecture == "gpt2" else double.model.norm
    resid = torch.randn(
        1, model.d_model, dtype=torch.float64, generator=torch.Generator().manual_seed(4)
    )

    def scale(x: Tensor) -> Tensor:
        if architecture == "gpt2":
            return (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
        return (x.square().mean(-1, keepdim=True) + norm.eps).sqrt()

    def logits(x: Tensor) -> Tensor:
        # Undo the division by this stream's own scale: what remains is linear in x.
        bias = getattr(norm, "bias", None)
        normed = norm(x) if bias is None else norm(x) - bias
        return double.lm_head(normed * scale(x))

    slope = (logits(resid + 1e-4 * write) - logits(resid)) / 1e-4
    expected = slope - slope.mean(-1, keepdim=True)
    ours = logit_weights(model, dictionary, slice(3, 9))
    assert ours.dtype == torch.float32
    assert ours.shape == (6, model.d_vocab)
    torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-5)
    assert ours.mean(-1).abs().max() < 1e-5


@torch.no_grad()
def test_neurons_and_slices(relu_model: LanguageModel) -> None:
    dictionary = NeuronBasis("blocks.0.mlp.hook_post", 48)
    whole = logit_weights(relu_model, dictionary, slice(0, 48))
    halves = [logit_weights(relu_model, dictionary, slice(i, i + 24)) for i in (0, 24)]
    torch.testing.assert_close(torch.cat(halves), whole)
    double = in_double(relu_model.path)
    write = double.transformer.h[0].mlp.c_proj.weight
    centred = (write - write.mean(1, keepdim=True)) * double.transformer.ln_f.weight
    expected = centred @ double.lm_head.weight.T
    expected -= expected.mean(1, keepdim=True)
    torch.testing.assert_close(whole.double(), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_norm_behind_the_mlp_is_folded_too(tmp_path: Path) -> None:
    """Gemma 2 normalises what the MLP writes, and keeps each norm's weight less one."""
    model = load_model(save_folder(tiny_gemma2(), tmp_path / "tiny-gemma2"))
    point = model.hook_point("blocks.1.mlp.hook_post")
    dictionary = random_dictionary(point.name, point.d_in)
    double = in_double(model.path)
    block, head = double.model.layers[1], double.lm_head.weight
    write = block.mlp.down_proj(dictionary.decoder_rows.double())
    write = write * (1 + block.post_feedforward_layernorm.weight)
    expected = write * (1 + double.model.norm.weight) @ head.T
    expected -= expected.mean(-1, keepdim=True)
    ours = logit_weights(model, dictionary, slice(0, 24))
    torch.testing.assert_close(ours.double(), expected, rtol=1e-4, atol=1e-4)


def test_a_dictionary_of_another_model_is_refused(gpt2: LanguageModel) -> None:
    with pytest.raises(HookPointError, match=r"width 16.*width 48"):
        logit_weights(gpt2, random_dictionary("blocks.0.mlp.hook_post", 16), slice(0, 2))
