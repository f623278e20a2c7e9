"""Logit weights: the direct path from a feature to the logits."""

from __future__ import annotations

import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.places import places_of
from sae_core.language_model.hook_point import HookPoint
from sae_core.language_model.model import LanguageModel


@torch.no_grad()
def centred_unembedding(model: LanguageModel) -> Tensor:
    """What takes a direction in the stream to its logit weights, float32 [d_model, d_vocab].

    The mean over the vocabulary is taken here, where it costs d_model additions a token and not one
    a feature and token.
    """
    unembedding = model.unembedding()
    return unembedding - unembedding.mean(1, keepdim=True)


@torch.no_grad()
def logit_weights(
    model: LanguageModel,
    dictionary: Dictionary,
    features: slice,
    unembedding: Tensor | None = None,
) -> Tensor:
    """What one unit of each feature adds to each logit by the direct path, float32 [n, d_vocab].

    w_f = d_f W P diag(norm weight) W_U, less its mean over the vocabulary; W is W_out for MLP
    neurons, W_O for heads, the identity elsewhere; P removes the mean over d_model where the final
    norm does (LayerNorm). Of one layer of a cross-layer transcoder d_f W is the sum over all blocks
    that it writes to.

    Left out, by the field's convention: the final norm's division by the residual stream's standard
    deviation, which depends on the token (it scales a feature's weights alike and keeps their
    order); biases, which are no feature's; layers in between, which `ablation` measures; and what
    an architecture does to its finished logits (soft caps).

    Whoever asks for features block by block gives `centred_unembedding`, which is the same for all.
    """
    places = places_of(model, dictionary)
    direction = _in_stream(model, places.write, dictionary.decoder_rows[features])
    for point, rows in zip(places.later, dictionary.later_rows, strict=True):
        direction = direction + _in_stream(model, point, rows[features])
    return direction @ (centred_unembedding(model) if unembedding is None else unembedding)


def _in_stream(model: LanguageModel, hook_point: HookPoint, rows: Tensor) -> Tensor:
    """What decoder rows [n, d_out] add to the residual stream, float32 [n, d_model]."""
    write = model.write_matrix(hook_point)
    return rows.float() if write is None else rows.float() @ write.float()
