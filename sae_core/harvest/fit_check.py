"""Whether a dictionary fits the activations it is given, and what would fit better."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import astuple, dataclass, replace
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sae_core.dictionaries.architectures.matching_pursuit import MatchingPursuitDictionary
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.checkpoint import FIXED_SCALE, LATER
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.formats.parts import IN_UNITS
from sae_core.dictionaries.normalised import (
    InputNorm,
    NormalisedDictionary,
    normalised_transcoder,
)
from sae_core.errors import CheckpointError, HarvestError, HookPointError
from sae_core.harvest.harvest import HarvestPlan
from sae_core.language_model.hook_point import HookKind, in_later_blocks
from sae_core.language_model.model import LanguageModel

NEIGHBOURS = 1
PENALTY = 1.1
FOLDED_NORM = FIXED_SCALE
NORMS = (str(InputNorm.NONE), FOLDED_NORM, *(str(n) for n in InputNorm if n is not InputNorm.NONE))
_ROWS = 512


class InputAndTarget(NamedTuple):
    """What a dictionary is tried on.

    Attributes:
        read: what it encodes, [n, d_in].
        written: what it reconstructs, [n, d_out]; the same but for a transcoder.
    """

    read: Tensor
    written: Tensor


class Sample(NamedTuple):
    """Some text to try dictionaries on.

    Attributes:
        tokens: ids, int64 [batch, pos].
        text: which of them are text, and neither special nor padding, bool [batch, pos].
    """

    tokens: Tensor
    text: Tensor


@dataclass(frozen=True)
class Fit:
    """How a dictionary does on some tokens.

    Attributes:
        n_tokens: how many tokens it was tried on.
        l0: mean number of active features on a token.
        fvu: sum ||y - y_hat||^2 / sum ||y - mean(y)||^2, with y the activation that is
            reconstructed.
        silent_share: share of the features that fire on none of them.
    """

    n_tokens: int
    l0: float
    fvu: float
    silent_share: float

    @property
    def explained(self) -> float:
        """Share of the variance that the reconstruction explains; below 0: worse than the mean."""
        return 1.0 - self.fvu


@dataclass(frozen=True)
class Variant:
    """A way to use a dictionary's weights.

    Attributes:
        hook_point: where in the model the dictionary reads.
        subtracts: whether b_dec is subtracted from the input.
        norm: how the input is normalised, one of NORMS.
        output: the hook point that it reconstructs; empty: the one that it reads.
        turned: whether its skip connection is used the other way round than it is stored.
    """

    hook_point: str
    subtracts: bool
    norm: str
    output: str = ""
    turned: bool = False


@dataclass(frozen=True)
class Tried:
    """A variant, and how well it reconstructs the sample."""

    variant: Variant
    fit: Fit


def variant_of(dictionary: Dictionary) -> Variant:
    """How a dictionary is used as it stands."""
    norm = dictionary.norm if isinstance(dictionary, NormalisedDictionary) else InputNorm.NONE
    output = dictionary.output_hook_point if dictionary.is_transcoder else ""
    return Variant(dictionary.hook_point, dictionary.apply_b_dec_to_input, str(norm), output)


def centres_in_vain(model: LanguageModel, dictionary: Dictionary) -> bool:
    """Whether a dictionary wants the stream centred of a model whose norms do not centre.

    TransformerLens leaves such a model (RMSNorm) as it is, whatever it is asked for.
    """
    centred = isinstance(dictionary, NormalisedDictionary) and dictionary.norm is InputNorm.CENTRED
    return centred and not model.centres


@torch.inference_mode()
def fit(dictionary: Dictionary, x: InputAndTarget) -> Fit:
    """How a dictionary does on the activations of n > 1 tokens."""
    mean = x.written.double().mean(dim=0)
    error = active = 0.0
    fired = torch.zeros(dictionary.d_sae, dtype=torch.bool, device=x.read.device)
    for read, written in zip(
        torch.split(x.read, _ROWS), torch.split(x.written, _ROWS), strict=True
    ):
        firings = dictionary.encode_sparse(read)
        y_hat = dictionary.decode_sparse(firings, read)
        error += float((written.double() - y_hat.double()).square().sum())
        active += len(firings.values)
        fired[firings.features] = True
    variance = float((x.written.double() - mean).square().sum())
    return Fit(
        n_tokens=len(x.read),
        l0=active / len(x.read),
        fvu=error / variance if variance else float("nan"),
        silent_share=1.0 - float(fired.double().mean()),
    )


def varied(dictionary: Dictionary, variant: Variant, x: Tensor) -> Dictionary:
    """The same weights used in another way.

    With FOLDED_NORM the dictionary stands for one that was trained on z = s x, with
    s = sqrt(d_in) / mean ||x||, so that E ||z|| = sqrt(d_in). As encoders are positively
    homogeneous, f(s x; b) = s f(x; b / s): dividing every bias and threshold by s makes it a
    dictionary of x itself, whose activations and rows are in the model's units. (Source:
    `expected_average_only_in` of SAELens 6, which scales W_enc and W_dec instead.)

    Args:
        dictionary: the one whose weights are used; it is not changed.
        variant: how its weights are to be used.
        x: activations [n, d_in], whose mean norm gives s.

    Raises:
        CheckpointError: its weights cannot be used so.
    """
    core = dictionary.inner if isinstance(dictionary, NormalisedDictionary) else dictionary
    _check_use(core, variant)
    # What it writes into later blocks is the same in every variant, and may be most of its numbers.
    shared = {id(tensor): tensor for name, tensor in core.named_parameters() if name == LATER}
    core = deepcopy(core, shared)
    core.move(variant.hook_point, variant.output or None)
    core.apply_b_dec_to_input = variant.subtracts
    if variant.turned:
        core.W_skip = nn.Parameter(core.W_skip.T.contiguous(), requires_grad=False)
    if variant.norm == FOLDED_NORM:
        scale = core.d_in**0.5 / float(x.float().norm(dim=-1).mean())
        with torch.no_grad():
            for name, parameter in core.named_parameters():
                if name in IN_UNITS:
                    parameter.div_(scale)
        if isinstance(core, MatchingPursuitDictionary):
            core.residual_threshold /= scale
        return core
    norm = InputNorm(variant.norm)
    return core if norm is InputNorm.NONE else NormalisedDictionary(core, norm)


def _check_use(dictionary: Dictionary, variant: Variant) -> None:
    """Refuse what would give other numbers than anybody trained, or none."""
    skips = dictionary.output is not None and dictionary.output.skip
    if variant.turned and not skips:
        raise CheckpointError(
            f"A dictionary of the architecture {dictionary.architecture} has no skip connection "
            "that could be transposed: leave out --turn-skip."
        )
    if variant.turned and dictionary.d_in != dictionary.d_out:
        raise CheckpointError(
            f"A skip connection from {dictionary.d_in} to {dictionary.d_out} numbers cannot be "
            "transposed: leave out --turn-skip."
        )
    if dictionary.is_transcoder and variant.subtracts:
        raise CheckpointError(
            "A transcoder's b_dec belongs to its output and cannot be taken off its input: leave "
            "out --subtract-b-dec yes."
        )
    if dictionary.is_transcoder and variant.norm != str(InputNorm.NONE):
        raise CheckpointError(normalised_transcoder(variant.norm))


def alternatives(model: LanguageModel, dictionary: Dictionary, sample: Sample) -> list[Tried]:
    """Other ways to use a dictionary, the best first.

    Its weights as they are used now are tried at every layer, and in the NEIGHBOURS on each side at
    every hook point of the same width; then every normalisation, with and without b_dec taken off
    the input, where it is now and at the best other place. A transcoder is tried at every layer's
    MLP, with each of its inputs, and with its skip connection turned round. Of two that leave about
    as much unexplained the one that changes less is better: each change counts for PENALTY times
    the FVU.

    Args:
        model: the language model that the dictionary may belong to.
        dictionary: one at a hook point of the model.
        sample: the text to try the variants on.
    """
    now = variant_of(dictionary)
    if isinstance(dictionary, NeuronBasis):
        return []

    def tried(variant: Variant) -> Tried:
        x = text_activations(model, variant, sample)
        return Tried(variant, fit(varied(dictionary, variant, x.read), x))

    def cost(candidate: Tried) -> float:
        changed = zip(astuple(candidate.variant), astuple(now), strict=True)
        changes = sum(a != b for a, b in changed)
        return float(candidate.fit.fvu * PENALTY**changes)

    if dictionary.is_transcoder:
        return sorted(map(tried, _other_transcoders(model, dictionary, now)), key=cost)
    places = [p for p in _places(model, dictionary) if p != now.hook_point]
    # The weights as they are used now, at every other place.
    candidates = [tried(replace(now, hook_point=place)) for place in places]
    best = [min(candidates, key=cost).variant.hook_point] if candidates else []
    # Every other use of them, where they are now and at the best other place.
    for place in [now.hook_point, *best]:
        for subtracts, norm in product((True, False), NORMS):
            if (subtracts, norm) != (now.subtracts, now.norm):
                candidates.append(tried(Variant(place, subtracts, norm)))
    return sorted(candidates, key=cost)


@torch.inference_mode()
def text_activations(model: LanguageModel, variant: Variant, sample: Sample) -> InputAndTarget:
    """What a dictionary that is used so reads and writes on a sample's text."""
    read = model.capture(sample.tokens, model.hook_point(variant.hook_point))[sample.text]
    if not variant.output:
        return InputAndTarget(read, read)
    point = model.write_point(variant.output)
    return InputAndTarget(read, model.capture(sample.tokens, point)[sample.text])


