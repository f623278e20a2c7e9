"""The plain model with PyTorch hooks against transformer_lens' bridge."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sae_core.errors import HookPointError, ModelError
from sae_core.language_model.architecture.layouts import layout_by_transformer_lens
from sae_core.language_model.clean_run import takes_up
from sae_core.language_model.hook_point import KNOWN_LAYOUTS, READ_ONLY, HookKind, HookPoint
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.tiny_models import STORIES, save_folder, tiny_gemma2, tiny_neox

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


def test_every_replaced_forward_equals_the_bridge(
    pair: tuple[LanguageModel, Any], tokens: Tensor
) -> None:
    model, bridge = pair
    clean = model.logits(tokens)
    for point in all_hook_points(model):
        if point.kind in READ_ONLY:
            continue

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


@pytest.mark.parametrize("architecture", sorted(KNOWN_LAYOUTS))
def test_the_table_of_known_layouts_is_what_transformer_lens_says(architecture: str) -> None:
    import transformers

    kind = getattr(transformers, architecture)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 50}
    if architecture != "GPT2LMHeadModel":
        sizes |= {"num_key_value_heads": 2, "intermediate_size": 40}
    module = kind(kind.config_class(**sizes))
    assert layout_by_transformer_lens(module) == KNOWN_LAYOUTS[architecture]


@pytest.mark.parametrize("build", [tiny_gemma2, tiny_neox])
def test_other_architectures_are_asked_of_transformer_lens(
    build: Callable[[], Any], tmp_path: Path, tokens: Tensor
) -> None:
    """Their hook points equal the bridge's; passes taken up at them end as whole ones do."""
    from transformer_lens.model_bridge import TransformerBridge

    model = load_model(save_folder(build(), tmp_path / "model"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        bridge = TransformerBridge.boot_transformers(str(model.path), device="cpu")
    hidden = model.final_hidden(tokens)
    close(model.head(hidden.flatten(0, 1)), model.logits(tokens).flatten(0, 1))
    for kind in model.layout.sites:
        point = model.hook_point(f"blocks.1.{kind}")
        with torch.no_grad():
            _, cache = bridge.run_with_cache(tokens, names_filter=lambda n, p=point: n == p.name)
        expected = cache[point.name]
        close(
            model.capture(tokens, point),
            expected.flatten(2) if kind is HookKind.Z else expected,
        )
        assert takes_up(model, point), kind


def test_parallel_blocks_have_no_middle(tmp_path: Path) -> None:
    model = load_model(save_folder(tiny_neox(), tmp_path / "model"))
    with pytest.raises(HookPointError, match=r"has no hook_resid_mid: its blocks have"):
        model.hook_point("blocks.0.hook_resid_mid")


def test_an_architecture_unknown_to_transformer_lens_is_refused(tmp_path: Path) -> None:
    from transformers import CTRLConfig, CTRLLMHeadModel

    config = CTRLConfig(vocab_size=300, n_positions=16, n_embd=8, dff=8, n_layer=1, n_head=2)
    save_folder(CTRLLMHeadModel(config), tmp_path)
    with pytest.raises(ModelError, match=r"does not know how CTRLLMHeadModel is built.*Llama"):
        load_model(tmp_path)


def test_a_model_that_looks_ahead_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig, BertLMHeadModel

    config = BertConfig(
        vocab_size=300, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        initializer_range=0.5,
    )  # fmt: skip
    save_folder(BertLMHeadModel(config), tmp_path)
    with pytest.raises(ModelError, match="looks at later tokens"):
        load_model(tmp_path)


def test_what_a_model_says_of_itself(gpt2: LanguageModel, llama: LanguageModel) -> None:
    for model in (gpt2, llama):
        assert (model.n_layers, model.d_model, model.n_ctx, model.d_vocab) == (3, 32, 64, 300)
        assert (model.dtype, model.device) == (torch.float32, torch.device("cpu"))
        assert model.vocabulary.bos == 0
        assert 0 in model.vocabulary.special
        assert model.vocabulary.pieces[model.tokenizer.encode("fox").ids[0]] == b"f"
        assert len(model.checksum) == 64
    assert (gpt2.name, gpt2.architecture) == ("tiny-gpt2", "GPT2LMHeadModel")
    assert gpt2.checksum != llama.checksum


def test_widths_of_hook_points(gpt2: LanguageModel, llama: LanguageModel) -> None:
    assert gpt2.hook_point("blocks.0.mlp.hook_post").d_in == 48
    assert llama.hook_point("blocks.0.mlp.hook_post", 40).d_in == 40
    assert llama.hook_point("blocks.2.attn.hook_z").d_in == 32
    with pytest.raises(HookPointError, match=r"width 41.*width 40"):
        llama.hook_point("blocks.0.mlp.hook_post", 41)
    with pytest.raises(HookPointError, match="blocks 0 to 2"):
        llama.hook_point("blocks.3.mlp.hook_post")


def test_the_write_matrix_carries_the_activation_into_the_stream(
    gpt2: LanguageModel, llama: LanguageModel, tokens: Tensor
) -> None:
    for model in (gpt2, llama):
        for inner, outer in ((HookKind.POST, HookKind.MLP_OUT), (HookKind.Z, HookKind.ATTN_OUT)):
            point = model.hook_point(f"blocks.1.{inner}")
            matrix = model.write_matrix(point)
            assert matrix is not None
            out = model.capture(tokens, model.hook_point(f"blocks.1.{outer}"))
            rest = out - model.capture(tokens, point) @ matrix
            close(rest, rest[:1, :1].expand_as(rest))  # the bias alone
            assert model.write_matrix(model.hook_point(f"blocks.1.{outer}")) is None


def test_the_unembedding_is_linear_up_to_the_norms_scale(
    gpt2: LanguageModel, llama: LanguageModel, tokens: Tensor
) -> None:
    for model in (gpt2, llama):
        resid = model.capture(tokens, model.hook_point("blocks.2.hook_resid_post"))
        centred = resid - resid.mean(-1, keepdim=True) if model is gpt2 else resid
        scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        constant = model.logits(tokens) - (resid / scale) @ model.unembedding()
        close(constant, constant[:1, :1].expand_as(constant))


def test_capture_stops_at_the_hook_point(gpt2: LanguageModel, tokens: Tensor) -> None:
    ran: list[str] = []
    watched = {"block 2": gpt2.block(2), "head": gpt2.module.lm_head, "mlp": gpt2.block(1).mlp}
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in watched.items()
    ]
    try:
        gpt2.capture(tokens, gpt2.hook_point("blocks.1.mlp.hook_post"))
    finally:
        for handle in handles:
            handle.remove()
    assert ran == []


def test_no_hook_outlives_its_block(gpt2: LanguageModel, tokens: Tensor) -> None:
    before = gpt2.logits(tokens)
    point = gpt2.hook_point("blocks.1.hook_resid_mid")

    def fail(x: Tensor) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), gpt2.replaced(point, fail):
        gpt2.logits(tokens)
    with pytest.raises(ModelError):
        gpt2.capture(torch.ones(1, 65, dtype=torch.int64), point)
    assert torch.equal(gpt2.logits(tokens), before)
    for module in gpt2.module.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert "forward" not in module.__dict__


