"""What every reader gives: a dictionary taken apart, in the terms of SAELens 6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sae_core.dictionaries.dictionary import TrainedOn
from sae_core.errors import CheckpointError
from sae_core.files.weight_files import check_is_weights

# What has the unit of an activation; the rest are directions and ratios.
IN_UNITS = ("b_enc", "b_dec", "b_gate", "b_mag", "threshold")
LISTED_FACTOR = "norm_scaling_factor"  # of the input, in SAELens' list of releases
LAYER_ALONE = (
    "It is one layer of a cross-layer transcoder: ablation and steering change what its features "
    "write into their own block and into all later ones, but earlier layers write there as well, "
    "so its reconstruction of its own block's output, and the evaluation, are not those of the "
    "whole."
)


@dataclass(frozen=True)
class Asked:
    """What the user says of a dictionary's files.

    Attributes:
        mapping: which tensor is which, where the format does not name them.
        norm: what is done to the input first, in SAELens' words; None: as the files say.
        overrides: settings that take the place of the files' own, such as SAELens' list of releases
            gives them.
        output_hook_point: where it writes, of a transcoder whose files may not say that it is one.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    norm: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    output_hook_point: str | None = None


@dataclass(frozen=True)
class Parts:
    """A dictionary as it was found, brought into the terms of SAELens 6.

    Attributes:
        config: what its `cfg.json` would say: `architecture` and what belongs to it,
            `apply_b_dec_to_input`, `normalize_activations`. Sizes follow from the tensors.
        weights: its tensors by their SAELens names.
        files: what was read; the weights come first.
        hook_point: where the files say it reads; None where they do not.
        hook_point_from: which file or name says so.
        facts: what else the files say, for the provenance page; JSON values.
        changes: what was done to the weights to bring them here, a sentence each.
        trained_on: what the files say of the text that it was trained on.
        unknown: settings of the files that nobody here understands, as `name = value`.
        notes: what those who read its figures should know, a sentence each.
        assumed_norm: another normalisation that its files allow just as well; None: they say.
        output: where they say that a transcoder writes; None where they do not, or it is none.
    """

    config: dict[str, Any]
    weights: Mapping[str, Tensor]
    files: tuple[Path, ...]
    hook_point: str | None = None
    hook_point_from: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] = ()
    trained_on: TrainedOn = field(default_factory=TrainedOn)
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    assumed_norm: str | None = None
    output: str | None = None


class TensorFile:
    """The tensors of a file, taken out one by one; what nobody takes is an error at the end."""

    def __init__(self, path: Path, tensors: Mapping[str, Any]) -> None:
        self.path = path
        self._left = dict(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, *names: str) -> Tensor:
        """The tensor under the first of these names that there is.

        Raises:
            CheckpointError: there is none.
        """
        for name in names:
            if name in self._left:
                tensor = self._left.pop(name)
                if not isinstance(tensor, Tensor):
                    raise CheckpointError(
                        f"{name} in {self.path} is a {type(tensor).__name__}, not a tensor."
                    )
                if tensor.numel() > 1:
                    check_is_weights(name, tensor, self.path)
                return tensor
        raise CheckpointError(
            f"{self.path} lacks the tensor {' or '.join(names)}: it has "
            f"{', '.join(sorted(self._left)) or 'none'}."
        )

    def drop(self, *names: str) -> None:
        """Forget what training left behind and nothing here needs."""
        for name in names:
            self._left.pop(name, None)

    def refuse_rest(self) -> None:
        """Refuse tensors that nobody took: they would change the equation unseen.

        Raises:
            CheckpointError: there are such tensors.
        """
        if self._left:
            raise CheckpointError(
                f"{self.path} holds tensors not understood: {sorted(self._left)}."
            )


def folded_scale(weights: Mapping[str, Tensor], scale: float, path: Path) -> dict[str, Tensor]:
    """Weights of a dictionary of z = scale * x as those of one of x itself.

    Encoders are positively homogeneous, f(s x; b) = s f(x; b / s): every bias and threshold is
    divided by the scale (in float64), and activations and decoder rows are in the model's units.

    Raises:
        CheckpointError: the scale is no positive number.
    """
    if not (0.0 < scale < float("inf")):
        raise CheckpointError(f"The scale of the input in {path} is {scale}: it must be above 0.")
    return {
        name: tensor.double() / scale if name in IN_UNITS else tensor
        for name, tensor in weights.items()
    }


def over_layers(W_dec: Tensor, first: int = 0) -> dict[str, Tensor]:
    """What one layer of a cross-layer transcoder writes, by our names; nothing is copied.

    Args:
        W_dec: [d_sae, layers, d_out].
        first: the layer that it is among those: nothing is written to earlier ones.

    Returns:
        W_dec [d_sae, d_out], into its own block; W_later [later blocks, d_sae, d_out] where there
        are any.

    Raises:
        CheckpointError: there is no such layer.
    """
    if not first < W_dec.shape[1]:
        raise CheckpointError(
            f"A decoder for {W_dec.shape[1]} layers was given for layer {first}: files of two "
            "transcoders were mixed."
        )
    weights = {"W_dec": W_dec[:, first]}
    if first + 1 < W_dec.shape[1]:
        weights["W_later"] = W_dec[:, first + 1 :].transpose(0, 1)
    return weights


def transposed(tensor: Tensor, path: Path, name: str) -> Tensor:
    """A matrix [a, b] as [b, a].

    Raises:
        CheckpointError: it is no matrix.
    """
    if tensor.dim() != 2:
        raise CheckpointError(
            f"{name} in {path} has shape {list(tensor.shape)}: a matrix was expected."
        )
    return tensor.T.contiguous()


def row_norms(W_dec: Tensor) -> Tensor:
    """||W_dec_f|| of each feature [d_sae], and 1 where a row is 0, so that it can divide."""
    norms = W_dec.norm(dim=-1)
    return torch.where(norms > 0, norms, torch.ones_like(norms))


def both_signs(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """A coder whose features have either sign, as one with two features >= 0 for each of them.

    With [W, -W] as encoder, [b, -b] as its bias and [W_dec; -W_dec] as decoder rows, one of f_i and
    f_{i + d_sae} is the magnitude of feature i and the other 0, and the k largest of them are the k
    of largest magnitude: nothing else changes.

    Returns:
        The weights; and a sentence that says so.
    """
    W_enc, W_dec, b_enc = (weights[name] for name in ("W_enc", "W_dec", "b_enc"))
    doubled = dict(weights) | {
        "W_enc": torch.cat([W_enc, -W_enc], dim=1),
        "b_enc": torch.cat([b_enc, -b_enc]),
        "W_dec": torch.cat([W_dec, -W_dec]),
    }
    n = len(W_dec)
    return doubled, (
        f"its features may be negative: feature i became two, i where it is positive and i + {n} "
        "where it is negative, with the opposite decoder row"
    )
