"""What dictionaries make of one prompt: features that fire, what they read and write, errors.

A part is the features of one dictionary in one block; a cross-layer transcoder has one in each.
What a dictionary cannot explain of an activation stays beside its features as an error, so that
nothing of the model is lost:

    what stands at the place = sum of a_f d_f + error + constant (b_dec, skip connection).

BOS and other special tokens are not read: what is written there is all error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sae_core.circuits.frozen.run import Skip, mlp_point
from sae_core.dictionaries.architectures.gated import GatedDictionary
from sae_core.dictionaries.architectures.matching_pursuit import MatchingPursuitDictionary
from sae_core.dictionaries.architectures.neurons import NeuronBasis
from sae_core.dictionaries.architectures.topk import TopKDictionary
from sae_core.dictionaries.cross_layer import CrossLayerTranscoder
from sae_core.dictionaries.dictionary import Dictionary
from sae_core.dictionaries.normalised import NormalisedDictionary
from sae_core.dictionaries.places import Places, check_order, places_of
from sae_core.errors import CircuitError
from sae_core.language_model.hook_point import IN_ORDER, HookKind, HookPoint, in_every_block
from sae_core.language_model.model import LanguageModel

_NUMBERS_AT_ONCE = 1 << 24
_STREAM = (HookKind.RESID_PRE, HookKind.RESID_POST)
_MLPS = (HookKind.POST, HookKind.MLP_RAW, HookKind.MLP_OUT)


@dataclass(frozen=True)
class GraphPart:
    """The features of one dictionary in one block.

    Attributes:
        place: number of the dictionary.
        dictionary: that it belongs to.
        read: where they read.
        writes: where they write, in order, their own block first.
        first: number of its first feature in the dictionary.
    """

    place: int
    dictionary: Dictionary
    read: HookPoint
    writes: tuple[HookPoint, ...]
    first: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """Where in the model its features' activations are computed."""
        return self.read.layer, IN_ORDER.index(self.read.kind)

    @property
    def n_features(self) -> int:
        """How many features it has, firing or not."""
        if isinstance(self.dictionary, CrossLayerTranscoder):
            return self.dictionary.per_layer
        return self.dictionary.d_sae

    def encode(self, x: Tensor) -> Tensor:
        """Activations [n, features of the part] of what is read, [n, d_in]; of neurons signed."""
        if isinstance(self.dictionary, NeuronBasis):
            return x
        if isinstance(self.dictionary, CrossLayerTranscoder):
            return self.dictionary.encode_layer(x, self.read.layer)
        return self.dictionary.encode(x)

    def read_rows(self, features: Tensor, x: Tensor) -> Tensor:
        """By what x [n, d_in] each of n firing features' activations grow, [n, d_in].

        For a feature that fires, activation = x . row + constant, with the scale of a dictionary
        that normalises its input held constant.
        """
        return _read_rows(self.dictionary, features, x)

    def along_writes(self, vectors: Tensor, features: Tensor, write: HookPoint) -> Tensor:
        """Products of vectors [batch, d_out] with what features [n] write, [batch, n]."""
        if isinstance(self.dictionary, NeuronBasis):
            return vectors[:, features]
        return vectors @ self.write_rows(features, write).to(vectors.dtype).T

    def written_by_all(self, acts: Tensor, write: HookPoint) -> Tensor:
        """What all features of the part write, [..., d_out], of activations [..., features]."""
        if isinstance(self.dictionary, NeuronBasis):
            return acts
        every = torch.arange(self.first, self.first + acts.shape[-1], device=acts.device)
        return acts @ self.write_rows(every, write).to(acts.dtype)

    def written(self, feature: Tensor, write: HookPoint, like: Tensor) -> Tensor:
        """What one feature writes for each unit of activation, as `like` [d_out] is kept."""
        return self.write_rows(feature[None], write)[0].to(like.dtype)

    def write_rows(self, features: Tensor, write: HookPoint) -> Tensor:
        """What features [n] write at one of `writes` for each unit of activation, [n, d_out]."""
        if isinstance(self.dictionary, CrossLayerTranscoder):
            own: Tensor = self.dictionary.decoders[self.read.layer]
            return own[features - self.first, self.writes.index(write)]
        return self.dictionary.written_rows(features, self.writes.index(write))


@dataclass(frozen=True)
class Firing:
    """Where the features of a part fire, ordered by position, then feature.

    Attributes:
        part: whose.
        positions: int64 [n], on the CPU.
        features: numbers in the dictionary, int64 [n], on the model's device.
        values: activations, model units, [n].
        begins: where each position's features begin among these, [pos + 1].
    """

    part: GraphPart
    positions: Tensor
    features: Tensor
    values: Tensor
    begins: list[int]

    def at(self, position: int) -> slice:
        """Those that fire at a position."""
        return slice(self.begins[position], self.begins[position + 1])


