"""Shortcuts are taken where they are right, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sae_core.language_model import decoding
from sae_core.language_model.decoding import Shortcuts, empty_past, shortcuts
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.language_model.module_hooks import touching
from tests.sae_core.interventions.test_steered_run import model  # noqa: F401

EXPECTED = {
    "GPT2LMHeadModel": Shortcuts(past=True, wrapping=True, head=True),
    "LlamaForCausalLM": Shortcuts(past=True, wrapping=True, head=True),
    "Gemma2ForCausalLM": Shortcuts(past=True, wrapping=False, head=False),  # caps its logits
    "GPTNeoXForCausalLM": Shortcuts(past=True, wrapping=False, head=True),
    "BloomForCausalLM": Shortcuts(past=True, wrapping=False, head=True),
}


@torch.inference_mode()
def test_what_is_left_out_does_not_matter(model: LanguageModel, tokens: Tensor) -> None:  # noqa: F811
    assert shortcuts(model) == EXPECTED[model.architecture]
    body, head = decoding.body(model), decoding.head(model)
    past, own = empty_past(model), empty_past(model)
    model.final_hidden(tokens[:, :9], past)
    model.final_hidden(tokens[:, :9], own)
    for position in range(9, 20):
        column = tokens[:, position, None]
        output = model.module(input_ids=column, past_key_values=past, use_cache=True)
        hidden = body(column, position, own)
        wanted = model.module.base_model(input_ids=tokens[:, : position + 1]).last_hidden_state
        torch.testing.assert_close(hidden, wanted[:, -1:])
        assert torch.equal(head(hidden[:, 0]), output.logits[:, 0])


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_the_body_is_run_bit_for_bit(architecture: str, tokens: Tensor, request: Any) -> None:
    """Up to the end of the context, and through the same modules, so that hooks see all."""
    model: LanguageModel = request.getfixturevalue(architecture)  # noqa: F811
    lean, whole = decoding._lean_body(model), decoding._whole_body(model)
    pasts = [empty_past(model), empty_past(model)]
    seen: list[Tensor] = []
    with torch.inference_mode():
        for past in pasts:
            model.final_hidden(tokens.repeat(1, 3), past)
        for position in range(60, 64):
            column = tokens[:, :1] + position
            with touching(
                *model.site(1, model.hook_point("blocks.1.mlp.hook_post").kind), seen.append
            ):
                found = [b(column, position, p) for b, p in zip((lean, whole), pasts, strict=True)]
            assert torch.equal(*found)
            assert torch.equal(*seen)
            seen.clear()


def scale_body(model: LanguageModel) -> None:  # noqa: F811
    """Let the body do something after its last norm."""
    body = model.module.transformer
    forward = body.forward

    def scaled(*args: Any, **kwargs: Any) -> Any:
        output = forward(*args, **kwargs)
        output.last_hidden_state = output.last_hidden_state * 1.01
        return output

    body.forward = scaled


def test_a_shortcut_that_is_wrong_is_not_taken(
    gpt2_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled = load_model(gpt2_folder)
    scale_body(scaled)
    assert shortcuts(scaled) == Shortcuts(past=True, wrapping=False, head=True)

    capped = load_model(gpt2_folder)
    plain = capped.head
    monkeypatch.setattr(capped, "head", lambda hidden: plain(hidden).tanh())
    assert shortcuts(capped) == Shortcuts(past=True, wrapping=True, head=False)
    assert decoding.head(capped) is capped.head

    forgetful = load_model(gpt2_folder)
    whole = forgetful.final_hidden
    monkeypatch.setattr(forgetful, "final_hidden", lambda tokens, past=None: whole(tokens))
    assert shortcuts(forgetful) == Shortcuts(past=False, wrapping=False, head=True)

    def broken(tokens: Tensor, past: Any = None) -> Tensor:
        if past is not None:
            raise TypeError("takes no past")
        return whole(tokens)

    without = load_model(gpt2_folder)
    monkeypatch.setattr(without, "final_hidden", broken)
    assert shortcuts(without) == Shortcuts(past=False, wrapping=False, head=True)
