"""Running many variants of a context on, from the middle of it, against whole forward passes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel

from sae_core.language_model import clean_run as module
from sae_core.language_model.clean_run import clean_run, takes_up_midway
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.language_model.double_models import double
from tests.sae_core.tiny_models import (
    D_VOCAB,
    save_folder,
    tiny_bloom,
    tiny_gemma2,
    tiny_gpt2,
    tiny_llama,
    tiny_neox,
)


def tiny_mistral() -> PreTrainedModel:
    """A Mistral that attends to the last four positions only."""
    torch.manual_seed(0)
    return MistralForCausalLM(
        MistralConfig(
            vocab_size=D_VOCAB,
            max_position_embeddings=64,
            hidden_size=32,
            intermediate_size=40,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            sliding_window=4,
            initializer_range=0.3,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


MAKERS = {
    "gpt2": tiny_gpt2,
    "llama": tiny_llama,
    "gemma2": tiny_gemma2,
    "neox": tiny_neox,
    "bloom": tiny_bloom,
    "mistral": tiny_mistral,
}


@pytest.fixture(scope="module", params=MAKERS)
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LanguageModel:
    folder = tmp_path_factory.mktemp("models") / request.param
    return load_model(save_folder(MAKERS[request.param](), folder))


def whole(model: LanguageModel, name: str, tokens: Tensor, x: Tensor) -> Tensor:
    """Final hidden states of the last position, each variant run from its first layer on."""
    ends = []
    for variant in x:
        with model.replaced(model.hook_point(name), lambda _, new=variant: new[None]):
            ends.append(model.final_hidden(tokens[:1])[0, -1])
    return torch.stack(ends)


def test_every_hook_point_of_every_architecture(model: LanguageModel) -> None:
    tokens = torch.arange(7, 27)[None]
    generator = torch.Generator().manual_seed(5)
    midway = 0
    for layer in range(model.n_layers):
        for kind in model.layout.sites:
            point = model.hook_point(f"blocks.{layer}.{kind}")
            run = clean_run(model, tokens, point, keep_past=True)
            assert (run.past is not None) == (
                point.attention_after and takes_up_midway(model, point)
            )
            midway += run.past is not None
            for begin in (0, 1, 13, 19):
                x = run.x.repeat(3, 1, 1)
                x[:, begin:] *= torch.rand(3, 20 - begin, 1, generator=generator)
                found = run.last_hidden(x[:, begin:].clone())
                wanted = whole(model, point.name, tokens, x)
                assert torch.allclose(found, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))
    assert midway > model.n_layers


@pytest.mark.parametrize("maker", [tiny_gpt2, tiny_llama])
def test_in_double_precision_it_is_the_same_number(maker: type, tmp_path: Path) -> None:
    model = double(load_model(save_folder(maker(), tmp_path / "model")))
    tokens = torch.arange(7, 27)[None]
    for name in ("blocks.0.hook_resid_pre", "blocks.1.hook_mlp_out", "blocks.2.hook_resid_pre"):
        run = clean_run(model, tokens, model.hook_point(name), keep_past=True)
        assert run.past is not None
        x = run.x.repeat(2, 1, 1)
        x[:, 9:] *= torch.tensor([0.5, 2.0])[:, None, None]
        found = run.last_hidden(x[:, 9:].clone())
        assert (found - whole(model, name, tokens, x)).abs().max() < 1e-11


def test_nothing_before_the_first_difference_is_computed(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = clean_run(
        llama, torch.arange(7, 27)[None], llama.hook_point("blocks.1.hook_mlp_out"), keep_past=True
    )
    shapes: list[tuple[int, ...]] = []
    forward = llama.final_hidden

    def counted(tokens: Tensor, past: object = None) -> Tensor:
        shapes.append(tuple(tokens.shape))
        return forward(tokens, past)

    monkeypatch.setattr(llama, "final_hidden", counted)
    run.last_hidden(run.x[:, 12:].repeat(5, 1, 1))
    assert shapes == [(5, 8), (5, 1)]


def test_what_cannot_be_taken_up_midway_runs_from_the_start(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = torch.arange(7, 27)[None]
    verdicts = {"takes_up": True, "takes_up_midway": False}
    for refused in ("takes_up_midway", "takes_up"):
        verdicts[refused] = False
        for name, verdict in verdicts.items():
            monkeypatch.setattr(module, name, lambda *_, verdict=verdict: verdict)
        for name in ("blocks.1.mlp.hook_post", "blocks.2.mlp.hook_post"):
            run = clean_run(llama, tokens, llama.hook_point(name), keep_past=True)
            assert run.past is None
            x = run.x.repeat(3, 1, 1)
            x[:, 15:] *= torch.tensor([0.5, 0.0, 2.0])[:, None, None]
            found = run.last_hidden(x[:, 15:])
            assert torch.allclose(found, whole(llama, name, tokens, x), rtol=0, atol=1e-4)


def test_a_model_that_takes_no_cache_is_found_out(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = llama.hook_point("blocks.0.hook_mlp_out")
    module._verdicts.pop(llama, None)
    forward = llama.final_hidden

    def without_cache(tokens: Tensor, past: object = None) -> Tensor:
        if past is not None:
            raise TypeError("unexpected keyword argument 'past_key_values'")
        return forward(tokens)

    monkeypatch.setattr(llama, "final_hidden", without_cache)
    assert not takes_up_midway(llama, point)
    assert clean_run(llama, torch.arange(9)[None], point, keep_past=True).past is None
    module._verdicts.pop(llama, None)


def test_no_hook_is_left_behind(gpt2: LanguageModel) -> None:
    tokens = torch.arange(7, 27)[None]
    before = gpt2.logits(tokens)
    run = clean_run(gpt2, tokens, gpt2.hook_point("blocks.0.hook_mlp_out"), keep_past=True)
    run.last_hidden(0.5 * run.x[:, 3:].repeat(2, 1, 1))
    assert torch.equal(gpt2.logits(tokens), before)
    for part in gpt2.module.modules():
        assert not part._forward_hooks
        assert not part._forward_pre_hooks
        assert "forward" not in part.__dict__
