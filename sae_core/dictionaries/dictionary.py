"""What all dictionaries share: shapes, the linear decoder, sparse codes.

Notation: x [..., d_in] is the model's activation, f [..., d_sae] the features' activations, y
[..., d_out] the activation that is reconstructed. A sparse autoencoder reconstructs what it reads,
y = x; a transcoder another activation, such as the MLP's output from the MLP's input. Every
activation and decoder row that leaves a class is in units of the model's own activation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from sae_core.errors import CheckpointError
from sae_core.files.json_config import JsonConfig
from sae_core.language_model.hook_point import in_later_blocks

Encoder = Callable[[Tensor], Tensor]


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


@dataclass(frozen=True)
class Output:
    """What a transcoder reconstructs.

    Attributes:
        hook_point: its name.
        d_out: width of the activation there.
        skip: whether a linear map of the input is part of the reconstruction.
        layers: how many blocks' activations lie side by side in it; 1 but for a cross-layer
            transcoder.
        later_blocks: into how many blocks behind it the features write as well; 0 but for one layer
            of a cross-layer transcoder.
    """

    hook_point: str
    d_out: int
    skip: bool = False
    layers: int = 1
    later_blocks: int = 0

    @property
    def later(self) -> tuple[str, ...]:
        """The hook points that the features write to besides: those of the same kind, in order.

        Raises:
            HookPointError: the first one is no hook point.
        """
        return in_later_blocks(self.hook_point, self.later_blocks)


class Dictionary(nn.Module):
    """What all architectures share: the weights' shapes and the linear decoder.

    Equation: y_hat = f W_dec + b_dec, with W_dec [d_sae, d_out] and b_dec [d_out]; with a skip
    connection y_hat = f W_dec + b_dec + x W_skip^T, with W_skip [d_out, d_in]. One layer of a
    cross-layer transcoder adds f W_later_m, with W_later [later blocks, d_sae, d_out], to what is
    reconstructed in the m-th block behind its own.

    Attributes:
        hook_point: name of the hook point that is read.
        output_hook_point: name of the one that is reconstructed; the same but for a transcoder.
        trained_on: what its files say of the text that it was trained on.
    """

    architecture: ClassVar[str]
    transcoder_architecture: ClassVar[str | None] = None  # of this class, where it is read so
    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor

    def __init__(
        self,
        hook_point: str,
        d_in: int,
        d_sae: int,
        apply_b_dec_to_input: bool = False,
        output: Output | None = None,
    ) -> None:
        super().__init__()
        self.hook_point = hook_point
        self.d_in = d_in
        self.d_sae = d_sae
        self.apply_b_dec_to_input = apply_b_dec_to_input
        self.output = output
        self.output_hook_point = hook_point if output is None else output.hook_point
        self.d_out = d_in if output is None else output.d_out
        self.trained_on = TrainedOn()
        if output is not None:
            if apply_b_dec_to_input:
                raise CheckpointError(
                    "A transcoder's b_dec belongs to its output: it cannot be subtracted from what "
                    "it reads (apply_b_dec_to_input)."
                )
            self.architecture = self.name_of(output.skip)  # type: ignore[misc]

    @classmethod
    def name_of(cls, skip: bool) -> str:
        """What this architecture is called where it is a transcoder.

        Raises:
            CheckpointError: no transcoder is built so.
        """
        if cls.transcoder_architecture is None:
            raise CheckpointError(f"A {cls.architecture} transcoder is not known here.")
        name = cls.transcoder_architecture
        return name.replace("transcoder", "skip_transcoder") if skip else name

    def move(self, hook_point: str, output_hook_point: str | None = None) -> None:
        """Let it read at another hook point, and a transcoder write at another one."""
        self.hook_point = self.output_hook_point = hook_point
        if self.output is not None:
            self.output_hook_point = output_hook_point or self.output.hook_point
            self.output = replace(self.output, hook_point=self.output_hook_point)

    @property
    def is_transcoder(self) -> bool:
        """Whether another activation is reconstructed than the one that is read."""
        return self.output is not None

    @classmethod
    def from_config(cls, hook_point: str, config: JsonConfig) -> Self:
        """An empty dictionary of this architecture, as a SAELens 6 `cfg.json` describes it."""
        output = output_of(config)
        subtract = config.flag("apply_b_dec_to_input", output is None)
        sizes = config.size("d_in"), config.size("d_sae")
        if output is None:
            return cls(hook_point, *sizes, subtract)
        return cls(hook_point, *sizes, subtract, output)

    def own_config(self) -> dict[str, Any]:
        """What `cfg.json` says of this architecture alone."""
        return {}

    def _allocate(self) -> None:
        self.W_enc = nn.Parameter(torch.zeros(self.d_in, self.d_sae))
        self.b_enc = nn.Parameter(torch.zeros(self.d_sae))
        self.W_dec = nn.Parameter(torch.zeros(self.d_sae, self.d_out))
        self.b_dec = nn.Parameter(torch.zeros(self.d_out))
        if self.output is not None and self.output.skip:
            self.W_skip = nn.Parameter(torch.zeros(self.d_out, self.d_in))
        if self.output is not None and self.output.later_blocks:
            later = self.output.later_blocks
            self.W_later = nn.Parameter(torch.zeros(later, self.d_sae, self.d_out))

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

    def encoder_of(self, features: Sequence[int]) -> Encoder:
        """What encodes some features, [..., n]; equal to `encode(x)[..., features]`.

        Where the architecture lets each feature stand by itself, their columns alone are read, from
        a copy that lies side by side: this is asked for once and used for many tokens.
        """
        return lambda x: torch.stack([self.encode_feature(x, one) for one in features], dim=-1)

    def encode_sparse(self, x: Tensor) -> Firings:
        """The firings among x [n, d_in]; equal to the non-zero entries of `encode(x)`."""
        acts = self.encode(x)
        rows, features = acts.nonzero(as_tuple=True)
        return Firings(rows, features, acts[rows, features].float())

    def offset(self, x: Tensor) -> Tensor:
        """What is reconstructed from x [..., d_in] where no feature fires.

        It is b_dec [d_out], or where the dictionary normalises its input or has a skip connection
        one for each x, [..., d_out].
        """
        if self.output is not None and self.output.skip:
            return x.to(self.b_dec.dtype) @ self.W_skip.T + self.b_dec
        return self.b_dec

    def decode(self, acts: Tensor, x: Tensor) -> Tensor:
        """Reconstruction [..., d_out] of activations [..., d_sae], encoded from x [..., d_in].

        Only a dictionary that normalises its input looks at x, at its mean and scale; or one with a
        skip connection.
        """
        return acts @ self.decoder_rows + self.offset(x)

    def decode_sparse(self, firings: Firings, x: Tensor) -> Tensor:
        """Reconstruction [n, d_out] of firings among x [n, d_in]; equal to `decode`."""
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
        """d_f for each feature, [d_sae, d_out], model units; what it writes at `output_hook_point`
        alone."""
        return self.W_dec

    @property
    def later_rows(self) -> tuple[Tensor, ...]:
        """What one unit of each feature writes into each later block, [d_sae, d_out] each."""
        writes_later = self.output is not None and self.output.later_blocks > 0
        return self.W_later.unbind() if writes_later else ()

    def decoder_row(self, feature: int) -> Tensor:
        """d_f of one feature, [d_out], model units."""
        return self.decoder_rows[feature]

    def written_row(self, feature: int, block: int) -> Tensor:
        """What one unit of a feature writes so many blocks behind its own, [d_out]; d_f for 0."""
        return self.later_rows[block - 1][feature] if block else self.decoder_row(feature)

    def written_rows(self, features: Tensor, block: int) -> Tensor:
        """As `written_row`, of some features [n]: [n, d_out]."""
        return self.later_rows[block - 1][features] if block else self.rows_of(features)

    def rows_of(self, features: Tensor) -> Tensor:
        """d_f of some features [n]: [n, d_out], model units; equal to `decoder_rows[features]`."""
        return self.W_dec[features]

    def along_rows(self, vectors: Tensor) -> Tensor:
        """Dot products of vectors [..., d_out] with d_f of each feature, [..., d_sae]."""
        return vectors @ self.decoder_rows.T

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x), x)


def output_of(config: JsonConfig) -> Output | None:
    """What a SAELens 6 configuration says of a transcoder's output; None: it is no transcoder.

    Raises:
        CheckpointError: a transcoder whose output is not named.
    """
    architecture = config.word("architecture", "")
    if "transcoder" not in architecture:
        return None
    metadata = config.values.get("metadata")
    name = metadata.get("hook_name_out") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        raise CheckpointError(
            f"{config.path} is a transcoder's and does not say what it reconstructs: give "
            "metadata.hook_name_out, such as blocks.0.hook_mlp_out."
        )
    later = config.size("later_blocks") if config.values.get("later_blocks") else 0
    skip = "skip_" in architecture
    return Output(name, config.size("d_out"), skip=skip, later_blocks=later)
