"""The plain model with PyTorch hooks against transformer_lens' bridge; bad folders are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sae_core.hook_point import HookKind, HookPoint
from sae_core.language_model import LanguageModel, load_model
from tests.sae_core.tiny_models import STORIES

MODELS = ["gpt2", "llama"] + (["stories260K"] if STORIES.is_dir() else [])


@pytest.fixture(scope="module", params=MODELS)
def pair(request: pytest.FixtureRequest) -> tuple[LanguageModel, Any]:
    """A model as we load it, and transformer_lens' bridge on the same folder."""
    from transformer_lens.model_bridge import TransformerBridge

    if request.param == "stories260K":
        model = load_model(STORIES)
    else:
        model = request.getfixturevalue(request.param)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        bridge = TransformerBridge.boot_transformers(str(model.path), device="cpu")
    return model, bridge


def all_hook_points(model: LanguageModel) -> list[HookPoint]:
    return [
        model.hook_point(f"blocks.{layer}.{kind}")
        for layer in range(model.n_layers)
        for kind in HookKind
    ]


def edit(x: Tensor) -> Tensor:
    """Some change of an activation that is neither linear nor the same for all positions."""
    return 0.5 * x + 0.1 * torch.sin(7 * x.cumsum(-2))


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_every_capture_equals_the_bridge(pair: tuple[LanguageModel, Any], tokens: Tensor) -> None:
    model, bridge = pair
    points = all_hook_points(model)
    names = {point.name for point in points}
    with torch.no_grad():
        logits, cache = bridge.run_with_cache(tokens, names_filter=lambda name: name in names)
    close(model.logits(tokens), logits)
    for point in points:
        expected = cache[point.name]
        expected = expected.flatten(2) if point.kind is HookKind.Z else expected
        assert expected.shape[-1] == point.d_in
        close(model.capture(tokens, point), expected)
        both = model.capture_and_logits(tokens, point)
        close(both.x, expected)
        close(both.logits, logits)


def test_every_replaced_forward_equals_the_bridge(
    pair: tuple[LanguageModel, Any], tokens: Tensor
) -> None:
    model, bridge = pair
    clean = model.logits(tokens)
    for point in all_hook_points(model):

        def hook(x: Tensor, hook: Any, point: HookPoint = point) -> Tensor:
            flat = x.flatten(2) if point.kind is HookKind.Z else x
            new = edit(flat).reshape(x.shape)
            # The bridge exchanges what the second norm reads and leaves the stream: write there.
            return x.copy_(new) if point.kind is HookKind.RESID_MID else new

        with torch.no_grad(), bridge.hooks(fwd_hooks=[(point.name, hook)]):
            expected = bridge(tokens)
        with model.replaced(point, edit):
            ours = model.logits(tokens)
        close(ours, expected)
        assert not torch.allclose(ours, clean, atol=1e-3), point.name
    assert torch.equal(model.logits(tokens), clean)
