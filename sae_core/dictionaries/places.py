"""Where in a language model a dictionary reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from sae_core.dictionaries.dictionary import Dictionary
from sae_core.errors import HookPointError
from sae_core.language_model.hook_point import IN_ORDER, HookPoint
from sae_core.language_model.model import LanguageModel


@dataclass(frozen=True)
class Places:
    """The hook points of one dictionary in one model; the same but for a transcoder.

    Attributes:
        read: whose activation is encoded.
        write: whose activation is reconstructed, and from which a feature is taken out.
        later: in blocks behind it, from which a feature is taken out as well: those that one layer
            of a cross-layer transcoder writes to.
    """

    read: HookPoint
    write: HookPoint
    later: tuple[HookPoint, ...] = ()

    @property
    def written(self) -> tuple[HookPoint, ...]:
        """All that it writes to, its own block's first."""
        return (self.write, *self.later)


def places_of(model: LanguageModel, dictionary: Dictionary) -> Places:
    """Where a dictionary reads and writes in this model.

    Raises:
        HookPointError: the model has no such hook points, their widths are others, nothing can be
            written there, it is a transcoder's and does not come of what is read, or it writes into
            more blocks than there are.
    """
    read = model.hook_point(dictionary.hook_point, dictionary.d_in)
    write = model.write_point(dictionary.output_hook_point, dictionary.d_out)
    later = () if dictionary.output is None else dictionary.output.later
    if write.layer + len(later) >= model.n_layers:
        raise HookPointError(
            f"It writes into {write.name} and {len(later)} blocks behind that, to {later[-1]}, but "
            f"{model.name} has {model.n_layers} blocks: it is a layer of another model's "
            "transcoder, or of another block."
        )
    places = Places(read, write, tuple(model.write_point(name, dictionary.d_out) for name in later))
    if dictionary.is_transcoder:
        check_order(model, places)
    return places


def check_order(model: LanguageModel, places: Places) -> None:
    """Refuse places between which no transcoder can lie.

    Raises:
        HookPointError: they hold one activation, or what is written is computed before what is
            read.
    """
    read, write = places.read, places.write
    if model.usual_name(read.name) == model.usual_name(write.name):
        raise HookPointError(
            f"A transcoder that reads {read.name} and writes {write.name} is a sparse autoencoder: "
            "leave the output hook point out, or give another one."
        )
    begin, end = ((point.layer, IN_ORDER.index(point.kind)) for point in (read, write))
    if end < begin:
        raise HookPointError(
            f"{write.name} lies before {read.name}: a transcoder reconstructs what comes of what "
            "it reads. Give an output hook point behind it, of the same block or a later one."
        )
