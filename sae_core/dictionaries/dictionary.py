"""What all sparse autoencoders share: shapes, the linear decoder, sparse codes.

Notation: x [..., d_in] is the model's activation, f [..., d_sae] the features' activations. Every
activation and decoder row that leaves a class is in units of the model's own activation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from sae_core.files.json_config import JsonConfig


@dataclass(frozen=True)
class Firings:
    """The non-zero activations of a batch, ordered by row, then feature.

    Attributes:
        rows: index of the token in the batch, int64 [n].
        features: int64 [n].
        values: activations > 0, model units, float32 [n].
    """

    rows: Tensor
    features: Tensor
    values: Tensor


@dataclass(frozen=True)
class TrainedOn:
    """How the activations came about that a dictionary was trained on, where its files say so.

    Attributes:
        prepend_bos: whether BOS opened each context; None: nobody says.
        context_size: positions in a context; None: nobody says.
    """

    prepend_bos: bool | None = None
    context_size: int | None = None


class Dictionary(nn.Module):
    """What all architectures share: the weights' shapes and the linear decoder.

    Equation: x_hat = f W_dec + b_dec, with W_dec [d_sae, d_in] and b_dec [d_in].

    Attributes:
        trained_on: what its files say of the text that it was trained on.
    """

    architecture: ClassVar[str]
    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor

    def __init__(
        self, hook_point: str, d_in: int, d_sae: int, apply_b_dec_to_input: bool = False
    ) -> None:
        super().__init__()
        self.hook_point = hook_point
        self.d_in = d_in
        self.d_sae = d_sae
        self.apply_b_dec_to_input = apply_b_dec_to_input
        self.trained_on = TrainedOn()

    @classmethod
    def from_config(cls, hook_point: str, config: JsonConfig) -> Self:
        """An empty dictionary of this architecture, as a SAELens 6 `cfg.json` describes it."""
        subtract = config.flag("apply_b_dec_to_input", True)
        return cls(hook_point, config.size("d_in"), config.size("d_sae"), subtract)

    def own_config(self) -> dict[str, Any]:
        """What `cfg.json` says of this architecture alone."""
        return {}

    def _allocate(self) -> None:
        self.W_enc = nn.Parameter(torch.zeros(self.d_in, self.d_sae))
        self.b_enc = nn.Parameter(torch.zeros(self.d_sae))
        self.W_dec = nn.Parameter(torch.zeros(self.d_sae, self.d_in))
        self.b_dec = nn.Parameter(torch.zeros(self.d_in))

    def encoder_input(self, x: Tensor) -> Tensor:
        """x, less b_dec where the dictionary was trained so. Shape [..., d_in]."""
        x = x.to(self.b_dec.dtype)
        return x - self.b_dec if self.apply_b_dec_to_input else x

    def pre_activations(self, x: Tensor) -> Tensor:
        """Encoder output before the nonlinearity, [..., d_sae]."""
        return self.encoder_input(x) @ self.W_enc + self.b_enc

    def activate(self, pre: Tensor) -> Tensor:
        """The nonlinearity: pre-activations [..., d_sae] to activations [..., d_sae]."""
        return torch.relu(pre)

    def encode(self, x: Tensor) -> Tensor:
        """Activations of all features, [..., d_sae], >= 0."""
        return self.activate(self.pre_activations(x))

    def encode_feature(self, x: Tensor, feature: int) -> Tensor:
        """Activations of one feature, [...]; equal to `encode(x)[..., feature]`."""
        pre = self.encoder_input(x) @ self.W_enc[:, feature] + self.b_enc[feature]
        return torch.relu(pre)

    def encode_sparse(self, x: Tensor) -> Firings:
        """The firings among x [n, d_in]; equal to the non-zero entries of `encode(x)`."""
        acts = self.encode(x)
        rows, features = acts.nonzero(as_tuple=True)
        return Firings(rows, features, acts[rows, features].float())

    def offset(self, x: Tensor) -> Tensor:
        """What the reconstruction of x [..., d_in] is where no feature fires.

        It is b_dec [d_in], or where the dictionary normalises its input one for each x [..., d_in].
        """
        del x
        return self.b_dec

    def decode(self, acts: Tensor, x: Tensor) -> Tensor:
        """Reconstruction x_hat [..., d_in] of activations [..., d_sae], encoded from x [..., d_in].

        Only a dictionary that normalises its input looks at x: at its mean and scale.
        """
        return acts @ self.decoder_rows + self.offset(x)

    def decode_sparse(self, firings: Firings, x: Tensor) -> Tensor:
        """Reconstruction x_hat [n, d_in] of firings among x [n, d_in]; equal to `decode`."""
        places = torch.arange(len(x), device=firings.rows.device)
        begin = torch.searchsorted(firings.rows, places)
        rows = self.decoder_rows
        x_hat = functional.embedding_bag(
            firings.features,
            rows,
            begin,
            mode="sum",
            per_sample_weights=firings.values.to(rows.dtype),
        )
        return x_hat + self.offset(x)

    @property
    def decoder_rows(self) -> Tensor:
        """d_f for each feature, [d_sae, d_in], model units."""
        return self.W_dec

    def decoder_row(self, feature: int) -> Tensor:
        """d_f of one feature, [d_in], model units."""
        return self.decoder_rows[feature]

    def rows_of(self, features: Tensor) -> Tensor:
        """d_f of some features [n]: [n, d_in], model units; equal to `decoder_rows[features]`."""
        return self.W_dec[features]

    def along_rows(self, vectors: Tensor) -> Tensor:
        """Dot products of vectors [..., d_in] with d_f of each feature, [..., d_sae]."""
        return vectors @ self.decoder_rows.T

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x), x)
