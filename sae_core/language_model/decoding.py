"""The shortest way to one more token, wherever it gives what the long way gives.

Around its blocks a library model builds masks and records outputs; with a small one that is a third
of a step. What can be left out depends on the architecture, so each shortcut is tried on a few
tokens, once a model, against the library's own forward pass, and taken only where it is right.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from sae_core.language_model.model import LanguageModel
from sae_core.language_model.module_hooks import first

# Tokens [rows, 1] at a position, and the keys and values before it, to final hidden states.
Body = Callable[[Tensor, int, Any], Tensor]

_FAILURES = (TypeError, ValueError, AttributeError, LookupError, RuntimeError)


class Shortcuts(NamedTuple):
    """What of a model's forward pass can be left out.

    Attributes:
        past: what went before: keys and values kept give what running from the start gives.
        wrapping: all of the body but embedding, blocks and norm, bit for bit.
        head: all of `LanguageModel.head` but the unembedding, bit for bit.
    """

    past: bool
    wrapping: bool
    head: bool


_found: WeakKeyDictionary[LanguageModel, Shortcuts] = WeakKeyDictionary()


def shortcuts(model: LanguageModel) -> Shortcuts:
    """What can be left out; tried the first time."""
    if model not in _found:
        with model.lock, torch.inference_mode():
            past = _tried(_past_is_enough, model)
            wrapping = past and _tried(_body_is_enough, model)
            _found[model] = Shortcuts(past, wrapping, _tried(_unembedding_is_enough, model))
    return _found[model]


def empty_past(model: LanguageModel) -> Any:
    """The library's cache of keys and values, of no positions yet."""
    from transformers import DynamicCache

    return DynamicCache(config=model.module.config)


def body(model: LanguageModel) -> Body:
    """What reads one more token of each row. Whoever calls it holds the model's lock."""
    return _lean_body(model) if shortcuts(model).wrapping else _whole_body(model)


def head(model: LanguageModel) -> Callable[[Tensor], Tensor]:
    """What makes logits [n, d_vocab] of final hidden states [n, d_model]."""
    return _unembedding(model) if shortcuts(model).head else model.head


def _whole_body(model: LanguageModel) -> Body:
    base = model.body

    def body(tokens: Tensor, _position: int, past: Any) -> Tensor:
        output = base(input_ids=tokens, past_key_values=past, use_cache=True)
        hidden: Tensor = output.last_hidden_state
        return hidden

    return body


def _lean_body(model: LanguageModel) -> Body:
    """As the library's forward passes of GPT-2 and Llama, for a single position."""
    base, n_layers = model.module.base_model, model.n_layers
    positions = torch.arange(model.n_ctx, device=model.device)[None]
    blocks = [model.block(layer) for layer in range(n_layers)]

    def gpt2(tokens: Tensor, position: int, past: Any) -> Tensor:
        at = positions[:, position : position + 1]
        hidden = base.wte(tokens) + base.wpe(at)
        for block in blocks:
            hidden = first(block(hidden, past, None, None, use_cache=True, position_ids=at))
        return first(base.ln_f(hidden))

    def llama(tokens: Tensor, position: int, past: Any) -> Tensor:
        at = positions[:, position : position + 1]
        hidden = base.embed_tokens(tokens)
        rotary = base.rotary_emb(hidden, position_ids=at)
        for block in blocks:
            hidden = first(
                block(
                    hidden,
                    attention_mask=None,
                    position_embeddings=rotary,
                    position_ids=at,
                    past_key_values=past,
                    use_cache=True,
                )
            )
        return first(base.norm(hidden))

    return {"GPT2LMHeadModel": gpt2, "LlamaForCausalLM": llama}[model.architecture]


def _unembedding(model: LanguageModel) -> Callable[[Tensor], Tensor]:
    unembedding: Callable[[Tensor], Tensor] = model.module.get_submodule(model.layout.unembedding)
    return unembedding


def _tried(trial: Callable[[LanguageModel], bool], model: LanguageModel) -> bool:
    try:
        return trial(model)
    except _FAILURES:
        return False


def _past_is_enough(model: LanguageModel) -> bool:
    tokens = _some_tokens(model)
    whole = model.final_hidden(tokens)
    past = empty_past(model)
    cuts = (tokens[:, :3], tokens[:, 3:4], tokens[:, 4:])
    pieces = [model.final_hidden(piece, past) for piece in cuts]
    tolerance = 1e-4 if whole.dtype in (torch.float32, torch.float64) else 0.02
    difference = (torch.cat(pieces, dim=1) - whole).abs().max()
    return bool(difference <= tolerance * whole.abs().max())


def _body_is_enough(model: LanguageModel) -> bool:
    lean, whole = _lean_body(model), _whole_body(model)
    tokens = _some_tokens(model).to(model.device)
    past = empty_past(model)
    model.final_hidden(tokens[:, :3], past)
    own = copy.deepcopy(past)
    return all(
        torch.equal(lean(tokens[:, at, None], at, own), whole(tokens[:, at, None], at, past))
        for at in range(3, tokens.shape[1])
    )


def _unembedding_is_enough(model: LanguageModel) -> bool:
    noise = torch.linspace(-3, 3, 2 * model.d_model).view(2, -1).to(model.device, model.dtype)
    return torch.equal(_unembedding(model)(noise), model.head(noise))


def _some_tokens(model: LanguageModel) -> Tensor:
    """At most [2, 8]."""
    return torch.arange(16).reshape(2, 8)[:, : model.n_ctx] % model.d_vocab
