"""Families of models: captures, ablation and steering against plain transformers with own hooks.

The reference knows nothing of our layouts: it hooks the modules of each family by their names in
the transformers library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from sae_core.errors import HookPointError
from sae_core.interventions.ablation import ablate
from sae_core.interventions.steering import FeatureEdit, Mode, Steering
from sae_core.language_model.clean_run import clean_run
from sae_core.language_model.model import LanguageModel, load_model
from tests.sae_core.tiny_dictionaries import random_dictionary
from tests.sae_core.tiny_models import D_VOCAB, _seeded, save_folder

SIZES = {
    "vocab_size": D_VOCAB,
    "max_position_embeddings": 64,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
GROUPED = SIZES | {"num_key_value_heads": 2, "head_dim": 8, "pad_token_id": None}
FAMILIES: dict[str, tuple[type, Any]] = {
    "gpt2": (
        GPT2LMHeadModel,
        GPT2Config(
            vocab_size=D_VOCAB, n_positions=64, n_embd=32, n_layer=3, n_head=4, n_inner=40,
            bos_token_id=0, eos_token_id=0,
        ),
    ),
    "llama": (LlamaForCausalLM, LlamaConfig(**GROUPED)),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config(**GROUPED, sliding_window=6)),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig(**GROUPED, sliding_window=6)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**GROUPED)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**GROUPED)),
    "neox": (GPTNeoXForCausalLM, GPTNeoXConfig(**SIZES)),
}  # fmt: skip
LAYER = 1
# Paths within the plain model, and which end: i its input, o its output.
MODULES = {
    "hook_resid_post": ("", "o"),
    "hook_resid_pre": ("", "i"),
    "mlp.hook_post": ("mlp.down_proj", "i"),
    "attn.hook_z": ("self_attn.o_proj", "i"),
}
OWN = {
    "gpt2": {"mlp.hook_post": ("mlp.c_proj", "i"), "attn.hook_z": ("attn.c_proj", "i")},
    "neox": {
        "mlp.hook_post": ("mlp.dense_4h_to_h", "i"),
        "attn.hook_z": ("attention.dense", "i"),
    },
}
BLOCKS = {"gpt2": "transformer.h", "neox": "gpt_neox.layers"}


@pytest.fixture(scope="module", params=FAMILIES)
def family(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, LanguageModel, Any]:
    """A random model of each family as we load it, and as the library does, both in float64."""
    kind, config = FAMILIES[request.param]
    folder = save_folder(_seeded(kind, config), tmp_path_factory.mktemp("models") / request.param)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    return request.param, load_model(folder, dtype="float64"), plain


@contextmanager
def by_hand(
    name: str, plain: nn.Module, place: str, edit: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """A hook on the plain model, written for its family alone."""
    path, end = (MODULES | OWN.get(name, {}))[place]
    blocks = BLOCKS.get(name, "model.layers")
    module = plain.get_submodule(f"{blocks}.{LAYER}" + (f".{path}" if path else ""))
    if end == "i":

        def before(_: nn.Module, args: Any, kwargs: Any) -> Any:
            if args:
                return (edit(args[0]), *args[1:]), kwargs
            return args, kwargs | {"hidden_states": edit(kwargs["hidden_states"])}

        handle = module.register_forward_pre_hook(before, with_kwargs=True)
    else:

        def after(_: nn.Module, __: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (edit(output[0]), *output[1:])
            return edit(output)

        handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def features_at(model: LanguageModel, place: str) -> Any:
    point = model.hook_point(f"blocks.{LAYER}.{place}")
    return random_dictionary(point.name, point.d_in).double()


@pytest.mark.parametrize("place", MODULES)
def test_ablation_and_steering_equal_plain_transformers(
    family: tuple[str, LanguageModel, Any], place: str, tokens: Tensor
) -> None:
    name, model, plain = family
    dictionary = features_at(model, place)
    point = model.hook_point(dictionary.hook_point)
    seen: list[Tensor] = []
    with torch.no_grad(), by_hand(name, plain, place, lambda x: seen.append(x) or x):
        clean = plain(tokens).logits
    x = model.capture(tokens, point)
    torch.testing.assert_close(x, seen[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.logits(tokens), clean, rtol=1e-4, atol=1e-4)
    acts = dictionary.encode(x)
    text = (tokens != 0).double()  # the opening token is never touched
    feature = int((acts * text[..., None]).sum((0, 1)).argmax())
    row = dictionary.decoder_row(feature)
    target = tokens[:, 1:, None]

    def ablated(x: Tensor) -> Tensor:
        return x - (dictionary.encode_feature(x, feature) * text)[..., None] * row

    with torch.no_grad(), by_hand(name, plain, place, ablated):
        changed = plain(tokens).logits
    expected = clean.log_softmax(-1)[:, :-1].gather(-1, target)[..., 0]
    expected = expected - changed.log_softmax(-1)[:, :-1].gather(-1, target)[..., 0]
    assert expected.abs().max() > 1e-3
    for number, effect in enumerate(ablate(model, dictionary, feature, list(tokens))):
        ours = torch.zeros(tokens.shape[1], dtype=torch.float64)
        ours[torch.from_numpy(effect.positions.astype(int))] = torch.from_numpy(
            effect.loss_change
        ).double()
        torch.testing.assert_close(ours[1:], expected[number], rtol=1e-4, atol=1e-4)
    # The shortened way from the hook point on, at every position.
    run = clean_run(model, tokens, point)
    ours_logits = model.head(run.rerun(ablated(x)).flatten(0, 1)).view_as(changed)
    torch.testing.assert_close(ours_logits, changed, rtol=1e-4, atol=1e-4)

    def steered(x: Tensor) -> Tensor:
        return x + 3.0 * text[..., None] * row

    with torch.no_grad(), by_hand(name, plain, place, steered):
        expected_logits = plain(tokens).logits
    edit = FeatureEdit(dictionary, feature, Mode.ADD, 1.5, 2.0)
    with Steering(model, [[edit]] * len(tokens)).applied(tokens.tolist(), 0):
        torch.testing.assert_close(model.logits(tokens), expected_logits, rtol=1e-4, atol=1e-4)


def test_what_a_family_lacks_is_a_sentence(family: tuple[str, LanguageModel, Any]) -> None:
    name, model, _ = family
    if name == "neox":
        with pytest.raises(HookPointError, match="has no hook_resid_mid"):
            model.hook_point("blocks.0.hook_resid_mid")
    else:
        assert model.hook_point("blocks.0.hook_resid_mid").d_in == 32


def test_a_model_without_an_opening_token(tmp_path: Path, tokens: Tensor) -> None:
    kind, config = FAMILIES["qwen2"]
    folder = save_folder(_seeded(kind, config), tmp_path / "model")
    (folder / "tokenizer_config.json").write_text('{"bos_token": null, "eos_token": null}')
    model = load_model(folder)
    assert model.vocabulary.bos is None
    assert model.eos is None
    assert model.logits(tokens).shape == (3, 20, D_VOCAB)
