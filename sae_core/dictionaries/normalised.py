"""Dictionaries that normalise each activation before they encode it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor
from typing_extensions import override

from sae_core.dictionaries.dictionary import Dictionary, Encoder, Firings
from sae_core.errors import CheckpointError

_EPSILON = 1e-5


class InputNorm(StrEnum):
    """What is done to each activation x [d_in], by the name SAELens gives it.

    z = (x - mean) / divisor goes into the dictionary; x_hat = scale * z_hat + mean comes out:

        LAYER_NORM:     mean = mean(x), scale = std(x) with d_in - 1 in its denominator,
                        divisor = scale + 1e-5;
        CONSTANT_NORM:  mean = 0, scale = divisor = ||x|| / sqrt(d_in);
        CENTRED:        mean = mean(x), scale = divisor = 1.

    Sources: `LN` in openai/sparse_autoencoder (model.py), whose small constant stands in the
    divisor alone; `_setup_activation_normalization` in SAELens 6. CENTRED is the residual stream of
    a model whose writing weights TransformerLens centred (`center_writing_weights`), which is
    ours less its mean over d_model.
    """

    NONE = "none"
    LAYER_NORM = "layer_norm"
    CONSTANT_NORM = "constant_norm_rescale"
    CENTRED = "centred"


class NormalisedDictionary(Dictionary):
    """Any dictionary behind an input normalisation that is undone exactly once.

    Equation, with z, mean and scale as in `InputNorm` and f_z, W_dec, b_dec of the inner one:

        f = scale * f_z(z),    x_hat = f W_dec + scale * b_dec + mean.

    So activations are in units of the model's own, and decoder rows are those of the inner one.
    Where scale is 0 nothing fires.
    """

    def __init__(self, inner: Dictionary, norm: InputNorm) -> None:
        super().__init__(inner.hook_point, inner.d_in, inner.d_sae, inner.apply_b_dec_to_input)
        if inner.is_transcoder:
            raise CheckpointError(normalised_transcoder(norm))
        self.architecture = inner.architecture  # type: ignore[misc]  # that of the one inside
        self.inner = inner
        self.norm = norm
        self.b_dec = inner.b_dec
        self.trained_on = inner.trained_on

    def normalise(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the inner dictionary is given.

        Args:
            x: [..., d_in].

        Returns:
            z [..., d_in]; scale [..., 1] >= 0; mean [..., 1].
        """
        x = x.to(self.b_dec.dtype)
        if self.norm is InputNorm.CONSTANT_NORM:
            scale = x.norm(dim=-1, keepdim=True) / self.d_in**0.5
            return x / scale.clamp_min(torch.finfo(x.dtype).tiny), scale, torch.zeros_like(scale)
        mean = x.mean(dim=-1, keepdim=True)
        centred = x - mean
        if self.norm is InputNorm.CENTRED:
            return centred, torch.ones_like(mean), mean
        scale = centred.std(dim=-1, keepdim=True)
        return centred / (scale + _EPSILON), scale, mean

    @override
    def pre_activations(self, x: Tensor) -> Tensor:
        """Before the nonlinearity, [..., d_sae]; in units of z, as thresholds are."""
        return self.inner.pre_activations(self.normalise(x)[0])

    @override
    def activate(self, pre: Tensor) -> Tensor:
        return self.inner.activate(pre)

    @override
    def encode(self, x: Tensor) -> Tensor:
        z, scale, _ = self.normalise(x)
        return self.inner.encode(z) * scale

    @override
    def encode_feature(self, x: Tensor, feature: int) -> Tensor:
        z, scale, _ = self.normalise(x)
        return self.inner.encode_feature(z, feature) * scale[..., 0]

    @override
    def encoder_of(self, features: Sequence[int]) -> Encoder:
        inner = self.inner.encoder_of(features)

        def encode(x: Tensor) -> Tensor:
            z, scale, _ = self.normalise(x)
            return inner(z) * scale

        return encode

    @override
    def encode_sparse(self, x: Tensor) -> Firings:
        z, scale, _ = self.normalise(x)
        return rescaled(self.inner.encode_sparse(z), scale[:, 0])

    @override
    def offset(self, x: Tensor) -> Tensor:
        z, scale, mean = self.normalise(x)
        return scale * self.inner.offset(z) + mean

    @property
    @override
    def decoder_rows(self) -> Tensor:
        return self.inner.decoder_rows

    @override
    def decoder_row(self, feature: int) -> Tensor:
        return self.inner.decoder_row(feature)

    @override
    def rows_of(self, features: Tensor) -> Tensor:
        return self.inner.rows_of(features)

    @override
    def along_rows(self, vectors: Tensor) -> Tensor:
        return self.inner.along_rows(vectors)


def normalised_transcoder(norm: str) -> str:
    """Why no transcoder stands behind an input normalisation, whichever it is."""
    return (
        f"A transcoder that normalises its input ({norm}) is not read here: nothing says in what "
        "units its output is."
    )


def rescaled(firings: Firings, scale: Tensor) -> Firings:
    """Firings times their tokens' scales [n] >= 0; those that become 0 are none any more."""
    values = firings.values * scale[firings.rows].to(firings.values.dtype)
    kept = values > 0
    return Firings(firings.rows[kept], firings.features[kept], values[kept])