def test_threads_do_not_see_each_others_edits(gpt2: LanguageModel, tokens: Tensor) -> None:
    """Known of transformer_lens: a second thread's hooks corrupted 30 of 30 forwards."""
    point = gpt2.hook_point("blocks.1.mlp.hook_post")
    clean = gpt2.logits(tokens)
    with gpt2.replaced(point, edit):
        edited = gpt2.logits(tokens)
    wrong: list[str] = []

    def steer() -> None:
        for _ in range(20):
            with gpt2.replaced(point, edit):
                if not torch.equal(gpt2.logits(tokens), edited):
                    wrong.append("edited")

    def read() -> None:
        wrong.extend("clean" for _ in range(20) if not torch.equal(gpt2.logits(tokens), clean))

    threads = [threading.Thread(target=work) for work in (steer, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_captured_activation_can_be_trained_on(gpt2: LanguageModel, tokens: Tensor) -> None:
    x = gpt2.capture(tokens, gpt2.hook_point("blocks.1.mlp.hook_post"))
    weight = torch.ones(48, 2, requires_grad=True)
    (x @ weight).sum().backward()
    assert weight.grad is not None


def test_half_precision(gpt2_folder: Path, gpt2: LanguageModel, tokens: Tensor) -> None:
    half = load_model(gpt2_folder, dtype="bfloat16")
    assert half.dtype == torch.bfloat16
    assert half.unembedding().dtype == torch.float32
    assert (half.logits(tokens).float() - gpt2.logits(tokens)).abs().mean() < 0.2


def test_tokens_out_of_range_are_refused(gpt2: LanguageModel) -> None:
    with pytest.raises(ModelError, match="65 tokens is longer than the 64 positions"):
        gpt2.logits(torch.ones(1, 65, dtype=torch.int64))
    for token in (-1, 300):
        with pytest.raises(ModelError, match=f"Token {token} is not in the vocabulary"):
            gpt2.logits(torch.tensor([[token]]))