def first_tokens(model: LanguageModel, plan: HarvestPlan, n_tokens: int) -> Sample:
    """Whole windows with the first tokens of a harvest, no fewer than `n_tokens` where there are
    so many."""
    lengths = plan.windows.lengths(plan.order).cumsum()
    tokens, mask = plan.windows.gather(plan.order[: int(lengths.searchsorted(n_tokens)) + 1])
    mask &= ~model.vocabulary.is_special[tokens]
    if mask.sum() < 2:
        raise HarvestError(
            f"{int(mask.sum())} tokens of text are too few to try a dictionary on: give more text."
        )
    return Sample(
        torch.from_numpy(tokens).to(model.device), torch.from_numpy(mask).to(model.device)
    )


def fitting_hook_points(model: LanguageModel, d_in: int) -> list[str]:
    """Kinds of hook points whose activation is that wide, as `blocks.N.KIND`."""
    kinds = [
        kind
        for kind in model.layout.sites
        if any(
            kind in model.kinds(layer) and model.width(layer, kind) == d_in
            for layer in range(model.n_layers)
        )
    ]
    return [f"blocks.N.{kind}" for kind in kinds]


def _places(model: LanguageModel, dictionary: Dictionary) -> Iterator[str]:
    """The hook point's own kind in every layer, other kinds near it, of the same width."""
    here = model.hook_point(dictionary.hook_point)
    for layer in range(model.n_layers):
        for kind in model.kinds(layer):
            wanted = kind is here.kind or abs(layer - here.layer) <= NEIGHBOURS
            if wanted and model.width(layer, kind) == dictionary.d_in:
                yield f"blocks.{layer}.{kind}"