@dataclass(frozen=True)
class Remainder:
    """What features leave of an activation that the forward pass is cut at.

    Attributes:
        point: the cut.
        place: number of the dictionary that writes there; -1 for an MLP that none replaces.
        error: what no feature explains, [pos, d_out].
        constant: what the dictionary writes whatever fires, [pos, d_out].
    """

    point: HookPoint
    place: int
    error: Tensor
    constant: Tensor


@dataclass(frozen=True)
class Wiring:
    """Which parts read and write where in one model.

    Attributes:
        parts: in the order in which the model computes them.
        plain_mlps: outputs of MLPs that no dictionary replaces, and that are constants.
    """

    parts: tuple[GraphPart, ...]
    plain_mlps: tuple[HookPoint, ...]

    @property
    def reads(self) -> list[HookPoint]:
        """Where parts read."""
        return list(dict.fromkeys(part.read for part in self.parts))

    @property
    def writers(self) -> dict[HookPoint, list[GraphPart]]:
        """Each cut and the parts that write there."""
        writers: dict[HookPoint, list[GraphPart]] = {point: [] for point in self.plain_mlps}
        for part in self.parts:
            for point in part.writes:
                writers.setdefault(point, []).append(part)
        return writers

    def is_linear(self, n_layers: int) -> bool:
        """Whether no target is read behind an MLP that is taken by its derivative."""
        cut = {point.layer for point in self.writers if point.kind in _MLPS}
        behind = any(part.read.kind in _MLPS for part in self.parts)
        return len(cut) == n_layers and not behind

    @property
    def skips(self) -> dict[HookPoint, Skip]:
        """Cuts that transcoders with a skip connection write, where they read, and their maps."""
        return {
            part.writes[0]: (part.read, part.dictionary.W_skip)
            for part in self.parts
            if part.dictionary.output is not None and part.dictionary.output.skip
        }


def wire(model: LanguageModel, dictionaries: Sequence[Dictionary]) -> Wiring:
    """Where dictionaries read and write in a model.

    Raises:
        HookPointError: one does not belong to the model.
        CircuitError: two replace the same activation, or one cannot be part of a graph.
    """
    parts: list[GraphPart] = []
    for place, dictionary in enumerate(dictionaries):
        if isinstance(_inner(dictionary), MatchingPursuitDictionary):
            raise CircuitError(
                "A matching pursuit dictionary chooses its features one after the other: what "
                "makes them fire is no linear map, so that no graph can have them."
            )
        parts += _parts_of(model, place, dictionary)
    parts.sort(key=lambda part: part.order)
    cuts = {(part.place, point) for part in parts for point in part.writes}
    # Layers of a cross-layer transcoder, one by one, may write where another one does.
    own = {(part.place, part.writes[0]) for part in parts}
    owners: dict[object, tuple[int, HookPoint]] = {}
    for cut in sorted(cuts, key=lambda cut: (cut not in own, cut[0])):
        place, point = cut
        other, there = owners.setdefault(_activation(point), cut)
        if other != place and (cut in own or there != point):
            raise CircuitError(
                f"Dictionaries {other + 1} and {place + 1} both replace what stands at "
                f"{point.name}, or what comes of it at once: leave one of them out."
            )
    if any(point.kind in _STREAM for _, point in cuts):
        return Wiring(tuple(parts), ())
    replaced = {point.layer for _, point in cuts if point.kind in _MLPS}
    plain = [mlp_point(model, n) for n in range(model.n_layers) if n not in replaced]
    return Wiring(tuple(parts), tuple(plain))


