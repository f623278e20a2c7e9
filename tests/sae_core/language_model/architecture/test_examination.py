"""What is said of a model's parts is held to what it does; here it is said wrongly on purpose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sae_core.errors import HookPointError, ModelError
from sae_core.language_model.architecture import anatomy
from sae_core.language_model.architecture.layouts import layout_of
from sae_core.language_model.hook_point import HookKind, HookSite, Layout, Side
from sae_core.language_model.model import LanguageModel, load_model
from sae_core.language_model.module_hooks import first, watching
from tests.sae_core.language_model.zoo import build
from tests.sae_core.tiny_models import save_folder

Loaded = Callable[..., LanguageModel]


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """A model of the zoo with sites that are somewhere else than where they should be."""

    def load(name: str, dtype: str = "float32", **sites: HookSite) -> LanguageModel:
        def wrong(module: Any) -> Layout:
            layout = layout_of(module)
            moved = {HookKind[kind]: site for kind, site in sites.items()}
            return Layout(**vars(layout) | {"sites": {**layout.sites, **moved}})

        monkeypatch.setattr(anatomy, "layout_of", wrong)
        return load_model(save_folder(build(name), tmp_path / "model"), dtype=dtype)

    return load


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "kind", "site"),
    [
        ("gemma2", "MLP_OUT", HookSite("mlp", Side.OUTPUT)),  # before the norm that follows
        ("gemma2", "ATTN_OUT", HookSite("self_attn", Side.OUTPUT)),
        ("olmo2", "MLP_OUT", HookSite("mlp", Side.OUTPUT)),
        ("llama", "MLP_OUT", HookSite("post_attention_layernorm", Side.OUTPUT)),
        ("llama", "MLP_OUT", HookSite("mlp.up_proj", Side.OUTPUT)),  # of another width
        ("llama", "ATTN_OUT", HookSite("self_attn.q_proj", Side.OUTPUT)),
        ("llama", "RESID_MID", HookSite("post_attention_layernorm", Side.OUTPUT)),
        ("llama", "RESID_POST", HookSite("mlp", Side.OUTPUT)),
        ("llama", "RESID_PRE", HookSite("input_layernorm", Side.OUTPUT)),
        ("llama", "Z", HookSite("self_attn.nowhere", Side.INPUT)),
        ("llama", "POST", HookSite("mlp.act_fn", Side.OUTPUT)),  # nothing says how wide it is
        ("phi", "MLP_OUT", HookSite("input_layernorm", Side.OUTPUT)),  # in parallel
    ],
)
def test_a_site_that_is_wrong_is_not_offered(
    loaded: Loaded, name: str, kind: str, site: HookSite, dtype: str
) -> None:
    model = loaded(name, dtype, **{kind: site})
    wrong = HookKind[kind]
    for layer in range(model.n_layers):
        assert wrong not in model.kinds(layer), layer
    with pytest.raises(HookPointError, match=rf"{wrong}.*Block 1 has"):
        model.hook_point(f"blocks.1.{wrong}")
    assert model.logits(torch.tensor([[0, 5, 9]])).shape == (1, 3, model.d_vocab)
    assert {HookKind.RESID_PRE, HookKind.RESID_POST} - {wrong} <= set(model.kinds(1))


def test_a_model_whose_logits_are_not_those_of_its_hidden_states_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaForCausalLM

    forward = LlamaForCausalLM.forward

    def other(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = forward(self, *args, **kwargs)
        output.logits = output.logits + kwargs["input_ids"][..., None]  # of something else as well
        return output

    folder = save_folder(build("llama"), tmp_path / "model")
    monkeypatch.setattr(LlamaForCausalLM, "forward", other)
    with pytest.raises(ModelError, match="not those of its final hidden states"):
        load_model(folder)


def test_half_precision_finds_no_other_faults_and_the_same_scales(loaded: Loaded) -> None:
    for dtype in ("float32", "bfloat16", "float16"):
        model = loaded("granite", dtype)
        assert model.examination.faults == {}
        scales = model.examination.scales
        assert len(scales) == 2 * model.n_layers
        assert all(scale == pytest.approx(0.22, rel=0.05) for scale in scales.values())


@pytest.mark.parametrize("name", ["gemma2", "olmo2", "glm4", "exaone4"])
def test_raw_outputs_are_what_the_modules_return(tmp_path: Path, name: str) -> None:
    model = load_model(save_folder(build(name), tmp_path / "model"))
    tokens = torch.tensor([[0, 5, 9, 44]])
    for path, kind, added in (
        ("mlp", "mlp.hook_out", "hook_mlp_out"),
        ("self_attn", "attn.hook_out", "hook_attn_out"),
    ):
        returned: list[Any] = []
        with watching(model.block(1).get_submodule(path), returned.append):
            model.logits(tokens)
        x = model.capture(tokens, model.hook_point(f"blocks.1.{kind}"))
        torch.testing.assert_close(x, first(returned[0]))
        behind = model.capture(tokens, model.hook_point(f"blocks.1.{added}"))
        assert not torch.allclose(x, behind)


def test_without_a_norm_both_names_are_one_place(tmp_path: Path) -> None:
    model = load_model(save_folder(build("llama"), tmp_path / "model"))
    tokens = torch.tensor([[0, 5, 9, 44]])
    raw, added = (model.hook_point(f"blocks.1.{k}") for k in ("mlp.hook_out", "hook_mlp_out"))
    assert torch.equal(model.capture(tokens, raw), model.capture(tokens, added))
    assert model.usual_name(raw.name) == added.name
    assert HookKind.MLP_RAW not in model.kinds(1)