def _other_transcoders(
    model: LanguageModel, dictionary: Dictionary, now: Variant
) -> Iterator[Variant]:
    """Where else a transcoder may read and write, and its skip connection turned round."""
    reads, writes = (model.hook_point(name) for name in (now.hook_point, now.output))
    inputs = (HookKind.MLP_IN, HookKind.NORMALIZED, HookKind.RESID_MID)
    kinds = inputs if reads.kind in inputs else (reads.kind,)
    apart = reads.layer - writes.layer
    for layer in range(model.n_layers):
        for kind in kinds:
            name, output = f"blocks.{layer + apart}.{kind}", f"blocks.{layer}.{writes.kind}"
            variant = replace(now, hook_point=name, output=output)
            if variant != now and _has(model, variant, dictionary):
                yield variant
    if dictionary.output is not None and dictionary.output.skip and writes.d_in == reads.d_in:
        yield replace(now, turned=True)


def _has(model: LanguageModel, variant: Variant, dictionary: Dictionary) -> bool:
    try:
        model.hook_point(variant.hook_point, dictionary.d_in)
        later = 0 if dictionary.output is None else dictionary.output.later_blocks
        for name in (variant.output, *in_later_blocks(variant.output, later)):
            model.write_point(name, dictionary.d_out)
    except HookPointError:
        return False
    return True