def firings(part: GraphPart, x: Tensor, text: Tensor) -> Firing:
    """The features of a part that fire on what it reads.

    Args:
        part: whose.
        x: what stands where it reads, [pos, d_in].
        text: positions that are text, int64 [m], ascending, on the CPU.
    """
    positions, features, values = [text[:0]], [text[:0].to(x.device)], [x.new_empty(0)]
    for some in torch.split(text, max(1, _NUMBERS_AT_ONCE // part.dictionary.d_sae)):
        acts = part.encode(x[some.to(x.device)])
        rows, fired = acts.nonzero(as_tuple=True)
        positions.append(some[rows.cpu()])
        features.append(fired + part.first)
        values.append(acts[rows, fired].to(x.dtype))
    where = torch.cat(positions)
    begins = torch.searchsorted(where, torch.arange(len(x) + 1)).tolist()
    return Firing(part, where, torch.cat(features), torch.cat(values), begins)


def remainder(
    point: HookPoint,
    y: Tensor,
    writers: Sequence[Firing],
    x: Callable[[HookPoint], Tensor],
    text: Tensor,
) -> Remainder:
    """What the features that write at a cut leave of what stands there.

    Args:
        point: the cut.
        y: what stands there, without what a skip connection adds, [pos, d_out].
        writers: features that write there, those of its own block last; none: all is error.
        x: what stands at a hook point that is read, [pos, d_in].
        text: positions that are text, as in `firings`.
    """
    if not writers:
        return Remainder(point, -1, y, torch.zeros_like(y))
    part = writers[-1].part
    constant = _constant(part, point, x(part.read)).to(y.dtype).expand_as(y)
    left = y.clone()
    for firing in writers:
        for position in range(len(y)):
            here = firing.at(position)
            features, values = firing.features[here], firing.values[here]
            if isinstance(part.dictionary, NeuronBasis):
                left[position, features] -= values
            elif len(features):
                left[position] -= values @ firing.part.write_rows(features, point).to(left.dtype)
    # Where nothing is read, nothing is explained.
    is_text = torch.zeros(len(y), 1, dtype=torch.bool, device=y.device)
    is_text[text.to(y.device)] = True
    constant = torch.where(is_text, constant, 0.0)
    return Remainder(point, part.place, left - constant, constant)


def _parts_of(model: LanguageModel, place: int, dictionary: Dictionary) -> Iterator[GraphPart]:
    if not isinstance(dictionary, CrossLayerTranscoder):
        at = places_of(model, dictionary)
        yield GraphPart(place, dictionary, at.read, at.written)
        return
    if dictionary.layers != model.n_layers:
        raise CircuitError(
            f"A cross-layer transcoder of {dictionary.layers} blocks does not fit a model of "
            f"{model.n_layers}."
        )
    n, names = model.n_layers, (dictionary.hook_point, dictionary.output_hook_point)
    reads = [model.hook_point(name, dictionary.d_in // n) for name in in_every_block(names[0], n)]
    writes = [
        model.write_point(name, dictionary.d_out // n) for name in in_every_block(names[1], n)
    ]
    for layer, read in enumerate(reads):
        check_order(model, Places(read, writes[layer]))
        first = dictionary.features_of(layer).start
        yield GraphPart(place, dictionary, read, tuple(writes[layer:]), first)


def _activation(point: HookPoint) -> object:
    """What is replaced at a cut: of an MLP or attention once, of the stream between two blocks."""
    if point.kind in _STREAM:
        return point.layer + (point.kind is HookKind.RESID_POST)
    return point.layer, point.kind in _MLPS


def _inner(dictionary: Dictionary) -> Dictionary:
    return dictionary.inner if isinstance(dictionary, NormalisedDictionary) else dictionary


def _constant(part: GraphPart, point: HookPoint, x: Tensor) -> Tensor:
    """What a dictionary writes at a cut whatever fires, [d_out] or [pos, d_out]."""
    dictionary = part.dictionary
    if isinstance(dictionary, CrossLayerTranscoder):
        return dictionary.b_dec.view(dictionary.layers, -1)[point.layer]
    if point != part.writes[0]:  # a later block, whose b_dec is another layer's
        return torch.zeros_like(dictionary.b_dec)
    if dictionary.output is not None and dictionary.output.skip:
        return dictionary.b_dec
    return dictionary.offset(x)


def _read_rows(dictionary: Dictionary, features: Tensor, x: Tensor) -> Tensor:
    if isinstance(dictionary, NormalisedDictionary):
        rows = _read_rows(dictionary.inner, features, x)
        z, scale, mean = dictionary.normalise(x)
        centred = x - mean
        size = centred.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
        if bool((mean != 0).any()):
            rows = rows - rows.mean(dim=-1, keepdim=True)
        factor: Tensor = scale * z.norm(dim=-1, keepdim=True) / size
        return rows * factor
    if isinstance(dictionary, NeuronBasis):
        return functional.one_hot(features, dictionary.d_in).to(x.dtype)
    if isinstance(dictionary, CrossLayerTranscoder):
        layer = features // dictionary.per_layer
        return dictionary.encoders[layer, :, features % dictionary.per_layer]
    rows = dictionary.W_enc[:, features].T
    if isinstance(dictionary, GatedDictionary):
        return rows * dictionary.r_mag[features, None].exp()
    if isinstance(dictionary, TopKDictionary) and dictionary.rescale_acts_by_decoder_norm:
        norms: Tensor = dictionary.W_dec[features].norm(dim=-1, keepdim=True)
        return rows * norms
    return rows
